"""Top-k accuracy."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from vf_cls.metrics.seen import labelled, probabilities_of, ratio


class Accuracy:
    """Counts the images whose class is among the first k. Of equal probabilities, the class with the lower index is
    first, as it is for ``label``.

    Args:
        num_classes: of the data; a k that is not less is left out, but for 1.
        topk: values of k.
    """

    def __init__(self, *, num_classes: int, topk: Sequence[int] = (1, 5)) -> None:
        self._topk = tuple(k for k in topk if k < num_classes or k == 1) or (1,)
        self._right = dict.fromkeys(self._topk, 0)
        self._images = 0

    def update(self, predictions: Sequence[Mapping[str, Any]], targets: Sequence[Mapping[str, Any]]) -> None:
        """Take a batch."""
        known, labels = labelled(predictions, targets)
        probabilities = probabilities_of(known)
        own = probabilities[np.arange(len(labels)), labels][:, None]
        lower = np.arange(probabilities.shape[1]) < labels[:, None]
        before = ((probabilities > own) | ((probabilities == own) & lower)).sum(1)
        for k in self._topk:
            self._right[k] += int((before < k).sum())
        self._images += len(labels)

    def state(self) -> list[int]:
        """Number of images, then of those that are right for each k."""
        return [self._images, *self._right.values()]

    def merge(self, states: Sequence[Sequence[int]]) -> None:
        """Take what several processes saw instead of what this one holds."""
        self._images, *right = (sum(column) for column in zip(*states, strict=True))
        self._right = dict(zip(self._topk, right, strict=True))

    def compute(self) -> dict[str, float | None]:
        """Return top1, top5 … as parts of 1."""
        return {f"top{k}": ratio(right, self._images) for k, right in self._right.items()}

    def table(self) -> Sequence[tuple[str, float | None]]:
        """Nothing."""
        return ()
