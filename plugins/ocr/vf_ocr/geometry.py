"""Polygons of text: corners in order, areas, overlaps, shrinking and growing.

Legend: N polygons, K vertices. Coordinates are x, y in px; y grows downwards, so clockwise is as seen on the screen.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
import pyclipper
import shapely
from numpy.typing import NDArray

Numbers = NDArray[np.integer[Any] | np.floating[Any]]
Points = NDArray[np.float32]
"""[K,2] of one polygon, or [N,K,2] of several."""


def areas(polygons: Numbers) -> NDArray[np.float64]:
    """Return the areas [N] of polygons [N,K,2] without crossings; positive where they go clockwise on the screen."""
    x, y = polygons[..., 0].astype(np.float64), polygons[..., 1].astype(np.float64)
    crossed: NDArray[np.float64] = (x * np.roll(y, -1, -1) - np.roll(x, -1, -1) * y).sum(-1) / 2
    return crossed


def perimeters(polygons: Numbers) -> NDArray[np.float64]:
    """Return the lengths [N] of the outlines of polygons [N,K,2]."""
    steps = np.roll(polygons, -1, -2).astype(np.float64) - polygons
    lengths: NDArray[np.float64] = np.hypot(steps[..., 0], steps[..., 1]).sum(-1)
    return lengths


def in_order(quads: Numbers) -> Points:
    """Return quads [N,4,2] clockwise, from the upper left corner of upright text on.

    The first side is the one whose direction is nearest to that from left to right, so that text which is turned by
    less than 45° begins where it is read from.
    """
    quads = np.asarray(quads, np.float32).reshape(-1, 4, 2)
    if not len(quads):
        return quads
    clockwise = np.where((areas(quads) < 0)[:, None, None], quads[:, ::-1], quads)
    sides = np.roll(clockwise, -1, 1) - clockwise
    lengths = np.maximum(np.hypot(sides[..., 0], sides[..., 1]), 1e-6)
    # Opposite sides of a quad that is no rectangle differ; what counts is where both lead.
    along = sides[..., 0] / lengths
    first = np.argmax(along - np.roll(along, -2, 1), 1)
    order = (first[:, None] + np.arange(4)) % 4
    return np.take_along_axis(clockwise, order[..., None], 1)


def smallest_quad(points: Numbers) -> tuple[Points, float]:
    """Return the rectangle of smallest area around points [K,2], corners as :func:`in_order`, and its short side."""
    rectangle = cv2.minAreaRect(np.ascontiguousarray(points, np.float32))
    return in_order(cv2.boxPoints(rectangle)[None])[0], float(min(rectangle[1]))


def offset(polygon: Numbers, distance: float, *, precision: int = 1) -> list[NDArray[np.float64]]:
    """Move the outline of a polygon [K,2] outwards by ``distance`` px, or inwards by less than 0; corners get round.

    Args:
        polygon: in either direction, without crossings.
        distance: px.
        precision: parts of a px that coordinates are rounded to.

    Returns:
        what it becomes: nothing where all of it vanishes, several where it falls apart.
    """
    tool = pyclipper.PyclipperOffset(2.0, 0.25 * precision)
    path = np.rint(np.asarray(polygon, np.float64) * precision).astype(np.int64)
    try:
        tool.AddPath(path.tolist(), pyclipper.JT_ROUND, pyclipper.ET_CLOSEDPOLYGON)
    except pyclipper.ClipperException:  # fewer than three points that differ
        return []
    return [np.array(part, np.float64) / precision for part in tool.Execute(distance * precision)]


def same_count(polygons: Sequence[Numbers], *, fewest: int = 4) -> Points:
    """Lay polygons [K_i,2] into one array [N,K,2]; shorter ones repeat their last vertex."""
    most = max([fewest, *(len(polygon) for polygon in polygons)])
    out = np.zeros((len(polygons), most, 2), np.float32)
    for row, polygon in zip(out, polygons, strict=True):
        row[: len(polygon)] = polygon
        row[len(polygon) :] = polygon[-1]
    return out


def shapes(polygons: Numbers) -> NDArray[np.object_]:
    """Return polygons [N,K,2] as shapely's geometries [N]; those that cross themselves are mended."""
    if not len(polygons):
        return np.empty(0, np.object_)
    made: NDArray[np.object_] = shapely.polygons(np.asarray(polygons, np.float64))
    broken = ~shapely.is_valid(made)
    if broken.any():
        made[broken] = shapely.make_valid(made[broken])
    return made


def overlaps(first: NDArray[np.object_], second: NDArray[np.object_]) -> NDArray[np.float64]:
    """Return the areas [N,M] that each of N geometries shares with each of M."""
    out = np.zeros((len(first), len(second)))
    if out.size:
        a, b = shapely.bounds(first), shapely.bounds(second)
        apart = (a[:, None, :2] >= b[None, :, 2:]).any(-1) | (b[None, :, :2] >= a[:, None, 2:]).any(-1)
        rows, columns = np.nonzero(~apart)
        out[rows, columns] = shapely.area(shapely.intersection(first[rows], second[columns]))
    return out


def ious(first: NDArray[np.object_], second: NDArray[np.object_]) -> NDArray[np.float64]:
    """Return intersection over union [N,M] of geometries; 0 where both have no area."""
    shared = overlaps(first, second)
    union = shapely.area(first)[:, None] + shapely.area(second)[None] - shared
    out: NDArray[np.float64] = np.divide(shared, union, out=np.zeros_like(shared), where=union > 0)
    return out
