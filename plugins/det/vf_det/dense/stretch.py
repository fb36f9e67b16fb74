"""Image rules of SSD: every image becomes a square of one size, whatever its ratio."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import attrs
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vf.data.resize import resize_sample
from vf.data.sample import Sample
from vf.errors import ConfigError
from vf.nn.frame import Frame, refuse_other


class Stretch(nn.Module):
    """Resize to a size without keeping the ratio, then normalise.

    Args:
        size: height and width that the network eats, px.
        mean: of each channel in the order that the network eats, in 0..255.
        std: likewise.
        bgr: whether the network eats blue, green, red.
        pad_value: what a batch is padded with before it is normalised, in 0..255; the network sees 0 there.
    """

    mean: Tensor
    std: Tensor

    def __init__(
        self,
        *,
        size: tuple[int, int],
        mean: Sequence[float],
        std: Sequence[float],
        bgr: bool = False,
        pad_value: int = 114,
    ) -> None:
        super().__init__()
        self.size, self.bgr, self.pad_value = size, bgr, pad_value
        self.register_buffer("mean", torch.tensor(mean).view(1, 3, 1, 1))
        self.register_buffer("std", torch.tensor(std).view(1, 3, 1, 1))

    def fit(self, sample: Sample, *, with_target: bool) -> Sample:
        """Resize one uint8 sample to ``size``; boxes, masks and keypoints follow where asked."""
        if with_target:
            return resize_sample(sample, self.size)
        return attrs.evolve(resize_sample(attrs.evolve(sample, target={}), self.size), target=sample.target)

    def forward(self, images: Tensor, sizes: Tensor) -> Tensor:
        """Normalise uint8 [B,3,H,W] RGB: float32 [B,3,*size], 0 outside of each image's ``sizes``."""
        height, width = images.shape[-2:]
        padding = (0, self.size[1] - width, 0, self.size[0] - height)
        if min(padding) < 0:
            raise ConfigError(
                f"augment: gives images of up to {height}×{width} px (height × width), more than model.size "
                f"{self.size[0]}×{self.size[1]}; make one smaller or the other larger"
            )
        if self.bgr:
            images = images.flip(1)
        x = (images - self.mean).div_(self.std)
        inside = torch.arange(max(height, width), device=x.device) < sizes.to(x.device)[:, :, None]  # [B,2,·]
        x = x.masked_fill_(~(inside[:, 0, :height, None] & inside[:, 1, None, :width])[:, None], 0)
        return F.pad(x, padding) if any(padding) else x

    @property
    def frame(self) -> Frame:
        """Images have one size."""
        return Frame.one(self.size)

    def fixed(self, size: tuple[int, int]) -> Stretch:
        """Return rules for images of one size: these; ConfigError where theirs is another."""
        refuse_other(size, self.frame)
        return self

    def described(self) -> dict[str, Any]:
        """Say what is done to an image before it lies in a batch."""
        return {
            "resize": "to the size, whatever the ratio",
            "size": self.size,
            "interpolation": "bilinear",
            "antialias": False,
        }
