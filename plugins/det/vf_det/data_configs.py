"""Config classes of data sets, transforms and metrics. Free of torch and numpy until ``build()``."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

import vf
from vf.protocols import Split
from vf_det.format_configs import Coco, Voc, Yolo

if TYPE_CHECKING:
    from vf.protocols import Dataset, Metric

__all__ = ["Coco", "CocoAP", "HsvJitter", "Mixup", "Mosaic", "RandomAffine", "Shapes", "Voc", "Yolo"]


@vf.config
class Shapes:
    """Generated images of rotated, overlapping shapes on textured grounds; nothing is read or downloaded."""

    size: int = vf.field(default=160, help="side of the square images", unit="px", validator=vf.at_least(32))
    train: int = vf.field(default=4000, help="images to train on", validator=vf.positive())
    val: int = vf.field(default=200, help="images to validate on", validator=vf.positive())
    test: int = vf.field(default=400, help="images to test on", validator=vf.positive())
    min_objects: int = vf.field(default=1, help="fewest objects drawn on an image", validator=vf.at_least(0))
    max_objects: int = vf.field(default=6, help="most objects drawn on an image", validator=vf.positive())
    min_side: float = vf.field(default=0.14, help="smallest object, as a part of size", validator=vf.within(0.05, 1))
    max_side: float = vf.field(default=0.45, help="largest object, as a part of size", validator=vf.within(0.05, 1))
    seed: int = vf.field(default=0, help="other seeds give other images", validator=vf.at_least(0))

    def __attrs_post_init__(self) -> None:
        if self.min_objects > self.max_objects:
            raise ValueError(f"min_objects {self.min_objects} > max_objects {self.max_objects}")
        if self.min_side > self.max_side:
            raise ValueError(f"min_side {self.min_side:g} > max_side {self.max_side:g}")

    def info(self) -> vf.DatasetInfo:
        """Known without drawing anything."""
        import hashlib

        from vf.data.shapes import CLASSES

        return vf.DatasetInfo(
            classes=CLASSES,
            task="det",
            num_samples={"train": self.train, "val": self.val, "test": self.test},
            fingerprint=hashlib.sha256(repr(self).encode()).hexdigest()[:16],
        )

    def build(self, split: Split) -> Dataset:
        """Build one split."""
        from vf.data.shapes import Settings
        from vf_det.data.shapes import ShapesDataset

        settings = Settings(
            size=self.size,
            min_objects=self.min_objects,
            max_objects=self.max_objects,
            min_side=self.min_side,
            max_side=self.max_side,
            seed=self.seed,
        )
        return ShapesDataset(settings, split, self.info().num_samples[split])

    def check(self) -> Sequence[vf.Finding]:
        """Generated labels are right by construction."""
        return []

    @classmethod
    def sniff(cls, path: str) -> Mapping[str, Any] | None:
        """No folder holds generated images."""
        return None


@vf.config
class Mosaic:
    """Four images in the quarters around a random point (arXiv 2004.10934), each scaled at random."""

    size: tuple[int, int] = vf.field(
        default=(640, 640), help="height and width of the result", unit="px", validator=vf.each(vf.positive(), length=2)
    )
    scale: tuple[float, float] = vf.field(
        default=(0.5, 1.5), help="smallest and largest zoom, beside the fit to size", validator=vf.each(vf.positive())
    )
    p: float = vf.field(default=1.0, help="probability", validator=vf.within(0, 1))
    smallest: float = vf.field(
        default=0.2, help="a box of which less is left inside is dropped", validator=vf.within(0, 1)
    )

    def build(self) -> Callable[..., Any]:
        """Build the transform."""
        from vf_det.data.mosaic import Mosaic as MosaicTransform

        return MosaicTransform(size=self.size, scale=self.scale, p=self.p, smallest=self.smallest)


@vf.config
class Mixup:
    """Lay another image over this one, half transparent, and keep the objects of both (as YOLOX does)."""

    p: float = vf.field(default=1.0, help="probability", validator=vf.within(0, 1))
    scale: tuple[float, float] = vf.field(
        default=(0.5, 1.5), help="smallest and largest zoom of the other image", validator=vf.each(vf.positive())
    )
    smallest: float = vf.field(
        default=0.2, help="a box of which less is left inside is dropped", validator=vf.within(0, 1)
    )

    def build(self) -> Callable[..., Any]:
        """Build the transform."""
        from vf_det.data.mosaic import Mixup as MixupTransform

        return MixupTransform(p=self.p, scale=self.scale, smallest=self.smallest)


@vf.config
class RandomAffine:
    """Turn, shear, zoom and move; boxes become the upright boxes around their moved corners."""

    degrees: float = vf.field(default=10.0, help="largest turn", unit="°", validator=vf.within(0, 180))
    shear: float = vf.field(default=2.0, help="largest shear", unit="°", validator=vf.within(0, 60))
    translate: float = vf.field(
        default=0.1, help="largest move, as a part of the image's side", validator=vf.within(0, 1)
    )
    scale: tuple[float, float] = vf.field(
        default=(1.0, 1.0), help="smallest and largest zoom", validator=vf.each(vf.positive())
    )
    p: float = vf.field(default=1.0, help="probability", validator=vf.within(0, 1))
    smallest: float = vf.field(
        default=0.2, help="a box of which less is left inside is dropped", validator=vf.within(0, 1)
    )
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
    p: float = vf.field(default=1.0, help="probability", validator=vf.within(0, 1))

    def build(self) -> Callable[..., Any]:
        """Build the transform."""
        from vf_det.data.hsv import HsvJitter as HsvTransform

        return HsvTransform(hue=self.hue, saturation=self.saturation, value=self.value, p=self.p)


@vf.config
class CocoAP:
    """The 12 numbers of COCO's box evaluation, and AP for each class."""

    backend: Literal["auto", "faster_coco_eval", "pycocotools"] = vf.field(
        default="auto", help="who counts; auto: the faster one that is installed"
    )

    def build(self, info: vf.DatasetInfo) -> Metric:
        """Build the metric for the classes of ``info``."""
        from vf_det.coco_ap import CocoAP as Metric_

        return Metric_(classes=info.classes, backend=self.backend)
