"""Masks of boxes as run lengths of the whole image, one at a time: memory is that of one, however many there are."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from pycocotools import mask as coco
from torch import Tensor

from vf_det.masks import Masks


@torch.no_grad()
def paste(probabilities: Tensor, boxes: Tensor, size: tuple[int, int], *, threshold: float) -> Masks:
    """Stretch masks over their boxes, bilinearly between the centres of their cells, and cut them off at a threshold.

    Args:
        probabilities: float [N,M,M]; beyond its border a mask is 0.
        boxes: float [N,4] XYXY px.
        size: height and width of the image, px.
        threshold: a pixel belongs to the mask where it is at least as probable.
    """
    counts = []
    cells = probabilities.detach().cpu().float()
    with torch.autocast("cpu", enabled=False):
        for mask, box in zip(cells, boxes.detach().cpu().tolist(), strict=True):
            (left, across), (top, down) = (
                _weights(box[axis], box[axis + 2], limit=size[1 - axis], cells=mask.shape[1 - axis]) for axis in (0, 1)
            )
            inside = (down @ mask @ across.T >= threshold).numpy()
            counts.append(_counts(inside, top, left, size))
    return Masks(counts, size)


def _weights(low: float, high: float, *, limit: int, cells: int) -> tuple[int, Tensor]:
    """Return the first px that a mask touches between ``low`` and ``high``, and the weight of each cell [px,cells]."""
    side = max(high - low, 1e-6)
    margin = side / (2 * cells)  # of its border cells half lies beyond the box
    first, last = max(0, int(low - margin)), min(limit, int(high + margin) + 1)
    pixels = torch.arange(first, max(first, last), dtype=torch.float32)
    at = (pixels + (0.5 - low)) * (cells / side) - 0.5
    return first, (1 - (at[:, None] - torch.arange(cells)).abs()).clamp_(min=0)


def _counts(inside: NDArray[np.bool_], top: int, left: int, size: tuple[int, int]) -> bytes:
    """Return COCO's compressed string of a mask that is ``inside`` [h,w] from ``top``, ``left`` on, else empty."""
    bounds = run_bounds(inside, top, left, size[0])
    total = size[0] * size[1]
    if not total:
        return b""
    runs = np.diff(np.concatenate(([0], bounds, [total])))
    rle = coco.frPyObjects({"size": list(size), "counts": runs.tolist()}, *size)
    return bytes(rle["counts"])


def run_bounds(inside: NDArray[np.bool_], top: int, left: int, height: int) -> NDArray[np.int64]:
    """Return where runs begin and end, down the columns of an image of ``height``, one after the other."""
    columns = np.zeros((inside.shape[1], inside.shape[0] + 2), np.int8)
    columns[:, 1:-1] = inside.T
    column, row = np.nonzero(columns[:, 1:] != columns[:, :-1])
    bounds = (left + column) * height + top + row
    # Where a run ends at the bottom and the next begins at the top, they are one.
    twice = bounds[1:] == bounds[:-1]
    drop = np.zeros(len(bounds), bool)
    drop[1:] |= twice
    drop[:-1] |= twice
    kept: NDArray[np.int64] = bounds[~drop]
    return kept
