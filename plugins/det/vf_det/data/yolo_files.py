"""Where images and labels of a YOLO data set lie. Names are relative to the root of the data set."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from vf.data.decode import IMAGE_SUFFIXES
from vf.errors import DataError

ALSO = {"train": ("train",), "val": ("val", "valid"), "test": ("test",)}
"""Names under which a split goes."""


def splits(root: Path, described: Mapping[str, Any]) -> dict[str, list[str]]:
    """Return the images of each split that has any.

    Args:
        root: of the data set.
        described: what data.yaml says; its train, val and test win over the folders' names.
    """
    found: dict[str, list[str]] = {}
    for split, names in ALSO.items():
        given = next((described[n] for n in names if described.get(n)), None)
        if given is None:
            places = [root / p for n in names for p in (f"images/{n}", f"{n}/images")]
            images = next((listing for p in places if (listing := _images(p, root))), [])
        else:
            images = [i for one in _several(given) for i in _images(_place(root, described, split, one), root)]
        if images:
            found[split] = images
    if not found and (flat := _images(root / "images", root)):
        found["train"] = flat
    return found


def _several(given: Any) -> list[str]:
    return [str(g) for g in given] if isinstance(given, list) else [str(given)]


def _place(root: Path, described: Mapping[str, Any], split: str, given: str) -> Path:
    """Return the folder or list that data.yaml names for a split."""
    base = str(described.get("path") or "")
    # Roboflow writes ../train/images, as seen from a folder that is not there.
    places = [root / given, root / base / given, root / given.removeprefix("../")]
    for place in places:
        if place.exists():
            return place
    if split == "test":
        return places[0]  # often named and not delivered; nothing is learned from it
    raise DataError(f"{described['_file']}: {split}: no such folder or list {given!r} under {root}")


def _images(place: Path, root: Path) -> list[str]:
    """Images right in a folder, or those that a txt file lists."""
    if place.is_file():
        lines = [line.strip() for line in place.read_text(encoding="utf-8-sig").splitlines()]
        found = [root / line for line in lines if line]
    elif place.is_dir():
        found = [Path(e.path) for e in os.scandir(place) if os.path.splitext(e.name)[1].lower() in IMAGE_SUFFIXES]
        found.sort()
    else:
        found = []
    return list(dict.fromkeys(os.path.relpath(p, root) for p in found))


def label_of(image: str) -> str:
    """Return the label file of an image: the last folder ``images`` becomes ``labels``, the suffix ``.txt``."""
    return os.path.splitext(_swapped(image, "images", "labels"))[0] + ".txt"


def images_of(labels: str) -> str:
    """Return the image folder of a label folder."""
    return _swapped(labels, "labels", "images")


def _swapped(path: str, old: str, new: str) -> str:
    parts = path.split(os.sep)
    if old in parts:
        parts[len(parts) - 1 - parts[::-1].index(old)] = new
    return os.sep.join(parts)
