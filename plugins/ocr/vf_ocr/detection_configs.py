"""Config classes of the text detectors. Free of torch until ``build()``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import vf
from vf.backbones import ResNet
from vf.errors import ConfigError
from vf.protocols import BackboneConfig, ForeignWeights

if TYPE_CHECKING:
    from torch import nn

    from vf.nn.backbones.backbone import Backbone
    from vf_ocr.detection.maps import Maps
    from vf_ocr.detection.regions import RegionRules
    from vf_ocr.detection.sizing import TextSizing

__all__ = ["DBNet", "DBNetPP", "PANet", "PSENet", "Sizing"]

Shape = Literal["quad", "polygon"]
LEVELS = (4, 8, 16, 32)


@vf.config
class Sizing:
    """How a text detector sizes, pads and normalises images; mean and std are those of its pretrained weights."""

    short: int = vf.field(default=736, help="goal of the short side", unit="px", validator=vf.positive())
    long: int = vf.field(default=1333, help="most that the long side may get", unit="px", validator=vf.positive())
    train_long: int = vf.field(
        default=640,
        help="in training, goal of the long side, and side of the batch; 0: sizes stay as the transforms give them",
        unit="px",
        validator=vf.at_least(0),
    )
    divisor: int = vf.field(
        default=32, help="batches are padded to a multiple of this", unit="px", validator=vf.positive()
    )
    mean: tuple[float, float, float] = vf.field(
        default=(123.675, 116.28, 103.53), help="of red, green, blue, in 0..255"
    )
    std: tuple[float, float, float] = vf.field(
        default=(58.395, 57.12, 57.375), help="likewise", validator=vf.each(vf.positive(), length=3)
    )

    def __attrs_post_init__(self) -> None:
        if self.short > self.long:
            raise ValueError(f"short {self.short} > long {self.long}")
        if self.divisor % 32:
            raise ValueError(f"divisor must be a multiple of 32 (the coarsest stride), got {self.divisor}")

    def build(self, maps: Maps) -> TextSizing:
        """Build the rules; ``maps`` are made of polygons in training."""
        from vf_ocr.detection.sizing import TextSizing

        return TextSizing(
            short=self.short,
            long=self.long,
            train_long=self.train_long,
            divisor=self.divisor,
            maps=maps,
            mean=self.mean,
            std=self.std,
        )


def _share(default: float, help: str) -> Any:
    return vf.field(default=default, help=help, validator=vf.within(0, 1))


def _weight(default: float, help: str) -> Any:
    return vf.field(default=default, help=f"weight of the loss of {help}", validator=vf.at_least(0))


@vf.config
class TextDetector:
    """What text detectors share."""

    backbone: BackboneConfig = vf.field(default=ResNet(depth=18), help="see 'vf list backbones'; strides 4 to 32")
    deformable: tuple[Literal[2, 3, 4], ...] = vf.field(
        default=(), help="stages of a resnet of depth 50 or more whose 3×3 convolutions deform (DCNv2); [2, 3, 4]: all"
    )
    resize: Sizing = vf.field(default=Sizing(), help="how images are sized, padded and normalised")
    shape: Shape = vf.field(default="quad", help="of what is found: quads, or polygons for curved text")

    def foreign_weights(self, source: str) -> ForeignWeights | None:
        """What there is to know of the weights of MMOCR."""
        from vf_ocr import foreign

        return foreign.detector(self, source)

    def levels(self) -> Backbone:
        """Build the backbone.

        Raises:
            ConfigError: its levels are not those that the necks join.
        """
        from vf_ocr.detection.deformable import deform

        backbone = self.backbone.build()
        if backbone.strides != LEVELS:
            raise ConfigError(
                f"model.backbone: text detectors join levels of strides {list(LEVELS)}, got {list(backbone.strides)}; "
                "change backbone.out, or take another backbone"
            )
        deform(backbone, self.deformable)
        return backbone


@vf.config
class DBNet(TextDetector):
    """DBNet (arXiv 1911.08947): shrunk text, cut out at a threshold that is learnt; fast, for words and lines."""

    neck_width: int = vf.field(
        default=256,
        help="channels of the pyramid and of the features; 4 times what a level gives",
        validator=vf.positive(),
    )
    asf: bool = vf.field(default=False, help="levels are weighted in each place: DBNet++ (arXiv 2202.10304)")
    stride: Literal[1, 2, 4] = vf.field(
        default=1, help="of the maps; 1 as published, 4 takes a quarter of the time for text of some size", unit="px"
    )
    shrink: float = _share(0.4, "how much text shrinks: its outline moves in by area × (1 - this²) / perimeter")
    smallest: float = vf.field(
        default=8.0,
        help="text of a shorter side is not learnt, nor called background",
        unit="px",
        validator=vf.at_least(0),
    )
    kernel_weight: float = _weight(5.0, "shrunk text")
    threshold_weight: float = _weight(10.0, "the thresholds")
    binary_weight: float = _weight(1.0, "what is cut out")
    steep: float = vf.field(default=50.0, help="of the cut in training, k of equation 1", validator=vf.positive())
    low: float = _share(0.3, "threshold far from outlines")
    high: float = _share(0.7, "threshold on outlines")
    threshold: float = _share(0.3, "share of shrunk text from which on a cell belongs to it")
    score_threshold: float = _share(0.3, "what is found must score more, in the mean of its cells")
    unclip: float = vf.field(
        default=1.5, help="outlines move back out by area × this / perimeter", validator=vf.at_least(0)
    )
    least_side: float = vf.field(
        default=5.0, help="what is found must have a side as short as this", unit="px", validator=vf.at_least(0)
    )
    epsilon: float = _share(0.01, "how far a simpler contour may run beside the true one, of its length")
    max_detections: int = vf.field(default=3000, help="contours that are looked at", validator=vf.positive())

    def __attrs_post_init__(self) -> None:
        if self.neck_width % 4:
            raise ValueError(f"neck_width must be a multiple of 4, got {self.neck_width}")
        if self.low > self.high:
            raise ValueError(f"low {self.low:g} > high {self.high:g}")

    def build(self, info: vf.DatasetInfo) -> nn.Module:
        """Build the network; its one class is text, whatever ``info`` says."""
        from vf_ocr.detection import dbnet
        from vf_ocr.detection.maps import DBMaps
        from vf_ocr.detection.necks import Joined
        from vf_ocr.detection.outlines import KernelReader

        backbone = self.levels()
        neck = Joined(backbone.channels, width=self.neck_width, asf=self.asf)
        rules = dbnet.DBRules(
            kernel=self.kernel_weight,
            threshold=self.threshold_weight,
            binary=self.binary_weight,
            steep=self.steep,
            low=self.low,
            high=self.high,
        )
        reader = KernelReader(
            threshold=self.threshold,
            least_score=self.score_threshold,
            unclip=self.unclip,
            least_side=self.least_side,
            epsilon=self.epsilon,
            most=self.max_detections,
            shape=self.shape,
            stride=self.stride,
        )
        return dbnet.DBNet(
            preprocess=self.resize.build(DBMaps(ratio=self.shrink, smallest=self.smallest, stride=self.stride)),
            backbone=backbone,
            neck=neck,
            head=dbnet.DBHead(neck.channels, doublings={4: 0, 2: 1, 1: 2}[self.stride]),
            rules=rules,
            reader=reader,
            stride=self.stride,
        )


@vf.config
class DBNetPP(DBNet):
    """DBNet++ (arXiv 2202.10304): DBNet with adaptive scale fusion."""

    asf: bool = vf.field(default=True, help="levels are weighted in each place")
    epsilon: float = _share(0.002, "how far a simpler contour may run beside the true one, of its length")


@vf.config
class _Regions(TextDetector):
    """What detectors share whose maps have stride 4 and are read as regions."""

    hidden: int = vf.field(default=256, help="channels of the head", validator=vf.positive())
    map_stride: Literal[1, 4] = vf.field(
        default=1, help="of the maps that are learnt; 1 as published, 4 takes less time", unit="px"
    )
    longest_shrink: float = vf.field(
        default=20.0, help="most that an outline moves in for a kernel", unit="px", validator=vf.positive()
    )
    threshold: float = _share(0.5, "share from which on a cell belongs to text or to a kernel")
    score_threshold: float = _share(0.3, "what is found must score more, in the mean of its cells")
    least_cells: int = vf.field(
        default=16, help="what is found must have so many", unit="cells of 4×4 px", validator=vf.at_least(1)
    )

    def regions(self) -> RegionRules:
        """Build the rules by which regions are outlined."""
        from vf_ocr.detection.regions import RegionRules

        return RegionRules(least_score=self.score_threshold, least_cells=self.least_cells, shape=self.shape)


@vf.config
class PSENet(_Regions):
    """PSENet (arXiv 1903.12473): kernels of text of several sizes, the smallest grows into the next; for dense text."""

    backbone: BackboneConfig = vf.field(default=ResNet(), help="see 'vf list backbones'; strides 4 to 32")
    resize: Sizing = vf.field(
        default=Sizing(short=2240, long=2240, train_long=736), help="how images are sized, padded and normalised"
    )
    neck_width: int = vf.field(default=256, help="channels of the pyramid", validator=vf.positive())
    ratios: tuple[float, ...] = vf.field(
        default=(1.0, 0.9, 0.8, 0.7, 0.6, 0.5, 0.4),
        help="how much text shrinks for each kernel, falling; the first is whole text",
        validator=vf.each(vf.within(0, 1)),
    )
    least_kernel: int = vf.field(
        default=0, help="the smallest kernel must have so many", unit="cells of 4×4 px", validator=vf.at_least(0)
    )

    def __attrs_post_init__(self) -> None:
        if len(self.ratios) < 2 or list(self.ratios) != sorted(set(self.ratios), reverse=True):
            raise ValueError(f"ratios must be two or more falling numbers, got {list(self.ratios)}")

    def build(self, info: vf.DatasetInfo) -> nn.Module:
        """Build the network; its one class is text, whatever ``info`` says."""
        from vf_ocr.detection import psenet
        from vf_ocr.detection.maps import PSEMaps
        from vf_ocr.detection.necks import Smoothed
        from vf_ocr.detection.regions import NestedReader

        backbone = self.levels()
        neck = Smoothed(backbone.channels, width=self.neck_width)
        maps = PSEMaps(ratios=self.ratios, most=self.longest_shrink, stride=self.map_stride)
        return psenet.PSENet(
            preprocess=self.resize.build(maps),
            backbone=backbone,
            neck=neck,
            head=psenet.MapsHead(neck.channels, hidden=self.hidden, outputs=len(self.ratios)),
            reader=NestedReader(rules=self.regions(), threshold=self.threshold, least_kernel=self.least_kernel),
            stride=4,
        )


@vf.config
class PANet(_Regions):
    """PAN (arXiv 1908.05900): text and kernels, and embeddings that draw cells to their kernel; light and fast."""

    resize: Sizing = vf.field(
        default=Sizing(short=736, long=4000, train_long=736), help="how images are sized, padded and normalised"
    )
    hidden: int = vf.field(default=128, help="channels of the head", validator=vf.positive())
    neck_width: int = vf.field(default=128, help="channels of each level", validator=vf.positive())
    repeats: int = vf.field(default=2, help="light pyramids in a row", validator=vf.at_least(1))
    embedding: int = vf.field(default=4, help="numbers of a cell's embedding", validator=vf.at_least(1))
    shrink: float = _share(0.5, "how much text shrinks for its kernel")
    kernel_weight: float = _weight(0.5, "kernels")
    embedding_weight: float = _weight(0.25, "embeddings")
    distance: float = vf.field(
        default=3.0, help="of a cell's embedding from the mean of its kernel's, at most", validator=vf.positive()
    )

    def build(self, info: vf.DatasetInfo) -> nn.Module:
        """Build the network; its one class is text, whatever ``info`` says."""
        from vf_ocr.detection import panet, psenet
        from vf_ocr.detection.maps import PANMaps
        from vf_ocr.detection.necks import Enhanced
        from vf_ocr.detection.regions import AggregateReader

        backbone = self.levels()
        neck = Enhanced(backbone.channels, width=self.neck_width, repeats=self.repeats)
        maps = PANMaps(ratio=self.shrink, most=self.longest_shrink, stride=self.map_stride)
        return panet.PANet(
            preprocess=self.resize.build(maps),
            backbone=backbone,
            neck=neck,
            head=psenet.MapsHead(neck.channels, hidden=self.hidden, outputs=2 + self.embedding),
            weights=(self.kernel_weight, self.embedding_weight),
            reader=AggregateReader(rules=self.regions(), threshold=self.threshold, distance=self.distance),
            stride=4,
        )
