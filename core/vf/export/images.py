"""Image files that a path names."""

from __future__ import annotations

from pathlib import Path

from vf.data.decode import IMAGE_SUFFIXES
from vf.errors import DataError


def image_files(place: str) -> list[Path]:
    """Return the image itself, or those of a folder and the folders in it, sorted; DataError where there is none."""
    path = Path(place)
    if path.is_file():
        return [path]
    files = sorted(p for p in path.rglob("*") if p.suffix.lower() in IMAGE_SUFFIXES and p.is_file())
    if not files:
        raise DataError(f"--images {place}: expected an image, or a folder with images in it")
    return files
