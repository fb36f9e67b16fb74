"""Config classes of what mixes the images of a batch on the device. Free of torch until ``build()``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import vf
from vf.errors import ConfigError
from vf.protocols import TransformConfig

__all__ = ["BatchMix", "CutMix", "Mixup", "ResizeMix"]


def _probability() -> Any:
    return vf.field(default=1.0, help="probability of a batch to be mixed", validator=vf.within(0, 1))


def _alpha(default: float) -> Any:
    return vf.field(
        default=default,
        help="the share of an image is drawn from Beta(alpha, alpha): small, and most are nearly whole; 1: alike",
        validator=vf.positive(),
    )


@vf.config
class Mixup:
    """The weighted mean of two images and of their labels (arXiv 1710.09412); on the device, off in the final phase."""

    alpha: float = _alpha(0.2)
    p: float = _probability()

    def build(self) -> Callable[..., Any]:
        """Build the transform of batches."""
        from vf_cls.mixing import Mixup

        return Mixup(alpha=self.alpha, p=self.p)


@vf.config
class CutMix:
    """A rectangle of another image, and labels by area (arXiv 1905.04899); on the device, off in the final phase."""

    alpha: float = _alpha(1.0)
    p: float = _probability()

    def build(self) -> Callable[..., Any]:
        """Build the transform of batches."""
        from vf_cls.mixing import CutMix

        return CutMix(alpha=self.alpha, p=self.p)


@vf.config
class ResizeMix:
    """Another image, made small and laid upon, and labels by area (arXiv 2012.11101); on the device."""

    scale: tuple[float, float] = vf.field(
        default=(0.1, 0.8), help="smallest and largest part of each side", validator=vf.each(vf.within(0, 1), length=2)
    )
    p: float = _probability()

    def __attrs_post_init__(self) -> None:
        if self.scale[0] > self.scale[1]:
            raise ValueError(f"scale: the first must not be larger than the second, got {list(self.scale)}")

    def build(self) -> Callable[..., Any]:
        """Build the transform of batches."""
        from vf_cls.mixing import ResizeMix

        return ResizeMix(scale=self.scale, p=self.p)


@vf.config
class BatchMix:
    """One of several ways to mix, drawn for each batch: mixup, cutmix, resize_mix or a plugin's own."""

    choices: tuple[TransformConfig, ...] = vf.field(help="transforms of batches, as [{name: mixup}, {name: cutmix}]")
    weights: tuple[float, ...] | None = vf.field(
        default=None,
        help="how often each is drawn, relative to the others; nothing: alike",
        validator=vf.each(vf.positive()),
    )
    p: float = _probability()

    def __attrs_post_init__(self) -> None:
        if not self.choices:
            raise ValueError("choices: is an empty list; expected at least one way to mix")
        if self.weights is not None and len(self.weights) != len(self.choices):
            raise ValueError(f"weights: {len(self.weights)} of them for {len(self.choices)} choices")

    def build(self) -> Callable[..., Any]:
        """Build the transform of batches."""
        from vf_cls.mixing import BatchMix

        built = [choice.build() for choice in self.choices]
        for config, one in zip(self.choices, built, strict=True):
            if not getattr(one, "batches", False):
                raise ConfigError(
                    f"augment: batch_mix: {type(config).__name__.lower()} changes single images; put it "
                    "beside batch_mix"
                )
        return BatchMix(built, weights=self.weights or (1.0,) * len(built), p=self.p)
