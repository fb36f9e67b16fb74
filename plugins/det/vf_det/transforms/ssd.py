"""How SSD augments (arXiv 1512.02325, section 2.2, and its code): distort colours, expand, crop by IoU."""

from __future__ import annotations

from collections.abc import Sequence

import attrs
import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torchvision.ops import box_iou

from vf.data.sample import Sample
from vf_det.data.geometry import Window, centres_inside, crop, image_of, integer, lay, pixels_of, uniform

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


class PhotometricDistortion:
    """Brightness, contrast before or after, saturation and hue, channel order; each every second time.

    It works on 8 bits: values are cut at 0 and 255 after each step, which differs from float by a level or two
    where nothing is cut.

    Args:
        brightness: largest amount that is added, 0..255.
        contrast: smallest and largest factor.
        saturation: smallest and largest factor.
        hue: largest turn in degrees.
    """

    def __init__(
        self, *, brightness: float, contrast: tuple[float, float], saturation: tuple[float, float], hue: float
    ) -> None:
        self._brightness = brightness
        self._contrast = contrast
        self._saturation = saturation
        self._hue = hue

    def __call__(self, sample: Sample) -> Sample:
        """Change the colours of one image."""
        added = uniform(-self._brightness, self._brightness) if _coin() else 0.0
        factor = uniform(*self._contrast) if _coin() else 1.0
        early = _coin()
        saturation = uniform(*self._saturation) if _coin() else 1.0
        turn = uniform(-self._hue, self._hue) if _coin() else 0.0
        pixels = cv2.LUT(pixels_of(sample.image), _table(factor if early else 1.0, added))
        if saturation != 1.0 or turn != 0.0:
            pixels = _shift(np.asarray(pixels, np.uint8), saturation, turn)
        if not early and factor != 1.0:
            pixels = cv2.LUT(pixels, _table(factor, 0.0))
        if _coin():
            pixels = pixels[..., torch.randperm(3).numpy()]
        return attrs.evolve(sample, image=image_of(np.ascontiguousarray(pixels, np.uint8)))


def _coin() -> bool:
    return float(torch.rand(())) < 0.5


def _table(factor: float, added: float) -> NDArray[np.uint8]:
    """Add, cut, multiply, cut: the values of 0..255."""
    steps = np.clip(np.arange(256) + added, 0, 255) * factor
    table: NDArray[np.uint8] = np.clip(np.round(steps), 0, 255).astype(np.uint8)
    return table


def _shift(pixels: NDArray[np.uint8], saturation: float, turn: float) -> NDArray[np.uint8]:
    """Scale the saturation and turn the hue, whose circle has 256 steps."""
    hsv = cv2.cvtColor(pixels, cv2.COLOR_RGB2HSV_FULL)
    steps = np.arange(256)
    tables = ((steps + round(turn / 360 * 256)) % 256, np.clip(np.round(steps * saturation), 0, 255), steps)
    table = np.stack(tables, 1).astype(np.uint8)[None]
    return np.asarray(cv2.cvtColor(cv2.LUT(hsv, table), cv2.COLOR_HSV2RGB_FULL), np.uint8)
