"""How SSD augments (arXiv 1512.02325, section 2.2): expand, crop by IoU. Colours: `vf.data.photometric`."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torchvision.ops import box_iou

from vf.data.sample import Sample
from vf_det.data.geometry import Window, centres_inside, crop, integer, lay, uniform

TRIALS = 50
"""Crops that are tried for one IoU."""


class MinIouCrop:
    """Cut a part that every object overlaps by a drawn IoU at least; objects whose centre lies outside go.

    Args:
        ious: of which one is drawn, besides 0 (any crop) and "the image as it is".
        smallest: part of each side that the crop keeps at least.
        p: probability.
    """

    def __init__(self, *, ious: Sequence[float], smallest: float, p: float) -> None:
        self._ious = (None, 0.0, *ious)
        self._smallest = smallest
        self._p = p

    def __call__(self, sample: Sample) -> Sample:
        """Cut one sample; one without objects stays whole."""
        boxes = sample.target["boxes"].as_subclass(Tensor)
        if float(torch.rand(())) >= self._p or not len(boxes):
            return sample
        while True:
            least = self._ious[integer(0, len(self._ious) - 1)]
            if least is None:
                return sample
            for _ in range(TRIALS):
                window = self._window(sample.size)
                if window is None or box_iou(boxes, torch.tensor([window])).min() < least:
                    continue
                keep = centres_inside(boxes, window)
                if keep.any():
                    return crop(sample, window, keep=keep)

    def _window(self, size: tuple[int, int]) -> Window | None:
        """Draw a window; None where it is more than twice as long as wide."""
        height, width = (max(1, int(uniform(self._smallest, 1.0) * side)) for side in size)
        if not 0.5 <= height / width <= 2:
            return None
        left, top = integer(0, size[1] - width), integer(0, size[0] - height)
        return left, top, left + width, top + height


class Expand:
    """Lay the image at a random place of a ground that is up to ``ratio`` times as high and wide.

    Args:
        ratio: smallest and largest.
        fill: red, green, blue of the ground.
        p: probability.
    """

    def __init__(self, *, ratio: tuple[float, float], fill: tuple[int, int, int], p: float) -> None:
        self._ratio = ratio
        self._fill = fill
        self._p = p

    def __call__(self, sample: Sample) -> Sample:
        """Expand one sample."""
        if float(torch.rand(())) >= self._p:
            return sample
        ratio = uniform(*self._ratio)
        height, width = (int(side * ratio) for side in sample.size)
        top, left = integer(0, height - sample.size[0]), integer(0, width - sample.size[1])
        return lay(sample, top=top, left=left, size=(height, width), fill=self._fill)
