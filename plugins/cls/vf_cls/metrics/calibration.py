"""Calibration error: how far the largest probability is from how often it is right (Guo et al., arXiv 1706.04599).

Bins are as wide as each other, from 0 to 1; a bin holds its lower edge, the last one its upper edge too.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from vf_cls.metrics.seen import Matrix, labelled, probabilities_of

UNIT = 2.0**36
"""Probabilities are added up as whole multiples of 1 / UNIT, so that sums do not depend on their order."""
IMAGES, RIGHT, SURE = range(3)


class Calibration:
    """Counts, for each bin, images, those that are right, and the sum of their probabilities.

    Args:
        bins: their number.
    """

    def __init__(self, *, bins: int = 15) -> None:
        self._edges = np.linspace(0, 1, bins + 1)[1:-1]
        self._counts: Matrix = np.zeros((3, bins), np.int64)

    def update(self, predictions: Sequence[Mapping[str, Any]], targets: Sequence[Mapping[str, Any]]) -> None:
        """Take a batch."""
        known, labels = labelled(predictions, targets)
        if not known:
            return
        probabilities = probabilities_of(known)
        sure = probabilities.max(1).astype(np.float64)
        right = probabilities.argmax(1) == labels
        places = np.searchsorted(self._edges, sure, side="right")
        for row, values in (
            (IMAGES, 1),
            (RIGHT, right.astype(np.int64)),
            (SURE, np.rint(sure * UNIT).astype(np.int64)),
        ):
            np.add.at(self._counts[row], places, values)

    def state(self) -> list[list[int]]:
        """The counts."""
        plain: list[list[int]] = self._counts.tolist()
        return plain

    def merge(self, states: Sequence[Sequence[Sequence[int]]]) -> None:
        """Take what several processes saw instead of what this one holds."""
        self._counts = np.sum([np.array(state, np.int64) for state in states], axis=0)

    def compute(self) -> dict[str, float | None]:
        """Return ECE, the mean over images of their bin's gap, and MCE, the largest gap; parts of 1."""
        images = self._counts[IMAGES]
        gaps, total = self._gaps(), images.sum()
        known = [(gap, count) for gap, count in zip(gaps, images, strict=True) if gap is not None]
        if not known:
            return {"ece": None, "mce": None}
        return {
            "ece": float(sum(abs(gap) * count for gap, count in known) / total),
            "mce": float(max(abs(gap) for gap, _ in known)),
        }

    def table(self) -> Sequence[tuple[str, float | None]]:
        """Of each bin: how much more often it is right than it says."""
        edges = [0.0, *self._edges.tolist(), 1.0]
        names = [f"right - said, {low:.2f} to {high:.2f}" for low, high in itertools.pairwise(edges)]
        return list(zip(names, self._gaps(), strict=True))

    def _gaps(self) -> list[float | None]:
        counts = self._counts.astype(np.float64)
        return [float(right / images - sure / UNIT / images) if images else None for images, right, sure in counts.T]
