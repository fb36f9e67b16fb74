"""Bilinear resizing of some rows of a map, as if the whole map had been resized."""

from __future__ import annotations

import attrs
import torch
from torch import Tensor
from torch.nn import functional as F


@attrs.frozen
class Sources:
    """Where rows of a resized map come from: each between two rows of the map, the lower one by its share."""

    upper: Tensor
    lower: Tensor
    """int64 [N], in rows of the map."""
    share: Tensor
    """float32 [N], 0..1."""
    first: int
    stop: int
    """What is needed of the map, as a range of its rows."""


def sources(start: int, stop: int, *, of: int, to: int, device: torch.device) -> Sources:
    """Return the sources of rows ``start`` to ``stop`` of a map of ``of`` rows that is resized to ``to`` rows.

    They are those of `torch.nn.functional.interpolate` without ``align_corners``.
    """
    place = ((torch.arange(start, stop, dtype=torch.float32) + 0.5) * (of / to) - 0.5).clamp(min=0)
    upper = place.long().clamp(max=of - 1)
    lower = (upper + 1).clamp(max=of - 1)
    return Sources(upper.to(device), lower.to(device), (place - upper).to(device), int(upper[0]), int(lower[-1]) + 1)


def resized_rows(part: Tensor, rows: Sources, *, width: int) -> Tensor:
    """Return rows of a resized map, float [B,C,N,width].

    Args:
        part: the rows of the map from ``rows.first`` on, float [B,C,R,W].
        rows: which rows, and where they come from.
        width: of the resized map.
    """
    upper, lower = part[:, :, rows.upper - rows.first], part[:, :, rows.lower - rows.first]
    mixed = torch.lerp(upper, lower, rows.share.to(part.dtype)[:, None])
    if width == part.shape[-1]:
        return mixed
    return F.interpolate(mixed, size=(mixed.shape[-2], width), mode="bilinear")


def resized(images: Tensor, size: tuple[int, int], *, rows: int = 64) -> Tensor:
    """Resize uint8 [B,3,H,W] to ``size`` (height, width), some rows at a time, so that few are float at once."""
    height, width = size
    out = images.new_empty(*images.shape[:2], height, width)
    for start in range(0, height, rows):
        stop = min(start + rows, height)
        wanted = sources(start, stop, of=images.shape[-2], to=height, device=images.device)
        part = images[:, :, wanted.first : wanted.stop].float()
        out[:, :, start:stop] = resized_rows(part, wanted, width=width).add_(0.5).to(torch.uint8)
    return out
