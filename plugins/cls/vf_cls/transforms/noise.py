"""Light drawn along the colours of ImageNet, and rectangles of noise."""

from __future__ import annotations

import math
from typing import Literal

import attrs
import torch
from torch import Tensor
from torchvision import tv_tensors

from vf.data.sample import Sample

EIGENVALUES = (55.4625, 4.7940, 1.1475)
EIGENVECTORS = ((-0.5675, 0.7192, 0.4009), (-0.5808, -0.0045, -0.8140), (-0.5836, -0.6948, 0.4203))
"""Of the RGB values of ImageNet's pixels, in 0..255, a row a channel (Krizhevsky et al. 2012, section 4.1; numbers as
fb.resnet.torch published them)."""
ATTEMPTS = 10


class Lighting:
    """Add to all pixels one draw along the main directions of colour.

    Args:
        std: of the draw along each direction, in its eigenvalue.
    """

    def __init__(self, *, std: float) -> None:
        self._std = std
        self._directions = torch.tensor(EIGENVECTORS) * torch.tensor(EIGENVALUES)

    def __call__(self, sample: Sample) -> Sample:
        """Change the pixels of one sample."""
        added = self._directions @ (torch.randn(3) * self._std)
        pixels = sample.image.as_subclass(Tensor) + added[:, None, None]
        return attrs.evolve(sample, image=tv_tensors.Image(pixels.round_().clamp_(0, 255).to(torch.uint8)))


class RandomErasing:
    """Paint rectangles over the image (arXiv 1708.04896), as timm does it, on pixels before they are normalised.

    Args:
        p: probability.
        area: smallest and largest part of the image that all rectangles cover together.
        ratio: smallest height / width; the largest is its inverse, and their logarithm is drawn.
        count: fewest and most rectangles.
        mode: ``mean``: of one colour, the mean; ``colour``: each of one drawn colour; ``pixel``: each pixel drawn.
        mean: of the channels, 0..255.
        std: of the channels: what is drawn is normal around the mean.
    """

    def __init__(
        self,
        *,
        p: float,
        area: tuple[float, float],
        ratio: float,
        count: tuple[int, int],
        mode: Literal["mean", "colour", "pixel"],
        mean: tuple[float, float, float],
        std: tuple[float, float, float],
    ) -> None:
        self._p, self._area, self._ratio, self._count, self._mode = p, area, math.log(ratio), count, mode
        self._mean, self._std = torch.tensor(mean)[:, None, None], torch.tensor(std)[:, None, None]

    def __call__(self, sample: Sample) -> Sample:
        """Change the pixels of one sample."""
        if float(torch.rand(())) >= self._p:
            return sample
        image = sample.image.as_subclass(Tensor).clone()
        fewest, most = self._count
        count = int(torch.randint(fewest, most + 1, ()))
        for _ in range(count):
            self._erase(image, count)
        return attrs.evolve(sample, image=tv_tensors.Image(image))

    def _erase(self, image: Tensor, count: int) -> None:
        """Paint one rectangle; none where ten draws do not fit."""
        height, width = image.shape[-2:]
        for _ in range(ATTEMPTS):
            part, turn = torch.rand(2).tolist()
            area = (self._area[0] + part * (self._area[1] - self._area[0])) * height * width / count
            ratio = math.exp(self._ratio * (1 - 2 * turn))
            h, w = round(math.sqrt(area * ratio)), round(math.sqrt(area / ratio))
            if h < height and w < width:
                top, left = int(torch.randint(height - h + 1, ())), int(torch.randint(width - w + 1, ()))
                image[:, top : top + h, left : left + w] = self._paint(h, w)
                return

    def _paint(self, height: int, width: int) -> Tensor:
        shape = {"mean": None, "colour": (3, 1, 1), "pixel": (3, height, width)}[self._mode]
        drawn = self._mean if shape is None else self._mean + self._std * torch.randn(shape)
        return drawn.round().clamp(0, 255).to(torch.uint8)
