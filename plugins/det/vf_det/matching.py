"""Which anchor or proposal learns which object (arXiv 1506.01497, section 3.1.2), and which of them are drawn."""

from __future__ import annotations

from collections.abc import Callable

import attrs
import torch
from torch import Tensor

BACKGROUND = -1
IGNORED = -2
CHUNK = 1 << 22
"""Overlaps that are worked on at once: 16 MB."""
SMALLEST = 1e-30
"""Below every overlap of boxes that touch more than a line."""

Drawn = Callable[[Tensor, int], Tensor]
"""Takes candidates int64 [N] and a number of them to draw, at most N."""


@torch.no_grad()
def match(
    anchors: Tensor,
    boxes: Tensor,
    *,
    positive: float,
    negative: float,
    low_quality: bool,
    lowest: float = 0.0,
    forced: bool = False,
) -> Tensor:
    """Return the object of each anchor, int64 [N]: the one that it overlaps most, ``BACKGROUND`` or ``IGNORED``.

    Args:
        anchors: [N,4] XYXY.
        boxes: [M,4] XYXY of the objects, in the same frame; there may be none.
        positive: IoU from which on an anchor is its object's.
        negative: IoU below which it is background; between the two it is ignored.
        low_quality: the anchors that overlap an object most are no background even where that is below ``positive``.
        lowest: IoU that these must have.
        forced: these become that object's even where they overlap another one more.
    """
    out = torch.full((len(anchors),), BACKGROUND, device=anchors.device)
    if not (len(anchors) and len(boxes)):
        return out
    best, parts = boxes.new_zeros(len(boxes)), []
    step = max(1, CHUNK // len(boxes))
    for start in range(0, len(anchors), step):
        iou = overlaps(boxes, anchors[start : start + step])
        value, own = iou.max(0)
        own = torch.where(value < positive, torch.where(value < negative, BACKGROUND, IGNORED), own)
        out[start : start + step] = own
        if low_quality:
            parts.append(_tops(iou, start))
            best = torch.maximum(best, iou.amax(1))
    if low_quality:
        _rescue(out, parts, best, anchors, boxes, lowest=lowest, forced=forced)
    return out


@attrs.frozen
class _Tops:
    """Pairs of an object and an anchor that it overlaps most within a chunk; equal ones are all there."""

    object: Tensor
    anchor: Tensor
    iou: Tensor


def _tops(iou: Tensor, start: int) -> _Tops:
    top = iou.amax(1, keepdim=True).clamp(min=SMALLEST)
    row, column = (iou == top).nonzero(as_tuple=True)
    return _Tops(row, column + start, iou[row, column])


def _rescue(
    out: Tensor, parts: list[_Tops], best: Tensor, anchors: Tensor, boxes: Tensor, *, lowest: float, forced: bool
) -> None:
    """Give the anchors that an object overlaps most an object, in place."""
    row, anchor, iou = (torch.cat([getattr(p, name) for p in parts]) for name in ("object", "anchor", "iou"))
    keep = (iou == best[row]) & (iou >= lowest)
    row, anchor = row[keep], anchor[keep]
    if not forced:
        anchor = anchor.unique()
        out[anchor] = overlaps(boxes, anchors[anchor]).argmax(0)
        return
    # Of several objects the last: the order of writes to one place is not defined.
    last = torch.full_like(out, BACKGROUND).scatter_reduce_(0, anchor, row, "amax")
    out.copy_(torch.where(last >= 0, last, out))


def overlaps(boxes: Tensor, anchors: Tensor) -> Tensor:
    """Return the IoU [M,N] of boxes [M,4] and anchors [N,4], XYXY; 0 where both have no area."""
    b, a = boxes.unbind(1), anchors.unbind(1)
    # In place: with 200 000 anchors the memory is what takes the time.
    shared = torch.minimum(b[2][:, None], a[2]).sub_(torch.maximum(b[0][:, None], a[0])).clamp_(min=0)
    shared.mul_(torch.minimum(b[3][:, None], a[3]).sub_(torch.maximum(b[1][:, None], a[1])).clamp_(min=0))
    union = ((b[2] - b[0]) * (b[3] - b[1]))[:, None] + (a[2] - a[0]) * (a[3] - a[1])
    return shared.div_(union.sub_(shared).clamp_(min=1e-9))


def uniformly(candidates: Tensor, count: int) -> Tensor:
    """Draw ``count`` of the candidates with torch's generator, each as likely as the others."""
    if count == len(candidates):
        return candidates
    return candidates[torch.randperm(len(candidates), device=candidates.device)[:count]]


def sample(matches: Tensor, *, size: int, positive_share: float, drawn: Drawn = uniformly) -> tuple[Tensor, Tensor]:
    """Draw positives and negatives of one image for the loss; return their indices in rising or in drawn order.

    Args:
        matches: int64 [N], of :func:`match`.
        size: how many in all; fewer where there are not so many.
        positive_share: largest part of ``size`` that may be positives; negatives take the rest.
        drawn: draws from candidates.
    """
    positives, negatives = (matches >= 0).nonzero()[:, 0], (matches == BACKGROUND).nonzero()[:, 0]
    most = min(len(positives), int(size * positive_share))
    positives = drawn(positives, most)
    return positives, drawn(negatives, min(len(negatives), size - most))
