"""FCOS's points: one for each cell, and which object it learns (arXiv 1904.01355, section 3.1 and 3.2)."""

from __future__ import annotations

import math
from collections.abc import Sequence

import attrs
import torch
from torch import Tensor

from vf_det.matching import BACKGROUND

RANGE = 4
"""A level learns objects whose farthest side is RANGE to 2·RANGE strides away; the first also nearer, the last also
farther ones: for strides 8 to 128 the paper's 0, 64, 128, 256, 512 px."""
CHUNK = 1 << 21
"""Pairs of a point and an object that are worked on at once."""


@attrs.define  # torch.compile cannot trace how a frozen class sets its fields
class Points:
    """N points in a row: level by level, row by row."""

    xy: Tensor
    """float32 [N,2], px."""
    stride: Tensor
    """float32 [N], of the level, px."""
    low: Tensor
    """float32 [N], least distance to the farthest side of an object, px."""
    high: Tensor
    """float32 [N], largest distance."""


def points_of(
    grids: Sequence[tuple[int, int]],
    image: tuple[int, int],
    strides: Sequence[int],
    *,
    device: torch.device,
    as_torchvision: bool = False,
) -> Points:
    """Lay out the points of levels.

    Args:
        grids: height and width of each level.
        image: height and width of the padded batch, px.
        strides: of each level, px.
        device: where to.
        as_torchvision: points lie in the upper left corners of the cells, whose sides are the image's by the
            grid's, cut to whole px; else in the middle of cells of the stride.
    """
    xy, facts = [], []
    for level, (grid, stride) in enumerate(zip(grids, strides, strict=True)):
        steps = (image[0] // grid[0], image[1] // grid[1]) if as_torchvision else (stride, stride)
        shift = 0.0 if as_torchvision else stride / 2
        y, x = (torch.arange(n, device=device) * step + shift for n, step in zip(grid, steps, strict=True))
        xy.append(torch.stack(torch.meshgrid(x, y, indexing="xy"), -1).view(-1, 2).float())
        low = RANGE * stride if level else 0
        high = 2 * RANGE * stride if level < len(grids) - 1 else math.inf
        facts.append(torch.tensor([[stride, low, high]], device=device).expand(xy[-1].shape[0], -1))
    return Points(torch.cat(xy), *torch.cat(facts).float().unbind(1))


@torch.no_grad()
def assign(points: Points, boxes: Tensor, *, radius: float | None) -> Tensor:
    """Return the object that each point learns, int64 [N]: the smallest that it may learn, or ``BACKGROUND``.

    Args:
        points: N.
        boxes: [M,4] XYXY px of the objects of one image; there may be none.
        radius: points must be within so many strides of the object's centre, besides inside of it; None: inside.
    """
    out = torch.full((len(points.xy),), BACKGROUND, device=points.xy.device)
    if not len(boxes):
        return out
    by_area = ((boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])).argsort(stable=True)
    boxes = boxes[by_area]
    step = max(1, CHUNK // len(boxes))
    for start in range(0, len(out), step):
        rows = slice(start, start + step)
        learns, smallest = _may_learn(points, rows, boxes, radius).max(1)
        out[rows] = torch.where(learns, by_area[smallest], BACKGROUND)
    return out


def _may_learn(points: Points, rows: slice, boxes: Tensor, radius: float | None) -> Tensor:
    """Return bool [n,M]."""
    xy = points.xy[rows, None]
    sides = torch.cat((xy - boxes[:, :2], boxes[:, 2:] - xy), -1)
    farthest = sides.amax(-1)
    fits = sides.amin(-1) > 0
    fits &= (farthest >= points.low[rows, None]) & (farthest <= points.high[rows, None])
    if radius is not None:
        centre = (boxes[:, :2] + boxes[:, 2:]) / 2
        fits &= (xy - centre).abs().amax(-1) < radius * points.stride[rows, None]
    return fits
