"""Config classes of the detectors in two stages. Free of torch until ``build()``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import vf
from vf.necks import FPN, Neck
from vf.protocols import BackboneConfig
from vf.resizing import Resize
from vf.translation import ForeignWeights
from vf_det.suppression import NMS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import nn

    from vf_det.rcnn import mask_head, rpn, stage
    from vf_det.rcnn.examples import Learning
    from vf_det.rcnn.pool import RegionPool

__all__ = [
    "CascadeHead",
    "CascadeProposals",
    "CascadeRCNN",
    "CascadeStage",
    "FasterRCNN",
    "Head",
    "MaskHead",
    "MaskRCNN",
    "Merge",
    "PanopticFPN",
    "Proposals",
    "Semantic",
]

ROI_STDS = (0.1, 0.1, 0.2, 0.2)
STDS_HELP = "what dx, dy, dw, dh are divided by when boxes are learnt"


def _part(default: float, text: str) -> Any:
    return vf.field(default=default, help=text, validator=vf.within(0, 1))


def _count(default: int, text: str) -> Any:
    return vf.field(default=default, help=text, validator=vf.positive())


def _beta(default: float) -> Any:
    return vf.field(
        default=default,
        help="smooth L1 loss of boxes: quadratic below; 0: L1; torchvision: 0.1111",
        validator=vf.at_least(0),
    )


@vf.config
class Proposals:
    """The region proposal network (arXiv 1506.01497), with MMDetection's settings."""

    scales: tuple[float, ...] = vf.field(
        default=(8.0,), help="sides of anchors, in strides of a level", validator=vf.each(vf.positive())
    )
    ratios: tuple[float, ...] = vf.field(
        default=(0.5, 1.0, 2.0), help="height by width of anchors", validator=vf.each(vf.positive())
    )
    rounded: bool = vf.field(default=False, help="whole pixels for the corners of anchors, as torchvision's weights")
    grid_strides: bool = vf.field(
        default=False, help="a stride is the image's side by the level's, as torchvision's weights"
    )
    positive_iou: float = _part(0.7, "an anchor that overlaps an object by as much learns it")
    negative_iou: float = _part(0.3, "one that overlaps each by less learns background; between, nothing")
    lowest_iou: float = _part(0.3, "the best anchor of an object learns it from here on; torchvision: 0")
    samples: int = _count(256, "anchors of an image to learn from")
    positive_share: float = _part(0.5, "of the samples, at most")
    beta: float = _beta(0.0)
    train_candidates: int = _count(2000, "best anchors of a level that go into the suppression, in training")
    train_kept: int = _count(1000, "proposals of an image in training")
    test_candidates: int = _count(1000, "best anchors of a level that go into the suppression, in evaluation")
    test_kept: int = _count(1000, "proposals of an image in evaluation")
    nms_iou: float = _part(0.7, "of two proposals of a level that overlap more, the lower score is dropped")

    def __attrs_post_init__(self) -> None:
        if self.negative_iou > self.positive_iou:
            raise ValueError(f"negative_iou {self.negative_iou} > positive_iou {self.positive_iou}")
        if not (self.scales and self.ratios):
            raise ValueError("scales and ratios must have one item or more")

    def build(self, channels: int, strides: Sequence[int]) -> rpn.RPN:
        """Build the network for levels of a neck."""
        from vf_det.anchors import Anchors
        from vf_det.rcnn.examples import Learning
        from vf_det.rcnn.rpn import RPN, Proposing

        anchors = Anchors(
            sizes=[[scale * stride for scale in self.scales] for stride in strides],
            ratios=[self.ratios] * len(strides),
            strides=strides,
            rounded=self.rounded,
            grid_strides=self.grid_strides,
        )
        learning = Learning(
            positive=self.positive_iou,
            negative=self.negative_iou,
            low_quality=True,
            lowest=self.lowest_iou,
            size=self.samples,
            positive_share=self.positive_share,
            beta=self.beta,
        )
        train = Proposing(candidates=self.train_candidates, kept=self.train_kept, iou=self.nms_iou)
        test = Proposing(candidates=self.test_candidates, kept=self.test_kept, iou=self.nms_iou)
        return RPN(channels, anchors=anchors, learning=learning, train=train, test=test)


@vf.config
class Head:
    """What becomes of the proposals: two fully connected layers on pooled features of each."""

    levels: int = _count(4, "of the neck, from the finest on, that features are taken from")
    size: int = _count(7, "cells across the features of a proposal")
    sampling_ratio: int = vf.field(
        default=0, help="samples across a cell; 0: as many as it has cells of the level", validator=vf.at_least(0)
    )
    aligned: bool = vf.field(default=True, help="samples lie where pixels do; torchvision's weights: false")
    hidden: int = _count(1024, "values of each fully connected layer")
    agnostic: bool = vf.field(default=False, help="one box for all classes, not one for each")
    samples: int = _count(512, "proposals of an image to learn from")
    positive_share: float = _part(0.25, "of the samples, at most")
    beta: float = _beta(0.0)

    def pool(self, strides: Sequence[int], size: int) -> RegionPool:
        """Build what takes features from the levels of a neck."""
        from vf_det.rcnn.pool import RegionPool

        return RegionPool(
            size=size, strides=strides[: self.levels], sampling_ratio=self.sampling_ratio, aligned=self.aligned
        )

    def learning(self, iou: float) -> Learning:
        """Return how a stage chooses proposals; those that overlap an object by ``iou`` are its own."""
        from vf_det.rcnn.examples import Learning

        return Learning(
            positive=iou,
            negative=iou,
            low_quality=False,
            lowest=0.0,
            size=self.samples,
            positive_share=self.positive_share,
            beta=self.beta,
        )


@vf.config
class CascadeStage:
    """One of the stages that boxes go through."""

    iou: float = _part(0.5, "a proposal that overlaps an object by as much learns it; the others learn background")
    stds: tuple[float, float, float, float] = vf.field(
        default=ROI_STDS, help=STDS_HELP, validator=vf.each(vf.positive(), length=4)
    )
    weight: float = vf.field(default=1.0, help="of the stage's losses", validator=vf.positive())

    def build(self, channels: int, num_classes: int, head: Head) -> stage.Stage:
        """Build the stage on pooled features of so many channels."""
        from vf_det.rcnn.stage import Stage

        return Stage(
            channels * head.size**2,
            hidden=head.hidden,
            num_classes=num_classes,
            agnostic=head.agnostic,
            stds=self.stds,
            learning=head.learning(self.iou),
            weight=self.weight,
        )


@vf.config
class MaskHead:
    """Masks of proposals (arXiv 1703.06870)."""

    size: int = _count(14, "cells across the features of a proposal; its mask has twice as many")
    convs: int = _count(4, "3×3 convolutions")
    hidden: int = _count(256, "channels of the convolutions")
    binary: bool = vf.field(
        default=True, help="round the mask that is to be learnt to 0 and 1; torchvision does not: false"
    )
    threshold: float = _part(0.5, "a pixel belongs to a mask where it is at least as probable")

    def build(self, channels: int, num_classes: int, head: Head, weight: float) -> mask_head.MaskHead:
        """Build the head for regions that ``head`` pooled."""
        from vf_det.rcnn.mask_head import MaskHead

        return MaskHead(
            channels,
            hidden=self.hidden,
            convs=self.convs,
            num_classes=num_classes,
            aligned=head.aligned,
            binary=self.binary,
            weight=weight,
        )


@vf.config
class FasterRCNN:
    """Faster R-CNN with a pyramid (arXiv 1506.01497, 1612.03144); numbers as MMDetection's unless set otherwise."""

    backbone: BackboneConfig = vf.field(help="what gives features, as {name: resnet, depth: 50}")
    neck: Neck = vf.field(default=FPN(), help="what brings levels to one width, as {name: fpn}")
    resize: Resize = vf.field(default=Resize(), help="how images are sized, padded and normalised")
    rpn: Proposals = vf.field(default=Proposals(), help="what proposes regions")
    head: Head = vf.field(default=Head(), help="what looks at proposals")
    score_threshold: float = _part(0.05, "predictions below are dropped")
    nms: NMS = vf.field(default=NMS(), help="what becomes of boxes that overlap a better one")
    max_detections: int = _count(100, "kept for one image, the best first")
    keep_proposals: bool = vf.field(default=False, help="predictions have the proposals and their scores too")

    def build(self, info: vf.DatasetInfo) -> nn.Module:
        """Build the network for the classes of ``info``."""
        from vf_det.rcnn.model import RCNN

        return RCNN(**self._parts(info, (CascadeStage(),), None))

    def foreign_weights(self, source: str) -> ForeignWeights | None:
        """What there is to know of the weights of torchvision and MMDetection."""
        from vf_det import foreign

        return foreign.rcnn(self, source)

    def _parts(
        self, info: vf.DatasetInfo, stages: Sequence[CascadeStage], mask_head: MaskHead | None
    ) -> dict[str, Any]:
        """Return what `vf_det.rcnn.model.RCNN` is made of."""
        from vf_det.rcnn.model import Finishing

        backbone = self.backbone.build()
        neck = self.neck.build(backbone.channels, backbone.strides)
        width, count, head = neck.channels, len(info.classes), self.head
        masks = [mask_head.build(width, count, head, s.weight) for s in stages] if mask_head else []
        return {
            "preprocess": self.resize.build(),
            "backbone": backbone,
            "neck": neck,
            "rpn": self.rpn.build(width, neck.strides),
            "pool": head.pool(neck.strides, head.size),
            "stages": [s.build(width, count, head) for s in stages],
            "mask_pool": head.pool(neck.strides, mask_head.size) if mask_head else None,
            "masks": masks,
            "finishing": Finishing(
                score_threshold=self.score_threshold,
                rule=self.nms.build(),
                most=self.max_detections,
                mask_threshold=mask_head.threshold if mask_head else 0.5,
                keep_proposals=self.keep_proposals,
            ),
        }


@vf.config
class MaskRCNN(FasterRCNN):
    """Mask R-CNN (arXiv 1703.06870): Faster R-CNN with a mask for each object; the data needs ``masks: true``."""

    mask_head: MaskHead = vf.field(default=MaskHead(), help="what draws masks")

    def build(self, info: vf.DatasetInfo) -> nn.Module:
        """Build the network for the classes of ``info``."""
        from vf_det.rcnn.model import RCNN

        return RCNN(**self._parts(info, (CascadeStage(),), self.mask_head))


# Classes of their own and not other defaults of the keys: who sets one key of a part keeps the others.
@vf.config
class CascadeProposals(Proposals):
    """The region proposal network before a cascade, with MMDetection's settings."""

    beta: float = _beta(1 / 9)
    train_kept: int = _count(2000, "proposals of an image in training")


@vf.config
class CascadeHead(Head):
    """What each stage of a cascade has."""

    agnostic: bool = vf.field(default=True, help="one box for all classes, not one for each")
    beta: float = _beta(1.0)


@vf.config
class CascadeRCNN(MaskRCNN):
    """Cascade R-CNN (arXiv 1712.00726): stages that refine boxes one after the other; with masks where asked for."""

    rpn: CascadeProposals = vf.field(default=CascadeProposals(), help="what proposes regions")
    head: CascadeHead = vf.field(default=CascadeHead(), help="what looks at proposals")
    masks: bool = vf.field(default=False, help="learn and draw masks too; the data needs masks: true")
    stages: tuple[CascadeStage, ...] = vf.field(
        default=(
            CascadeStage(),
            CascadeStage(iou=0.6, stds=(0.05, 0.05, 0.1, 0.1), weight=0.5),
            CascadeStage(iou=0.7, stds=(0.033, 0.033, 0.067, 0.067), weight=0.25),
        ),
        help="in the order in which boxes go through them",
    )

    def __attrs_post_init__(self) -> None:
        if not self.stages:
            raise ValueError("stages must have one item or more")

    def build(self, info: vf.DatasetInfo) -> nn.Module:
        """Build the network for the classes of ``info``."""
        from vf_det.rcnn.model import RCNN

        return RCNN(**self._parts(info, self.stages, self.mask_head if self.masks else None))


@vf.config
class Semantic:
    """What says where stuff is (arXiv 1901.02446)."""

    hidden: int = _count(128, "channels of each branch; a multiple of 32 for its group norms")
    levels: int = _count(4, "of the neck, from the finest on")
    weight: float = vf.field(default=0.5, help="of its loss, beside those of things", validator=vf.positive())


@vf.config
class Merge:
    """How masks of things and the map of stuff become segments (arXiv 1801.00868)."""

    score: float = _part(0.6, "things below are left out")
    overlap: float = _part(0.5, "things of which a larger part is taken by better ones are left out")
    stuff_area: int = vf.field(
        default=4096, help="stuff of fewer pixels is left out", unit="px²", validator=vf.at_least(0)
    )


@vf.config
class PanopticFPN(MaskRCNN):
    """Panoptic FPN (arXiv 1901.02446): Mask R-CNN and a map of stuff; data: coco_panoptic with ``masks: true``."""

    semantic: Semantic = vf.field(default=Semantic(), help="what says where stuff is")
    panoptic: Merge = vf.field(default=Merge(), help="how both become segments")

    def build(self, info: vf.DatasetInfo) -> nn.Module:
        """Build the network for the classes and the stuff of ``info``; ConfigError where there is no stuff."""
        from vf_det.panoptic_fpn.merge import Merging
        from vf_det.panoptic_fpn.model import PanopticFPN
        from vf_det.panoptic_fpn.semantic import SemanticHead

        if not info.stuff:
            raise vf.ConfigError(
                "model panoptic_fpn: needs data that name stuff, as coco_panoptic does; for things alone take mask_rcnn"
            )
        parts = self._parts(info, (CascadeStage(),), self.mask_head)
        semantic = SemanticHead(
            parts["neck"].channels,
            hidden=self.semantic.hidden,
            levels=self.semantic.levels,
            stride=parts["neck"].strides[0],
            num_things=len(info.classes),
            num_stuff=len(info.stuff),
            weight=self.semantic.weight,
        )
        merging = Merging(score=self.panoptic.score, overlap=self.panoptic.overlap, stuff_area=self.panoptic.stuff_area)
        return PanopticFPN(semantic=semantic, merging=merging, num_things=len(info.classes), **parts)
