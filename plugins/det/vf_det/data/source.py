"""What the readers of label files share: problems collected, files listed, splits made, boxes checked."""

from __future__ import annotations

import hashlib
import math
import posixpath
from collections import Counter
from collections.abc import Hashable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import attrs
from numpy.typing import NDArray

from vf.data.annotations import Annotations, Ragged, Row
from vf.data.decode import IMAGE_SUFFIXES
from vf.data.storage import Folder, Storage
from vf.errors import DataError

MOST = 20
"""Lines of one report; the rest is counted."""

Box = tuple[float, float, float, float]

__all__ = ["Box", "Part", "Problems", "Row", "Source", "Tallies"]


def _storage(place: Path | Storage) -> Storage:
    return Folder(place) if isinstance(place, Path) else place


@attrs.frozen(eq=False)
class Part:
    """One split as read, N images."""

    images: Storage = attrs.field(converter=_storage)
    """Where the names of the annotations lie."""
    annotations: Annotations
    image_ids: NDArray[Any] | None = None
    """[N] ids of the images in the data's own files, whole numbers or texts."""
    lists: Mapping[str, Ragged] = attrs.field(factory=dict)
    """Numbers for each image, by the key of the target under which they come."""
    by_class: Mapping[str, NDArray[Any]] = attrs.field(factory=dict)
    """[C] a number for each class, by the key of the target under which objects carry it."""
    marks_difficult: bool = False
    """Whether the format knows difficult objects."""
    labelled: bool = True
    """Whether anybody looked for objects; if not, a model can be applied but not measured."""

    def select(self, images: Sequence[int]) -> Part:
        """Return some of the images, in the order that is given."""
        return attrs.evolve(
            self,
            annotations=self.annotations.select(images),
            image_ids=None if self.image_ids is None else self.image_ids[list(images)],
            lists={key: ragged.select(images) for key, ragged in self.lists.items()},
        )


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
    stuff: tuple[str, ...] = ()
    keypoints: tuple[str, ...] = ()
    category_ids: tuple[int, ...] = ()
    """These three: as in vf.DatasetInfo."""
    palette: tuple[tuple[int, int, int], ...] | None = None


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
    for value in values:  # a generator takes up to twice as long, and this is asked of every box
        if not isinstance(value, (int, float)) or isinstance(value, bool) or not math.isfinite(value):
            return False
    return True


def list_images(images: Storage, folder: str = "") -> dict[str, str]:
    """Return stem -> file name of the images right in a folder, sorted; empty where there is no folder."""
    found = {}
    for name in images.files(folder):
        stem, suffix = posixpath.splitext(name)
        if suffix.lower() in IMAGE_SUFFIXES:
            found[stem] = name
    return found


def walk_images(images: Storage, folder: str = "") -> list[str]:
    """Return the names of the images in a folder and in those below it, sorted."""
    found = [posixpath.join(folder, name) for name in list_images(images, folder).values()]
    for below in images.folders(folder):
        found += walk_images(images, posixpath.join(folder, below))
    return sorted(found)


class FileIndex:
    """Answers whether files exist, with one listing for each folder."""

    def __init__(self, images: Storage) -> None:
        self._images = images
        self._listed: dict[str, set[str]] = {}

    def has(self, name: str) -> bool:
        """Whether there is such a file."""
        folder, base = posixpath.split(name)
        if folder not in self._listed:
            self._listed[folder] = set(self._images.files(folder))
        return base in self._listed[folder]


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
    if train is None or "val" in parts or not holdout or len(train.annotations) < 2:
        return dict(parts), []
    names = [train.annotations.name(i) for i in range(len(train.annotations))]
    chosen = hold_out(names, holdout)
    cut = {
        "train": train.select([i for i, name in enumerate(names) if name not in chosen]),
        "val": train.select([i for i, name in enumerate(names) if name in chosen]),
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
        if not part.labelled:
            notes.append(f"{split}: has no labels: it can be predicted, not measured")
        elif empty:
            notes.append(f"{split}: kept {empty} of {len(part.annotations)} images without objects")
    return notes
