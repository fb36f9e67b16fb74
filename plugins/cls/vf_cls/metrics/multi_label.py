"""Images with any number of labels.

Average precision of a class is the sum over its ranks of precision times the step in recall, without interpolation;
images of equal probability are one rank. A class without a positive image has none of the numbers, and is left out of
the means. CF1 and OF1 are the harmonic means of CP and CR, of OP and OR (Wang et al., arXiv 1604.04573).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from vf_cls.metrics.seen import Matrix, harmonic, mean, probabilities_of, ratio

THERE, SAID, RIGHT = range(3)


class MultiLabel:
    """Keeps the probabilities, 4 bytes of each image and class, and what is there, one bit of each.

    Args:
        classes: names by class index.
        threshold: from which on a class is said to be there.
        topk: instead: so many of the most probable classes are; of equal ones those with a lower index.
        classwise: whether there are rows for each class.
    """

    def __init__(
        self, *, classes: Sequence[str], threshold: float = 0.5, topk: int | None = None, classwise: bool = True
    ) -> None:
        self._classes, self._threshold, self._topk, self._classwise = tuple(classes), threshold, topk, classwise
        self._probabilities: list[NDArray[np.float32]] = []
        self._there: list[NDArray[np.uint8]] = []
        self._counts: Matrix = np.zeros((3, len(self._classes)), np.int64)
        self._aps: list[float | None] | None = None

    def update(self, predictions: Sequence[Mapping[str, Any]], targets: Sequence[Mapping[str, Any]]) -> None:
        """Take a batch."""
        if not targets:
            return
        probabilities = probabilities_of(predictions)
        there = np.zeros(probabilities.shape, np.bool_)
        for row, target in zip(there, targets, strict=True):
            row[np.asarray(target["labels"], np.int64)] = True
        said = self._said(probabilities)
        self._counts += np.stack([there.sum(0), said.sum(0), (there & said).sum(0)])
        self._probabilities.append(probabilities)
        self._there.append(np.packbits(there, axis=1))
        self._aps = None

    def _said(self, probabilities: NDArray[np.float32]) -> NDArray[np.bool_]:
        if self._topk is None:
            return np.asarray(probabilities >= self._threshold, np.bool_)
        said = np.zeros(probabilities.shape, np.bool_)
        first = np.argsort(-probabilities, axis=1, kind="stable")[:, : self._topk]
        np.put_along_axis(said, first, True, axis=1)
        return said

    def state(self) -> dict[str, Any]:
        """Counts, and what is kept of the images."""
        return {
            "counts": self._counts.tolist(),
            "probabilities": [torch.from_numpy(rows) for rows in self._probabilities],
            "there": [torch.from_numpy(rows) for rows in self._there],
        }

    def merge(self, states: Sequence[Mapping[str, Any]]) -> None:
        """Take what several processes saw instead of what this one holds."""
        self._counts = np.sum([np.array(state["counts"], np.int64) for state in states], axis=0)
        self._probabilities = [rows.numpy() for state in states for rows in state["probabilities"]]
        self._there = [rows.numpy() for state in states for rows in state["there"]]
        self._aps = None

    def compute(self) -> dict[str, float | None]:
        """Return mAP, CP, CR, CF1, OP, OR and OF1 as parts of 1."""
        each = [self._of(index) for index in range(len(self._classes))]
        there, said, right = self._counts.sum(1).tolist()
        values = {"CP": mean([p for p, _ in each]), "CR": mean([r for _, r in each])}
        # Where something is there and nothing was said, nothing that was said is right.
        overall = {"OP": (ratio(right, said) or 0.0) if there else None, "OR": ratio(right, there)}
        return {
            "mAP": mean(self._average_precisions()),
            **values,
            "CF1": harmonic(values["CP"], values["CR"]),
            **overall,
            "OF1": harmonic(overall["OP"], overall["OR"]),
        }

    def table(self) -> Sequence[tuple[str, float | None]]:
        """AP, precision, recall and F1 of each class."""
        rows: list[tuple[str, float | None]] = []
        for index, name in enumerate(self._classes if self._classwise else ()):
            precision, recall = self._of(index)
            numbers = (self._average_precisions()[index], precision, recall, harmonic(precision, recall))
            rows += [(f"{name} {kind}", n) for kind, n in zip(("AP", "P", "R", "F1"), numbers, strict=True)]
        return rows

    def _of(self, index: int) -> tuple[float | None, float | None]:
        """Return precision and recall of a class."""
        there, said, right = self._counts[:, index].tolist()
        return ((right / said if said else 0.0), right / there) if there else (None, None)

    def _average_precisions(self) -> list[float | None]:
        if self._aps is None:
            count = len(self._classes)
            shape = (0, count)
            probabilities = np.concatenate([np.zeros(shape, np.float32), *self._probabilities])
            packed = [np.unpackbits(rows, axis=1, count=count) for rows in self._there]
            there = np.concatenate([np.zeros(shape, np.uint8), *packed])
            self._aps = [average_precision(probabilities[:, i], there[:, i]) for i in range(count)]
        return self._aps


def average_precision(probabilities: NDArray[np.float32], there: NDArray[np.uint8]) -> float | None:
    """Return the average precision of a class from [N] and [N]; None where it is nowhere."""
    order = np.argsort(-probabilities, kind="stable")
    ranked, right = probabilities[order], np.cumsum(there[order], dtype=np.int64)
    if not len(right) or not right[-1]:
        return None
    ends = np.append(np.flatnonzero(np.diff(ranked)), len(ranked) - 1)
    precision, recall = right[ends] / (ends + 1), right[ends] / right[-1]
    return float(np.sum(np.diff(recall, prepend=0.0) * precision))
