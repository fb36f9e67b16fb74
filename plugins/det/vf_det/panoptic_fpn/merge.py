"""One segment for each pixel, from masks of things that overlap and a map of stuff (arXiv 1801.00868, section 5.2)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import attrs
import torch
from torch import Tensor
from torch.nn import functional as F

if TYPE_CHECKING:
    from vf_det.masks import Masks

CHUNK = 1 << 24
"""Logits that are resized at once: 64 MB."""


@attrs.frozen(kw_only=True)
class Merging:
    """Which segments are made."""

    score: float
    """Things below are left out."""
    overlap: float
    """Things of which a larger part is taken already are left out."""
    stuff_area: int
    """Stuff of fewer pixels is left out."""


@torch.no_grad()
def class_map(logits: Tensor, *, padded: tuple[int, int], size: tuple[int, int], original: tuple[int, int]) -> Tensor:
    """Return the most likely class of each pixel of the decoded image, int64 [H,W] on the CPU.

    Args:
        logits: [C,h,w] of the padded image.
        padded: height and width of what the network saw, px.
        size: of the image in it.
        original: H and W.
    """
    y, x = (
        (torch.arange(full, device=logits.device) + 0.5) * (part / full / whole * 2) - 1
        for full, part, whole in zip(original, size, padded, strict=True)
    )
    step = max(1, CHUNK // max(1, len(logits) * original[1]))
    rows = []
    with torch.autocast(logits.device.type, enabled=False):
        for own in y.split(step):
            grid = torch.stack(torch.meshgrid(x, own, indexing="xy"), -1)
            resized = F.grid_sample(logits[None], grid[None], padding_mode="border", align_corners=False)
            rows.append(resized[0].argmax(0).cpu())
    return torch.cat(rows)


def merge(
    classes: Tensor, things: dict[str, Any], *, num_things: int, num_stuff: int, rule: Merging
) -> tuple[Tensor, list[dict[str, Any]]]:
    """Return segment ids int32 [H,W], 0: none, and the segments: ``id``, ``category``, ``isthing``, ``score``.

    Things come first, the best first; then stuff fills what is left. The score of stuff is 1.

    Args:
        classes: [H,W]: stuff, then one class for all things, of :func:`class_map`.
        things: prediction with ``scores`` (falling), ``labels`` and ``masks`` of the same size.
        num_things: categories before those of stuff.
        num_stuff: classes of stuff.
        rule: which are made.
    """
    ids = torch.zeros(classes.shape, dtype=torch.int32)
    segments: list[dict[str, Any]] = []
    masks: Masks = things["masks"]
    for row, (score, label) in enumerate(zip(things["scores"].tolist(), things["labels"].tolist(), strict=True)):
        if score < rule.score:
            break
        mask = masks[row].dense()[0]
        free = mask & (ids == 0)
        area, left = int(mask.sum()), int(free.sum())
        if left == 0 or area - left > rule.overlap * area:
            continue
        segments.append({"id": len(segments) + 1, "category": label, "isthing": True, "score": score})
        ids[free] = len(segments)
    left_over = torch.where(ids == 0, classes, num_stuff)
    for label, area in enumerate(torch.bincount(left_over.flatten(), minlength=num_stuff)[:num_stuff].tolist()):
        if area and area >= rule.stuff_area:
            segments.append({"id": len(segments) + 1, "category": num_things + label, "isthing": False, "score": 1.0})
            ids[left_over == label] = len(segments)
    return ids, segments
