"""Outlines of text from maps of kernels (arXiv 1911.08947, section 3.5): contours, a score for each, grown back."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import attrs
import cv2
import numpy as np
from numpy.typing import NDArray

from vf_ocr import geometry
from vf_ocr.detection.detector import Found
from vf_ocr.geometry import Numbers, Points

Shape = Literal["quad", "polygon"]


@attrs.frozen(kw_only=True)
class KernelReader:
    """Reads the shares of kernels, [1,h,w]."""

    threshold: float = 0.3
    """Share above which a cell is of a kernel."""
    least_score: float = 0.3
    """Mean share of a kernel's cells."""
    unclip: float = 1.5
    """Outlines move out by area × this / perimeter."""
    least_side: float = 5.0
    """Of the smallest rectangle around, px."""
    epsilon: float = 0.01
    """How far a simpler contour may be from the kernel's, as a part of its length."""
    most: int = 3000
    """Kernels that are looked at."""
    shape: Shape = "quad"
    stride: int = 1
    """Of the map, px."""

    def __call__(self, maps: NDArray[np.float32], /) -> Found:
        """Return outlines in px."""
        shares = np.ascontiguousarray(maps[0])
        kernels = (shares > self.threshold).astype(np.uint8)
        contours, _ = cv2.findContours(kernels, cv2.RETR_LIST, cv2.CHAIN_APPROX_SIMPLE)
        polygons: list[Numbers] = []
        scores: list[float] = []
        for contour in contours[: self.most]:
            simple = cv2.approxPolyDP(contour, self.epsilon * cv2.arcLength(contour, True), True)
            if len(simple) < 4:
                continue
            score = mean_inside(shares, simple[:, 0])
            if score < self.least_score:
                continue
            grown = self._grown(simple)
            if grown is not None:
                polygons.append(grown)
                scores.append(score)
        return found(polygons, scores, self.shape)

    def _grown(self, contour: Numbers) -> Numbers | None:
        """Move a contour [K,1,2] of cells out; return it in px, or nothing where it is too small or falls apart."""
        edge = (self.stride - 1) / 2  # a contour runs through the middle of cells, and text goes on to their ends
        points = contour[:, 0] * self.stride + edge
        area = cv2.contourArea(contour) * self.stride**2
        length = cv2.arcLength(contour, True) * self.stride
        parts = geometry.offset(points, area * self.unclip / length + edge, precision=1 if self.stride == 1 else 4)
        if len(parts) != 1:
            return None
        rectangle = cv2.minAreaRect(parts[0].astype(np.float32))
        if min(rectangle[1]) < self.least_side:
            return None
        return cv2.boxPoints(rectangle) if self.shape == "quad" else parts[0]


def found(polygons: Sequence[Numbers], scores: Sequence[float], shape: Shape) -> Found:
    """Lay outlines in one array; quads begin at the upper left."""
    if shape == "quad":
        laid: Points = geometry.in_order(np.array(polygons, np.float32).reshape(-1, 4, 2))
    else:
        laid = geometry.same_count(polygons)
    return Found(laid, np.array(scores, np.float32))


def mean_inside(values: NDArray[np.float32], polygon: Numbers) -> float:
    """Return the mean of a map's cells in a polygon [K,2] of cells, its outline included."""
    left, top, width, height = cv2.boundingRect(polygon)
    inside = np.zeros((height, width), np.uint8)
    cv2.fillPoly(inside, [polygon - np.array([left, top], np.int32)], 1)
    return float(cv2.mean(values[top : top + height, left : left + width], inside)[0])
