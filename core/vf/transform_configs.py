"""Config classes of torchvision's transforms v2 that move pixels and labels, and of lists of transforms."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

from vf.protocols import TransformConfig
from vf.schema import at_least, config, each, field, positive, within


def _v2(
    name: str, *, fill: int | None = None, sets_size: bool = False, stays_inside: bool = False, **keys: Any
) -> Callable[..., Any]:
    """Build a transform of torchvision by its name.

    Args:
        name: of the class.
        fill: grey level of what comes in from outside; masks get nothing there.
        sets_size: whether the model's own resize is left out in training.
        stays_inside: whether nothing comes in from outside, so that maps need no value for that.
        keys: of the class.
    """
    from torchvision import tv_tensors
    from torchvision.transforms import v2

    if fill is not None:
        keys["fill"] = {tv_tensors.Image: fill, "others": 0}
    transform: Callable[..., Any] = getattr(v2, name)(**keys)
    transform.sets_size = sets_size  # type: ignore[attr-defined]
    transform.stays_inside = stays_inside  # type: ignore[attr-defined]
    return transform


def _bilinear() -> Any:
    from torchvision.transforms.v2 import InterpolationMode

    return InterpolationMode.BILINEAR


def _ordered(name: str, value: tuple[float, float]) -> None:
    if value[0] > value[1]:
        raise ValueError(f"{name}: the first must not be larger than the second, got {list(value)}")


def _probability(default: float = 0.5) -> Any:
    return field(default=default, help="probability", validator=within(0, 1))


def _fill() -> Any:
    return field(default=114, help="grey level of what comes in from outside, 0..255", validator=within(0, 255))


def _size(help_: str = "height and width of the result") -> Any:
    return field(help=help_, unit="px", validator=each(positive(), length=2))


@config
class HorizontalFlip:
    """Mirror left and right."""

    p: float = _probability()

    def build(self) -> Callable[..., Any]:
        return _v2("RandomHorizontalFlip", p=self.p, stays_inside=True)


@config
class VerticalFlip:
    """Mirror top and bottom: for images without an up, like those of microscopes and satellites."""

    p: float = _probability()

    def build(self) -> Callable[..., Any]:
        return _v2("RandomVerticalFlip", p=self.p, stays_inside=True)


@config
class Resize:
    """Resize to one height and width, whatever the image's ratio; replaces the model's own resize."""

    size: tuple[int, int] = _size()

    def build(self) -> Callable[..., Any]:
        return _v2("Resize", size=list(self.size), sets_size=True)


@config
class RandomResize:
    """Resize so that the short side has a random length; replaces the model's own resize."""

    min: int = field(help="least length of the short side", unit="px", validator=positive())
    max: int = field(help="largest length of the short side", unit="px", validator=positive())

    def __attrs_post_init__(self) -> None:
        if self.min > self.max:
            raise ValueError(f"min {self.min} > max {self.max}")

    def build(self) -> Callable[..., Any]:
        return _v2("RandomResize", min_size=self.min, max_size=self.max + 1, sets_size=True)


@config
class ShortestSize:
    """Resize so that the short side has one of some lengths and the long one no more than a limit (as DETR does)."""

    short: tuple[int, ...] = field(
        help="lengths of the short side, each drawn as often", unit="px", validator=each(positive())
    )
    long: int = field(default=1333, help="most of the long side", unit="px", validator=positive())

    def __attrs_post_init__(self) -> None:
        if not self.short:
            raise ValueError("short: is an empty list; expected at least one length")

    def build(self) -> Callable[..., Any]:
        return _v2("RandomShortestSize", min_size=list(self.short), max_size=self.long, sets_size=True)


@config
class ScaleJitter:
    """Fit into a size, times a random factor, with the ratio kept (arXiv 2012.07177): large-scale jitter with crop."""

    size: tuple[int, int] = _size("height and width that a factor of 1 fits into")
    scale: tuple[float, float] = field(
        default=(0.1, 2.0), help="smallest and largest factor", validator=each(positive())
    )

    def __attrs_post_init__(self) -> None:
        _ordered("scale", self.scale)

    def build(self) -> Callable[..., Any]:
        return _v2("ScaleJitter", target_size=self.size, scale_range=self.scale, sets_size=True)


@config
class Crop:
    """Cut a random part of one size, padded where the image is smaller; replaces the model's own resize."""

    size: tuple[int, int] = _size()
    fill: int = _fill()

    def build(self) -> Callable[..., Any]:
        return _v2("RandomCrop", size=list(self.size), pad_if_needed=True, fill=self.fill, sets_size=True)


@config
class CenterCrop:
    """Cut the middle, padded with black where the image is smaller; replaces the model's own resize."""

    size: tuple[int, int] = _size()

    def build(self) -> Callable[..., Any]:
        return _v2("CenterCrop", size=list(self.size), sets_size=True)


@config
class ResizedCrop:
    """Cut a random part and resize it to one size; replaces the model's own resize."""

    size: tuple[int, int] = _size()
    scale: tuple[float, float] = field(
        default=(0.08, 1.0), help="smallest and largest part of the image's area", validator=each(within(0, 1))
    )
    ratio: tuple[float, float] = field(
        default=(0.75, 4 / 3), help="smallest and largest width / height of the part", validator=each(positive())
    )
    interpolation: Literal["bilinear", "bicubic"] = field(default="bilinear", help="how pixels are read between pixels")
    antialias: bool = field(
        default=True, help="a pixel is the mean of all that it covers, as PIL does it; false: as OpenCV, and faster"
    )

    def __attrs_post_init__(self) -> None:
        _ordered("scale", self.scale)
        _ordered("ratio", self.ratio)

    def build(self) -> Callable[..., Any]:
        from vf.data.crops import ResizedCrop as ResizedCrop_

        return ResizedCrop_(
            size=self.size,
            scale=self.scale,
            ratio=self.ratio,
            interpolation=self.interpolation,
            antialias=self.antialias,
        )


@config
class IouCrop:
    """Cut a part that overlaps one box by a drawn IoU at least (SSD, arXiv 1512.02325); boxes centred outside go."""

    scale: tuple[float, float] = field(
        default=(0.3, 1.0), help="smallest and largest part of each side", validator=each(within(0, 1))
    )
    ratio: tuple[float, float] = field(
        default=(0.5, 2.0), help="smallest and largest width / height of the part", validator=each(positive())
    )
    ious: tuple[float, ...] = field(
        default=(0.0, 0.1, 0.3, 0.5, 0.7, 0.9, 1.0),
        help="of which one is drawn; 1: the image stays as it is",
        validator=each(within(0, 1)),
    )
    p: float = _probability(1.0)

    def __attrs_post_init__(self) -> None:
        _ordered("scale", self.scale)
        _ordered("ratio", self.ratio)
        if 1.0 not in self.ious:
            raise ValueError("ious: must hold 1, for images in which no other crop is found")

    def build(self) -> Callable[..., Any]:
        from vf.data.compose import RandomApply, WithObjects

        crop = _v2(
            "RandomIoUCrop",
            min_scale=self.scale[0],
            max_scale=self.scale[1],
            min_aspect_ratio=self.ratio[0],
            max_aspect_ratio=self.ratio[1],
            sampler_options=list(self.ious),
        )
        return RandomApply([WithObjects(crop)], p=self.p)


@config
class ZoomOut:
    """Lay the image somewhere on a larger grey ground (SSD, arXiv 1512.02325)."""

    sides: tuple[float, float] = field(
        default=(1.0, 4.0), help="smallest and largest factor on height and width", validator=each(at_least(1))
    )
    fill: int = _fill()
    p: float = _probability()

    def __attrs_post_init__(self) -> None:
        _ordered("sides", self.sides)

    def build(self) -> Callable[..., Any]:
        return _v2("RandomZoomOut", fill=self.fill, side_range=self.sides, p=self.p)


@config
class Pad:
    """Add a border."""

    border: tuple[int, int, int, int] = field(
        help="left, top, right, bottom", unit="px", validator=each(at_least(0), length=4)
    )
    fill: int = _fill()

    def build(self) -> Callable[..., Any]:
        return _v2("Pad", padding=list(self.border), fill=self.fill)


@config
class Affine:
    """Turn, move, zoom and shear about the middle (torchvision's RandomAffine)."""

    degrees: float = field(default=10.0, help="largest turn", unit="°", validator=within(0, 180))
    translate: float = field(default=0.1, help="largest move, as a part of the image's side", validator=within(0, 1))
    scale: tuple[float, float] = field(default=(1.0, 1.0), help="smallest and largest zoom", validator=each(positive()))
    shear: float = field(default=0.0, help="largest shear", unit="°", validator=within(0, 60))
    fill: int = _fill()

    def __attrs_post_init__(self) -> None:
        _ordered("scale", self.scale)

    def build(self) -> Callable[..., Any]:
        return _v2(
            "RandomAffine",
            fill=self.fill,
            degrees=self.degrees,
            translate=(self.translate, self.translate),
            scale=self.scale,
            shear=[-self.shear, self.shear, -self.shear, self.shear],
            interpolation=_bilinear(),
        )


@config
class Rotation:
    """Turn about the middle."""

    degrees: float = field(default=10.0, help="largest turn", unit="°", validator=within(0, 180))
    expand: bool = field(default=False, help="enlarge the image so that nothing is cut")
    fill: int = _fill()

    def build(self) -> Callable[..., Any]:
        return _v2(
            "RandomRotation", fill=self.fill, degrees=self.degrees, expand=self.expand, interpolation=_bilinear()
        )


@config
class Perspective:
    """Look at the image from a random side."""

    distortion: float = field(default=0.5, help="largest, 0 none … 1 strong", validator=within(0, 1))
    fill: int = _fill()
    p: float = _probability()

    def build(self) -> Callable[..., Any]:
        return _v2("RandomPerspective", fill=self.fill, distortion_scale=self.distortion, p=self.p)


@config
class ElasticTransform:
    """Pull pixels about like rubber; boxes follow their corners, so keep alpha small where boxes count."""

    alpha: float = field(default=50.0, help="how far", validator=at_least(0))
    sigma: float = field(default=5.0, help="how smoothly", unit="px", validator=positive())
    fill: int = _fill()

    def build(self) -> Callable[..., Any]:
        return _v2("ElasticTransform", fill=self.fill, alpha=self.alpha, sigma=self.sigma)


@config
class RandomApply:
    """Apply a list of transforms with a probability, else none of it."""

    transforms: tuple[TransformConfig, ...] = field(help="one after another")
    p: float = _probability()

    def build(self) -> Callable[..., Any]:
        from vf.data.compose import RandomApply as RandomApply_

        return RandomApply_([t.build() for t in self.transforms], p=self.p)


@config
class RandomChoice:
    """Apply one of several lists of transforms."""

    choices: tuple[tuple[TransformConfig, ...], ...] = field(help="lists; an empty one leaves the sample as it is")
    weights: tuple[float, ...] | None = field(
        default=None, help="how often each is drawn, relative to the others; nothing: alike", validator=each(positive())
    )

    def __attrs_post_init__(self) -> None:
        if not self.choices:
            raise ValueError("choices: is an empty list; expected at least one list of transforms")
        if self.weights is not None and len(self.weights) != len(self.choices):
            raise ValueError(f"weights: {len(self.weights)} of them for {len(self.choices)} choices")

    def build(self) -> Callable[..., Any]:
        from vf.data.compose import RandomChoice as RandomChoice_

        lists = [[t.build() for t in choice] for choice in self.choices]
        return RandomChoice_(lists, weights=self.weights or [1.0] * len(lists))


@config
class RandomOrder:
    """Apply all transforms of a list, in a random order."""

    transforms: tuple[TransformConfig, ...] = field(help="in whatever order")

    def build(self) -> Callable[..., Any]:
        from vf.data.compose import RandomOrder as RandomOrder_

        return RandomOrder_([t.build() for t in self.transforms])
