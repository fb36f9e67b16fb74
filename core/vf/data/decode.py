"""The one way from an encoded image to pixels: RGB, uint8, upright."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torchvision import tv_tensors

from vf.errors import DataError

IMAGE_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff", ".webp", ".gif"})

_JPEG, _PNG = b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n"


def decode(source: Path | bytes, *, name: str | None = None) -> tv_tensors.Image:
    """Decode an image file or its bytes.

    Grey becomes three equal channels, an alpha channel is dropped, 16 bits become 8, and the EXIF orientation is
    applied. OpenCV does it for every kind of file: torchvision's decoders, which give the same pixels in the same
    time, are deprecated since 0.29.

    Args:
        source: a path, or the encoded bytes.
        name: what messages call the image; default: the path.

    Returns:
        uint8 [3,H,W] RGB, a view of rows of pixels (channels last in memory).

    Raises:
        DataError: the file is missing, empty, cut off, or no image.
    """
    data = source if isinstance(source, bytes) else _read(source)
    name = name or (str(source) if isinstance(source, Path) else "image")
    if not data:
        raise DataError(f"{name}: is empty (0 bytes); expected an image")
    kind = "JPEG" if data.startswith(_JPEG) else "PNG" if data.startswith(_PNG) else ""
    # Decoders fill what is cut off with grey and say nothing.
    if (kind == "JPEG" and not _jpeg_ends(data)) or (kind == "PNG" and data.rfind(b"IEND") < 0):
        raise DataError(f"{name}: image is truncated: the {kind} ends after {len(data)} bytes without its end marker")
    pixels = _pixels(data)
    if pixels is None and kind:
        raise DataError(f"{name}: is damaged: it starts as a {kind} and cannot be decoded")
    if pixels is None:
        raise DataError(f"{name}: is not an image that can be read; its first bytes are {data[:8]!r}")
    # What is torchvision's way to say the same takes 8 µs longer, which counts for the crop of a word.
    image: tv_tensors.Image = torch.from_numpy(pixels.transpose(2, 0, 1)).as_subclass(tv_tensors.Image)
    return image


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        raise DataError(f"{path}: no such image") from None
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror}") from None


def _jpeg_ends(data: bytes) -> bool:
    """Whether an end marker follows the start of the scan.

    Segments before the scan are stepped over, because a thumbnail in one of them has an end marker of its own;
    inside the scan the marker's bytes cannot occur. Phones append whole videos after the end.
    """
    if data.endswith(b"\xff\xd9"):  # as nearly all do; one that was cut off there has no scan, and is not decoded
        return True
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


def _pixels(data: bytes) -> NDArray[np.uint8] | None:
    """Return [H,W,3] RGB, or None where OpenCV cannot read it."""
    level = cv2.utils.logging.setLogLevel(0)  # it would print what the caller says
    try:
        pixels = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR_RGB)
    except cv2.error:
        return None
    finally:
        cv2.utils.logging.setLogLevel(level)
    return None if pixels is None else np.asarray(pixels, np.uint8)
