"""Masks of a large image that lie where they were found: each as large as its object, not as the image."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor

Part = tuple[int, int, Tensor]
"""Top and left in the image, px, and a mask bool [h,w]."""


class PlacedMasks:
    """N masks of one image.

    Args:
        parts: one for each mask.
        size: height and width of the image, px.
    """

    follows_boxes: ClassVar = True
    """Rows are dropped with those of the boxes (`vf.data.follow.select_rows`)."""

    def __init__(self, parts: Iterable[Part], size: tuple[int, int]) -> None:
        self._parts = tuple(parts)
        self.size = size

    @classmethod
    def of(cls, masks: Any, corner: tuple[int, int], size: tuple[int, int]) -> PlacedMasks:
        """Place masks [N,h,w], dense or run lengths, with their upper left at ``corner`` (top, left)."""
        parts = []
        for i in range(len(masks)):
            mask = masks[i] if isinstance(masks, Tensor) else masks[i].dense()[0]
            rows, columns = mask.any(1).nonzero()[:, 0], mask.any(0).nonzero()[:, 0]
            if not len(rows):
                parts.append((0, 0, mask[:0, :0].bool()))
                continue
            top, left = int(rows[0]), int(columns[0])
            own = mask[top : int(rows[-1]) + 1, left : int(columns[-1]) + 1].bool().clone()
            parts.append((corner[0] + top, corner[1] + left, own))
        return cls(parts, size)

    def __len__(self) -> int:
        return len(self._parts)

    def __add__(self, other: PlacedMasks) -> PlacedMasks:
        return PlacedMasks((*self._parts, *other._parts), self.size)

    def __getitem__(self, key: int | Tensor) -> PlacedMasks:
        """Return one mask, those that a bool [N] chooses, or those at int [M]."""
        if isinstance(key, int):
            return PlacedMasks([self._parts[key]], self.size)
        indices = key.nonzero()[:, 0] if key.dtype == torch.bool else key
        return PlacedMasks([self._parts[i] for i in indices.tolist()], self.size)

    def dense(self) -> Tensor:
        """Return bool [N,H,W]."""
        out = torch.zeros(len(self), *self.size, dtype=torch.bool)
        for mask, (top, left, own) in zip(out, self._parts, strict=True):
            mask[top : top + own.shape[0], left : left + own.shape[1]] = own
        return out

    def plain(self) -> list[dict[str, Any]]:
        """Return COCO's run lengths, uncompressed."""
        from vf.plain_results import run_lengths

        return [run_lengths(self[i].dense())[0] for i in range(len(self))]

    def united(self, groups: Sequence[Sequence[int]]) -> PlacedMasks:
        """Return one mask for each group of masks: all their pixels."""
        return PlacedMasks([_union([self._parts[i] for i in group]) for group in groups], self.size)


def _union(parts: Sequence[Part]) -> Part:
    seen = [part for part in parts if part[2].numel()]
    if not seen:
        return parts[0]
    top, left = min(p[0] for p in seen), min(p[1] for p in seen)
    height = max(p[0] + p[2].shape[0] for p in seen) - top
    width = max(p[1] + p[2].shape[1] for p in seen) - left
    out = torch.zeros(height, width, dtype=torch.bool)
    for y, x, own in seen:
        out[y - top : y - top + own.shape[0], x - left : x - left + own.shape[1]] |= own
    return top, left, out
