"""Regions that grow, cell by cell and all at once: progressive scale expansion, pixel aggregation."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
from numpy.typing import NDArray

Labels = NDArray[np.int32]
Cells = NDArray[np.int64]


def components(mask: NDArray[np.bool_]) -> Labels:
    """Number the connected parts of a mask [h,w] from 1, by four neighbours."""
    _, labels = cv2.connectedComponents(mask.astype(np.uint8), connectivity=4, ltype=cv2.CV_32S)
    return labels.astype(np.int32, copy=False)


def expand(labels: Labels, kernels: NDArray[np.bool_]) -> Labels:
    """Let regions grow through kernels, one after the other (arXiv 1903.12473, section 3.1).

    A cell that two regions reach in the same step belongs to the one that was there first.

    Args:
        labels: of the smallest kernel, [h,w]; 0 is none.
        kernels: [S,h,w], the next larger one first.
    """
    for kernel in kernels:
        labels = flood(labels, kernel)
    return labels


def flood(
    labels: Labels, mask: NDArray[np.bool_], accept: Callable[[Cells, Labels], NDArray[np.bool_]] | None = None
) -> Labels:
    """Let regions grow over a mask [h,w], in steps of one cell to the four sides.

    Args:
        labels: [h,w], 0 is none.
        mask: where they may grow.
        accept: whether cells (counted through a map with a border of one cell) may get a label; else all may.
    """
    padded = np.pad(labels, 1).ravel()
    free = np.pad(mask, 1).ravel() & (padded == 0)
    width = labels.shape[1] + 2
    sides = np.array([-width, width, -1, 1])
    front = np.flatnonzero(padded)
    while len(front):
        cells = (front[:, None] + sides).ravel()
        wanted = padded[front].repeat(len(sides))
        keep = free[cells]
        if accept is not None:
            keep[keep] = accept(cells[keep], wanted[keep])
        cells, wanted = cells[keep], wanted[keep]
        _, first = np.unique(cells, return_index=True)
        first.sort()
        front = cells[first]
        padded[front] = wanted[first]
        free[front] = False
    out: Labels = padded.reshape(-1, width)[1:-1, 1:-1]
    return out


def gather(labels: Labels, text: NDArray[np.bool_], embedding: NDArray[np.float32], *, distance: float) -> Labels:
    """Let kernels take cells of text whose embedding is near to their mean (arXiv 1908.05900, section 3.3).

    Args:
        labels: of the kernels, [h,w].
        text: [h,w].
        embedding: [E,h,w].
        distance: of an embedding from the mean of a kernel's, at most.
    """
    flat, kernels = embedding.reshape(len(embedding), -1), labels.ravel()
    counts = np.maximum(np.bincount(kernels), 1)
    means = np.stack([np.bincount(kernels, row) for row in flat], 1) / counts[:, None]
    padded = np.pad(embedding, ((0, 0), (1, 1), (1, 1))).reshape(len(embedding), -1)

    def near(cells: Cells, wanted: Labels) -> NDArray[np.bool_]:
        away: NDArray[np.bool_] = ((padded[:, cells].T - means[wanted]) ** 2).sum(1) <= distance**2
        return away

    return flood(labels, text, near)
