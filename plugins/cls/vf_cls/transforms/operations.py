"""The operations of RandAugment on PIL images, with strengths as timm gives them for a magnitude of 0 to 10.

Strength and direction of each were read off timm's published policies (github.com/huggingface/pytorch-image-models,
auto_augment.py); the operations are PIL's.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from PIL import Image, ImageEnhance, ImageOps

Picture = Image.Image
RGB = tuple[int, int, int]
MOST = 10.0
"""The largest magnitude."""


class Look:
    """What moves leave open: how pixels are read between pixels, and what comes in from outside."""

    def __init__(self, resample: Image.Resampling, fill: RGB) -> None:
        self.resample = resample
        self.fill = fill

    def move(self, image: Picture, matrix: tuple[float, ...]) -> Picture:
        """Read each pixel (x, y) of the result at ``matrix`` (a b c d e f) times (x, y, 1)."""
        return image.transform(image.size, Image.Transform.AFFINE, matrix, resample=self.resample, fillcolor=self.fill)


Operation = Callable[[Picture, float, Look, bool], Picture]
"""Image, level 0..1, look, whether a larger magnitude is always stronger -> image."""


def chance(p: float) -> bool:
    """Draw yes with a probability, from torch's generator."""
    return float(torch.rand(())) < p


def _signed(value: float) -> float:
    return -value if chance(0.5) else value


def _rotate(image: Picture, level: float, look: Look, increasing: bool) -> Picture:
    return image.rotate(_signed(30 * level), resample=look.resample, fillcolor=look.fill)


def _shear_x(image: Picture, level: float, look: Look, increasing: bool) -> Picture:
    return look.move(image, (1, _signed(0.3 * level), 0, 0, 1, 0))


def _shear_y(image: Picture, level: float, look: Look, increasing: bool) -> Picture:
    return look.move(image, (1, 0, 0, _signed(0.3 * level), 1, 0))


def _translate_x(image: Picture, level: float, look: Look, increasing: bool) -> Picture:
    return look.move(image, (1, 0, _signed(0.45 * level) * image.width, 0, 1, 0))


def _translate_y(image: Picture, level: float, look: Look, increasing: bool) -> Picture:
    return look.move(image, (1, 0, 0, 0, 1, _signed(0.45 * level) * image.height))


def _autocontrast(image: Picture, level: float, look: Look, increasing: bool) -> Picture:
    return ImageOps.autocontrast(image)


def _equalize(image: Picture, level: float, look: Look, increasing: bool) -> Picture:
    return ImageOps.equalize(image)


def _invert(image: Picture, level: float, look: Look, increasing: bool) -> Picture:
    return ImageOps.invert(image)


def _posterize(image: Picture, level: float, look: Look, increasing: bool) -> Picture:
    """Keep the highest bits; with ``increasing``, 4 at a magnitude of 0 and none at 10."""
    bits = 4 - int(4 * level) if increasing else int(4 * level)
    return image.point([value & ~(2 ** (8 - bits) - 1) for value in range(256)] * 3)


def _solarize(image: Picture, level: float, look: Look, increasing: bool) -> Picture:
    threshold = min(256, int(256 * level))
    return ImageOps.solarize(image, 256 - threshold if increasing else threshold)


def _solarize_add(image: Picture, level: float, look: Look, increasing: bool) -> Picture:
    add = min(128, int(110 * level))
    return image.point([min(255, value + add) if value < 128 else value for value in range(256)] * 3)


def _enhance(kind: Callable[[Picture], Any]) -> Operation:
    def operation(image: Picture, level: float, look: Look, increasing: bool) -> Picture:
        factor = max(0.1, 1 + _signed(0.9 * level)) if increasing else 0.1 + 1.8 * level
        enhanced: Picture = kind(image).enhance(factor)
        return enhanced

    return operation


OPERATIONS: dict[str, Operation] = {
    "autocontrast": _autocontrast,
    "equalize": _equalize,
    "invert": _invert,
    "rotate": _rotate,
    "posterize": _posterize,
    "solarize": _solarize,
    "solarize_add": _solarize_add,
    "color": _enhance(ImageEnhance.Color),
    "contrast": _enhance(ImageEnhance.Contrast),
    "brightness": _enhance(ImageEnhance.Brightness),
    "sharpness": _enhance(ImageEnhance.Sharpness),
    "shear_x": _shear_x,
    "shear_y": _shear_y,
    "translate_x": _translate_x,
    "translate_y": _translate_y,
}


def magnitude(mean: float, std: float) -> float:
    """Draw a magnitude around ``mean``, cut to 0..10; an infinite ``std`` draws uniformly from 0 to ``mean``."""
    if math.isinf(std):
        return float(torch.rand(())) * mean
    drawn = mean + std * float(torch.randn(())) if std else mean
    return min(MOST, max(0.0, drawn))
