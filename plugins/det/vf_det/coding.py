"""Boxes as offsets from other boxes, which is what a network learns (arXiv 1311.2524, appendix C).

dx, dy: the way from centre to centre in widths and heights of the anchor; dw, dh: log of the ratio of the sides. Each
is divided by a standard deviation.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

ONES = (1.0, 1.0, 1.0, 1.0)
MOST = math.log(1000 / 16)
"""Largest dw and dh that are decoded: beyond, the exponential soon overflows."""


def encode(boxes: Tensor, anchors: Tensor, stds: Sequence[float] = ONES) -> Tensor:
    """Return dx, dy, dw, dh [N,4] that lead from anchors [N,4] to boxes [N,4], both XYXY with an area, in one frame."""
    side, wanted = anchors[:, 2:] - anchors[:, :2], boxes[:, 2:] - boxes[:, :2]
    move = ((boxes[:, :2] + boxes[:, 2:]) - (anchors[:, :2] + anchors[:, 2:])) / (2 * side)
    return torch.cat((move, (wanted / side).log()), 1) / boxes.new_tensor(stds)


def decode(
    deltas: Tensor,
    anchors: Tensor,
    stds: Sequence[float] = ONES,
    limit: tuple[int, int] | Tensor | None = None,
) -> Tensor:
    """Undo :func:`encode`: boxes XYXY in the shape of ``deltas``.

    Args:
        deltas: [N,4], or [N,C,4] for C boxes of each anchor, or [B,N,4].
        anchors: [N,4] XYXY; [1,N,4] for all of a batch.
        stds: as encoded with.
        limit: height and width of what boxes are cut to, or a tensor [N,2] of those of each anchor; None: no cut.
    """
    if deltas.ndim == 3 and anchors.ndim == 2:
        anchors = anchors[:, None]
        limit = limit[:, None] if isinstance(limit, Tensor) else limit
    if tuple(stds) != ONES:
        deltas = deltas * deltas.new_tensor(stds)
    side = anchors[..., 2:] - anchors[..., :2]
    centre = anchors[..., :2] + side / 2 + deltas[..., :2] * side
    half = deltas[..., 2:].clamp(max=MOST).exp() * (side / 2)
    boxes = torch.cat((centre - half, centre + half), -1)
    return boxes if limit is None else clip(boxes, limit)


def clip(boxes: Tensor, limit: tuple[int, int] | Tensor) -> Tensor:
    """Cut XYXY boxes [...,4] to a height and width, or to those of a tensor [...,2] that broadcasts."""
    if not isinstance(limit, Tensor):
        limit = torch.tensor(limit, device=boxes.device)
    most = limit.flip(-1).to(boxes.dtype)
    return torch.minimum(boxes.clamp(min=0), torch.cat((most, most), -1))
