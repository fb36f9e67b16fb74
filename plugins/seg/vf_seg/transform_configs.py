"""Config classes of the transforms that torchvision has not. Free of torch and numpy until ``build()``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import vf

__all__ = [
    "Clahe",
    "Cutout",
    "Gamma",
    "Mosaic",
    "PhotometricDistortion",
    "RandomCrop",
    "RandomScale",
    "RandomScaleCrop",
    "ResizeToMultiple",
]


def _probability(default: float = 0.5) -> Any:
    return vf.field(default=default, help="probability", validator=vf.within(0, 1))


def _factors(default: tuple[float, float] = (0.5, 1.5), help_: str = "smallest and largest factor") -> Any:
    return vf.field(default=default, help=help_, validator=vf.each(vf.positive(), length=2))


def _size(help_: str = "height and width of the result") -> Any:
    return vf.field(help=help_, unit="px", validator=vf.each(vf.positive(), length=2))


def _scale() -> Any:
    return vf.field(
        default=(2048, 1024),
        help="long and short side that a factor of 1 fits the image into",
        unit="px",
        validator=vf.each(vf.positive(), length=2),
    )


def _most() -> Any:
    return vf.field(
        default=0.75,
        help="a part is drawn again, up to ten times, where one class has so much of what is not ignored; 1: never",
        validator=vf.within(0.01, 1),
    )


def _ordered(name: str, value: tuple[float, float]) -> None:
    if value[0] > value[1]:
        raise ValueError(f"{name}: the first must not be larger than the second, got {list(value)}")


@vf.config
class RandomScale:
    """Fit into a scale times a random factor, with the ratio kept; replaces the model's own resize."""

    scale: tuple[int, int] = _scale()
    ratio: tuple[float, float] = _factors((0.5, 2.0))

    def __attrs_post_init__(self) -> None:
        _ordered("ratio", self.ratio)

    def build(self) -> Callable[..., Any]:
        """Build the transform."""
        from vf_seg.transforms.crops import RandomScale as Transform

        return Transform(scale=self.scale, ratio=self.ratio)


@vf.config
class RandomCrop:
    """Cut a part of one size that no class fills, the batch padded to it; replaces the model's own resize."""

    size: tuple[int, int] = _size()
    cat_max_ratio: float = _most()

    def build(self) -> Callable[..., Any]:
        """Build the transform."""
        from vf_seg.transforms.crops import RandomCrop as Transform

        return Transform(size=self.size, most=self.cat_max_ratio)


@vf.config
class RandomScaleCrop:
    """random_scale and random_crop in one step, which resizes only what stays: several times as fast."""

    scale: tuple[int, int] = _scale()
    ratio: tuple[float, float] = _factors((0.5, 2.0))
    size: tuple[int, int] = _size()
    cat_max_ratio: float = _most()

    def __attrs_post_init__(self) -> None:
        _ordered("ratio", self.ratio)

    def build(self) -> Callable[..., Any]:
        """Build the transform."""
        from vf_seg.transforms.crops import RandomScaleCrop as Transform

        return Transform(scale=self.scale, ratio=self.ratio, size=self.size, most=self.cat_max_ratio)


@vf.config
class ResizeToMultiple:
    """Resize both sides up to the next multiple of a number; replaces the model's own resize."""

    divisor: int = vf.field(default=32, help="what divides the sides", unit="px", validator=vf.positive())

    def build(self) -> Callable[..., Any]:
        """Build the transform."""
        from vf_seg.transforms.crops import ResizeToMultiple as Transform

        return Transform(divisor=self.divisor)


@vf.config
class PhotometricDistortion:
    """Brightness, contrast, saturation and hue on 8 bits, each every second time, as SSD does; channels stay."""

    brightness: float = vf.field(
        default=32.0, help="largest amount that is added", unit="of 255", validator=vf.within(0, 255)
    )
    contrast: tuple[float, float] = _factors()
    saturation: tuple[float, float] = _factors()
    hue: float = vf.field(
        default=36.0, help="largest turn; 36° are 18 of OpenCV's 180 steps", unit="°", validator=vf.within(0, 180)
    )

    def __attrs_post_init__(self) -> None:
        _ordered("contrast", self.contrast)
        _ordered("saturation", self.saturation)

    def build(self) -> Callable[..., Any]:
        """Build the transform."""
        from vf.data.photometric import PhotometricDistortion as Transform

        return Transform(
            brightness=self.brightness, contrast=self.contrast, saturation=self.saturation, hue=self.hue, swap=False
        )


@vf.config
class Mosaic:
    """Four images in the quarters around a random point (arXiv 2004.10934), with their maps."""

    size: tuple[int, int] = _size()
    centre: tuple[float, float] = vf.field(
        default=(0.25, 0.75),
        help="smallest and largest place of the point, as a part of the sides",
        validator=vf.each(vf.within(0, 1), length=2),
    )
    fill: int = vf.field(default=114, help="grey level where no image reaches, 0..255", validator=vf.within(0, 255))
    p: float = _probability()

    def __attrs_post_init__(self) -> None:
        _ordered("centre", self.centre)

    def build(self) -> Callable[..., Any]:
        """Build the transform."""
        from vf_seg.transforms.mosaic import Mosaic as Transform

        return Transform(size=self.size, centre=self.centre, fill=self.fill, p=self.p)


@vf.config
class Cutout:
    """Paint rectangles over the image (arXiv 1708.04552)."""

    holes: tuple[int, int] = vf.field(
        default=(1, 1), help="fewest and most", validator=vf.each(vf.at_least(0), length=2)
    )
    shapes: tuple[tuple[float, float], ...] = vf.field(
        default=((0.25, 0.25),),
        help="heights and widths of which one is drawn for each; under 1: parts of the image, else px",
        validator=vf.each(vf.each(vf.positive(), length=2)),
    )
    fill: tuple[int, int, int] = vf.field(
        default=(0, 0, 0), help="red, green, blue", validator=vf.each(vf.within(0, 255), length=3)
    )
    ignore: bool = vf.field(default=False, help="maps are ignored there; if not, they say what was there")
    p: float = _probability()

    def __attrs_post_init__(self) -> None:
        _ordered("holes", self.holes)
        if not self.shapes:
            raise ValueError("shapes: is an empty list; expected at least one height and width")

    def build(self) -> Callable[..., Any]:
        """Build the transform."""
        from vf_seg.transforms.mosaic import Cutout as Transform

        return Transform(holes=self.holes, shapes=self.shapes, fill=self.fill, ignore=self.ignore, p=self.p)


@vf.config
class Gamma:
    """Change the light by a random gamma."""

    gamma: tuple[float, float] = _factors((0.5, 2.0), "smallest and largest; above 1 is brighter")
    p: float = _probability()

    def __attrs_post_init__(self) -> None:
        _ordered("gamma", self.gamma)

    def build(self) -> Callable[..., Any]:
        """Build the transform."""
        from vf_seg.transforms.light import RandomGamma

        return RandomGamma(gamma=self.gamma, p=self.p)


@vf.config
class Clahe:
    """Equalise the lightness of tiles with limited contrast: for medical and dark images."""

    limit: float = vf.field(default=40.0, help="of the contrast, OpenCV's clipLimit", validator=vf.positive())
    tiles: tuple[int, int] = vf.field(
        default=(8, 8), help="rows and columns of tiles", validator=vf.each(vf.positive(), length=2)
    )
    p: float = _probability(1.0)

    def build(self) -> Callable[..., Any]:
        """Build the transform."""
        from vf_seg.transforms.light import Clahe as Transform

        return Transform(limit=self.limit, tiles=self.tiles, p=self.p)
