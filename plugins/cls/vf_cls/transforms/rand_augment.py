"""RandAugment as timm's recipes have it, and the three augmentations of DeiT III."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal

import attrs
import cv2
import numpy as np
import torch
from PIL import Image
from torchvision import tv_tensors

from vf.data.sample import Sample
from vf_cls.transforms.operations import MOST, OPERATIONS, RGB, Look, Picture, chance, magnitude

RESAMPLE = {"bilinear": Image.Resampling.BILINEAR, "bicubic": Image.Resampling.BICUBIC}


class RandAugment:
    """Apply so many operations, each drawn anew, to the pixels.

    Args:
        num: operations.
        magnitude: 0..10.
        std: of the magnitude, which is drawn anew for each operation; infinite: uniform from 0 to ``magnitude``.
        increasing: a larger magnitude is a stronger change for every operation.
        p: probability of each operation.
        interpolation: of moves; ``random``: one of the two, drawn for each.
        fill: what comes in from outside.
        operations: names to choose from.
    """

    def __init__(
        self,
        *,
        num: int,
        magnitude: float,
        std: float,
        increasing: bool,
        p: float,
        interpolation: Literal["bilinear", "bicubic", "random"],
        fill: RGB,
        operations: Sequence[str],
    ) -> None:
        self._num, self._magnitude, self._std, self._p = num, magnitude, std, p
        self._increasing = increasing
        self._resample = list(RESAMPLE.values()) if interpolation == "random" else [RESAMPLE[interpolation]]
        self._fill = fill
        self._names = tuple(operations)

    def __call__(self, sample: Sample) -> Sample:
        """Change the pixels of one sample."""
        image = picture_of(sample)
        for _ in range(self._num):
            operation = OPERATIONS[self._names[int(torch.randint(len(self._names), ()))]]
            if chance(self._p):
                level = magnitude(self._magnitude, self._std) / MOST
                look = Look(self._resample[int(torch.randint(len(self._resample), ()))], self._fill)
                image = operation(image, level, look, self._increasing)
        return with_picture(sample, image)


class ThreeAugment:
    """One of grey, solarised from 128 on, and blurred (DeiT III, arXiv 2204.07118, section 2.3), each as often.

    Args:
        sigma: smallest and largest width of the blur, px.
    """

    def __init__(self, *, sigma: tuple[float, float]) -> None:
        self._sigma = sigma

    def __call__(self, sample: Sample) -> Sample:
        """Change the pixels of one sample."""
        pixels = np.ascontiguousarray(sample.image.permute(1, 2, 0).numpy())
        changes: tuple[Callable[[np.ndarray], np.ndarray], ...] = (_grey, _solarised, self._blurred)
        changed = changes[int(torch.randint(len(changes), ()))](pixels)
        return attrs.evolve(sample, image=tv_tensors.Image(torch.from_numpy(changed).permute(2, 0, 1)))

    def _blurred(self, pixels: np.ndarray) -> np.ndarray:
        low, high = self._sigma
        sigma = low + (high - low) * float(torch.rand(()))
        return cv2.GaussianBlur(pixels, (0, 0), sigma, borderType=cv2.BORDER_REPLICATE)


def _grey(pixels: np.ndarray) -> np.ndarray:
    return np.repeat(cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY)[..., None], 3, 2)


def _solarised(pixels: np.ndarray) -> np.ndarray:
    return np.where(pixels < 128, pixels, 255 - pixels)


def picture_of(sample: Sample) -> Picture:
    """Return the image of a sample as PIL has it."""
    return Image.fromarray(np.ascontiguousarray(sample.image.permute(1, 2, 0).numpy()))


def with_picture(sample: Sample, picture: Picture) -> Sample:
    """Return a sample with another image."""
    pixels = torch.from_numpy(np.array(picture))
    return attrs.evolve(sample, image=tv_tensors.Image(pixels.permute(2, 0, 1)))
