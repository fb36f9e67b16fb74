"""Mean average precision as Pascal VOC counts it (Everingham et al., IJCV 2010 and 2015; the VOC devkit's VOCevaldet).

A detection belongs to the object of its class and image that it overlaps most. It is right where that overlap is at
least the threshold and no better detection has taken the object, wrong otherwise; where the object is difficult it is
neither. Difficult objects need not be found. Boxes are XYXY with x2, y2 exclusive, which is what VOC's inclusive
pixels become when 1 is taken off xmin and ymin: widths are then those of the devkit (xmax − xmin + 1).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import attrs
import numpy as np

from vf_det.metrics.collected import Collected, Table, flags, mean
from vf_det.metrics.counting import Bools, Floats, Ints, place_of, same_keys
from vf_det.metrics.overlaps import box_iou, xywh

FOUND = ("image", "x1", "y1", "x2", "y2", "class", "score")
LABELLED = ("image", "x1", "y1", "x2", "y2", "class", "difficult")
Mode = Literal["area", "11point"]


class VocAP:
    """Collects boxes in flat arrays.

    Args:
        classes: names by class index.
        mode: ``area`` under the monotone curve (VOC 2010 and later) or the mean of ``11point`` (VOC 2007).
        ious: thresholds, at least one.
        classwise: AP and recall of each class in the table.
    """

    def __init__(
        self, *, classes: Sequence[str], mode: Mode = "area", ious: Sequence[float] = (0.5,), classwise: bool = True
    ) -> None:
        self._classes, self._mode, self._classwise = tuple(classes), mode, classwise
        self._ious = np.array(ious, np.float64)
        self._kept = Collected({"found": len(FOUND), "labelled": len(LABELLED)})
        self._ap = np.full((len(self._classes), len(self._ious)), np.nan)
        self._recall = self._ap.copy()

    def update(self, predictions: Sequence[Mapping[str, Any]], targets: Sequence[Mapping[str, Any]]) -> None:
        """Take a batch. Objects marked ``difficult`` or ``iscrowd`` are difficult."""
        for prediction, target in zip(predictions, targets, strict=True):
            number = self._kept.see(target["id"])
            self._kept.add("found", number, prediction["boxes"], prediction["labels"], prediction["scores"])
            difficult = flags(target, "difficult", "iscrowd")
            self._kept.add("labelled", number, target["boxes"], target["labels"], difficult)

    def state(self) -> dict[str, Any]:
        """Images seen, and tables whose first column counts them."""
        return self._kept.state()

    def merge(self, states: Sequence[dict[str, Any]]) -> None:
        """Take what several processes saw; an image that two saw counts once."""
        self._kept.merge(states)

    def compute(self) -> dict[str, float | None]:
        """Return ``mAP`` (of all thresholds), and ``mAP50``, ``recall50`` … for each; means of the classes."""
        tables, _ = self._kept.in_order()
        nearest = _nearest(tables["found"], tables["labelled"], len(self._classes))
        for k in range(len(self._classes)):
            for t, iou in enumerate(self._ious):
                self._ap[k, t], self._recall[k, t] = self._measured(nearest, k, float(iou))
        values = {"mAP": mean(self._ap)}
        for t, iou in enumerate(self._ious):
            values |= {f"mAP{percent(iou)}": mean(self._ap[:, t]), f"recall{percent(iou)}": mean(self._recall[:, t])}
        return values

    def table(self) -> Sequence[tuple[str, float | None]]:
        """AP and recall of each class, means over the thresholds, as of the last :meth:`compute`."""
        if not self._classwise:
            return []
        rows = [(f"AP {name}", mean(self._ap[k])) for k, name in enumerate(self._classes)]
        return rows + [(f"recall {name}", mean(self._recall[k])) for k, name in enumerate(self._classes)]

    def _measured(self, nearest: Nearest, label: int, iou: float) -> tuple[float, float]:
        """Return AP and recall of one class; NaN where it has no object to find."""
        wanted = int((~nearest.difficult[nearest.label == label]).sum())
        if not wanted:
            return np.nan, np.nan
        rows = np.flatnonzero(nearest.found_label == label)
        rows = rows[np.argsort(-nearest.score[rows], kind="stable")]
        near = nearest.iou[rows] >= iou
        own = nearest.object[rows]
        counts = ~(near & nearest.difficult[own]) if len(nearest.difficult) else np.ones(len(rows), np.bool_)
        first = np.zeros(len(rows), np.bool_)
        hits = np.flatnonzero(near)
        first[hits[np.unique(own[hits], return_index=True)[1]]] = True  # the best detection of each object
        right = (first & near)[counts]
        return average_precision(right, wanted, self._mode), float(right.sum() / wanted)


@attrs.frozen(kw_only=True)
class Nearest:
    """Each detection with the object of its class and image that it overlaps most."""

    found_label: Ints
    """[D]."""
    score: Floats
    """[D]."""
    object: Ints
    """[D]; 0 where there is none."""
    iou: Floats
    """[D]; −1 where there is none."""
    label: Ints
    """[G]."""
    difficult: Bools
    """[G]."""


def average_precision(right: Bools, wanted: int, mode: Mode) -> float:
    """Return the average precision of detections [D], the best first, for ``wanted`` > 0 objects."""
    hits = right.cumsum()
    precision, recall = hits / np.arange(1, len(right) + 1), hits / wanted
    if mode == "11point":
        tops = [precision[recall >= r].max(initial=0.0) for r in np.arange(11) / 10]
        return float(np.mean(tops))
    height = np.maximum.accumulate(precision[::-1])[::-1]
    return float((height * np.diff(recall, prepend=0.0)).sum())


def percent(iou: float) -> str:
    """Return 50 for 0.5, 62.5 for 0.625."""
    return f"{round(float(iou) * 100, 6):g}"


def _nearest(found: Table, labelled: Table, classes: int) -> Nearest:
    keys = [rows[:, 0].astype(np.int64) * classes + rows[:, 5].astype(np.int64) for rows in (found, labelled)]
    order = np.argsort(keys[0], kind="stable")
    best, iou = np.zeros(len(found), np.int64), np.full(len(found), -1.0)
    overlap = box_iou(xywh(found[:, 1:5]), xywh(labelled[:, 1:5]), np.zeros(len(labelled), np.bool_))
    for pairs in same_keys(keys[0][order], order, keys[1]):
        values = overlap(pairs)
        first = np.flatnonzero(place_of(pairs.found) == 0)
        highest = np.maximum.reduceat(values, first)
        is_top = values == np.repeat(highest, np.diff(np.r_[first, len(values)]))
        at = np.flatnonzero(is_top)
        at = at[np.unique(pairs.found[at], return_index=True)[1]]  # the first object among equals
        best[pairs.found[at]], iou[pairs.found[at]] = pairs.labelled[at], values[at]
    return Nearest(
        found_label=found[:, 5].astype(np.int64),
        score=found[:, 6].astype(np.float64),
        object=best,
        iou=iou,
        label=labelled[:, 5].astype(np.int64),
        difficult=labelled[:, 6] > 0,
    )
