"""Read YOLO's txt files."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import attrs
import yaml

from vf.data.annotations import Builder
from vf.data.decode import IMAGE_SUFFIXES
from vf.errors import DataError
from vf_det.data.source import (
    Part,
    Problems,
    Row,
    Source,
    Tally,
    check_box,
    check_classes,
    empty_notes,
    finite,
    hold_out,
)

ALSO = {"train": ("train",), "val": ("val", "valid"), "test": ("test",)}


@attrs.define
class Reading:
    """State of reading one data set."""

    root: Path
    names: tuple[str, ...]
    problems: Problems = attrs.field(factory=Problems)
    tally: Tally = attrs.field(factory=Tally)
    images: int = 0
    labelled: int = 0
    first: tuple[Path, Path] | None = None
    """The first image without a label file, and where that was looked for."""


def read(root: Path, *, names: tuple[str, ...], holdout: float) -> Source:
    """Read a folder; DataError with one line for each mistake."""
    described = _description(root)
    splits = _splits(root, described)
    if not any(splits.values()):
        raise DataError(f"{root}: holds no images: none in images/, images/train/ or train/images/")
    reading = Reading(root, names or _names(root, described))
    check_classes(reading.names, f"{root}: data.names", reading.problems)
    rows = {s: {image: _rows(reading, image) for image in images} for s, images in splits.items()}
    if reading.labelled == 0 and reading.first:
        image, label = (p.relative_to(root) for p in reading.first)
        reading.problems.add(
            f"{root}: looked for labels at {label} (from {image}): not found for {reading.images} of {reading.images} images"
        )
    _orphans(reading, {image for images in splits.values() for image in images})
    reading.problems.raise_any()
    notes = []
    if set(splits) == {"train"}:
        chosen = hold_out([str(p.relative_to(root)) for p in splits["train"]], holdout)
        held = {p: r for p, r in rows["train"].items() if str(p.relative_to(root)) in chosen}
        notes.append(
            f"there is no val split: {len(held)} of {len(rows['train'])} images are held out for it, chosen by hash"
        )
        rows = {"train": {p: r for p, r in rows["train"].items() if p not in held}, "val": held}
    parts = {split: _part(root, entries) for split, entries in rows.items()}
    return Source(reading.names, parts, (*notes, *reading.tally.notes(), *empty_notes(parts)), normalised=True)


def _part(root: Path, entries: dict[Path, list[Row]]) -> Part:
    builder = Builder()
    for image, rows in entries.items():
        builder.add(str(image.relative_to(root)), rows)
    return Part(root, builder.freeze())


def _description(root: Path) -> dict[str, Any]:
    for name in ("data.yaml", "dataset.yaml"):
        file = root / name
        if not file.is_file():
            continue
        try:
            data = yaml.safe_load(file.read_text(encoding="utf-8"))
        except yaml.YAMLError as error:
            raise DataError(f"{file}: not valid YAML: {' '.join(str(error).split())}") from None
        if not isinstance(data, dict):
            raise DataError(f"{file}: expected a mapping with names, train and val, got {type(data).__name__}")
        return {**data, "_file": file}
    return {}


def _names(root: Path, described: dict[str, Any]) -> tuple[str, ...]:
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
    file = root / "classes.txt"
    if not file.is_file():
        raise DataError(
            f"{root}: no class names: expected data.yaml with 'names', classes.txt, or data.names in the recipe"
        )
    return tuple(line.strip() for line in file.read_text(encoding="utf-8").splitlines() if line.strip())


def _splits(root: Path, described: dict[str, Any]) -> dict[str, list[Path]]:
    found = {}
    for split, names in ALSO.items():
        given = described.get(split) or next((described[n] for n in names if described.get(n)), None)
        places = [root / str(given)] if given else [root / p for n in names for p in (f"images/{n}", f"{n}/images")]
        # Roboflow writes ../train/images, as seen from a folder that is not there.
        if given and not places[0].exists():
            places = [root / str(given).removeprefix("../")]
        if images := next((listing for p in places if (listing := _images(p, root))), []):
            found[split] = images
    if not found and (flat := _images(root / "images", root)):
        found["train"] = flat
    return found


def _images(place: Path, root: Path) -> list[Path]:
    """Images of a folder, or those that a txt file lists."""
    if place.is_file():
        lines = [line.strip() for line in place.read_text(encoding="utf-8").splitlines()]
        return [root / line for line in lines if line]
    if not place.is_dir():
        return []
    return sorted(p for p in place.iterdir() if p.suffix.lower() in IMAGE_SUFFIXES)


def _label_of(image: Path, root: Path) -> Path:
    parts = list(image.relative_to(root).parts)
    if "images" in parts:
        last = len(parts) - 1 - parts[::-1].index("images")
        parts[last] = "labels"
    return root.joinpath(*parts).with_suffix(".txt")


def _rows(reading: Reading, image: Path) -> list[Row]:
    label = _label_of(image, reading.root)
    reading.images += 1
    if not image.is_file():
        reading.problems.add(f"{image}: no such image; it is listed")
    try:
        lines = label.read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        reading.first = reading.first or (image, label)
        reading.tally.count(
            "images without a label file, taken as without objects", str(image.relative_to(reading.root))
        )
        return []
    reading.labelled += 1
    rows = [_row(reading, f"{label}:{n}", line.split()) for n, line in enumerate(lines, 1) if line.strip()]
    return [r for r in rows if r is not None]


def _row(reading: Reading, where: str, words: list[str]) -> Row | None:
    if len(words) != 5:
        reading.problems.add(f"{where}: expected 5 numbers 'class cx cy w h', got {len(words)}")
        return None
    try:
        label, values = int(words[0]), [float(w) for w in words[1:]]
    except ValueError:
        reading.problems.add(f"{where}: expected numbers 'class cx cy w h', got {' '.join(words)!r}")
        return None
    if not 0 <= label < len(reading.names):
        known = ", ".join(reading.names[:12])
        reading.problems.add(f"{where}: class id {label} is not in 0..{len(reading.names) - 1} ({known})")
        return None
    for name, value in zip(("cx", "cy", "w", "h"), values, strict=True):
        if not finite([value]) or not 0 <= value <= 1.01:
            reading.problems.add(f"{where}: {name} {value:g} is not in 0..1; boxes are parts of the image's size")
            return None
    cx, cy, w, h = values
    box = check_box((cx - w / 2, cy - h / 2, cx + w / 2, cy + h / 2), where, None, reading.tally)
    return (box, label, False, math.nan) if box else None


def _orphans(reading: Reading, images: set[Path]) -> None:
    """Note label files that belong to no image: a renamed image would be trained on as empty."""
    known = {_label_of(image, reading.root) for image in images}
    for folder in {label.parent for label in known}:
        for label in sorted(folder.glob("*.txt")) if folder.is_dir() else []:
            if label not in known and label.name != "classes.txt":
                reading.problems.add(f"{label}: has no image of this name in {_images_folder(label, reading.root)}")


def _images_folder(label: Path, root: Path) -> Path:
    parts = list(label.parent.relative_to(root).parts)
    if "labels" in parts:
        parts[len(parts) - 1 - parts[::-1].index("labels")] = "images"
    return root.joinpath(*parts)
