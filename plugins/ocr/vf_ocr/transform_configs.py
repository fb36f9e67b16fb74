"""Config classes of the transforms of text. Free of torch and numpy until ``build()``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import vf

__all__ = [
    "PadRatio",
    "RescaleHeight",
    "TextCrop",
    "TextFlip",
    "TextRotate",
    "WordColour",
    "WordCrop",
    "WordFault",
    "WordWarp",
]

_WARPS = ("affine", "perspective", "distort", "stretch")
_FAULTS = ("coarse", "blur", "motion", "noise", "jpeg")


def _probability(default: float = 0.5) -> Any:
    return vf.field(default=default, help="probability", validator=vf.within(0, 1))


def _fill() -> Any:
    return vf.field(default=114, help="grey level of what comes in from outside, 0..255", validator=vf.within(0, 255))


def _strength() -> Any:
    return vf.field(default=0.6, help="of all kinds; 1: as strong as is still read", validator=vf.within(0, 2))


def _ordered(name: str, value: tuple[float, float]) -> None:
    if value[0] > value[1]:
        raise ValueError(f"{name}: the first must not be larger than the second, got {list(value)}")


def _known(given: tuple[str, ...], known: tuple[str, ...]) -> None:
    strange = [name for name in given if name not in known]
    if strange or not given:
        raise ValueError(f"kinds: expected some of {', '.join(known)}, got {', '.join(given) or 'none'}")


@vf.config
class TextCrop:
    """Cut a random part of a page whose edges go through no text, fitted into a size; replaces the model's resize."""

    size: tuple[int, int] = vf.field(
        default=(640, 640), help="height and width of the result", unit="px", validator=vf.each(vf.positive(), length=2)
    )
    least: float = vf.field(
        default=0.1, help="shortest side of the part, as a part of the page's", validator=vf.within(0.01, 1)
    )
    aspect: tuple[float, float] = vf.field(
        default=(1.0, 1.0), help="smallest and largest factor on width to height", validator=vf.each(vf.positive())
    )
    tries: int = vf.field(default=10, help="draws of a part before the whole page is taken", validator=vf.positive())
    empty: float = vf.field(default=0.0, help="probability of a part that may have no text", validator=vf.within(0, 1))
    fill: int = _fill()

    def __attrs_post_init__(self) -> None:
        _ordered("aspect", self.aspect)

    def build(self) -> Callable[..., Any]:
        """Build the transform."""
        from vf_ocr.transforms.pages import TextCrop as Crop

        return Crop(
            size=self.size, least=self.least, aspect=self.aspect, tries=self.tries, empty=self.empty, fill=self.fill
        )


@vf.config
class TextRotate:
    """Turn a page by a random angle, polygons with it; texts that leave it by half are ignored."""

    degrees: float = vf.field(default=10.0, help="most, to either side", unit="degrees", validator=vf.within(0, 180))
    expand: bool = vf.field(default=False, help="let the image grow so that nothing is cut off")
    fill: int = _fill()
    p: float = _probability(1.0)

    def build(self) -> Callable[..., Any]:
        """Build the transform."""
        from vf_ocr.transforms.pages import TextRotate as Rotate

        return Rotate(degrees=self.degrees, expand=self.expand, fill=self.fill, p=self.p)


@vf.config
class TextFlip:
    """Mirror a page, with polygons in order: for models that only find text. Mirrored text cannot be read."""

    p: float = _probability()

    def build(self) -> Callable[..., Any]:
        """Build the transform."""
        from vf_ocr.transforms.pages import TextFlip as Flip

        return Flip(p=self.p)


@vf.config
class PadRatio:
    """Pad a page or a word on the right or below until width to height is within bounds."""

    ratio: tuple[float, float] = vf.field(
        help="least and largest width, as a part of the height", validator=vf.each(vf.positive(), length=2)
    )
    fill: int = _fill()

    def __attrs_post_init__(self) -> None:
        _ordered("ratio", self.ratio)

    def build(self) -> Callable[..., Any]:
        """Build the transform."""
        from vf_ocr.transforms.pages import PadRatio as Pad

        return Pad(ratio=self.ratio, fill=self.fill)


@vf.config
class RescaleHeight:
    """Scale a word to one height, the ratio kept as its width allows; replaces the model's own resize."""

    height: int = vf.field(default=32, help="of the result", unit="px", validator=vf.positive())
    width: tuple[int, int] = vf.field(
        default=(16, 256), help="least and most", unit="px", validator=vf.each(vf.positive(), length=2)
    )
    divisor: int = vf.field(default=1, help="the width is a multiple of this", unit="px", validator=vf.positive())

    def __attrs_post_init__(self) -> None:
        _ordered("width", self.width)

    def build(self) -> Callable[..., Any]:
        """Build the transform."""
        from vf_ocr.transforms.words import RescaleHeight as Rescale

        return Rescale(height=self.height, width=self.width, divisor=self.divisor)


@vf.config
class WordWarp:
    """Warp a word: turn and shear, perspective, and cuts across the line that move (after arXiv 2003.06606)."""

    kinds: tuple[str, ...] = vf.field(default=_WARPS, help=f"ways, of which one is drawn: {', '.join(_WARPS)}")
    strength: float = _strength()
    segments: int = vf.field(default=4, help="between cuts, in distort and stretch", validator=vf.at_least(2))
    p: float = _probability()

    def __attrs_post_init__(self) -> None:
        _known(self.kinds, _WARPS)

    def build(self) -> Callable[..., Any]:
        """Build the transform."""
        from vf_ocr.transforms.words import WARPS
        from vf_ocr.transforms.words import WordWarp as Warp

        kinds = tuple(kind for kind in WARPS if kind in self.kinds)
        return Warp(kinds=kinds, strength=self.strength, segments=self.segments, p=self.p)


@vf.config
class WordFault:
    """Spoil a word as cameras and files do: few pixels, blur, motion, noise, JPEG."""

    kinds: tuple[str, ...] = vf.field(default=_FAULTS, help=f"ways, of which one is drawn: {', '.join(_FAULTS)}")
    strength: float = _strength()
    p: float = _probability(0.25)

    def __attrs_post_init__(self) -> None:
        _known(self.kinds, _FAULTS)

    def build(self) -> Callable[..., Any]:
        """Build the transform."""
        from vf_ocr.transforms.words import FAULTS
        from vf_ocr.transforms.words import WordFault as Fault

        kinds = tuple(kind for kind in FAULTS if kind in self.kinds)
        return Fault(kinds=kinds, strength=self.strength, p=self.p)


@vf.config
class WordColour:
    """Change brightness, contrast and saturation of a word in one step; its negative at times."""

    brightness: float = vf.field(default=0.2, help="most, as a part of 255", validator=vf.within(0, 1))
    contrast: float = vf.field(default=0.4, help="most change of the factor", validator=vf.within(0, 1))
    saturation: float = vf.field(default=0.5, help="most change of the factor", validator=vf.within(0, 1))
    invert: float = vf.field(default=0.1, help="probability of the negative", validator=vf.within(0, 1))
    p: float = _probability(0.25)

    def build(self) -> Callable[..., Any]:
        """Build the transform."""
        from vf_ocr.transforms.words import WordColour as Colour

        return Colour(
            brightness=self.brightness,
            contrast=self.contrast,
            saturation=self.saturation,
            invert=self.invert,
            p=self.p,
        )


@vf.config
class WordCrop:
    """Cut a little off a word's edges or lay a little around, as detectors do that are not exact."""

    most: float = vf.field(default=0.1, help="at each edge, as a part of the height", validator=vf.within(0, 0.4))
    p: float = _probability()

    def build(self) -> Callable[..., Any]:
        """Build the transform."""
        from vf_ocr.transforms.words import WordCrop as Crop

        return Crop(most=self.most, p=self.p)
