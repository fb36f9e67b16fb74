"""The size that a header tells is the size of what is decoded."""

from __future__ import annotations

import struct

import cv2
import numpy as np
import pytest

from vf.data.decode import decode
from vf.data.header import image_size

RNG = np.random.default_rng(0)


def encoded(suffix: str, height: int = 37, width: int = 52) -> bytes:
    done, data = cv2.imencode(suffix, RNG.integers(0, 255, (height, width, 3), np.uint8))
    assert done
    return data.tobytes()


def turned(orientation: int, *, order: str = "<") -> bytes:
    """A JPEG with an EXIF orientation."""
    data = encoded(".jpg")
    entry = struct.pack(f"{order}HHIHH", 0x0112, 3, 1, orientation, 0)
    mark = b"II" if order == "<" else b"MM"
    tiff = mark + struct.pack(f"{order}HIH", 42, 8, 1) + entry + bytes(4)
    body = b"Exif\0\0" + tiff
    return data[:2] + b"\xff\xe1" + struct.pack(">H", len(body) + 2) + body + data[2:]


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".bmp", ".webp"])
def test_every_kind(suffix: str) -> None:
    data = encoded(suffix)
    assert image_size(data) == tuple(decode(data).shape[-2:]) == (37, 52)


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientation(orientation: int, order: str) -> None:
    data = turned(orientation, order=order)
    assert image_size(data) == tuple(decode(data).shape[-2:])


def test_gif() -> None:
    assert image_size(b"GIF89a" + struct.pack("<HH", 52, 37)) == (37, 52)


@pytest.mark.parametrize(
    "data", [b"", b"\xff\xd8\xff", encoded(".jpg")[:30], b"II*\0rest", b"text", encoded(".png")[:18]]
)
def test_what_a_header_does_not_tell(data: bytes) -> None:
    assert image_size(data) is None
