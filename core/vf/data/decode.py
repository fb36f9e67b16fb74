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
    if data.startswith(_JPEG) and b"\xff\xd9" not in data[-4096:]:
        # The decoder fills a cut-off JPEG with grey and says nothing.
        raise DataError(f"{name}: is truncated: the JPEG ends after {len(data)} bytes without its end marker")
    buffer = torch.frombuffer(bytearray(data), dtype=torch.uint8)
    try:
        image = io.decode_image(buffer, mode=io.ImageReadMode.RGB, apply_exif_orientation=True)
    except RuntimeError as error:
        if (reread := _try_opencv(data)) is not None:
            return reread
        reason = str(error).splitlines()[0]
        raise DataError(f"{name}: is broken and cannot be decoded ({reason})") from None
    return image if image.dtype == torch.uint8 else (image.int() >> 8).to(torch.uint8)


def _opencv(data: bytes, name: str) -> torch.Tensor:
    image = _try_opencv(data)
    if image is None:
        raise DataError(f"{name}: is not an image that can be read; its first bytes are {data[:8]!r}")
    return image


def _try_opencv(data: bytes) -> torch.Tensor | None:
    try:
        pixels = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    except cv2.error:
        return None
    if pixels is None:
        return None
    return torch.from_numpy(np.ascontiguousarray(pixels[:, :, ::-1].transpose(2, 0, 1)))
