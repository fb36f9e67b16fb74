"""What the readers of boxes share: splits as read, a val split made, boxes checked."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import attrs
from numpy.typing import NDArray

from vf.data.annotations import Annotations, Ragged, Row
from vf.data.reading import FileIndex, Problems, Tallies, Tally, check_classes, hold_out, list_images, walk_images
from vf.data.storage import Folder, Storage

Box = tuple[float, float, float, float]

__all__ = [
    "Box",
    "FileIndex",
    "Part",
    "Problems",
    "Row",
    "Source",
    "Tallies",
    "Tally",
    "check_classes",
    "hold_out",
    "list_images",
    "walk_images",
]


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
