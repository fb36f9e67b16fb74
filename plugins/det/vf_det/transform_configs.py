"""Config classes of the transforms that torchvision has not. Free of torch and numpy until ``build()``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import vf


def _probability(default: float = 1.0) -> Any:
    return vf.field(default=default, help="probability", validator=vf.within(0, 1))


def _smallest(default: float = 0.2) -> Any:
    return vf.field(default=default, help="an object of which less is left is dropped", validator=vf.within(0, 1))


def _zoom(default: tuple[float, float], help_: str = "smallest and largest zoom of the other image") -> Any:
    return vf.field(default=default, help=help_, validator=vf.each(vf.positive()))


def _ordered(name: str, value: tuple[float, float]) -> None:
    if value[0] > value[1]:
        raise ValueError(f"{name}: the first must not be larger than the second, got {list(value)}")


@vf.config
class Mosaic:
    """Four images in the quarters around a random point (arXiv 2004.10934), each scaled at random."""

    size: tuple[int, int] = vf.field(
        default=(640, 640), help="height and width of the result", unit="px", validator=vf.each(vf.positive(), length=2)
    )
    scale: tuple[float, float] = _zoom((0.5, 1.5), "smallest and largest zoom, beside the fit to size")
    p: float = _probability()
    smallest: float = _smallest()

    def build(self) -> Callable[..., Any]:
        """Build the transform."""
        from vf_det.data.mosaic import Mosaic as MosaicTransform

        return MosaicTransform(size=self.size, scale=self.scale, p=self.p, smallest=self.smallest)


@vf.config
class Mixup:
    """Lay another image over this one, half transparent, and keep the objects of both (as YOLOX does)."""

    p: float = _probability()
    scale: tuple[float, float] = _zoom((0.5, 1.5))
    smallest: float = _smallest()

    def build(self) -> Callable[..., Any]:
        """Build the transform."""
        from vf_det.data.mosaic import Mixup as MixupTransform

        return MixupTransform(p=self.p, scale=self.scale, smallest=self.smallest)


@vf.config
class CopyPaste:
    """Paste objects of another image, cut out by their masks (arXiv 2012.07177)."""

    p: float = _probability()
    scale: tuple[float, float] = _zoom((0.5, 1.5))
    most: int = vf.field(default=100, help="objects pasted at most", validator=vf.positive())
    smallest: float = _smallest(0.1)

    def __attrs_post_init__(self) -> None:
        _ordered("scale", self.scale)

    def build(self) -> Callable[..., Any]:
        """Build the transform."""
        from vf_det.transforms.copy_paste import CopyPaste as CopyPasteTransform

        return CopyPasteTransform(p=self.p, scale=self.scale, most=self.most, smallest=self.smallest)


@vf.config
class RandomAffine:
    """Turn, shear, zoom and move; boxes become the upright boxes around their moved corners."""

    degrees: float = vf.field(default=10.0, help="largest turn", unit="°", validator=vf.within(0, 180))
    shear: float = vf.field(default=2.0, help="largest shear", unit="°", validator=vf.within(0, 60))
    translate: float = vf.field(
        default=0.1, help="largest move, as a part of the image's side", validator=vf.within(0, 1)
    )
    scale: tuple[float, float] = _zoom((1.0, 1.0), "smallest and largest zoom")
    p: float = _probability()
    smallest: float = _smallest()
    final: bool = vf.field(default=True, help="also in the final phase of the training")

    def build(self) -> Callable[..., Any]:
        """Build the transform."""
        from vf_det.data.affine import RandomAffine as AffineTransform

        return AffineTransform(
            degrees=self.degrees,
            shear=self.shear,
            translate=self.translate,
            scale=self.scale,
            p=self.p,
            smallest=self.smallest,
            skips_final=not self.final,
        )


@vf.config
class HsvJitter:
    """Change hue, saturation and value by random amounts (as YOLOX does)."""

    hue: float = vf.field(default=0.028, help="largest turn, as a part of the circle", validator=vf.within(0, 0.5))
    saturation: float = vf.field(default=0.12, help="largest change, as a part of the range", validator=vf.within(0, 1))
    value: float = vf.field(default=0.12, help="largest change, as a part of the range", validator=vf.within(0, 1))
    p: float = _probability()

    def build(self) -> Callable[..., Any]:
        """Build the transform."""
        from vf_det.data.hsv import HsvJitter as HsvTransform

        return HsvTransform(hue=self.hue, saturation=self.saturation, value=self.value, p=self.p)


@vf.config
class PhotometricDistortion:
    """SSD's distortion on 8 bits: brightness, contrast, saturation, hue, channel order, each every second time."""

    brightness: float = vf.field(
        default=32.0, help="largest amount that is added", unit="of 255", validator=vf.within(0, 255)
    )
    contrast: tuple[float, float] = _zoom((0.5, 1.5), "smallest and largest factor")
    saturation: tuple[float, float] = _zoom((0.5, 1.5), "smallest and largest factor")
    hue: float = vf.field(default=18.0, help="largest turn", unit="°", validator=vf.within(0, 180))

    def __attrs_post_init__(self) -> None:
        _ordered("contrast", self.contrast)
        _ordered("saturation", self.saturation)

    def build(self) -> Callable[..., Any]:
        """Build the transform."""
        from vf.data.photometric import PhotometricDistortion as Transform

        return Transform(
            brightness=self.brightness, contrast=self.contrast, saturation=self.saturation, hue=self.hue, swap=True
        )


@vf.config
class Expand:
    """Lay the image at a random place of a larger ground (SSD, arXiv 1512.02325)."""

    ratio: tuple[float, float] = vf.field(
        default=(1.0, 4.0), help="smallest and largest factor on both sides", validator=vf.each(vf.at_least(1))
    )
    fill: tuple[int, int, int] = vf.field(
        default=(124, 116, 104), help="red, green, blue of the ground", validator=vf.each(vf.within(0, 255))
    )
    p: float = _probability(0.5)

    def __attrs_post_init__(self) -> None:
        _ordered("ratio", self.ratio)

    def build(self) -> Callable[..., Any]:
        """Build the transform."""
        from vf_det.transforms.ssd import Expand as Transform

        return Transform(ratio=self.ratio, fill=self.fill, p=self.p)


@vf.config
class MinIouCrop:
    """Cut a part that every object overlaps by a drawn IoU at least (SSD, arXiv 1512.02325)."""

    ious: tuple[float, ...] = vf.field(
        default=(0.1, 0.3, 0.5, 0.7, 0.9),
        help="of which one is drawn, besides 0 and the image as it is",
        validator=vf.each(vf.within(0, 1)),
    )
    smallest: float = vf.field(
        default=0.3, help="part of each side that the crop keeps at least", validator=vf.within(0.01, 1)
    )
    p: float = _probability()

    def build(self) -> Callable[..., Any]:
        """Build the transform."""
        from vf_det.transforms.ssd import MinIouCrop as Transform

        return Transform(ious=self.ious, smallest=self.smallest, p=self.p)


def _scales() -> Any:
    return vf.field(help="most of the long and of the short side, one pair for each scale", unit="px", validator=_pairs)


def _pairs(instance: Any, attribute: Any, value: tuple[tuple[int, int], ...]) -> None:
    if not value:
        raise ValueError("is an empty list; expected at least one pair like [1333, 800]")
    for pair in value:
        _pair(instance, attribute, pair)


def _pair(instance: Any, attribute: Any, value: tuple[int, int]) -> None:
    if value[1] < 1 or value[0] < value[1]:
        raise ValueError(f"must be a long and a short side in px like [1333, 800], got {list(value)}")


def _turn() -> Any:
    return vf.field(
        default=True,
        help="portrait images lie upright in their pad; take loader.sampler aspect_ratio with it. false: all lie "
        "in long × short, portrait ones at the size at which they fit",
    )


@vf.config
class ResizeScales:
    """Resize to one of several scales with the ratio kept, and pad the batch to one size; replaces the model's resize.

    With pad, SyncBN training at several scales sees one shape: what makes it converge.
    """

    scales: tuple[tuple[int, int], ...] = _scales()
    mode: Literal["list", "range"] = vf.field(
        default="list", help="list: one of scales is drawn; range: each side is drawn between the two scales"
    )
    pad: tuple[int, int] | None = vf.field(
        default=None,
        help="long and short side of every batch; nothing: of its largest image",
        unit="px",
        validator=_pair,
    )
    turn: bool = _turn()

    def __attrs_post_init__(self) -> None:
        if self.mode == "range" and len(self.scales) != 2:
            raise ValueError(f"mode: range lies between two scales, got {len(self.scales)}")
        for long, short in self.scales if self.pad else ():
            if self.pad and (long > self.pad[0] or short > self.pad[1]):
                raise ValueError(f"scales: {[long, short]} does not fit into pad {list(self.pad)}; make pad larger")

    def build(self) -> Callable[..., Any]:
        """Build the transform."""
        from vf_det.transforms.scales import ResizeScales as Transform

        return Transform(scales=self.scales, mode=self.mode, pad=self.pad, turn=self.turn)


@vf.config
class RandResizeCrop:
    """Resize to one of several scales, cut a part around an object, pad to one size (the form of SimpleDet)."""

    scales: tuple[tuple[int, int], ...] = _scales()
    size: tuple[int, int] = vf.field(help="long and short side of the part", unit="px", validator=_pair)
    pad: tuple[int, int] | None = vf.field(
        default=None, help="long and short side of every batch; nothing: size", unit="px", validator=_pair
    )
    turn: bool = _turn()

    def __attrs_post_init__(self) -> None:
        if self.pad and (self.size[0] > self.pad[0] or self.size[1] > self.pad[1]):
            raise ValueError(f"size: {list(self.size)} does not fit into pad {list(self.pad)}; make pad larger")

    def build(self) -> Callable[..., Any]:
        """Build the transform."""
        from vf_det.transforms.scales import RandResizeCrop as Transform

        return Transform(scales=self.scales, size=self.size, pad=self.pad or self.size, turn=self.turn)


@vf.config
class PadTo:
    """Pad the batch to a size, or to sides that a number divides; replaces the model's own resize."""

    size: tuple[int, int] | None = vf.field(
        default=None,
        help="height and width; nothing: of the largest image of the batch",
        unit="px",
        validator=vf.each(vf.positive(), length=2),
    )
    divisor: int = vf.field(default=1, help="of both sides", unit="px", validator=vf.positive())

    def __attrs_post_init__(self) -> None:
        if self.size is None and self.divisor == 1:
            raise ValueError("set size or divisor; without both it changes nothing")

    def build(self) -> Callable[..., Any]:
        """Build the transform."""
        from vf_det.transforms.scales import PadTo as Transform

        return Transform(size=self.size, divisor=self.divisor)


@vf.config
class Albumentations:
    """A list of transforms of Albumentations, which is installed besides: pip install albumentations."""

    transforms: tuple[dict[str, Any], ...] = vf.field(help="each with type, the name of a class, and its keywords")
    min_visibility: float = vf.field(default=0.1, help="of its area that a box must keep", validator=vf.within(0, 1))
    sets_size: bool = vf.field(default=False, help="the list ends at a size; replaces the model's own resize")

    def build(self) -> Callable[..., Any]:
        """Build the transform; SetupError where the library is not installed."""
        from vf_det.transforms.albumentations import Albumentations as Transform

        return Transform(transforms=self.transforms, min_visibility=self.min_visibility, sets_size=self.sets_size)
