"""Overlap of boxes and of polygons, and who is paired with whom."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]
RASTER = 256
"""Px of the longer side on which polygons that are not convex are compared."""


def box_overlaps(one: Floats, other: Floats) -> tuple[Floats, Floats]:
    """Return the IoU of boxes [N,4] and [M,4] (XYXY), and which part of the first lies in the second, both [N,M]."""
    low = np.maximum(one[:, None, :2], other[None, :, :2])
    high = np.minimum(one[:, None, 2:], other[None, :, 2:])
    inter = np.clip(high - low, 0, None).prod(2)
    area, theirs = ((boxes[:, 2:] - boxes[:, :2]).clip(0).prod(1) for boxes in (one, other))
    return _ratios(inter, area, theirs)


def polygon_overlaps(one: Floats, other: Floats) -> tuple[Floats, Floats]:
    """Return the same of polygons [N,K,2] and [M,L,2] that may repeat their last corner."""
    inter = np.zeros((len(one), len(other)))
    for i, mine in enumerate(one):
        for j, theirs in enumerate(other):
            apart = (mine.max(0) < theirs.min(0)) | (theirs.max(0) < mine.min(0))
            inter[i, j] = 0.0 if apart.any() else _intersection(mine, theirs)
    areas = (np.array([abs(cv2.contourArea(_contour(p))) for p in polygons]) for polygons in (one, other))
    return _ratios(inter, *areas)


def _ratios(inter: Floats, area: Floats, theirs: Floats) -> tuple[Floats, Floats]:
    union = area[:, None] + theirs[None] - inter
    return inter / np.maximum(union, 1e-12), inter / np.maximum(area[:, None], 1e-12)


def _contour(polygon: Floats) -> NDArray[Any]:
    kept = [point for i, point in enumerate(polygon) if i == 0 or (point != polygon[i - 1]).any()]
    return np.asarray(kept, np.float32).reshape(-1, 1, 2)


def _intersection(one: Floats, other: Floats) -> float:
    """Return the area that two polygons share, px²: exactly where both are convex."""
    first, second = _contour(one), _contour(other)
    if len(first) < 3 or len(second) < 3:
        return 0.0
    if cv2.isContourConvex(first) and cv2.isContourConvex(second):
        return float(cv2.intersectConvexConvex(first, second)[0])
    low = np.minimum(one.min(0), other.min(0))
    scale = RASTER / max(1e-6, float((np.maximum(one.max(0), other.max(0)) - low).max()))
    drawn = []
    for contour in (first, second):
        canvas = np.zeros((RASTER + 1, RASTER + 1), np.uint8)
        cv2.fillPoly(canvas, [np.round((contour - low) * scale).astype(np.int32)], 1)
        drawn.append(canvas)
    return float((drawn[0] & drawn[1]).sum()) / scale**2


def surest_first(overlaps: Floats, scores: Floats, least: float) -> NDArray[np.int64]:
    """Give each of N found its object: the surest choose first, each the free object that it overlaps most.

    Args:
        overlaps: [N,M].
        scores: [N].
        least: overlap that counts.

    Returns:
        index of the object, -1: none [N].
    """
    chosen, free = np.full(len(scores), -1, np.int64), np.ones(overlaps.shape[1], np.bool_)
    for place in np.argsort(-scores, kind="stable").tolist():
        own = np.where(free, overlaps[place], -1.0)
        if own.size and own.max() >= least:
            chosen[place] = int(own.argmax())
            free[chosen[place]] = False
    return chosen


def closest_first(overlaps: Floats, least: float) -> NDArray[np.int64]:
    """Give each of N found its object: pairs in falling order of overlap; -1: none [N]."""
    chosen, free = np.full(overlaps.shape[0], -1, np.int64), np.ones(overlaps.shape[1], np.bool_)
    for place in np.argsort(-overlaps, axis=None, kind="stable").tolist():
        row, column = divmod(place, overlaps.shape[1])
        if overlaps[row, column] < least:
            break
        if chosen[row] < 0 and free[column]:
            chosen[row], free[column] = column, False
    return chosen
