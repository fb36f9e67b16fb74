"""Config classes of torchvision's transforms v2 that change pixels and leave every label where it is."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from vf.schema import at_least, config, each, field, positive, within


def _pixels(name: str, **keys: Any) -> Callable[..., Any]:
    """Build a transform of torchvision by its name; it is handed the image alone."""
    from torchvision.transforms import v2

    transform: Callable[..., Any] = getattr(v2, name)(**keys)
    transform.image_only = True  # type: ignore[attr-defined]
    return transform


def _ordered(name: str, value: tuple[float, float]) -> None:
    if value[0] > value[1]:
        raise ValueError(f"{name}: the first must not be larger than the second, got {list(value)}")


def _probability(default: float = 0.5) -> Any:
    return field(default=default, help="probability", validator=within(0, 1))


def _range(low: float, high: float, what: str) -> Any:
    return field(default=(low, high), help=f"smallest and largest {what}", validator=each(at_least(0)))


@config
class ColorJitter:
    """Change brightness, contrast, saturation and hue by random factors."""

    brightness: float = field(default=0.0, help="largest change of the factor 1", validator=at_least(0))
    contrast: float = field(default=0.0, help="largest change of the factor 1", validator=at_least(0))
    saturation: float = field(default=0.0, help="largest change of the factor 1", validator=at_least(0))
    hue: float = field(default=0.0, help="largest turn, as a part of the circle", validator=within(0, 0.5))

    def build(self) -> Callable[..., Any]:
        return _pixels(
            "ColorJitter",
            brightness=self.brightness,
            contrast=self.contrast,
            saturation=self.saturation,
            hue=self.hue,
        )


@config
class PhotometricDistort:
    """SSD's brightness, contrast, saturation, hue and channel order as torchvision has it; each with probability p."""

    brightness: tuple[float, float] = _range(0.875, 1.125, "factor")
    contrast: tuple[float, float] = _range(0.5, 1.5, "factor")
    saturation: tuple[float, float] = _range(0.5, 1.5, "factor")
    hue: tuple[float, float] = field(
        default=(-0.05, 0.05), help="least and largest turn, as a part of the circle", validator=each(within(-0.5, 0.5))
    )
    p: float = _probability()

    def __attrs_post_init__(self) -> None:
        for name in ("brightness", "contrast", "saturation", "hue"):
            _ordered(name, getattr(self, name))

    def build(self) -> Callable[..., Any]:
        return _pixels(
            "RandomPhotometricDistort",
            brightness=self.brightness,
            contrast=self.contrast,
            saturation=self.saturation,
            hue=self.hue,
            p=self.p,
        )


@config
class Grayscale:
    """Take the colours away; the image keeps three channels."""

    p: float = _probability(0.1)

    def build(self) -> Callable[..., Any]:
        return _pixels("RandomGrayscale", p=self.p)


@config
class GaussianBlur:
    """Blur with a Gaussian of a random width."""

    kernel: int = field(default=5, help="side of the kernel, odd", unit="px", validator=positive())
    sigma: tuple[float, float] = field(
        default=(0.1, 2.0), help="smallest and largest width", unit="px", validator=each(positive())
    )

    def __attrs_post_init__(self) -> None:
        if self.kernel % 2 == 0:
            raise ValueError(f"kernel: must be odd, got {self.kernel}")
        _ordered("sigma", self.sigma)

    def build(self) -> Callable[..., Any]:
        return _pixels("GaussianBlur", kernel_size=self.kernel, sigma=self.sigma)


@config
class GaussianNoise:
    """Add noise to every channel of every pixel."""

    sigma: float = field(default=0.1, help="standard deviation, as a part of the range", validator=within(0, 1))

    def build(self) -> Callable[..., Any]:
        return _pixels("GaussianNoise", sigma=self.sigma)


@config
class Solarize:
    """Invert the pixels from a value on."""

    threshold: int = field(default=128, help="value from which on, 0..255", validator=within(0, 255))
    p: float = _probability()

    def build(self) -> Callable[..., Any]:
        return _pixels("RandomSolarize", threshold=self.threshold, p=self.p)


@config
class Posterize:
    """Keep only the highest bits of each value."""

    bits: int = field(default=4, help="that are kept", validator=within(1, 8))
    p: float = _probability()

    def build(self) -> Callable[..., Any]:
        return _pixels("RandomPosterize", bits=self.bits, p=self.p)


@config
class Equalize:
    """Make the histogram of each channel flat."""

    p: float = _probability()

    def build(self) -> Callable[..., Any]:
        return _pixels("RandomEqualize", p=self.p)


@config
class Autocontrast:
    """Stretch each channel to the whole range."""

    p: float = _probability()

    def build(self) -> Callable[..., Any]:
        return _pixels("RandomAutocontrast", p=self.p)


@config
class AdjustSharpness:
    """Sharpen, or blur."""

    factor: float = field(default=2.0, help="0: blurred, 1: as it is, 2: sharper", validator=at_least(0))
    p: float = _probability()

    def build(self) -> Callable[..., Any]:
        return _pixels("RandomAdjustSharpness", sharpness_factor=self.factor, p=self.p)


@config
class Invert:
    """Turn every value v into 255 - v."""

    p: float = _probability()

    def build(self) -> Callable[..., Any]:
        return _pixels("RandomInvert", p=self.p)


@config
class ChannelPermutation:
    """Shuffle red, green and blue, every time; put it into random_apply for less."""

    def build(self) -> Callable[..., Any]:
        return _pixels("RandomChannelPermutation")


@config
class Erasing:
    """Paint one rectangle in one grey (arXiv 1708.04896); what it hides stays labelled."""

    scale: tuple[float, float] = field(
        default=(0.02, 0.33), help="smallest and largest part of the image's area", validator=each(within(0, 1))
    )
    ratio: tuple[float, float] = field(
        default=(0.3, 3.3), help="smallest and largest height / width", validator=each(positive())
    )
    value: int = field(default=114, help="grey level, 0..255", validator=within(0, 255))
    p: float = _probability()

    def __attrs_post_init__(self) -> None:
        _ordered("scale", self.scale)
        _ordered("ratio", self.ratio)

    def build(self) -> Callable[..., Any]:
        return _pixels("RandomErasing", scale=self.scale, ratio=self.ratio, value=self.value, p=self.p)
