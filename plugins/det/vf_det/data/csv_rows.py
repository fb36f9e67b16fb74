"""Read boxes from rows ``image,x1,y1,x2,y2,class``."""

from __future__ import annotations

import csv
import math
from collections.abc import Mapping, Sequence

import attrs

from vf.data.annotations import Builder
from vf.data.storage import Storage
from vf.errors import DataError, did_you_mean, listed
from vf_det.data.source import (
    Box,
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

EXPECTED = "expected image,x1,y1,x2,y2,class, or image,,,,, for an image without objects"


@attrs.frozen
class Line:
    """One box as written."""

    where: str
    box: Box
    label: str


def read(root: Storage, *, files: Mapping[str, str], images: str, classes: tuple[str, ...], holdout: float) -> Source:
    """Read a folder or zip; DataError with one line for each mistake.

    Args:
        root: of the data set.
        files: split -> csv, empty: SPLIT.csv where there is one.
        images: the folder or zip that names are relative to; empty: the root.
        classes: names in order; empty: those in the rows, sorted.
        holdout: part of train to validate on where there is no val.
    """
    problems, tallies = Problems(), Tallies()
    found = {split: name for split, given in files.items() if (name := _find(root, split, given))}
    if not found:
        raise DataError(f"{root.where()}: no train.csv, val.csv or test.csv; or set data.train")
    place = root.within(images) if images else root
    splits = {split: _lines(root, name, problems) for split, name in found.items()}
    labels = {line.label for rows in splits.values() for lines in rows.values() for line in lines}
    names = classes or tuple(sorted(labels))
    check_classes(names, root.where() if not classes else "data.classes", problems)
    index = FileIndex(place)
    parts = {}
    for split, rows in splits.items():
        builder = Builder()
        for image, lines in rows.items():
            if not index.has(image):
                line = f"{root.where(found[split])}: image {image!r} is not in {place.where()}; see data.images"
                problems.add(line, cause=split)
            builder.add(image, _rows(lines, names, problems, tallies))
        parts[split] = Part(place, builder.freeze())
    problems.raise_any()
    parts, notes = with_val(parts, holdout)
    return Source(
        names, parts, (*notes, *tallies.notes.lines(), *empty_notes(parts)), remarks=tuple(tallies.remarks.lines())
    )


def _find(root: Storage, split: str, given: str) -> str | None:
    if given and not root.has(given):
        raise DataError(f"{root.where(given)}: no such file; data.{split} names a csv relative to data.path")
    names = [given] if given else ["val.csv", "valid.csv"] if split == "val" else [f"{split}.csv"]
    return next((name for name in names if root.has(name)), None)


def _lines(root: Storage, name: str, problems: Problems) -> dict[str, list[Line]]:
    """Return image -> its boxes."""
    where = root.where(name)
    try:
        text = root.read(name).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(f"{where}: not UTF-8 text: {error.reason}") from None
    images: dict[str, list[Line]] = {}
    reader = csv.reader(text.splitlines())
    for cells in reader:
        cells = [cell.strip() for cell in cells]
        if not any(cells) or (reader.line_num == 1 and _names_columns(cells)):
            continue
        own = images.setdefault(cells[0], [])
        if any(cells[1:]) and (line := _line(f"{where}:{reader.line_num}", cells, problems)):
            own.append(line)
    if not images:
        raise DataError(f"{where}: holds no images")
    return images


def _names_columns(cells: Sequence[str]) -> bool:
    """Whether a first row holds words where numbers are expected."""
    return len(cells) > 1 and bool(cells[1]) and cells[1].strip("_").isidentifier()


def _line(where: str, cells: Sequence[str], problems: Problems) -> Line | None:
    if len(cells) != 6:
        problems.add(f"{where}: {EXPECTED}; got {len(cells)} cells")
        return None
    try:
        x1, y1, x2, y2 = (float(cell) for cell in cells[1:5])
    except ValueError:
        problems.add(f"{where}: {EXPECTED}; got {','.join(cells)!r}")
        return None
    if not finite((x1, y1, x2, y2)) or not cells[5]:
        problems.add(f"{where}: {EXPECTED}; got {','.join(cells)!r}")
        return None
    for low, high, axis in ((x1, x2, "x"), (y1, y2, "y")):
        if high < low:
            problems.add(f"{where}: {axis}2 {high:g} < {axis}1 {low:g}; a box is x1,y1,x2,y2")
            return None
    return Line(where, (x1, y1, x2, y2), cells[5])


def _rows(lines: Sequence[Line], names: Sequence[str], problems: Problems, tallies: Tallies) -> list[Row]:
    rows: list[Row] = []
    for line in lines:
        if line.label not in names:
            known = f"is not in data.classes ({listed(names)}){did_you_mean(line.label, names)}"
            problems.add(f"{line.where}: class {line.label!r} {known}", cause=line.label)
        elif box := check_box(line.box, line.where, None, tallies):
            rows.append((box, names.index(line.label), False, math.nan))
    return rows
