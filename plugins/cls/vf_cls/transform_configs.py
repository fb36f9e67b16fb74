"""Config classes of transforms. Free of torch until ``build()``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import attrs

import vf

__all__ = [
    "AugMix",
    "AutoAugment",
    "Lighting",
    "RandAugment",
    "RandomErasing",
    "ResizeShort",
    "ThreeAugment",
    "TrivialAugment",
]

OPERATIONS = (
    *("autocontrast", "equalize", "invert", "rotate", "posterize", "solarize", "solarize_add", "color", "contrast"),
    *("brightness", "sharpness", "shear_x", "shear_y", "translate_x", "translate_y"),
)
"""Of `vf_cls.transforms.operations`, in its order."""

MEAN, STD = (123.675, 116.28, 103.53), (58.395, 57.12, 57.375)
"""Of ImageNet's RGB pixels, in 0..255."""


def _known(instance: Any, attribute: attrs.Attribute[Any], value: Any) -> None:
    from vf.errors import did_you_mean

    if isinstance(value, str) or not value:
        raise ValueError(f"must be a list of operations, got {value!r}")
    for name in value:
        if name not in OPERATIONS:
            raise ValueError(
                f"unknown operation {name!r}{did_you_mean(name, OPERATIONS)}; known: {', '.join(OPERATIONS)}"
            )


def _std(instance: Any, attribute: attrs.Attribute[Any], value: float) -> None:
    if not value >= 0:
        raise ValueError(f"must be >= 0, or .inf, got {value!r}")


def _fill() -> Any:
    return vf.field(
        default=(124, 116, 104),
        help="colour of what comes in from outside, RGB 0..255",
        validator=vf.each(vf.within(0, 255), length=3),
    )


def _of_torchvision(name: str, **keys: Any) -> Callable[..., Any]:
    """Build a transform of torchvision that is handed the image alone."""
    from torchvision.transforms import v2

    transform: Callable[..., Any] = getattr(v2, name)(**keys)
    transform.image_only = True  # type: ignore[attr-defined]
    return transform


def _mode(name: str) -> Any:
    from torchvision.transforms.v2 import InterpolationMode

    return InterpolationMode(name)


def _interpolation() -> Any:
    return vf.field(default="bilinear", help="how pixels are read between pixels")


@vf.config
class RandAugment:
    """Operations drawn at random at one magnitude (arXiv 1909.13719), in timm's form.

    timm's ``rand-m7-mstd0.5-inc1`` is ``magnitude: 7, std: 0.5``, these defaults else; without ``inc1``,
    ``increasing: false``.
    """

    num: int = vf.field(default=2, help="operations on an image", validator=vf.positive())
    magnitude: float = vf.field(default=9.0, help="how strong, 0..10", validator=vf.within(0, 10))
    std: float = vf.field(
        default=0.5, help="of the magnitude of each operation; .inf: uniform from 0 to magnitude", validator=_std
    )
    increasing: bool = vf.field(default=True, help="a larger magnitude changes more in every operation")
    p: float = vf.field(default=0.5, help="probability of each operation", validator=vf.within(0, 1))
    interpolation: Literal["bilinear", "bicubic", "random"] = vf.field(
        default="random", help="how pixels are read between pixels; random: either, drawn for each operation"
    )
    fill: tuple[int, int, int] = _fill()
    operations: tuple[str, ...] = vf.field(default=OPERATIONS, help="names to choose from", validator=_known)

    def build(self) -> Callable[..., Any]:
        """Build the transform."""
        from vf_cls.transforms.rand_augment import RandAugment

        return RandAugment(
            num=self.num,
            magnitude=self.magnitude,
            std=self.std,
            increasing=self.increasing,
            p=self.p,
            interpolation=self.interpolation,
            fill=self.fill,
            operations=self.operations,
        )


@vf.config
class AutoAugment:
    """Pairs of operations that were searched for a data set (arXiv 1805.09501), as torchvision has them."""

    policy: Literal["imagenet", "cifar10", "svhn"] = vf.field(default="imagenet", help="whose pairs")
    interpolation: Literal["nearest", "bilinear"] = _interpolation()
    fill: tuple[int, int, int] = _fill()

    def build(self) -> Callable[..., Any]:
        """Build the transform."""
        from torchvision.transforms.v2 import AutoAugmentPolicy

        policy = AutoAugmentPolicy(self.policy)
        return _of_torchvision(
            "AutoAugment", policy=policy, interpolation=_mode(self.interpolation), fill=list(self.fill)
        )


@vf.config
class TrivialAugment:
    """One operation at a random strength (TrivialAugment wide, arXiv 2103.10158), as torchvision has it."""

    interpolation: Literal["nearest", "bilinear"] = _interpolation()
    fill: tuple[int, int, int] = _fill()

    def build(self) -> Callable[..., Any]:
        """Build the transform."""
        return _of_torchvision("TrivialAugmentWide", interpolation=_mode(self.interpolation), fill=list(self.fill))


@vf.config
class AugMix:
    """The weighted mean of chains of operations and the image (arXiv 1912.02781), as torchvision has it."""

    severity: int = vf.field(default=3, help="how strong, 1..10", validator=vf.within(1, 10))
    width: int = vf.field(default=3, help="chains that are mixed", validator=vf.positive())
    depth: int = vf.field(default=-1, help="operations of a chain; -1: one to three, drawn", validator=vf.at_least(-1))
    alpha: float = vf.field(default=1.0, help="of the draw of the weights", validator=vf.positive())
    all_operations: bool = vf.field(
        default=True, help="also brightness, contrast, colour and sharpness, which ImageNet-C's corruptions are like"
    )
    interpolation: Literal["nearest", "bilinear"] = _interpolation()
    fill: tuple[int, int, int] = _fill()

    def build(self) -> Callable[..., Any]:
        """Build the transform."""
        return _of_torchvision(
            "AugMix",
            severity=self.severity,
            mixture_width=self.width,
            chain_depth=self.depth,
            alpha=self.alpha,
            all_ops=self.all_operations,
            interpolation=_mode(self.interpolation),
            fill=list(self.fill),
        )


@vf.config
class ThreeAugment:
    """Grey, solarised or blurred, one of the three (DeiT III, arXiv 2204.07118); color_jitter of 0.3 goes with it."""

    sigma: tuple[float, float] = vf.field(
        default=(0.1, 2.0), help="smallest and largest width of the blur", unit="px", validator=vf.each(vf.positive())
    )

    def __attrs_post_init__(self) -> None:
        if self.sigma[0] > self.sigma[1]:
            raise ValueError(f"sigma: the first must not be larger than the second, got {list(self.sigma)}")

    def build(self) -> Callable[..., Any]:
        """Build the transform."""
        from vf_cls.transforms.rand_augment import ThreeAugment

        return ThreeAugment(sigma=self.sigma)


@vf.config
class Lighting:
    """AlexNet's change of light along the main colours of ImageNet (Krizhevsky et al. 2012)."""

    std: float = vf.field(default=0.1, help="of the draw along each direction", validator=vf.at_least(0))

    def build(self) -> Callable[..., Any]:
        """Build the transform."""
        from vf_cls.transforms.noise import Lighting

        return Lighting(std=self.std)


@vf.config
class RandomErasing:
    """Rectangles of noise or of the mean, as timm has them (arXiv 1708.04896); core's erasing is of one grey."""

    p: float = vf.field(default=0.25, help="probability", validator=vf.within(0, 1))
    area: tuple[float, float] = vf.field(
        default=(0.02, 1 / 3), help="smallest and largest part of the image's area", validator=vf.each(vf.within(0, 1))
    )
    ratio: float = vf.field(
        default=0.3, help="smallest height / width; the largest is 1 / ratio", validator=vf.within(0.01, 1)
    )
    count: tuple[int, int] = vf.field(
        default=(1, 1), help="fewest and most rectangles; they share the area", validator=vf.each(vf.positive())
    )
    mode: Literal["mean", "colour", "pixel"] = vf.field(
        default="pixel",
        help="what is painted: the mean, one drawn colour, or each pixel drawn; timm's const, rand, pixel",
    )
    mean: tuple[float, float, float] = vf.field(default=MEAN, help="of the channels, RGB 0..255")
    std: tuple[float, float, float] = vf.field(
        default=STD, help="of the channels: what is drawn is normal", validator=vf.each(vf.positive())
    )

    def __attrs_post_init__(self) -> None:
        for name in ("area", "count"):
            low, high = getattr(self, name)
            if low > high:
                raise ValueError(f"{name}: the first must not be larger than the second, got {[low, high]}")

    def build(self) -> Callable[..., Any]:
        """Build the transform."""
        from vf_cls.transforms.noise import RandomErasing

        return RandomErasing(
            p=self.p,
            area=self.area,
            ratio=self.ratio,
            count=self.count,
            mode=self.mode,
            mean=self.mean,
            std=self.std,
        )


@vf.config
class ResizeShort:
    """Resize so that the short side has one length, with the ratio kept; for a crop after it. Sets the size."""

    short: int = vf.field(help="length of the short side", unit="px", validator=vf.positive())
    interpolation: Literal["bilinear", "bicubic"] = _interpolation()
    antialias: bool = vf.field(default=True, help="a pixel is the mean of all that it covers, as PIL does it")

    def build(self) -> Callable[..., Any]:
        """Build the transform."""
        transform: Any = _of_torchvision(
            "Resize", size=self.short, interpolation=_mode(self.interpolation), antialias=self.antialias
        )
        transform.sets_size = True
        return transform  # type: ignore[no-any-return]
