"""Counts of what is there against what was said: the matrix that several metrics read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from vf_cls.metrics.seen import Matrix, labelled, probabilities_of


class Pairs:
    """Counts [C,C]: rows are the labels, columns the most probable class.

    Args:
        classes: names by class index.
    """

    def __init__(self, classes: Sequence[str]) -> None:
        self._classes = tuple(classes)
        self.matrix: Matrix = np.zeros((len(self._classes),) * 2, np.int64)
        """Rows are what is there, columns what was said."""

    def update(self, predictions: Sequence[Mapping[str, Any]], targets: Sequence[Mapping[str, Any]]) -> None:
        """Take a batch."""
        known, labels = labelled(predictions, targets)
        if known:
            np.add.at(self.matrix, (labels, probabilities_of(known).argmax(1)), 1)

    def state(self) -> list[list[int]]:
        """The matrix."""
        plain: list[list[int]] = self.matrix.tolist()
        return plain

    def merge(self, states: Sequence[Sequence[Sequence[int]]]) -> None:
        """Take what several processes saw instead of what this one holds."""
        self.matrix = np.sum([np.array(state, np.int64) for state in states], axis=0)
