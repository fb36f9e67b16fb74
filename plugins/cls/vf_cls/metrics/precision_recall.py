"""Precision, recall and F1.

A class without an image in the split has no recall and so no F1: n/a, and it is left out of the means; what was taken
for it counts against the others and in the micro numbers. A class that is there and was never said has precision 0.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from vf_cls.metrics.pairs import Pairs
from vf_cls.metrics.seen import harmonic, mean, ratio

KINDS = ("precision", "recall", "f1")


class PrecisionRecall(Pairs):
    """Reads them off the counts.

    Args:
        classes: names by class index.
        classwise: whether there are rows for each.
    """

    def __init__(self, *, classes: Sequence[str], classwise: bool = True) -> None:
        super().__init__(classes)
        self._classwise = classwise

    def compute(self) -> dict[str, float | None]:
        """Return the means over classes, the micro numbers, all parts of 1, and the number of images."""
        each = [self._of(index) for index in range(len(self._classes))]
        values = {kind: mean([row[kind] for row in each]) for kind in KINDS}
        right = ratio(float(np.trace(self.matrix)), float(self.matrix.sum()))
        values |= {f"micro_{kind}": right for kind in KINDS}  # one label and one class said: all three are accuracy
        return {**values, "support": float(self.matrix.sum()) or None}

    def table(self) -> Sequence[tuple[str, float | None]]:
        """Four rows for each class."""
        rows: list[tuple[str, float | None]] = []
        for index, name in enumerate(self._classes if self._classwise else ()):
            rows += [(f"{name} {kind}", value) for kind, value in self._of(index).items()]
            rows.append((f"{name} support", float(self.matrix[index].sum())))
        return rows

    def _of(self, index: int) -> dict[str, float | None]:
        there, said = float(self.matrix[index].sum()), float(self.matrix[:, index].sum())
        if not there:
            return dict.fromkeys(KINDS)
        right = float(self.matrix[index, index])
        precision, recall = right / said if said else 0.0, right / there
        return {"precision": precision, "recall": recall, "f1": harmonic(precision, recall)}
