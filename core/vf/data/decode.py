"""The one way from an encoded image to pixels: RGB, uint8, upright."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import torch
from torchvision import io, tv_tensors

from vf.errors import DataError

IMAGE_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff", ".webp", ".gif"})

_JPEG, _PNG = b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n"


def decode(source: Path | bytes, *, name: str | None = None) -> tv_tensors.Image:
    """Decode an image file or its bytes.

    JPEG and PNG go through torchvision (libjpeg-turbo), the rest through OpenCV. Grey becomes three equal
    channels, an alpha channel is dropped, 16 bits become 8, and the EXIF orientation is applied.

    Args:
        source: a path, or the encoded bytes.
        name: what messages call the image; default: the path.

    Returns:
        uint8 [3,H,W] RGB.

    Raises:
        DataError: the file is missing, empty, cut off, or no image.
    """
    data = source if isinstance(source, bytes) else _read(source)
    name = name or (str(source) if isinstance(source, Path) else "image")
    if not data:
        raise DataError(f"{name}: is empty (0 bytes); expected an image")
    if data.startswith((_JPEG, _PNG)):
        return tv_tensors.Image(_torchvision(data, name))
    return tv_tensors.Image(_opencv(data, name))


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        raise DataError(f"{path}: no such image") from None
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror}") from None


def _torchvision(data: bytes, name: str) -> torch.Tensor:
    kind, ends = ("JPEG", _jpeg_ends) if data.startswith(_JPEG) else ("PNG", _png_ends)
    if not ends(data):
        # Decoders fill a cut-off JPEG with grey and say nothing.
        raise DataError(f"{name}: image is truncated: the {kind} ends after {len(data)} bytes without its end marker")
    buffer = torch.frombuffer(bytearray(data), dtype=torch.uint8)
    try:
        image = io.decode_image(buffer, mode=io.ImageReadMode.RGB, apply_exif_orientation=True)
    except RuntimeError:
        if (reread := _try_opencv(data)) is not None:
            return reread
        raise DataError(f"{name}: is damaged: it starts as a {kind} and cannot be decoded") from None
    pixels: torch.Tensor = image if image.dtype == torch.uint8 else (image.int() >> 8).to(torch.uint8)
    return pixels


def _jpeg_ends(data: bytes) -> bool:
    """Whether an end marker follows the start of the scan.

    Segments before the scan are stepped over, because a thumbnail in one of them has an end marker of its own;
    inside the scan the marker's bytes cannot occur. Phones append whole videos after the end.
    """
    at = 2
    while at + 4 <= len(data) and data[at] == 0xFF:
        if data[at + 1] == 0xDA:
            return data.find(b"\xff\xd9", at) >= 0
        if data[at + 1] == 0xFF:  # a fill byte
            at += 1
            continue
        at += 2 + int.from_bytes(data[at + 2 : at + 4], "big")
    # No scan was found: cut off inside a header, or bytes between segments, which decoders step over.
    return at < len(data) and data.rfind(b"\xff\xd9", at) >= 0


def _png_ends(data: bytes) -> bool:
    return data.rfind(b"IEND") >= 0


def _opencv(data: bytes, name: str) -> torch.Tensor:
    if (image := _try_opencv(data)) is None:
        raise DataError(f"{name}: is not an image that can be read; its first bytes are {data[:8]!r}")
    return image


def _try_opencv(data: bytes) -> torch.Tensor | None:
    level = cv2.utils.logging.setLogLevel(0)  # it would print what the error that follows says
    try:
        pixels = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    except cv2.error:
        return None
    finally:
        cv2.utils.logging.setLogLevel(level)
    if pixels is None:
        return None
    return torch.from_numpy(np.ascontiguousarray(pixels[:, :, ::-1].transpose(2, 0, 1)))
