"""Mixing of images on the device, a batch at a time: ``(batch, rng) -> batch``.

The targets of a mixed batch say ``mix_with``, the place in the batch of each image's other one, and ``mix_share``, what
is left of its own labels.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import ClassVar, Literal, Protocol

import attrs
import numpy as np
import torch
from torch import Generator, Tensor
from torch.nn import functional as F

from vf.data.sample import Batch
from vf.errors import ConfigError


class Mix(Protocol):
    """What batches are mixed with."""

    batches: ClassVar[Literal[True]]

    def __call__(self, batch: Batch, rng: Generator) -> Batch: ...


class Mixing:
    """What all of them share: how often, which images, and what the labels become.

    Args:
        p: probability of a batch to be mixed.
    """

    batches: ClassVar[Literal[True]] = True

    def __init__(self, *, p: float = 1.0) -> None:
        self._p = p

    def __call__(self, batch: Batch, rng: Generator) -> Batch:
        """Mix a batch with its own images in another order; all chance comes from ``rng``."""
        if "mix_with" in batch.targets:
            raise ConfigError(
                "augment: two transforms mix the same batch; put them into one batch_mix, which takes one of them"
            )
        if float(torch.rand((), generator=rng)) >= self._p:
            return batch
        order = torch.randperm(len(batch), generator=rng).to(batch.images.device)
        images, share = self.mixed(batch.images, order, rng)
        shares = torch.full((len(batch),), share, device=images.device)
        return attrs.evolve(batch, images=images, targets={**batch.targets, "mix_with": order, "mix_share": shares})

    def mixed(self, images: Tensor, order: Tensor, rng: Generator) -> tuple[Tensor, float]:
        """Return the mixed images, and the share of their own labels."""
        raise NotImplementedError


def beta(alpha: float, rng: Generator) -> float:
    """Draw from Beta(alpha, alpha)."""
    seed = int(torch.randint(2**62, (), generator=rng))
    return float(np.random.default_rng(seed).beta(alpha, alpha))


class Mixup(Mixing):
    """The weighted mean of two images."""

    def __init__(self, *, alpha: float = 0.2, p: float = 1.0) -> None:
        super().__init__(p=p)
        self._alpha = alpha

    def mixed(self, images: Tensor, order: Tensor, rng: Generator) -> tuple[Tensor, float]:
        share = beta(self._alpha, rng)
        own = images.float()
        return torch.lerp(own[order], own, share), share


class CutMix(Mixing):
    """A rectangle of the other image in its place; the middle is uniform, and what lies outside is cut off."""

    def __init__(self, *, alpha: float = 1.0, p: float = 1.0) -> None:
        super().__init__(p=p)
        self._alpha = alpha

    def mixed(self, images: Tensor, order: Tensor, rng: Generator) -> tuple[Tensor, float]:
        height, width = images.shape[-2:]
        side = (1 - beta(self._alpha, rng)) ** 0.5
        (top, bottom), (left, right) = (_around(length, side, rng) for length in (height, width))
        mixed = images.clone()
        mixed[:, :, top:bottom, left:right] = images[order, :, top:bottom, left:right]
        return mixed, 1 - (bottom - top) * (right - left) / (height * width)


def _around(length: int, part: float, rng: Generator) -> tuple[int, int]:
    """Return start and end of a piece around a place that is drawn."""
    middle, half = int(torch.randint(length, (), generator=rng)), int(length * part) // 2
    return max(0, middle - half), min(length, middle + half)


class ResizeMix(Mixing):
    """The whole of the other image, made small, laid somewhere on the image."""

    def __init__(self, *, scale: tuple[float, float] = (0.1, 0.8), p: float = 1.0) -> None:
        super().__init__(p=p)
        self._scale = scale

    def mixed(self, images: Tensor, order: Tensor, rng: Generator) -> tuple[Tensor, float]:
        height, width = images.shape[-2:]
        low, high = self._scale
        part = low + (high - low) * float(torch.rand((), generator=rng))
        size = max(1, round(height * part)), max(1, round(width * part))
        top, left = (
            int(torch.randint(whole - own + 1, (), generator=rng))
            for whole, own in zip((height, width), size, strict=True)
        )
        small = F.interpolate(images[order].float(), size, mode="bilinear", antialias=True)
        mixed = images.clone()
        mixed[:, :, top : top + size[0], left : left + size[1]] = (
            small if images.is_floating_point() else small.round_().clamp_(0, 255).to(images.dtype)
        )
        return mixed, 1 - size[0] * size[1] / (height * width)


class BatchMix:
    """One of several, drawn for each batch.

    Args:
        choices: what is drawn from.
        weights: how often each is drawn, relative to the others.
        p: probability of a batch to be mixed at all.
    """

    batches: ClassVar[Literal[True]] = True

    def __init__(self, choices: Sequence[Callable[[Batch, Generator], Batch]], *, weights: Sequence[float], p: float):
        self._choices, self._weights, self._p = tuple(choices), torch.tensor(weights, dtype=torch.float32), p

    def __call__(self, batch: Batch, rng: Generator) -> Batch:
        """Draw one, and mix with it."""
        if float(torch.rand((), generator=rng)) >= self._p:
            return batch
        return self._choices[int(torch.multinomial(self._weights, 1, generator=rng))](batch, rng)
