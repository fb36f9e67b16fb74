"""Labels of a whole data set in a few flat arrays: workers share the pages, nothing is copied per image."""

from __future__ import annotations

import hashlib
from array import array
from collections.abc import Sequence

import attrs
import numpy as np
from numpy.typing import NDArray


@attrs.frozen(eq=False)
class Labels:
    """Class indices of N images, M in all. Those of image i are ``offsets[i]:offsets[i+1]``."""

    names: NDArray[np.uint8]
    """Names of the images joined as UTF-8 bytes."""
    name_ends: NDArray[np.int64]
    """[N] where each name ends in ``names``."""
    labels: NDArray[np.int32]
    """[M] class indices."""
    offsets: NDArray[np.int64]
    """[N+1]."""

    def __len__(self) -> int:
        return len(self.name_ends)

    def name(self, index: int) -> str:
        """Name of an image, relative to where the images lie."""
        start = int(self.name_ends[index - 1]) if index else 0
        return self.names[start : int(self.name_ends[index])].tobytes().decode()

    def of(self, index: int) -> NDArray[np.int64]:
        """Class indices of an image."""
        return self.labels[self.offsets[index] : self.offsets[index + 1]].astype(np.int64)

    @property
    def counts(self) -> NDArray[np.int64]:
        """[N] labels of each image."""
        counts: NDArray[np.int64] = np.diff(self.offsets)
        return counts

    def select(self, images: Sequence[int]) -> Labels:
        """Return some of the images, in the order that is given."""
        builder = Builder()
        for index in images:
            builder.add(self.name(index), self.of(index).tolist())
        return builder.freeze()

    def fingerprint(self, classes: Sequence[str]) -> str:
        """16 hex digits that change with any name, label or class."""
        digest = hashlib.sha256("\0".join(classes).encode())
        for array_ in (self.names, self.name_ends, self.labels, self.offsets):
            digest.update(np.ascontiguousarray(array_).data)
        return digest.hexdigest()[:16]


class Builder:
    """Collects images one by one, then freezes them."""

    def __init__(self) -> None:
        self._names = bytearray()
        self._ends, self._labels, self._offsets = array("q"), array("i"), array("q", [0])

    def add(self, name: str, labels: Sequence[int]) -> None:
        """Add an image with its class indices."""
        self._names += name.encode()
        self._ends.append(len(self._names))
        self._labels.extend(labels)
        self._offsets.append(len(self._labels))

    def freeze(self) -> Labels:
        """Return the flat arrays."""
        return Labels(
            names=np.frombuffer(bytes(self._names), np.uint8),
            name_ends=np.array(self._ends, np.int64),
            labels=np.array(self._labels, np.int32),
            offsets=np.array(self._offsets, np.int64),
        )
