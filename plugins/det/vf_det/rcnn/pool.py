"""Features of regions from the level that suits their size (arXiv 1612.03144, equation 1; 1703.06870, section 3)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from vf.nn.tracing import tracing
from vf_det.rcnn.align import align
from vf_det.rcnn.rpn import Regions

FINEST = 14
"""Cells across a region from which on it goes to the second level: 56 px at stride 4, so 224 px go to stride 16."""


class RegionPool(nn.Module):
    """RoI align on several levels.

    Args:
        size: cells across the result.
        strides: of the levels, px, each twice the one before.
        sampling_ratio: samples across a cell; 0: as many as the region has cells for each.
        aligned: shift by half a pixel, so that samples lie where pixels do.
    """

    def __init__(self, *, size: int, strides: Sequence[int], sampling_ratio: int, aligned: bool) -> None:
        super().__init__()
        self.size, self.aligned = size, aligned
        self._strides, self._sampling = tuple(strides), sampling_ratio

    def forward(self, levels: Sequence[Tensor], regions: Regions) -> Tensor:
        """Return [K,C,size,size] for K regions, of the first levels [B,C,H,W]."""
        rois = torch.cat((regions.image[:, None].to(regions.boxes.dtype), regions.boxes), 1)
        if len(self._strides) == 1:
            return self._align(levels[0], rois, self._strides[0])
        level = self.level_of(regions.boxes)
        if tracing():
            return self._from_all(levels, rois, level)
        order = level.argsort(stable=True)
        counts = torch.bincount(level, minlength=len(self._strides)).tolist()
        parts = zip(levels, rois[order].split(counts), self._strides, strict=False)
        pooled = torch.cat([self._align(x, own, stride) for x, own, stride in parts])
        back = torch.empty_like(order)
        back[order] = torch.arange(len(order), device=order.device)
        return pooled[back]

    def _from_all(self, levels: Sequence[Tensor], rois: Tensor, level: Tensor) -> Tensor:
        """Do the same in a graph: every level pools all regions, of which its own count."""
        pooled: Tensor | None = None
        for number, (x, stride) in enumerate(zip(levels, self._strides, strict=False)):
            own = (level == number)[:, None]
            # What is not its own is a region without an area.
            part = self._align(x, torch.where(own, rois, rois * rois.new_tensor([1, 0, 0, 0, 0])), stride)
            part = torch.where(own[..., None, None], part, 0)
            pooled = part if pooled is None else pooled + part
        assert pooled is not None
        return pooled

    def _align(self, x: Tensor, rois: Tensor, stride: int) -> Tensor:
        # In 16 bit the corners of regions would be rounded to whole pixels.
        return align(x.float(), rois, self.size, scale=1 / stride, sampling_ratio=self._sampling, aligned=self.aligned)

    def level_of(self, boxes: Tensor) -> Tensor:
        """Return the level [K] of each box [K,4]: the finest below 56 px at stride 4, then one for each doubling."""
        side = (boxes[:, 2:] - boxes[:, :2]).clamp(min=0).prod(1).sqrt()
        level = torch.log2(side / (FINEST * self._strides[0]) + 1e-8) + 1e-6
        return level.floor().clamp(0, len(self._strides) - 1).long()
