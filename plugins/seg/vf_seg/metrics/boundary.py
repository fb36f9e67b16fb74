"""Boundary IoU of each class (Cheng et al., arXiv 2103.16562): IoU of what lies near the edges of labels and found.

The edge zone of a class in a map is what of it is no more than d px (of rows and of columns) from a pixel of another
class or from outside the image; d is a part of the image's diagonal. Pixels that the labels ignore are taken out of
both maps, and are another class to both. Zones are counted over all images, as the pixels of the mean IoU are.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import cv2
import numpy as np

from vf.data.follow import IGNORE
from vf_seg.metrics.pixels import Map, maps_of, mean, pairs, ratio, rows


class BoundaryIoU:
    """Keeps three counts of pixels for each class.

    Args:
        classes: names by class index.
        dilation: width of the zone, as a part of the image's diagonal; at least 1 px.
        classwise: the number of each class in the table.
    """

    def __init__(self, *, classes: Sequence[str], dilation: float = 0.02, classwise: bool = True) -> None:
        self._classes, self._dilation, self._classwise = tuple(classes), dilation, classwise
        self._counts = np.zeros((3, len(self._classes)), np.int64)

    def update(self, predictions: Sequence[Mapping[str, Any]], targets: Sequence[Mapping[str, Any]]) -> None:
        """Take a batch. Both have ``semantic`` [H,W] of class indices; 255 in the labels is ignored."""
        known = len(self._classes)
        for prediction, target in zip(predictions, targets, strict=True):
            labelled, found = maps_of(prediction, target, metric="boundary_iou")
            found = np.where(labelled == IGNORE, np.uint8(IGNORE), found)
            width = max(1, round(self._dilation * math.hypot(*labelled.shape)))
            counts = pairs(zone(labelled, width), zone(found, width))
            self._counts += [np.diag(counts)[:known], counts.sum(1)[:known], counts.sum(0)[:known]]

    def state(self) -> dict[str, Any]:
        """The counts, as lists."""
        return {"counts": self._counts.tolist()}

    def merge(self, states: Sequence[dict[str, Any]]) -> None:
        """Take what several processes saw, in the place of what was seen here."""
        self._counts = np.sum([state["counts"] for state in states], axis=0, dtype=np.int64)

    def compute(self) -> dict[str, float | None]:
        """Return the mean of the classes whose zone is anywhere."""
        return {"boundary_IoU": mean(self._per_class())}

    def table(self) -> Sequence[tuple[str, float | None]]:
        """The number of each class."""
        return rows("boundary IoU", self._classes, self._per_class()) if self._classwise else []

    def _per_class(self) -> Any:
        both, there, found = self._counts
        return ratio(both, there + found - both)


def zone(values: Map, width: int) -> Map:
    """Return the map with IGNORE where all within ``width`` px are of the same class."""
    if not values.size:
        return values
    kernel = np.ones((2 * width + 1,) * 2, np.uint8)
    least = cv2.erode(values, kernel, borderType=cv2.BORDER_CONSTANT, borderValue=0)
    most = cv2.dilate(values, kernel, borderType=cv2.BORDER_CONSTANT, borderValue=255)
    return np.where(least == most, np.uint8(IGNORE), values)
