"""Which class is taken for which, and for background.

Boxes that are sure enough are paired with objects whatever their classes: pairs above the IoU threshold in falling
order of IoU, each box and each object once; of equal pairs first one of the right class, then that of the surer box. An
object that is left was taken for background; a box that is left took background for an object, unless it lies on a
crowd or a difficult object, which are no objects here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vf_det.metrics.collected import Collected, flags
from vf_det.metrics.counting import Pairs
from vf_det.metrics.overlaps import box_iou, xywh

Matrix = NDArray[np.int64]


class ConfusionMatrix:
    """Keeps how often each pair of classes occurs in each image.

    Args:
        classes: names by class index.
        score: boxes below do not count.
        iou: overlap from which a box stands for an object.
        rows: most mistakes in the table.
    """

    def __init__(self, *, classes: Sequence[str], score: float = 0.3, iou: float = 0.5, rows: int = 20) -> None:
        self._classes, self._score, self._iou, self._rows = tuple(classes), score, iou, rows
        self._kept = Collected({"cells": 4}, dtype=np.float64)

    @property
    def matrix(self) -> Matrix:
        """Counts [K+1,K+1]: rows are what is there, columns what was found; the last of each is background."""
        tables, _ = self._kept.in_order()
        cells = tables["cells"].astype(np.int64)
        matrix = np.zeros((len(self._classes) + 1,) * 2, np.int64)
        np.add.at(matrix, (cells[:, 1], cells[:, 2]), cells[:, 3])
        return matrix

    def update(self, predictions: Sequence[Mapping[str, Any]], targets: Sequence[Mapping[str, Any]]) -> None:
        """Take a batch. Objects marked ``iscrowd`` or ``difficult`` are no objects."""
        for prediction, target in zip(predictions, targets, strict=True):
            true, guess = self._pairs(prediction, target)
            cells, counts = np.unique(np.stack([true, guess], 1), axis=0, return_counts=True)
            self._kept.add("cells", self._kept.see(target["id"]), cells, counts)

    def state(self) -> dict[str, Any]:
        """Images seen, and a table whose first column counts them."""
        return self._kept.state()

    def merge(self, states: Sequence[dict[str, Any]]) -> None:
        """Take what several processes saw; an image that two saw counts once."""
        self._kept.merge(states)

    def compute(self) -> dict[str, float | None]:
        """Return parts of the objects: found as what they are, as another class, not at all; and the part of the
        boxes that lie on background."""
        matrix = self.matrix
        objects, boxes = matrix[:-1].sum(), matrix[:, :-1].sum()
        right, missed, ghosts = np.trace(matrix[:-1, :-1]), matrix[:-1, -1].sum(), matrix[-1, :-1].sum()
        parts = {"right": right, "confused": objects - right - missed, "missed": missed}
        values = {f"objects_{name}": float(part / objects) if objects else None for name, part in parts.items()}
        return {**values, "boxes_on_background": float(ghosts / boxes) if boxes else None}

    def table(self) -> Sequence[tuple[str, float | None]]:
        """The most frequent mistakes, as counts: what is there → what was found."""
        matrix = self.matrix
        np.fill_diagonal(matrix, 0)
        names = (*self._classes, "background")
        order = np.argsort(-matrix, axis=None, kind="stable")[: self._rows]
        cells = [divmod(int(i), len(names)) for i in order]
        return [(f"{names[t]} → {names[g]}", float(matrix[t, g])) for t, g in cells if matrix[t, g]]

    def _pairs(self, prediction: Mapping[str, Any], target: Mapping[str, Any]) -> tuple[Matrix, Matrix]:
        """Return what is there and what was found, [P] each."""
        scores = prediction["scores"].cpu().numpy()
        sure = scores >= self._score
        guess, scores = prediction["labels"].cpu().numpy()[sure].astype(np.int64), scores[sure]
        true = target["labels"].cpu().numpy().astype(np.int64)
        ignored = flags(target, "iscrowd", "difficult").numpy()
        crowd = flags(target, "iscrowd").numpy()
        overlap = _all_pairs(prediction["boxes"].cpu().numpy()[sure], target["boxes"].cpu().numpy(), crowd)
        free = [np.ones(len(guess), np.bool_), ~ignored]
        d, g = np.nonzero((overlap >= self._iou) & ~ignored)
        pairs = []
        for i in np.lexsort((g, d, -scores[d], guess[d] != true[g], -overlap[d, g])):
            if free[0][d[i]] and free[1][g[i]]:
                free[0][d[i]] = free[1][g[i]] = False
                pairs.append((true[g[i]], guess[d[i]]))
        spared = (overlap[:, ignored] >= self._iou).any(1)
        background = len(self._classes)
        pairs += [(k, background) for k in true[free[1]]]
        pairs += [(background, k) for k in guess[free[0] & ~spared]]
        table = np.array(pairs, np.int64).reshape(-1, 2)
        return table[:, 0], table[:, 1]


def _all_pairs(found: NDArray[Any], labelled: NDArray[Any], crowd: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Return the IoU [D,G] of boxes XYXY."""
    shape = len(found), len(labelled)
    d, g = (part.reshape(-1) for part in np.indices(shape))
    pairs = Pairs(found=d, labelled=g, starts=np.array([0, len(d)]), wide=np.array([shape[1]]))
    return box_iou(xywh(found), xywh(labelled), crowd)(pairs).reshape(shape)
