"""Distort the colours of an image as SSD does (arXiv 1512.02325, and its code)."""

from __future__ import annotations

import attrs
import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from vf.data.pixels import image_of, pixels_of, uniform
from vf.data.sample import Sample


class PhotometricDistortion:
    """Brightness, contrast before or after, saturation and hue, and where asked channel order; each every second time.

    It works on 8 bits: values are cut at 0 and 255 after each step, which differs from float by a level or two
    where nothing is cut.

    Args:
        brightness: largest amount that is added, 0..255.
        contrast: smallest and largest factor.
        saturation: smallest and largest factor.
        hue: largest turn in degrees.
        swap: whether the channels change places, too.
    """

    def __init__(
        self,
        *,
        brightness: float,
        contrast: tuple[float, float],
        saturation: tuple[float, float],
        hue: float,
        swap: bool,
    ) -> None:
        self._brightness = brightness
        self._contrast = contrast
        self._saturation = saturation
        self._hue = hue
        self._swap = swap

    def __call__(self, sample: Sample) -> Sample:
        """Change the colours of one image."""
        added = uniform(-self._brightness, self._brightness) if _coin() else 0.0
        factor = uniform(*self._contrast) if _coin() else 1.0
        early = _coin()
        saturation = uniform(*self._saturation) if _coin() else 1.0
        turn = uniform(-self._hue, self._hue) if _coin() else 0.0
        pixels = pixels_of(sample.image)
        if added != 0.0 or (early and factor != 1.0):
            pixels = np.asarray(cv2.LUT(pixels, _table(factor if early else 1.0, added)), np.uint8)
        if saturation != 1.0 or turn != 0.0:
            pixels = _shift(pixels, saturation, turn)
        if not early and factor != 1.0:
            pixels = np.asarray(cv2.LUT(pixels, _table(factor, 0.0)), np.uint8)
        if self._swap and _coin():
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
