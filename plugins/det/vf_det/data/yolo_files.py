"""Where images and labels of a YOLO data set lie. Names are relative to the root of the data set."""

from __future__ import annotations

import os
import posixpath
from collections.abc import Mapping
from typing import Any

from vf.data.storage import Storage
from vf.errors import DataError
from vf_det.data.source import list_images

ALSO = {"train": ("train",), "val": ("val", "valid"), "test": ("test",)}
"""Names under which a split goes."""


def splits(root: Storage, described: Mapping[str, Any]) -> dict[str, list[str]]:
    """Return the images of each split that has any.

    Args:
        root: of the data set.
        described: what data.yaml says; its train, val and test win over the folders' names.
    """
    found: dict[str, list[str]] = {}
    for split, names in ALSO.items():
        given = next((described[n] for n in names if described.get(n)), None)
        if given is None:
            places = [p for n in names for p in (f"images/{n}", f"{n}/images")]
            images = next((listing for p in places if (listing := _images(p, root))), [])
        else:
            images = [i for one in _several(given) for i in _images(_place(root, described, split, one), root)]
        if images:
            found[split] = images
    if not found and (flat := _images("images", root)):
        found["train"] = flat
    return found


def _several(given: Any) -> list[str]:
    return [str(g) for g in given] if isinstance(given, list) else [str(given)]


def _place(root: Storage, described: Mapping[str, Any], split: str, given: str) -> str:
    """Return the folder or list that data.yaml names for a split."""
    base = str(described.get("path") or "")
    # Roboflow writes ../train/images, as seen from a folder that is not there.
    places = [given, posixpath.join(base, given), given.removeprefix("../")]
    for place in places:
        if root.has(place) or root.has_folder(place):
            return place
    if split == "test":
        return places[0]  # often named and not delivered; nothing is learned from it
    raise DataError(f"{described['_file']}: {split}: no such folder or list {given!r} under {root.where()}")


def _images(place: str, root: Storage) -> list[str]:
    """Images right in a folder, or those that a txt file lists."""
    if root.has(place):
        lines = [line.strip() for line in root.read(place).decode("utf-8-sig").splitlines()]
        found = [line for line in lines if line]
    else:
        found = [posixpath.join(place, name) for name in list_images(root, place).values()]
    # Seen from the root, also where data.yaml gives an absolute path.
    return list(dict.fromkeys(os.path.relpath(os.path.join(root.where(), name), root.where()) for name in found))


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
