"""Image rules that belong to a model: how it resizes, pads and normalises, wherever an image comes from."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import attrs
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision import tv_tensors
from torchvision.transforms.v2 import functional as TF

from vf.data.resize import resize_masks
from vf.data.sample import Sample
from vf.errors import ConfigError
from vf.nn.frame import Frame, refuse_other, within


class Letterbox(nn.Module):
    """Scale an image to fit ``size`` with its ratio kept, lay it at the top left, pad the rest, normalise.

    Args:
        size: height and width that the network eats, in pixels.
        pad_value: grey level of the padding, 0..255.
        mean: of each channel in the order that the network eats, in 0..255.
        std: likewise.
        bgr: whether the network eats blue, green, red.
    """

    mean: Tensor
    std: Tensor
    train_size: tuple[int, int] | None = None
    """Height and width that batches are resized to in training mode; None: ``size``. Set between steps by who
    trains (see `vf.engine.multi_scale`); never saved, and without effect in evaluation mode."""

    def __init__(
        self,
        *,
        size: tuple[int, int],
        pad_value: int = 114,
        mean: Sequence[float] = (0.0, 0.0, 0.0),
        std: Sequence[float] = (1.0, 1.0, 1.0),
        bgr: bool = False,
    ) -> None:
        super().__init__()
        self.size = size
        self.pad_value = pad_value
        self.bgr = bgr
        self.identity = tuple(mean) == (0.0, 0.0, 0.0) and tuple(std) == (1.0, 1.0, 1.0)
        self.register_buffer("mean", torch.tensor(mean).view(1, 3, 1, 1))
        self.register_buffer("std", torch.tensor(std).view(1, 3, 1, 1))

    def fit(self, sample: Sample, *, with_target: bool) -> Sample:
        """Resize one uint8 sample so that it fits ``size``; boxes and masks follow where asked."""
        goal = within(sample.size, self.size)
        if goal == sample.size:
            return sample
        size = list(goal)
        image = tv_tensors.Image(TF.resize(sample.image, size, antialias=False))
        target = {k: _resized(v, size) for k, v in sample.target.items()} if with_target else sample.target
        return attrs.evolve(sample, image=image, target=target)

    def forward(self, images: Tensor, sizes: Tensor) -> Tensor:
        """Pad uint8 [B,3,H,W] RGB to ``size`` and normalise: float32 [B,3,*size], in training [B,3,*train_size]."""
        height, width = images.shape[-2:]
        if self.bgr:
            images = images.flip(1)
        padding = (0, self.size[1] - width, 0, self.size[0] - height)
        if min(padding) < 0:  # padding by less than nothing would cut
            raise ConfigError(
                f"augment: gives images of up to {height}×{width} px (height × width), more than model.size "
                f"{self.size[0]}×{self.size[1]}; make one smaller or the other larger"
            )
        if any(padding):
            images = F.pad(images, padding, value=self.pad_value)
        x = images.to(self.mean.dtype)
        x = x if self.identity else (x - self.mean) / self.std
        goal = self._goal()
        return x if goal == self.size else F.interpolate(x, size=goal, mode="bilinear")

    @property
    def frame(self) -> Frame:
        """Images have one size."""
        return Frame.one(self.size)

    def fixed(self, size: tuple[int, int]) -> Letterbox:
        """Return rules for images of one size: these; ConfigError where theirs is another."""
        refuse_other(size, self.frame)
        return self

    def described(self) -> dict[str, Any]:
        """Say what is done to an image before it lies in a batch."""
        how = {"interpolation": "bilinear", "antialias": False, "place": "top left", "pad_value": self.pad_value}
        return {"resize": "the largest size with the image's ratio that fits", "size": self.size, **how}

    def scaled_boxes(self, boxes: Tensor) -> Tensor:
        """Scale boxes [N,4] XYXY from pixels of ``size`` to pixels of what :meth:`forward` gives in this mode."""
        goal = self._goal()
        if goal == self.size:
            return boxes
        y, x = goal[0] / self.size[0], goal[1] / self.size[1]
        return boxes * boxes.new_tensor([x, y, x, y])

    def _goal(self) -> tuple[int, int]:
        return self.train_size if self.training and self.train_size is not None else self.size


def _resized(value: object, size: list[int]) -> object:
    if isinstance(value, tv_tensors.Mask) and value.ndim == 3:
        return tv_tensors.Mask(resize_masks(value, (size[0], size[1])))
    if isinstance(value, tv_tensors.BoundingBoxes | tv_tensors.Mask | tv_tensors.KeyPoints):
        return TF.resize(value, size)
    return value
