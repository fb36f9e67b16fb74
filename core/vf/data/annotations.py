"""Annotations of a whole data set in a few flat arrays: workers share the pages, nothing is copied per object."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import attrs
import numpy as np
from numpy.typing import NDArray


@attrs.frozen(eq=False)
class Annotations:
    """Boxes of N images. Rows of image i are ``offsets[i]:offsets[i+1]``."""

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

    def __len__(self) -> int:
        return len(self.name_ends)

    def name(self, index: int) -> str:
        """File name of an image, relative to the image folder."""
        start = int(self.name_ends[index - 1]) if index else 0
        return self.names[start : int(self.name_ends[index])].tobytes().decode()

    def rows(self, index: int) -> slice:
        """Rows of an image."""
        return slice(int(self.offsets[index]), int(self.offsets[index + 1]))

    @property
    def counts(self) -> NDArray[np.int64]:
        """[N] objects of each image."""
        counts: NDArray[np.int64] = np.diff(self.offsets)
        return counts

    def select(self, images: Sequence[int]) -> Annotations:
        """Return some of the images, in the order that is given."""
        rows = np.concatenate([np.arange(0), *(np.arange(self.offsets[i], self.offsets[i + 1]) for i in images)])
        names = [self.name(i).encode() for i in images]
        return Annotations(
            names=np.frombuffer(b"".join(names), np.uint8),
            name_ends=np.cumsum([len(n) for n in names], dtype=np.int64),
            offsets=np.cumsum([0, *self.counts[list(images)]], dtype=np.int64),
            boxes=self.boxes[rows],
            labels=self.labels[rows],
            crowd=self.crowd[rows],
            areas=self.areas[rows],
        )

    def fingerprint(self, classes: Sequence[str]) -> str:
        """16 hex digits that change with any name, box, label or class."""
        digest = hashlib.sha256("\0".join(classes).encode())
        for array in (self.names, self.name_ends, self.offsets, self.boxes, self.labels, self.crowd):
            digest.update(np.ascontiguousarray(array).tobytes())
        return digest.hexdigest()[:16]


class Builder:
    """Collects images one by one, then freezes them."""

    def __init__(self) -> None:
        self._names: list[bytes] = []
        self._counts: list[int] = []
        self._rows: list[tuple[float, float, float, float, int, bool, float]] = []

    def add(self, name: str, rows: Sequence[tuple[tuple[float, float, float, float], int, bool, float]]) -> None:
        """Add an image with rows of (XYXY box, class index, crowd, area or NaN)."""
        self._names.append(name.encode())
        self._counts.append(len(rows))
        self._rows.extend((*box, label, crowd, area) for box, label, crowd, area in rows)

    def freeze(self) -> Annotations:
        """Return the flat arrays."""
        table = np.array(self._rows, np.float64).reshape(-1, 7)
        return Annotations(
            names=np.frombuffer(b"".join(self._names), np.uint8),
            name_ends=np.cumsum([len(n) for n in self._names], dtype=np.int64),
            offsets=np.cumsum([0, *self._counts], dtype=np.int64),
            boxes=table[:, :4].astype(np.float32),
            labels=table[:, 4].astype(np.int32),
            crowd=table[:, 5].astype(bool),
            areas=table[:, 6].astype(np.float32),
        )
