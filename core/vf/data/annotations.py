"""Annotations of a whole data set in a few flat arrays: workers share the pages, nothing is copied per object."""

from __future__ import annotations

import hashlib
from array import array
from collections.abc import Sequence
from typing import Any

import attrs
import numpy as np
from numpy.typing import NDArray

Row = tuple[tuple[float, float, float, float], int, bool, float]
"""XYXY box, class index, crowd, area (NaN: width times height)."""


@attrs.frozen(eq=False)
class Annotations:
    """Objects of N images, M in all. Rows of image i are ``offsets[i]:offsets[i+1]``."""

    names: NDArray[np.uint8]
    """File names joined as UTF-8 bytes."""
    name_ends: NDArray[np.int64]
    """[N] where each name ends in ``names``."""
    offsets: NDArray[np.int64]
    """[N+1]."""
    boxes: NDArray[np.float32]
    """[M,4] XYXY; pixels, or parts of the image's size where the format says so."""
    labels: NDArray[np.int32]
    """[M] class indices."""
    crowd: NDArray[np.bool_]
    """[M] regions that a metric neither asks for nor counts as wrong."""
    areas: NDArray[np.float32]
    """[M] px², or NaN: width times height."""
    difficult: NDArray[np.bool_] = attrs.field(factory=lambda: np.zeros(0, np.bool_))
    """[M], or [0] where the format has no such mark."""
    outlines: NDArray[np.uint8] = attrs.field(factory=lambda: np.zeros(0, np.uint8))
    """Masks as joined bytes, in whatever form their reader packs them."""
    outline_offsets: NDArray[np.int64] = attrs.field(factory=lambda: np.zeros(0, np.int64))
    """[M+1], or [0] where masks are not read."""
    keypoints: NDArray[np.float32] = attrs.field(factory=lambda: np.zeros((0, 0, 3), np.float32))
    """[M,K,3] x, y, visibility (0 not labelled, 1 hidden, 2 seen), or [0,0,3] where they are not read."""
    sizes: NDArray[np.int32] = attrs.field(factory=lambda: np.zeros((0, 2), np.int32))
    """[N,2] height and width of each image as its labels say, or [0,2] where they do not say it of all."""

    def __len__(self) -> int:
        return len(self.name_ends)

    @property
    def has_masks(self) -> bool:
        """Whether masks were read, be it of no object."""
        return len(self.outline_offsets) > 0

    @property
    def has_keypoints(self) -> bool:
        """Whether keypoints were read, be it of no object."""
        return bool(self.keypoints.shape[1])

    def name(self, index: int) -> str:
        """File name of an image, relative to the image folder."""
        start = int(self.name_ends[index - 1]) if index else 0
        return self.names[start : int(self.name_ends[index])].tobytes().decode()

    def rows(self, index: int) -> slice:
        """Rows of an image."""
        return slice(int(self.offsets[index]), int(self.offsets[index + 1]))

    def outline(self, row: int) -> bytes:
        """Return the mask of an object, as packed."""
        start, end = self.outline_offsets[row : row + 2]
        return self.outlines[start:end].tobytes()

    @property
    def counts(self) -> NDArray[np.int64]:
        """[N] objects of each image."""
        counts: NDArray[np.int64] = np.diff(self.offsets)
        return counts

    def select(self, images: Sequence[int]) -> Annotations:
        """Return some of the images, in the order that is given."""
        rows = np.concatenate([np.arange(0), *(np.arange(self.offsets[i], self.offsets[i + 1]) for i in images)])
        names = [self.name(i).encode() for i in images]
        outlines, outline_offsets = self.outlines, self.outline_offsets
        if self.has_masks:
            ends = [self.outline_offsets[self.offsets[i : i + 2]] for i in images]
            outlines = np.concatenate([self.outlines[:0], *(self.outlines[start:end] for start, end in ends)])
            outline_offsets = np.append(0, np.diff(self.outline_offsets)[rows].cumsum())
        return Annotations(
            names=np.frombuffer(b"".join(names), np.uint8),
            name_ends=np.cumsum([len(n) for n in names], dtype=np.int64),
            offsets=np.cumsum([0, *self.counts[list(images)]], dtype=np.int64),
            boxes=self.boxes[rows],
            labels=self.labels[rows],
            crowd=self.crowd[rows],
            areas=self.areas[rows],
            difficult=self.difficult[rows] if len(self.difficult) else self.difficult,
            outlines=outlines,
            outline_offsets=outline_offsets,
            keypoints=self.keypoints[rows] if self.has_keypoints else self.keypoints,
            sizes=self.sizes[list(images)] if len(self.sizes) else self.sizes,
        )

    def fingerprint(self, classes: Sequence[str]) -> str:
        """16 hex digits that change with any name, box, label, mask, keypoint or class."""
        digest = hashlib.sha256("\0".join(classes).encode())
        for array_ in (self.names, self.name_ends, self.offsets, self.boxes, self.labels, self.crowd):
            digest.update(np.ascontiguousarray(array_).tobytes())
        for array_ in (self.difficult, self.outlines, self.outline_offsets, self.keypoints):
            digest.update(np.ascontiguousarray(array_).data)
        return digest.hexdigest()[:16]


class Builder:
    """Collects images one by one, then freezes them.

    Args:
        masks: every object has a mask.
        keypoints: every object has so many.
        difficult: objects may be marked difficult.
    """

    def __init__(self, *, masks: bool = False, keypoints: int = 0, difficult: bool = False) -> None:
        self._with = (masks, keypoints, difficult)
        self._names: list[bytes] = []
        self._counts: list[int] = []
        self._rows: list[tuple[float, float, float, float, int, bool, float]] = []
        self._difficult: list[bool] = []
        self._outlines, self._lengths = bytearray(), array("q", [0])
        self._keypoints = array("f")
        self._sizes: list[tuple[int, int]] = []

    def add(
        self,
        name: str,
        rows: Sequence[Row],
        *,
        size: tuple[int, int] | None = None,
        difficult: Sequence[bool] = (),
        outlines: Sequence[bytes] = (),
        keypoints: Sequence[Sequence[float]] = (),
    ) -> None:
        """Add an image.

        Args:
            name: relative to the image folder.
            rows: objects; what follows has one entry for each, where the builder was told of it.
            size: height and width, where the labels say it.
            difficult: marks.
            outlines: packed masks.
            keypoints: x, y, visibility of the first point, of the second, …
        """
        self._names.append(name.encode())
        self._counts.append(len(rows))
        self._rows.extend((*box, label, crowd, area) for box, label, crowd, area in rows)
        if size is not None:
            self._sizes.append(size)
        for wanted, given in zip(self._with, (outlines, keypoints, difficult), strict=True):
            assert len(given) == (len(rows) if wanted else 0)
        self._difficult.extend(difficult)
        for outline in outlines:
            self._outlines += outline
            self._lengths.append(len(outline))
        for points in keypoints:
            assert len(points) == 3 * self._with[1]
            self._keypoints.extend(points)

    def freeze(self) -> Annotations:
        """Return the flat arrays."""
        masks, points, difficult = self._with
        table = np.array(self._rows, np.float64).reshape(-1, 7)
        known = len(self._sizes) == len(self._names)
        extras: dict[str, Any] = {}
        if difficult:
            extras["difficult"] = np.array(self._difficult, np.bool_)
        if masks:
            extras["outlines"] = np.frombuffer(bytes(self._outlines), np.uint8)
            extras["outline_offsets"] = np.cumsum(np.frombuffer(self._lengths, np.int64))
        if points:
            extras["keypoints"] = np.array(self._keypoints, np.float32).reshape(-1, points, 3)
        return Annotations(
            names=np.frombuffer(b"".join(self._names), np.uint8),
            name_ends=np.cumsum([len(n) for n in self._names], dtype=np.int64),
            offsets=np.cumsum([0, *self._counts], dtype=np.int64),
            boxes=table[:, :4].astype(np.float32),
            labels=table[:, 4].astype(np.int32),
            crowd=table[:, 5].astype(bool),
            areas=table[:, 6].astype(np.float32),
            sizes=np.array(self._sizes if known else [], np.int32).reshape(-1, 2),
            **extras,
        )


@attrs.frozen(eq=False)
class Ragged:
    """A list of numbers, or of rows of numbers, for each of N images; flat."""

    values: NDArray[Any]
    """[V] or [V,W]."""
    offsets: NDArray[np.int64]
    """[N+1]."""

    @classmethod
    def of(cls, lists: Sequence[Any], dtype: Any, width: int | None = None) -> Ragged:
        """Lay lists flat; with ``width``, their items are rows of so many numbers."""
        shape = (-1,) if width is None else (-1, width)
        arrays = [np.asarray(items, dtype).reshape(shape) for items in lists]
        empty = np.zeros((0,) if width is None else (0, width), dtype)
        return cls(np.concatenate([empty, *arrays]), np.cumsum([0, *map(len, arrays)], dtype=np.int64))

    @classmethod
    def of_texts(cls, texts: Sequence[str]) -> Ragged:
        """Lay one text for each image flat; :meth:`text` gives it back."""
        return cls.of([np.frombuffer(t.encode(), np.uint8) for t in texts], np.uint8)

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def __getitem__(self, index: int) -> NDArray[Any]:
        items: NDArray[Any] = self.values[self.offsets[index] : self.offsets[index + 1]]
        return items

    def text(self, index: int) -> str:
        """The text of an image."""
        return self[index].tobytes().decode()

    def select(self, images: Sequence[int]) -> Ragged:
        """Return some of the images, in the order that is given."""
        lists = [self[i] for i in images]
        return Ragged(
            np.concatenate([self.values[:0], *lists]), np.cumsum([0, *(len(items) for items in lists)], dtype=np.int64)
        )
