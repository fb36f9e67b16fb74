"""Config classes of the dense detectors. Free of torch until ``build()``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import attrs

import vf
from vf.backbones import VGG16SSD, ResNet
from vf.necks import FPN, Neck
from vf.protocols import BackboneConfig
from vf.resizing import Resize
from vf.translation import ForeignWeights
from vf_det.suppression import NMS

if TYPE_CHECKING:
    from torch import nn

    from vf.nn.necks import Neck as NeckNetwork
    from vf_det.dense.candidates import Choice
    from vf_det.dense.detector import Features

__all__ = ["FCOS", "SSD", "RetinaNet"]

HeadNorm = Literal["none", "gn", "bn", "sync_bn"]
Grid = Literal["exact", "torchvision"]


def _score_threshold(default: float) -> Any:
    return vf.field(default=default, help="predictions must score more", validator=vf.within(0, 1))


def _candidates() -> Any:
    return vf.field(
        default=1000, help="best of each level and image that go on to the suppression", validator=vf.positive()
    )


def _max_detections(default: int = 100) -> Any:
    return vf.field(default=default, help="kept for one image, the best first", validator=vf.positive())


def _grid(torchvision: str) -> Any:
    return vf.field(default="exact", help=f"torchvision: {torchvision}, as its published weights were trained")


@vf.config
class Pyramid:
    """What detectors on a pyramid of features share."""

    backbone: BackboneConfig = vf.field(default=ResNet(out=(2, 3, 4)), help="see 'vf list backbones'")
    neck: Neck = vf.field(default=FPN(extra="conv_in"), help="fpn, pafpn, bifpn, hrfpn with their options")
    resize: Resize = vf.field(default=Resize(), help="how images are sized, padded and normalised")
    head_width: int = vf.field(default=256, help="channels of the head's towers", validator=vf.positive())
    head_depth: int = vf.field(default=4, help="convolutions of each tower", validator=vf.at_least(0))
    focal_alpha: float = vf.field(
        default=0.25, help="weight of a class's own cells; the others have 1 - this", validator=vf.within(0, 1)
    )
    focal_gamma: float = vf.field(
        default=2.0, help="how much less easy cells count; 0: all alike", validator=vf.at_least(0)
    )

    def features(self) -> tuple[Features, NeckNetwork]:
        """Build image rules, backbone and neck; the neck comes twice."""
        from vf_det.dense.detector import Features

        backbone = self.backbone.build()
        neck = self.neck.build(backbone.channels, backbone.strides)
        return Features(self.resize.build(), backbone, neck), neck


@vf.config
class RetinaNet(Pyramid):
    """RetinaNet (arXiv 1708.02002): one stage, anchors, focal loss."""

    head_norm: HeadNorm = vf.field(default="none", help="after each convolution of the towers")
    anchor_scale: float = vf.field(
        default=4.0, help="side of the smallest square anchor, in strides", validator=vf.positive()
    )
    anchor_scales: int = vf.field(
        default=3, help="anchor sizes of a level, between its own and twice that", validator=vf.positive()
    )
    anchor_ratios: tuple[float, ...] = vf.field(
        default=(0.5, 1.0, 2.0), help="height by width", validator=vf.each(vf.positive())
    )
    grid: Grid = _grid("anchors are rounded to whole px and laid out over the padded image")
    positive_iou: float = vf.field(
        default=0.5, help="from which on an anchor learns an object", validator=vf.within(0, 1)
    )
    negative_iou: float = vf.field(
        default=0.4, help="below which it is background; between the two it does not count", validator=vf.within(0, 1)
    )
    box_loss: Literal["l1", "giou"] = vf.field(default="l1", help="of the offsets (l1) or of the boxes (giou)")
    box_weight: float = vf.field(default=1.0, help="of the box's loss beside the class's", validator=vf.at_least(0))
    score_threshold: float = _score_threshold(0.05)
    candidates: int = _candidates()
    nms: NMS = vf.field(default=NMS(iou=0.5), help="what becomes of boxes that overlap a better one")
    max_detections: int = _max_detections()

    def __attrs_post_init__(self) -> None:
        if self.negative_iou > self.positive_iou:
            raise ValueError(f"negative_iou {self.negative_iou:g} > positive_iou {self.positive_iou:g}")
        if not self.anchor_ratios:
            raise ValueError("anchor_ratios: must have at least 1 item, got none")

    def sizes(self, stride: int) -> tuple[float, ...]:
        """Return the square roots of the areas of a level's anchors, px."""
        smallest = self.anchor_scale * stride
        own = tuple(smallest * 2 ** (i / self.anchor_scales) for i in range(self.anchor_scales))
        return own if self.grid == "exact" else tuple(float(int(size)) for size in own)

    def foreign_weights(self, source: str) -> ForeignWeights | None:
        """What there is to know of the weights of torchvision and MMDetection."""
        from vf_det import foreign

        return foreign.retinanet(self, source)

    def build(self, info: vf.DatasetInfo) -> nn.Module:
        """Build the network for the classes of ``info``."""
        from vf_det.anchors import Anchors
        from vf_det.dense import retinanet
        from vf_det.dense.heads import AnchorHead

        features, neck = self.features()
        strides = neck.strides
        anchors = Anchors(
            sizes=[self.sizes(stride) for stride in strides],
            ratios=[self.anchor_ratios] * len(strides),
            strides=strides,
            rounded=self.grid == "torchvision",
            grid_strides=self.grid == "torchvision",
        )
        head = AnchorHead(
            inputs=neck.channels,
            width=self.head_width,
            depth=self.head_depth,
            norm=self.head_norm,
            anchors=anchors.per_cell[0],
            num_classes=len(info.classes),
        )
        return retinanet.RetinaNet(
            features=features, head=head, anchors=anchors, rules=self._rules(), choice=_choice(self)
        )

    def _rules(self) -> Any:
        from vf_det.dense.retinanet import RetinaRules

        return RetinaRules(
            positive=self.positive_iou,
            negative=self.negative_iou,
            alpha=self.focal_alpha,
            gamma=self.focal_gamma,
            box_loss=self.box_loss,
            box_weight=self.box_weight,
        )


@vf.config
class FCOS(Pyramid):
    """FCOS (arXiv 1904.01355): one stage, no anchors, a box from every point inside of an object."""

    neck: Neck = vf.field(
        default=FPN(extra="conv_out", extra_relu=True), help="fpn, pafpn, bifpn, hrfpn with their options"
    )
    head_norm: HeadNorm = vf.field(default="gn", help="after each convolution of the towers")
    normed: bool = vf.field(default=False, help="the head gives distances in strides, ReLU; else their exponent in px")
    centerness_on: Literal["class", "box"] = vf.field(default="class", help="tower that gives the centre-ness")
    center_radius: float | None = vf.field(
        default=None,
        help="centre sampling: points learn within this of an object's centre; nothing: everywhere inside",
        unit="strides",
        validator=vf.positive(),
    )
    grid: Grid = _grid("points lie in the corners of cells laid out over the padded image, not in their middle")
    box_loss: Literal["iou", "giou"] = vf.field(default="iou", help="iou: -log(IoU), giou: 1 - GIoU")
    weighted_boxes: bool = vf.field(default=True, help="a box's loss counts by the centre-ness of its point")
    score: Literal["product", "root"] = vf.field(
        default="product",
        help="of class and centre-ness; product: the class alone is held against score_threshold; root of the product",
    )
    score_threshold: float = _score_threshold(0.05)
    candidates: int = _candidates()
    nms: NMS = vf.field(default=NMS(iou=0.5), help="what becomes of boxes that overlap a better one")
    max_detections: int = _max_detections()

    def foreign_weights(self, source: str) -> ForeignWeights | None:
        """What there is to know of the weights of torchvision and MMDetection."""
        from vf_det import foreign

        return foreign.fcos(self, source)

    def build(self, info: vf.DatasetInfo) -> nn.Module:
        """Build the network for the classes of ``info``."""
        from vf_det.dense import fcos
        from vf_det.dense.heads import PointHead

        features, neck = self.features()
        head = PointHead(
            inputs=neck.channels,
            width=self.head_width,
            depth=self.head_depth,
            norm=self.head_norm,
            strides=neck.strides,
            num_classes=len(info.classes),
            centerness_on=self.centerness_on,
            normed=self.normed,
        )
        rules, choice = self._rules(), _choice(self)
        return fcos.FCOS(features=features, head=head, strides=neck.strides, rules=rules, choice=choice)

    def _rules(self) -> Any:
        from vf_det.dense.fcos import PointRules

        return PointRules(
            radius=self.center_radius,
            alpha=self.focal_alpha,
            gamma=self.focal_gamma,
            box_loss=self.box_loss,
            weighted=self.weighted_boxes,
            score=self.score,
            as_torchvision=self.grid == "torchvision",
        )


def _rising(instance: Any, attribute: attrs.Attribute[Any], value: tuple[float, ...]) -> None:
    if len(value) < 2 or value[0] <= 0 or list(value) != sorted(value):
        raise ValueError(f"must be two or more rising numbers > 0, got {list(value)}")


@vf.config
class SSD:
    """SSD (arXiv 1512.02325): one stage, priors on several levels, images of one size whatever their ratio."""

    backbone: BackboneConfig = vf.field(default=VGG16SSD(), help="see 'vf list backbones'")
    neck: Neck | None = vf.field(default=None, help="nothing: priors lie on the levels of the backbone")
    extra: tuple[int, ...] = vf.field(
        default=(),
        help="channels of further levels, each half as large as the one before; vgg16_ssd has its own",
        validator=vf.each(vf.at_least(2)),
    )
    depthwise: bool = vf.field(default=False, help="depthwise convolutions in the head and further levels, as SSDLite")
    size: int = vf.field(default=300, help="height and width that images are stretched to", unit="px")
    mean: tuple[float, float, float] = vf.field(
        default=(123.0, 117.0, 104.0), help="of the channels in the order that the network eats, in 0..255"
    )
    std: tuple[float, float, float] = vf.field(
        default=(1.0, 1.0, 1.0), help="likewise", validator=vf.each(vf.positive(), length=3)
    )
    bgr: bool = vf.field(default=False, help="the network eats blue, green, red")
    scales: tuple[float, ...] = vf.field(
        default=(0.07, 0.15, 0.33, 0.51, 0.69, 0.87, 1.05),
        help="side of the square priors of each level as a part of size, and one more",
        validator=_rising,
    )
    ratios: tuple[tuple[float, ...], ...] = vf.field(
        default=((2.0,), (2.0, 3.0), (2.0, 3.0), (2.0, 3.0), (2.0,), (2.0,)),
        help="of the other priors of each level, long by short side",
        validator=vf.each(vf.each(vf.positive())),
    )
    strides: tuple[int, ...] = vf.field(
        default=(),
        help="distances of the priors of each level; nothing: the levels' own",
        unit="px",
        validator=vf.each(vf.positive()),
    )
    grid: Grid = _grid("no side of a prior is longer than the image's")
    positive_iou: float = vf.field(
        default=0.5,
        help="from which on a prior learns an object; its best prior does anyway",
        validator=vf.within(0, 1),
    )
    negatives: float = vf.field(default=3.0, help="hardest negatives for each positive", validator=vf.at_least(0))
    beta: float = vf.field(default=1.0, help="offset from which on the box's loss is linear", validator=vf.at_least(0))
    score_threshold: float = _score_threshold(0.02)
    candidates: int = _candidates()
    nms: NMS = vf.field(default=NMS(iou=0.45), help="what becomes of boxes that overlap a better one")
    max_detections: int = _max_detections(200)

    def __attrs_post_init__(self) -> None:
        if isinstance(self.backbone, VGG16SSD) and self.backbone.size != self.size:
            raise ValueError(f"size {self.size} is not backbone.size {self.backbone.size}; set both")
        if len(self.scales) != len(self.ratios) + 1:
            raise ValueError(
                f"scales has {len(self.scales)} items and ratios {len(self.ratios)}; expected one more than ratios"
            )

    def foreign_weights(self, source: str) -> ForeignWeights | None:
        """What there is to know of the weights of torchvision and MMDetection."""
        from vf_det import foreign

        return foreign.ssd(source)

    def build(self, info: vf.DatasetInfo) -> nn.Module:
        """Build the network for the classes of ``info``; ConfigError where priors are of other levels."""
        from vf_det.dense import ssd
        from vf_det.dense.priors import Priors

        features, widths, own = self._features()
        strides = self.strides or own
        if not len(strides) == len(own) == len(self.ratios):
            raise vf.ConfigError(
                f"model.ratios: has {len(self.ratios)} items, expected one for each of the {len(own)} levels of "
                f"strides {', '.join(map(str, own))}; scales has one more, strides none or as many"
            )
        priors = Priors(scales=self.scales, ratios=self.ratios, strides=strides, inside=self.grid == "torchvision")
        head = ssd.PriorHead(
            inputs=widths, priors=priors.per_cell, num_classes=len(info.classes), depthwise=self.depthwise
        )
        rules = ssd.PriorRules(positive=self.positive_iou, negatives=self.negatives, beta=self.beta)
        return ssd.SSD(features=features, head=head, priors=priors, rules=rules, choice=_choice(self))

    def _features(self) -> tuple[Features, tuple[int, ...], tuple[int, ...]]:
        """Build image rules, backbone and what comes after it; return channels and strides of the levels too."""
        from torch import nn

        from vf_det.dense.detector import Features
        from vf_det.dense.lite import ExtraLevels
        from vf_det.dense.stretch import Stretch

        backbone = self.backbone.build()
        widths, strides = backbone.channels, backbone.strides
        after: list[nn.Module] = []
        if self.neck is not None:
            neck = self.neck.build(widths, strides)
            widths, strides = (neck.channels,) * len(neck.strides), neck.strides
            after.append(neck)
        if self.extra:
            further = ExtraLevels(widths, strides, extra=self.extra, depthwise=self.depthwise)
            widths, strides = further.channels, further.strides
            after.append(further)
        rules = Stretch(size=(self.size, self.size), mean=self.mean, std=self.std, bgr=self.bgr)
        joined = nn.Sequential(*after) if len(after) > 1 else next(iter(after), None)
        return Features(rules, backbone, joined), widths, strides


def _choice(config: RetinaNet | FCOS | SSD) -> Choice:
    from vf_det.dense.candidates import Choice

    return Choice(
        threshold=config.score_threshold,
        candidates=config.candidates,
        suppression=config.nms.build(),
        most=config.max_detections,
    )
