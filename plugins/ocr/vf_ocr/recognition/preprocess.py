"""Image rules of models that read words: one height, one width or as many as there must be, normalised."""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence
from typing import Any, ClassVar, Literal

import cv2
import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision import tv_tensors

from vf.data.sample import Sample
from vf.nn.frame import Frame, Side, refuse_other

Mode = Literal["stretch", "keep", "pad"]
STEP = 32
"""Widths that a word is padded to are multiples of this where ratios are kept, px."""
GREY = (0.299, 0.587, 0.114)
"""Weights of red, green and blue in brightness (ITU-R BT.601)."""


class WordResize(nn.Module):
    """Scale the crop of a word to ``size``, normalise.

    Args:
        size: height, and width or the most that it may get, px.
        mode: stretch to ``size`` whatever the ratio; keep the ratio as long as the width allows it; or keep it and
            pad to ``size`` on the right.
        grey: whether the network eats brightness alone.
        mean: of the channels, in 0..255.
        std: likewise.
    """

    draws_nothing: ClassVar = True
    """Nothing in ``fit`` is left to chance (`vf.data.pipeline.TrainView`)."""
    mean: Tensor
    std: Tensor

    def __init__(
        self,
        *,
        size: tuple[int, int],
        mode: Mode = "keep",
        grey: bool = False,
        mean: Sequence[float] = (127.5, 127.5, 127.5),
        std: Sequence[float] = (127.5, 127.5, 127.5),
    ) -> None:
        super().__init__()
        self.size, self.mode, self.grey = size, mode, grey
        self.channels = 1 if grey else 3
        self.pad_value = round(sum(mean) / len(mean))
        self.register_buffer("mean", torch.tensor(tuple(mean)).view(1, -1, 1, 1))
        self.register_buffer("std", torch.tensor(tuple(std)).view(1, -1, 1, 1))

    def fit(self, sample: Sample, *, with_target: bool) -> Sample:
        """Resize one uint8 sample; what is written on it stays."""
        plain = sample.image.as_subclass(Tensor)
        size = (int(plain.shape[1]), int(plain.shape[2]))
        height, width = self.goal(size)
        if (height, width) == size:
            return sample
        shrinks = size[0] >= 2 * height  # where bilinear would pass over pixels
        how = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
        # Through numpy, and without a check of what is known: a third of the time of torchvision's way.
        pixels = np.ascontiguousarray(plain.numpy().transpose(1, 2, 0))
        if self.grey:  # a third to resize
            pixels = cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY)
        resized = torch.from_numpy(cv2.resize(pixels, (width, height), interpolation=how))
        image = resized.expand(3, -1, -1) if self.grey else resized.permute(2, 0, 1)
        return Sample(image.as_subclass(tv_tensors.Image), sample.target, sample.id, sample.pad)

    def goal(self, size: tuple[int, int]) -> tuple[int, int]:
        """Return the height and width that a crop of ``size`` is resized to."""
        height, most = self.size
        if self.mode == "stretch":
            return self.size
        return height, max(1, min(most, round(size[1] * height / size[0])))

    def padded_width(self, width: int) -> int:
        """Return the width that a crop ``width`` px wide is read at, alone or beside others."""
        return self.size[1] if self.mode != "keep" else min(self.size[1], math.ceil(width / STEP) * STEP)

    def forward(self, images: Tensor, sizes: Tensor) -> Tensor:
        """Pad uint8 or float [B,3,H,W] in 0..255 to the width that the widest is read at, and normalise."""
        wide = int(images.shape[-1])
        return self.normalised(self.padded(images, max(wide, self.padded_width(wide))))

    def padded(self, images: Tensor, width: int) -> Tensor:
        """Cut or pad pixels [B,3,H,W] on the right to a width."""
        missing = width - images.shape[-1]
        return F.pad(images, (0, missing), value=self.pad_value) if missing > 0 else images[..., :width]

    def normalised(self, images: Tensor) -> Tensor:
        """Return float32 [B,1 or 3,H,W] of pixels [B,3,H,W] in 0..255."""
        pixels = images.to(self.mean.dtype)
        if self.grey:
            pixels = torch.einsum("bchw,c->bhw", pixels, pixels.new_tensor(GREY))[:, None]
        return (pixels - self.mean) / self.std

    @property
    def frame(self) -> Frame:
        """All have one height; widths are multiples of ``STEP`` where ratios are kept."""
        if self.mode != "keep":
            return Frame.one(self.size)
        height, most = self.size
        width = Side(least=min(STEP, most), most=most, step=math.gcd(STEP, most))
        return Frame(Side(least=height, most=height), width)

    def fixed(self, size: tuple[int, int]) -> WordResize:
        """Return rules for crops of one size: ratios are kept, and what is missing is padded.

        Raises:
            ConfigError: the height is another, or the width where that is the model's.
        """
        refuse_other(size, self.frame if self.mode != "keep" else Frame.one((self.size[0], size[1])))
        changed = copy.deepcopy(self)
        if self.mode == "keep":
            changed.size, changed.mode = size, "pad"
        return changed

    def described(self) -> dict[str, Any]:
        """Say what is done to a crop before it lies in a batch."""
        rule = {
            "stretch": "to the size, whatever the ratio",
            "keep": f"to the height, the ratio kept up to the width; padded on the right to a multiple of {STEP} px",
            "pad": "to the height, the ratio kept up to the width; padded on the right to the width",
        }[self.mode]
        how = {"interpolation": "bilinear, area where it shrinks to a half or less", "pad_value": self.pad_value}
        return {"resize": rule, "size": self.size, **how}
