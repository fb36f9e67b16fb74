"""Image rules of detectors that keep an image's ratio: resize by the short side, pad to a multiple of a stride."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any, Self

import attrs
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vf.data.resize import resize_sample
from vf.data.sample import Sample
from vf.nn.frame import Frame, Side, refuse_other, within

MEAN = (123.675, 116.28, 103.53)
STD = (58.395, 57.12, 57.375)
"""Of ImageNet's RGB pixels, in 0..255: what torchvision's weights were trained with."""


class KeepRatio(nn.Module):
    """Bring the short side to ``short`` px, or the long side to ``long`` px where that is less; normalise, pad with 0.

    Args:
        short: goal of the short side, px.
        long: most that the long side may get, px.
        train_short: in training, one of these in the place of ``short``, drawn anew for each sample.
        divisor: what batches are padded to a multiple of, px.
        pad: long and short side, px, that batches are padded to in training, where they fit into it: upright where
            the batch is upright, else lying. Equal shapes are what batch norm over all processes needs at several
            scales. None, and in evaluation: ``divisor`` alone.
        pad_value: what a batch is padded with before it is normalised, in 0..255; the network sees 0 there.
        mean: of each channel in the order that the network eats, in 0..255.
        std: likewise.
        bgr: whether the network eats blue, green, red.
    """

    mean: Tensor
    std: Tensor
    box: tuple[int, int] | None = None
    """Height and width of all images in evaluation, where that is asked for: see :meth:`fixed`."""

    def __init__(
        self,
        *,
        short: int = 800,
        long: int = 1333,
        train_short: Sequence[int] = (),
        divisor: int = 32,
        pad: tuple[int, int] | None = None,
        pad_value: int = 114,
        mean: Sequence[float] = MEAN,
        std: Sequence[float] = STD,
        bgr: bool = False,
    ) -> None:
        super().__init__()
        self.short, self.long, self.train_short = short, long, tuple(train_short)
        self.divisor, self.pad, self.pad_value, self.bgr = divisor, pad, pad_value, bgr
        self.register_buffer("mean", torch.tensor(mean).view(1, 3, 1, 1))
        self.register_buffer("std", torch.tensor(std).view(1, 3, 1, 1))

    def fit(self, sample: Sample, *, with_target: bool) -> Sample:
        """Resize one uint8 sample; where asked, as in training, boxes, masks and keypoints follow."""
        short = self.short
        if with_target and self.train_short:
            short = self.train_short[int(torch.randint(len(self.train_short), ()))]
        size = fitted_size(sample.size, short=short, long=self.long)
        if with_target:
            return resize_sample(sample, size)
        size = size if self.box is None else within(sample.size, self.box)
        return attrs.evolve(resize_sample(attrs.evolve(sample, target={}), size), target=sample.target, pad=self.box)

    def forward(self, images: Tensor, sizes: Tensor) -> Tensor:
        """Normalise uint8 [B,3,H,W] RGB and pad: float32 [B,3,H',W'], 0 outside of each image's ``sizes``."""
        if self.bgr:
            images = images.flip(1)
        x = (images - self.mean).div_(self.std)
        height, width = x.shape[-2:]
        inside = torch.arange(max(height, width), device=x.device) < sizes.to(x.device)[:, :, None]  # [B,2,·]
        inside_image = inside[:, 0, :height, None] & inside[:, 1, None, :width]
        x = x.masked_fill_(~inside_image[:, None], 0)
        goal = self.goal(height, width)
        return F.pad(x, (0, goal[1] - width, 0, goal[0] - height)) if goal != (height, width) else x

    def goal(self, height: int, width: int) -> tuple[int, int]:
        """Return what a batch of this size is padded to."""
        if self.box is not None and not self.training:
            return self.box
        least = (0, 0)
        if self.pad is not None and self.training:
            least = self.pad if height >= width else self.pad[::-1]
        return _multiple(max(height, least[0]), self.divisor), _multiple(max(width, least[1]), self.divisor)

    @property
    def frame(self) -> Frame:
        """Sides are multiples of the divisor."""
        side = Side(least=self.divisor, step=self.divisor)
        return Frame.one(self.box) if self.box is not None else Frame(side, side)

    def fixed(self, size: tuple[int, int]) -> Self:
        """Return rules that bring all images to one size: as large as they fit into it, padded to it.

        Raises:
            ConfigError: the size is no multiple of the divisor.
        """
        refuse_other(size, self.frame, multiple=self.divisor)
        changed = copy.deepcopy(self)
        changed.box = size
        return changed

    def described(self) -> dict[str, Any]:
        """Say what is done to an image before it lies in a batch."""
        rule: dict[str, Any] = {
            "resize": "the short side to 'short' px, or the long one to 'long' px where that is less"
        }
        rule |= {"short": self.short, "long": self.long, "multiple": self.divisor}
        if self.box is not None:
            rule = {"resize": "the largest size with the image's ratio that fits", "size": self.box}
        return {
            **rule,
            "interpolation": "bilinear",
            "antialias": False,
            "place": "top left",
            "pad_value": self.pad_value,
        }


def _multiple(side: int, divisor: int) -> int:
    return -(-side // divisor) * divisor


def fitted_size(size: tuple[int, int], *, short: int, long: int) -> tuple[int, int]:
    """Return height and width whose ratio is that of ``size``, rounded to whole px, halves up.

    The short side is ``short``, unless the long one would get above ``long``, which it is then.
    """
    low, high = min(size), max(size)
    # Whole numbers, because the quotient of two floats may be a little beside a half.
    goal, side = (short, low) if short * high <= long * low else (long, high)
    height, width = (max(1, (2 * length * goal + side) // (2 * side)) for length in size)
    return height, width
