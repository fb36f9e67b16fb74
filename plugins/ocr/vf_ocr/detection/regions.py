"""Outlines of regions of cells: what PSENet and PAN give."""

from __future__ import annotations

import attrs
import cv2
import numpy as np
from numpy.typing import NDArray

from vf_ocr.detection.detector import Found
from vf_ocr.detection.grow import Labels, components, expand, gather
from vf_ocr.detection.outlines import Shape, found
from vf_ocr.geometry import Numbers


@attrs.frozen(kw_only=True)
class RegionRules:
    """Which regions are text, and how their outlines are drawn."""

    least_score: float = 0.3
    """Mean share of text of a region's cells."""
    least_cells: int = 16
    shape: Shape = "quad"
    stride: int = 4
    """Of the maps, px."""

    def outlines(self, labels: Labels, shares: NDArray[np.float32]) -> Found:
        """Outline regions [h,w], numbered from 1; ``shares`` [h,w] of text are their scores."""
        flat = labels.ravel()
        counts = np.bincount(flat)
        means = np.bincount(flat, shares.ravel()) / np.maximum(counts, 1)
        order = np.argsort(flat, kind="stable")
        ends = np.cumsum(counts)
        polygons: list[Numbers] = []
        scores: list[float] = []
        for number in range(1, len(counts)):
            if counts[number] < self.least_cells or means[number] <= self.least_score:
                continue
            y, x = np.divmod(order[ends[number - 1] : ends[number]], labels.shape[1])
            polygons.append(self._outline(np.stack([x, y], 1).astype(np.int32)) * self.stride)
            scores.append(float(means[number]))
        return found(polygons, scores, self.shape)

    def _outline(self, cells: NDArray[np.int32]) -> Numbers:
        """Return the outline [K,2] of cells [M,2] through their middles."""
        if self.shape == "quad":
            return cv2.boxPoints(cv2.minAreaRect(cells))
        low = cells.min(0)
        mask = np.zeros((cells.max(0) - low + 1)[::-1], np.uint8)
        mask[cells[:, 1] - low[1], cells[:, 0] - low[0]] = 1
        contours, _ = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
        longest = max(contours, key=len)[:, 0] + low
        return np.asarray(longest if len(longest) > 2 else cv2.boxPoints(cv2.minAreaRect(cells)), np.float32)


@attrs.frozen(kw_only=True)
class NestedReader:
    """Reads shares of nested kernels [S,h,w], the whole text first."""

    rules: RegionRules
    threshold: float = 0.5
    """Share above which a cell is of a kernel."""
    least_kernel: int = 0
    """Cells of the smallest kernel."""

    def __call__(self, maps: NDArray[np.float32], /) -> Found:
        """Return outlines in px."""
        kernels = maps > self.threshold
        kernels &= kernels[:1]
        labels = components(kernels[-1])
        if self.least_kernel:
            labels[np.bincount(labels.ravel())[labels] < self.least_kernel] = 0
        return self.rules.outlines(expand(labels, kernels[-2::-1]), maps[0])


@attrs.frozen(kw_only=True)
class AggregateReader:
    """Reads shares of text and of kernels, and embeddings: [2+E,h,w]."""

    rules: RegionRules
    threshold: float = 0.5
    """Share above which a cell is of text, or of a kernel."""
    distance: float = 3.0
    """Of a cell's embedding from a kernel's mean, at most."""

    def __call__(self, maps: NDArray[np.float32], /) -> Found:
        """Return outlines in px."""
        text = maps[0] > self.threshold
        kernels = components((maps[1] > self.threshold) & text)
        labels = gather(kernels, text, maps[2:], distance=self.distance)
        return self.rules.outlines(labels, maps[0])
