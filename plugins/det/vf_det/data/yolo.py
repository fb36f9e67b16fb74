"""Read YOLO's txt files."""

from __future__ import annotations

import math
import os
from typing import Any

import attrs
import yaml

from vf.data.annotations import Builder
from vf.data.storage import Storage
from vf.errors import DataError, listed
from vf_det.data import yolo_files
from vf_det.data.source import (
    FileIndex,
    Part,
    Problems,
    Row,
    Source,
    Tallies,
    check_box,
    check_classes,
    empty_notes,
    finite,
    with_val,
)


@attrs.define
class Reading:
    """State of reading one data set."""

    root: Storage
    names: tuple[str, ...]
    problems: Problems = attrs.field(factory=Problems)
    tallies: Tallies = attrs.field(factory=Tallies)
    index: FileIndex = attrs.field(default=attrs.Factory(lambda self: FileIndex(self.root), takes_self=True))
    images: int = 0
    labelled: int = 0
    first: tuple[str, str] | None = None
    """The first image without a label file, and where that was looked for; relative to the root."""


def read(root: Storage, *, names: tuple[str, ...], holdout: float) -> Source:
    """Read a folder; DataError with one line for each mistake."""
    described = _description(root)
    splits = yolo_files.splits(root, described)
    if not any(splits.values()):
        raise DataError(f"{root.where()}: holds no images: none in images/, images/train/ or train/images/")
    reading = Reading(root, names or _names(root, described))
    check_classes(reading.names, f"{root.where()}: data.names", reading.problems)
    rows = {s: {image: _rows(reading, image) for image in images} for s, images in splits.items()}
    if reading.labelled == 0 and reading.first:
        image, label = reading.first
        count = reading.images
        reading.problems.add(
            f"{root.where()}: looked for labels at {label} (from {image}): not found for {count} of {count} images"
        )
    _orphans(reading, {image for images in splits.values() for image in images})
    reading.problems.raise_any()
    parts, notes = with_val({split: _part(root, entries) for split, entries in rows.items()}, holdout)
    tallies = reading.tallies
    return Source(
        reading.names,
        parts,
        (*notes, *tallies.notes.lines(), *empty_notes(parts)),
        remarks=tuple(tallies.remarks.lines()),
        normalised=True,
    )


def _part(root: Storage, entries: dict[str, list[Row]]) -> Part:
    builder = Builder()
    for image, rows in entries.items():
        builder.add(image, rows)
    return Part(root, builder.freeze())


def _description(root: Storage) -> dict[str, Any]:
    for name in ("data.yaml", "dataset.yaml"):
        file = root.where(name)
        if not root.has(name):
            continue
        try:
            data = yaml.safe_load(root.read(name).decode())
        except yaml.YAMLError as error:
            raise DataError(f"{file}: not valid YAML: {' '.join(str(error).split())}") from None
        if not isinstance(data, dict):
            raise DataError(f"{file}: expected a mapping with names, train and val, got {type(data).__name__}")
        return {**data, "_file": file}
    return {}


def _names(root: Storage, described: dict[str, Any]) -> tuple[str, ...]:
    names = described.get("names")
    if isinstance(names, dict):
        expected = list(range(len(names)))
        if sorted(names) != expected:
            raise DataError(f"{described['_file']}: names: expected the ids 0..{len(names) - 1}, got {sorted(names)}")
        return tuple(str(names[i]) for i in expected)
    if isinstance(names, list):
        return tuple(str(n) for n in names)
    if names is not None:
        raise DataError(
            f"{described['_file']}: names: expected a list of class names, got {type(names).__name__} {names!r}"
        )
    if not root.has("classes.txt"):
        raise DataError(
            f"{root.where()}: no class names: expected data.yaml with 'names', classes.txt, or data.names in the recipe"
        )
    return tuple(line.strip() for line in root.read("classes.txt").decode("utf-8-sig").splitlines() if line.strip())


def _rows(reading: Reading, image: str) -> list[Row]:
    label = yolo_files.label_of(image)
    reading.images += 1
    if not reading.index.has(image):
        reading.problems.add(f"{reading.root.where(image)}: no such image; it is listed", cause="no such image")
    if not reading.index.has(label):
        reading.first = reading.first or (image, label)
        reading.tallies.notes.count("images without a label file, taken as without objects", image)
        return []
    reading.labelled += 1
    # Whatever is no text shows up as a malformed number then, with its line.
    lines = enumerate(reading.root.read(label).decode("utf-8-sig", errors="replace").splitlines(), 1)
    rows = [_row(reading, f"{reading.root.where(label)}:{n}", line.split()) for n, line in lines if line.strip()]
    return [r for r in rows if r is not None]


def _row(reading: Reading, where: str, words: list[str]) -> Row | None:
    if len(words) != 5:
        hint = "; outlines of masks are not read" if len(words) > 6 and len(words) % 2 else ""
        reading.problems.add(f"{where}: expected 5 numbers 'class cx cy w h', got {len(words)}{hint}")
        return None
    try:
        label, values = int(words[0]), [float(w) for w in words[1:]]
    except ValueError:
        reading.problems.add(f"{where}: expected numbers 'class cx cy w h', got {' '.join(words)!r}")
        return None
    if not 0 <= label < len(reading.names):
        last = len(reading.names) - 1
        reading.problems.add(f"{where}: class id {label} is not in 0..{last} ({listed(reading.names)})", cause=label)
        return None
    for name, value in zip(("cx", "cy", "w", "h"), values, strict=True):
        if not finite([value]) or not 0 <= value <= 1.01:
            reading.problems.add(f"{where}: {name} {value:g} is not in 0..1; boxes are parts of the image's size")
            return None
    cx, cy, w, h = values
    corners = (cx - w / 2, cy - h / 2, cx + w / 2, cy + h / 2)
    if w == 0 or h == 0:
        corners = (cx, cy, cx, cy)
    box = check_box(corners, where, (1.0, 1.0), reading.tallies, pixels=False)
    return (box, label, False, math.nan) if box else None


def _orphans(reading: Reading, images: set[str]) -> None:
    """Note label files that belong to no image: a renamed image would be trained on as empty."""
    known = {yolo_files.label_of(image) for image in images}
    for folder in sorted({os.path.dirname(label) for label in known}):
        for name in reading.root.files(folder):
            if not name.endswith(".txt") or os.path.join(folder, name) in known or name == "classes.txt":
                continue
            file, images_ = (reading.root.where(p) for p in (os.path.join(folder, name), yolo_files.images_of(folder)))
            reading.problems.add(f"{file}: has no image of this name in {images_}")
