"""Image rules of classifiers: resize, cut the middle, normalise."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import attrs
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision import tv_tensors
from torchvision.transforms.v2 import InterpolationMode
from torchvision.transforms.v2 import functional as TF

from vf.data.sample import Sample
from vf.nn.frame import Frame, refuse_other

MEAN = (123.675, 116.28, 103.53)
STD = (58.395, 57.12, 57.375)
"""Of ImageNet's RGB pixels, in 0..255."""


class CenterCrop(nn.Module):
    """Resize so that the short side is ``short``, cut the middle of ``size``, normalise.

    Args:
        size: height and width that the network eats, px.
        short: of the image before it is cut, for the shorter side of ``size``; None: that side, so that nothing of a
            square image is lost.
        squash: resize to ``size`` whatever the ratio, and cut nothing.
        interpolation: nearest, bilinear or bicubic; with antialiasing.
        mean: of each channel in 0..255.
        std: likewise.
        bgr: whether the network eats blue, green, red.
    """

    mean: Tensor
    std: Tensor

    def __init__(
        self,
        *,
        size: tuple[int, int],
        short: int | None = None,
        squash: bool = False,
        interpolation: str = "bilinear",
        mean: Sequence[float] = MEAN,
        std: Sequence[float] = STD,
        bgr: bool = False,
    ) -> None:
        super().__init__()
        self.size, self.short, self.squash, self.bgr = size, short or min(size), squash, bgr
        self.interpolation = InterpolationMode(interpolation)
        self.pad_value = round(sum(mean) / len(mean))
        self.register_buffer("mean", torch.tensor(tuple(mean), dtype=torch.float32).view(1, 3, 1, 1))
        self.register_buffer("std", torch.tensor(tuple(std), dtype=torch.float32).view(1, 3, 1, 1))

    def fit(self, sample: Sample, *, with_target: bool) -> Sample:
        """Resize and cut one uint8 sample; its labels hold for what is left."""
        image: Tensor = sample.image
        goal = self.resized(sample.size)
        if goal != sample.size:
            image = TF.resize(image, list(goal), interpolation=self.interpolation, antialias=True)
        if goal != self.size:
            image = TF.center_crop(image, list(self.size))
        return attrs.evolve(sample, image=tv_tensors.Image(image))

    def resized(self, size: tuple[int, int]) -> tuple[int, int]:
        """Return height and width to which an image of ``size`` is resized before it is cut."""
        if self.squash:
            return self.size
        goal = tuple(side * self.short // min(self.size) for side in self.size)
        # Whole numbers, as torchvision rounds: the quotient of two floats may be a little below a whole number.
        if goal[0] * size[1] >= goal[1] * size[0]:
            return goal[0], size[1] * goal[0] // size[0]
        return size[0] * goal[1] // size[1], goal[1]

    def seen(self, size: tuple[int, int]) -> tuple[float, float, float, float]:
        """Return top, left, height and width, in px of an image of ``size``, of what the network sees of it."""
        goal = self.resized(size)
        scale = size[0] / goal[0], size[1] / goal[1]
        top, left = (round((whole - part) / 2) for whole, part in zip(goal, self.size, strict=True))
        return top * scale[0], left * scale[1], self.size[0] * scale[0], self.size[1] * scale[1]

    def spread(self, heat: Tensor, size: tuple[int, int]) -> Tensor:
        """Lay a map [H,W] of what the network sees over an image of ``size``: [*size], 0 where it sees nothing."""
        top, left, height, width = self.seen(size)
        y0, x0 = round(top), round(left)
        y1, x1 = min(size[0], round(top + height)), min(size[1], round(left + width))
        whole = heat.new_zeros(size)
        inside = (max(1, y1 - y0), max(1, x1 - x0))
        whole[y0:y1, x0:x1] = F.interpolate(heat[None, None], inside, mode="bilinear", align_corners=False)[0, 0]
        return whole

    def scaled(self, factor: float) -> CenterCrop:
        """Return rules that give images ``factor`` times as large, of the same part."""
        return CenterCrop(
            size=(round(self.size[0] * factor), round(self.size[1] * factor)),
            short=round(self.short * factor),
            squash=self.squash,
            interpolation=self.interpolation.value,
            mean=self.mean.flatten().tolist(),
            std=self.std.flatten().tolist(),
            bgr=self.bgr,
        ).to(self.mean.device)

    def forward(self, images: Tensor, sizes: Tensor) -> Tensor:
        """Normalise uint8 or, where images were mixed, float [B,3,H,W] in 0..255: float32 [B,3,H,W]."""
        if self.bgr:
            images = images.flip(1)
        return (images - self.mean).div_(self.std)

    @property
    def frame(self) -> Frame:
        """Images have one size."""
        return Frame.one(self.size)

    def fixed(self, size: tuple[int, int]) -> CenterCrop:
        """Return rules for images of one size: these; ConfigError where theirs is another."""
        refuse_other(size, self.frame)
        return self

    def described(self) -> dict[str, Any]:
        """Say what is done to an image before it lies in a batch."""
        how: dict[str, Any] = {"size": self.size, "interpolation": self.interpolation.value, "antialias": True}
        if self.squash:
            return {"resize": "to the size, whatever the ratio", **how}
        return {
            "resize": "until the image covers the size times 'short' by its shorter side; its middle is cut out",
            "short": self.short,
            **how,
        }
