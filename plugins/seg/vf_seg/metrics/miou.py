"""Mean IoU, accuracies, Dice and F scores from one confusion matrix of pixels.

With t(c) the pixels of class c in the labels, p(c) those predicted as c, and i(c) those that are both, counted over all
images: IoU = i / (t + p - i), Acc and recall = i / t, precision = i / p, Dice = 2 i / (t + p), and
F = (1 + b²) i / (b² t + p). A mean is of the classes that have the value: IoU, Dice and F where t + p > 0, Acc and
recall where t > 0, precision where p > 0. aAcc is the sum of i over the sum of t. Ignored pixels count nowhere.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vf.errors import DataError
from vf_seg.metrics.pixels import maps_of, mean, pairs, ratio, rows

Floats = NDArray[np.float64]


class MeanIoU:
    """Keeps a matrix [C,C+1] of pixel counts: rows are what is there, the last column what was found as no class.

    Args:
        classes: names by class index.
        dice: also mDice.
        fscore: also mFscore, mPrecision and mRecall.
        beta: weight of recall in the F score.
        classwise: the numbers of each class in the table.
    """

    def __init__(
        self,
        *,
        classes: Sequence[str],
        dice: bool = False,
        fscore: bool = False,
        beta: float = 1.0,
        classwise: bool = True,
    ) -> None:
        self._classes = tuple(classes)
        self._dice, self._fscore, self._beta, self._classwise = dice, fscore, beta, classwise
        self.matrix = np.zeros((len(self._classes), len(self._classes) + 1), np.int64)

    def update(self, predictions: Sequence[Mapping[str, Any]], targets: Sequence[Mapping[str, Any]]) -> None:
        """Take a batch. Both have ``semantic`` [H,W] of class indices; what no class is in the labels is ignored."""
        known = len(self._classes)
        for prediction, target in zip(predictions, targets, strict=True):
            counts = pairs(*maps_of(prediction, target, metric="miou"))[:known]
            self.matrix[:, :known] += counts[:, :known]
            self.matrix[:, known] += counts[:, known:].sum(1)

    def state(self) -> dict[str, Any]:
        """The matrix, as lists."""
        return {"matrix": self.matrix.tolist()}

    def merge(self, states: Sequence[dict[str, Any]]) -> None:
        """Take what several processes saw, in the place of what was seen here."""
        matrices = [np.array(state["matrix"], np.int64) for state in states]
        if any(matrix.shape != self.matrix.shape for matrix in matrices):
            shapes = ", ".join("×".join(map(str, matrix.shape)) for matrix in matrices)
            raise DataError(f"metric miou: matrices of {shapes} cannot be added; the processes know other classes")
        self.matrix = np.sum(matrices, axis=0, dtype=np.int64)

    def compute(self) -> dict[str, float | None]:
        """Return mIoU, aAcc and mAcc, and what was asked for beside them."""
        known = self._per_class()
        same, there = np.trace(self.matrix[:, :-1]), self.matrix.sum()
        values = {
            "mIoU": mean(known["IoU"]),
            "aAcc": float(same / there) if there else None,
            "mAcc": mean(known["Acc"]),
        }
        return values | {f"m{name}": mean(own) for name, own in known.items() if name not in ("IoU", "Acc")}

    def table(self) -> Sequence[tuple[str, float | None]]:
        """The numbers of each class; None for a class that neither labels nor predictions have."""
        if not self._classwise:
            return []
        return [row for name, values in self._per_class().items() for row in rows(name, self._classes, values)]

    def _per_class(self) -> dict[str, Floats]:
        """Name -> values [C], NaN where there is nothing to measure."""
        same = np.diag(self.matrix[:, :-1])
        there, found = self.matrix.sum(1), self.matrix[:, :-1].sum(0)
        values = {"IoU": ratio(same, there + found - same), "Acc": ratio(same, there)}
        if self._dice:
            values["Dice"] = ratio(2 * same, there + found)
        if self._fscore:
            square = self._beta**2
            values["Fscore"] = ratio((1 + square) * same, square * there + found)
            values["Precision"], values["Recall"] = ratio(same, found), ratio(same, there)
        return values
