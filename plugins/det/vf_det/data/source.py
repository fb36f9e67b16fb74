"""What the readers of label files share: problems collected, files listed, splits made, boxes checked."""

from __future__ import annotations

import hashlib
import math
import os
from collections import Counter
from collections.abc import Hashable, Iterable, Mapping, Sequence
from pathlib import Path

import attrs

from vf.data.annotations import Annotations
from vf.data.decode import IMAGE_SUFFIXES
from vf.errors import DataError

MOST = 20
"""Lines of one report; the rest is counted."""

Box = tuple[float, float, float, float]
Row = tuple[Box, int, bool, float]
"""XYXY box, class index, crowd, area (NaN: width times height)."""


@attrs.frozen(eq=False)
class Part:
    """One split as read."""

    images: Path
    """Folder that the names are relative to."""
    annotations: Annotations


@attrs.frozen(eq=False)
class Source:
    """A data set as read: its classes, splits and what there is to say about them."""

    classes: tuple[str, ...]
    parts: Mapping[str, Part]
    notes: tuple[str, ...]
    remarks: tuple[str, ...] = ()
    """What is only of interest to someone who checks the data: tiny boxes and the like."""
    normalised: bool = False
    """Whether boxes are parts of the image's size instead of pixels."""


class Problems:
    """One line for each mistake in the label files; all of them are found before any is raised."""

    def __init__(self) -> None:
        self._first: dict[object, str] = {}
        self._count: Counter[object] = Counter()

    def add(self, line: str, *, cause: Hashable = None) -> None:
        """Note a mistake; those of one ``cause`` (a class misspelt everywhere) become one line, the first."""
        key = line if cause is None else cause
        self._first.setdefault(key, line)
        self._count[key] += 1

    def raise_any(self) -> None:
        """Raise DataError where there was a mistake."""
        lines = [
            f"{line} (and {more} more like it)" if (more := self._count[key] - 1) else line
            for key, line in self._first.items()
        ]
        if len(lines) > MOST:
            lines[MOST:] = [f"… and {len(lines) - MOST} mistakes more"]
        if lines:
            raise DataError(*lines)


class Tally:
    """Counts what is mended silently elsewhere, to say it in one line with the first place."""

    def __init__(self) -> None:
        self._seen: dict[str, tuple[int, str]] = {}

    def count(self, what: str, where: str) -> None:
        """Count one."""
        number, first = self._seen.get(what, (0, where))
        self._seen[what] = (number + 1, first)

    def lines(self) -> list[str]:
        """One line for each kind."""
        return [f"{what}: {number}, the first in {first}" for what, (number, first) in self._seen.items()]


@attrs.frozen
class Tallies:
    """Two kinds of lines: what was changed, and what is only worth a look."""

    notes: Tally = attrs.field(factory=Tally)
    remarks: Tally = attrs.field(factory=Tally)


def check_box(
    box: Box, where: str, size: tuple[float, float] | None, tallies: Tallies, *, pixels: bool = True
) -> Box | None:
    """Return the box cut at the image's edge, or None where nothing is left of it.

    Args:
        box: XYXY, x2 >= x1 and y2 >= y1.
        where: names the box in a note.
        size: width and height of the image; None: not known, nothing is cut.
        pixels: the unit; if not, parts of the image's size, whose ``size`` is (1, 1).
    """
    x1, y1, x2, y2 = box
    if x2 == x1 or y2 == y1:
        tallies.notes.count("boxes without area, left out", where)
        return None
    if size is None:
        return box
    cut = (max(0.0, x1), max(0.0, y1), min(size[0], x2), min(size[1], y2))
    width, height = cut[2] - cut[0], cut[3] - cut[1]
    if width <= 0 or height <= 0:
        tallies.notes.count("boxes outside their image, left out", where)
        return None
    # Tools round, so a little over the edge is nothing to speak of.
    slack = 1.0 if pixels else 0.01
    if x1 < -slack or y1 < -slack or x2 > size[0] + slack or y2 > size[1] + slack:
        tallies.notes.count("boxes over the edge of their image, cut", where)
    if pixels and min(width, height) < 2:
        tallies.remarks.count("boxes thinner than 2 px", where)
    if width * height > 0.98 * size[0] * size[1]:
        tallies.remarks.count("boxes that cover over 98 % of their image", where)
    return cut


def finite(values: Iterable[object]) -> bool:
    """Whether all are numbers, neither infinite nor NaN."""
    return all(isinstance(v, (int, float)) and not isinstance(v, bool) and math.isfinite(v) for v in values)


def list_images(folder: Path) -> dict[str, str]:
    """Return stem -> file name of the images right in a folder, sorted; empty where there is no folder."""
    if not folder.is_dir():
        return {}
    names = sorted(entry.name for entry in os.scandir(folder))
    return {Path(n).stem: n for n in names if Path(n).suffix.lower() in IMAGE_SUFFIXES}


class FileIndex:
    """Answers whether files exist, with one listing for each folder."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._listed: dict[Path, set[str]] = {}

    def has(self, name: str) -> bool:
        """Whether ``name`` exists under the root."""
        folder, base = os.path.split(os.path.join(self._root, name))
        if Path(folder) not in self._listed:
            exists = os.path.isdir(folder)
            self._listed[Path(folder)] = {e.name for e in os.scandir(folder)} if exists else set()
        return base in self._listed[Path(folder)]


def hold_out(names: Sequence[str], part: float) -> set[str]:
    """Choose about ``part`` of the names by their hash, at least one where there are two: the same in every run."""
    ranked = sorted(names, key=lambda n: hashlib.sha256(n.encode()).digest())
    count = max(1, round(part * len(ranked))) if len(ranked) > 1 else 0
    return set(ranked[:count])


def with_val(parts: Mapping[str, Part], holdout: float) -> tuple[dict[str, Part], list[str]]:
    """Hold a part of train out where there is no val split; a test split is not for choosing the best step.

    Returns:
        the splits, and what to say about them.
    """
    train = parts.get("train")
    if train is None or "val" in parts or len(train.annotations) < 2:
        return dict(parts), []
    names = [train.annotations.name(i) for i in range(len(train.annotations))]
    chosen = hold_out(names, holdout)
    cut = {
        split: attrs.evolve(train, annotations=train.annotations.select(images))
        for split, images in {
            "train": [i for i, name in enumerate(names) if name not in chosen],
            "val": [i for i, name in enumerate(names) if name in chosen],
        }.items()
    }
    note = f"there is no val split: {len(chosen)} of {len(names)} images are held out for it, chosen by hash"
    return {**cut, **{split: part for split, part in parts.items() if split not in cut}}, [note]


def check_classes(classes: Sequence[str], where: str, problems: Problems) -> None:
    """Note an empty list and names that come twice."""
    if not classes:
        problems.add(f"{where}: names no class; there is nothing to learn")
    for name in sorted({c for c in classes if list(classes).count(c) > 1}):
        problems.add(f"{where}: class {name!r} is named twice")


def empty_notes(parts: Mapping[str, Part]) -> list[str]:
    """Say how many images have no object; they are kept, because they teach what is not an object."""
    notes = []
    for split, part in parts.items():
        empty = int((part.annotations.counts == 0).sum())
        if empty:
            notes.append(f"{split}: kept {empty} of {len(part.annotations)} images without objects")
    return notes
