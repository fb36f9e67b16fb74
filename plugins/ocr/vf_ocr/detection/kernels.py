"""What the maps of a detector learn from polygons: shrunk text, bands around outlines. Runs on the workers.

Maps are uint8 [h,w] at some stride of the image; ``IGNORE`` is where nothing is learnt. The cell (i, j) stands for the
middle of its square of pixels.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from vf.data.follow import IGNORE
from vf_ocr import geometry
from vf_ocr.geometry import Numbers

Map = NDArray[np.uint8]
SHIFT = 4
"""Bits of a cell's parts when polygons are filled."""
PRECISION = 16
"""Parts of a cell that shrunk outlines are rounded to."""


def on_grid(polygons: Numbers, stride: int) -> NDArray[np.float64]:
    """Bring polygons [N,K,2] from pixels of the image to cells of a map."""
    cells: NDArray[np.float64] = (np.asarray(polygons, np.float64) - (stride - 1) / 2) / stride
    return cells


def grid_size(size: tuple[int, int], stride: int) -> tuple[int, int]:
    """Return height and width of a map of an image of ``size``."""
    return -(-size[0] // stride), -(-size[1] // stride)


def fill(out: NDArray[np.integer], polygon: Numbers, value: int) -> None:
    """Write ``value`` where a polygon [K,2] in cells covers a map, its outline included."""
    points = np.rint(np.asarray(polygon) * (1 << SHIFT)).astype(np.int32)
    cv2.fillPoly(out, [points], value, shift=SHIFT)


def short_sides(polygons: Numbers) -> NDArray[np.float64]:
    """Return the short side [N] of the smallest rectangle around each polygon [N,K,2]."""
    rectangles = (cv2.minAreaRect(np.ascontiguousarray(polygon, np.float32)) for polygon in polygons)
    return np.array([min(size) for _, size, _ in rectangles])


def shrink_distances(polygons: Numbers, ratio: float) -> NDArray[np.float64]:
    """Return D = A (1 - r²) / L for polygons [N,K,2] of area A and perimeter L (arXiv 1903.12473, section 3.3)."""
    lengths = np.maximum(geometry.perimeters(polygons), 1e-6)
    distances: NDArray[np.float64] = np.abs(geometry.areas(polygons)) * (1 - ratio * ratio) / lengths
    return distances


def shrunk(polygon: Numbers, distance: float) -> Numbers | None:
    """Return what is left of a polygon [K,2] whose outline moves in; nothing where it vanishes or falls apart."""
    if distance <= 0:
        return polygon
    parts = geometry.offset(polygon, -distance, precision=PRECISION)
    return parts[0] if len(parts) == 1 else None


def band(polygon: Numbers, distance: float, into: NDArray[np.float32]) -> None:
    """Raise a map around one polygon [K,2]: 1 on its outline, falling to 0 at ``distance`` cells (arXiv 1911.08947).

    Args:
        polygon: in cells, at least three corners that differ.
        distance: > 0.
        into: float32 [h,w], below 0 where no polygon is near; changed in the bounding box alone.
    """
    low = np.maximum(np.floor(polygon.min(0) - distance), 0).astype(int)
    high = np.minimum(np.ceil(polygon.max(0) + distance) + 1, [into.shape[1], into.shape[0]]).astype(int)
    if (high <= low).any():
        return
    x = np.arange(low[0], high[0], dtype=np.float32)
    y = np.arange(low[1], high[1], dtype=np.float32)[:, None]
    nearest = _squared_distances(polygon.astype(np.float32), x, y)
    inside = np.zeros(nearest.shape, np.uint8)
    fill(inside, polygon - low, 1)
    level = 1 - np.sqrt(nearest) / np.float32(distance)
    level[inside > 0] = np.maximum(level[inside > 0], 0)
    window = into[low[1] : high[1], low[0] : high[0]]
    np.maximum(window, level, out=window)


def _squared_distances(polygon: NDArray[np.float32], x: NDArray[np.float32], y: NDArray[np.float32]) -> Numbers:
    """Return the squared distances [h,w] of a grid's cells from an outline."""
    nearest: NDArray[np.float32] = np.full((len(y), len(x)), np.inf, np.float32)
    for start, end in zip(polygon, np.roll(polygon, -1, 0), strict=True):
        side = end - start
        length = float(side @ side)
        if length == 0:  # the last vertex repeated
            continue
        from_x, from_y = x - start[0], y - start[1]
        along = (from_x * (side[0] / length) + from_y * (side[1] / length)).clip(0, 1)
        nearest = np.minimum(nearest, (from_x - along * side[0]) ** 2 + (from_y - along * side[1]) ** 2)
    return nearest


__all__ = ["IGNORE", "Map", "band", "fill", "grid_size", "on_grid", "short_sides", "shrink_distances", "shrunk"]
