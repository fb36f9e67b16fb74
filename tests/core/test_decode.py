"""One decode function: every kind of file gives upright uint8 RGB, and every broken one a sentence."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image

from vf.data.decode import decode
from vf.errors import DataError


def picture(height: int = 24, width: int = 40) -> NDArray[np.uint8]:
    """Smooth, so that JPEG hardly changes it; no two corners alike."""
    y, x = np.mgrid[0:height, 0:width]
    return np.stack([x * 255 // width, y * 255 // height, (x + y) * 255 // (height + width)], 2).astype(np.uint8)


def encoded(mode: str, kind: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(picture()).convert(mode).save(buffer, kind, **options)
    return buffer.getvalue()


def problem(source: bytes | Path, **kwargs: Any) -> str:
    with pytest.raises(DataError) as error:
        decode(source, **kwargs)
    (line,) = error.value.problems
    return line


@pytest.mark.parametrize(
    ("mode", "kind", "slack"),
    [
        ("RGB", "JPEG", 12),
        ("CMYK", "JPEG", 12),
        ("RGB", "PNG", 0),
        ("RGBA", "PNG", 0),
        ("RGB", "BMP", 0),
        ("RGB", "TIFF", 0),
        ("RGB", "WEBP", 24),
        ("RGB", "GIF", 48),
    ],
)
def test_kinds_of_files_give_rgb(mode: str, kind: str, slack: int) -> None:
    image = decode(encoded(mode, kind))
    assert image.dtype == torch.uint8
    difference = image.permute(1, 2, 0).numpy().astype(int) - picture()
    assert abs(difference).max() <= slack


@pytest.mark.parametrize(("mode", "kind"), [("L", "JPEG"), ("L", "PNG"), ("LA", "PNG"), ("1", "PNG"), ("L", "BMP")])
def test_grey_becomes_three_equal_channels(mode: str, kind: str) -> None:
    image = decode(encoded(mode, kind))
    assert image.shape == (3, 24, 40)
    assert torch.equal(image[0], image[1])
    assert torch.equal(image[0], image[2])


@pytest.mark.parametrize("suffix", [".png", ".tiff"])
def test_sixteen_bits_become_eight(suffix: str) -> None:
    done, data = cv2.imencode(suffix, picture()[:, :, ::-1].astype(np.uint16) * 257)
    assert done
    assert np.array_equal(decode(data.tobytes()).permute(1, 2, 0).numpy(), picture())


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "TIFF", "WEBP"])
@pytest.mark.parametrize(("orientation", "turns"), [(1, 0), (3, 2), (6, 3), (8, 1)])
def test_exif_orientation_is_applied(kind: str, orientation: int, turns: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    upright = np.rot90(picture(), turns)
    image = decode(encoded("RGB", kind, exif=exif)).permute(1, 2, 0).numpy()
    assert image.shape == upright.shape
    assert abs(image.astype(int) - upright).max() <= 24


def test_a_file_reads_like_its_bytes(tmp_path: Path) -> None:
    data = encoded("RGB", "PNG")
    (tmp_path / "a.png").write_bytes(data)
    assert torch.equal(decode(tmp_path / "a.png"), decode(data))


def test_what_is_no_image_is_named(tmp_path: Path) -> None:
    path = tmp_path / "a.jpg"
    assert problem(path) == f"{path}: no such image"
    assert problem(tmp_path) == f"{tmp_path}: cannot be read: Is a directory"
    path.write_bytes(b"")
    assert problem(path) == f"{path}: is empty (0 bytes); expected an image"
    path.write_bytes(b"<html>404</html>")
    assert problem(path) == f"{path}: is not an image that can be read; its first bytes are b'<html>40'"
    assert problem(b"<html>404</html>", name="b.jpg").startswith("b.jpg: is not an image")


@pytest.mark.parametrize("options", [{}, {"progressive": True}], ids=["baseline", "progressive"])
@pytest.mark.parametrize("part", [0.1, 0.5, 0.9, 0.999])
def test_a_cut_off_jpeg_is_refused(options: dict[str, Any], part: float) -> None:
    data = encoded("RGB", "JPEG", **options)
    cut = data[: int(part * len(data))]
    assert problem(cut, name="a.jpg") == (
        f"a.jpg: image is truncated: the JPEG ends after {len(cut)} bytes without its end marker"
    )


def test_a_cut_off_png_is_refused() -> None:
    data = encoded("RGB", "PNG")[:-20]
    sentence = f"a.png: image is truncated: the PNG ends after {len(data)} bytes without its end marker"
    assert problem(data, name="a.png") == sentence


def test_a_thumbnail_inside_a_cut_off_jpeg_is_no_end() -> None:
    data = encoded("RGB", "JPEG")
    thumbnail = data[2:4] + b"\xff\xd8 thumbnail \xff\xd9"
    segment = b"\xff\xe1" + (len(thumbnail) + 2).to_bytes(2, "big") + thumbnail
    with_thumbnail = data[:2] + segment + data[2:]
    assert decode(with_thumbnail).shape == (3, 24, 40)
    assert "image is truncated" in problem(with_thumbnail[:-40], name="a.jpg")


def test_what_phones_append_to_a_jpeg_is_ignored() -> None:
    data = encoded("RGB", "JPEG")
    assert torch.equal(decode(data + b"\0" * 9000 + b"mp4"), decode(data))


@pytest.mark.parametrize(("kind", "ends"), [("JPEG", b"\xff\xd9"), ("PNG", b"IEND")])
def test_a_damaged_file_with_its_end_is_refused(kind: str, ends: bytes) -> None:
    data = encoded("RGB", kind)
    start = data[:4] if kind == "JPEG" else data[:8]
    damaged = start + b"\0" * 40 + ends + b"\0" * 8
    assert problem(damaged, name="a").startswith("a: is damaged: it starts as a " + kind)
