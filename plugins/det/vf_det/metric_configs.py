"""Config classes of metrics. Free of torch and numpy until ``build()``."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any, Literal

import attrs

import vf

if TYPE_CHECKING:
    from vf.protocols import Metric

__all__ = [
    "CityscapesAP",
    "CocoAP",
    "ConfusionMatrix",
    "ErrorAnalysis",
    "LvisAP",
    "PanopticQuality",
    "VocAP",
]


def _some(instance: Any, attribute: attrs.Attribute[Any], value: tuple[Any, ...]) -> None:
    if not value:
        raise ValueError("must have at least 1 item, got none")


def _rising(instance: Any, attribute: attrs.Attribute[Any], value: tuple[int, ...]) -> None:
    _some(instance, attribute, value)
    if value[0] < 1 or any(a >= b for a, b in itertools.pairwise(value)):
        raise ValueError(f"must be rising numbers > 0, got {list(value)}")


def _thresholds(instance: Any, attribute: attrs.Attribute[Any], value: tuple[float, ...]) -> None:
    if any(not 0 < v <= 1 for v in value):
        raise ValueError(f"must be > 0 and <= 1, got {list(value)}")


@vf.config
class CocoAP:
    """COCO's numbers for boxes, masks or poses, recall of proposals, and AP for each class."""

    iou: tuple[Literal["bbox", "segm", "keypoints"], ...] = vf.field(
        default=("bbox",), help="what is compared; segm needs masks, keypoints needs keypoints", validator=_some
    )
    proposals: bool = vf.field(default=False, help="also the recall of boxes of any class, as AR@100")
    iou_thrs: tuple[float, ...] = vf.field(
        default=(), help="IoU thresholds; none: 0.5, 0.55 … 0.95", validator=_thresholds
    )
    max_dets: tuple[int, ...] = vf.field(
        default=(1, 10, 100),
        help="detections of one class in one image that count; AP is that of the last",
        validator=_rising,
    )
    proposal_dets: tuple[int, ...] = vf.field(
        default=(100, 300, 1000), help="proposals of one image that count", validator=_rising
    )
    sigmas: tuple[float, ...] = vf.field(
        default=(),
        help="spread of each keypoint, as a part of the object's size; none: COCO's 17",
        validator=vf.each(vf.positive()),
    )
    classwise: bool = vf.field(default=True, help="AP of each class in the table")
    backend: Literal["auto", "vf", "faster_coco_eval", "pycocotools"] = vf.field(
        default="auto", help="who counts; auto: vf, the fastest; all give the same numbers"
    )

    def build(self, info: vf.DatasetInfo) -> Metric:
        """Build the metric for the classes of ``info``."""
        from vf_det.coco_ap import CocoAP as Metric_

        return Metric_(
            classes=info.classes,
            iou=self.iou,
            proposals=self.proposals,
            ious=self.iou_thrs,
            max_dets=self.max_dets,
            proposal_dets=self.proposal_dets,
            sigmas=self.sigmas,
            classwise=self.classwise,
            backend=self.backend,
        )


@vf.config
class VocAP:
    """Mean average precision and recall as Pascal VOC counts them; difficult objects do not count."""

    mode: Literal["area", "11point"] = vf.field(
        default="area", help="area under the curve (VOC 2010 and later) or mean of 11 points (VOC 2007)"
    )
    iou_thrs: tuple[float, ...] = vf.field(
        default=(0.5,), help="IoU thresholds; mAP is the mean over them", validator=_thresholds
    )
    classwise: bool = vf.field(default=True, help="AP and recall of each class in the table")

    def __attrs_post_init__(self) -> None:
        if not self.iou_thrs:
            raise ValueError("iou_thrs must have at least 1 item, got none")

    def build(self, info: vf.DatasetInfo) -> Metric:
        """Build the metric for the classes of ``info``."""
        from vf_det.metrics.voc_ap import VocAP as Metric_

        return Metric_(classes=info.classes, mode=self.mode, ious=self.iou_thrs, classwise=self.classwise)


@vf.config
class LvisAP:
    """LVIS's numbers: classes that nobody looked for in an image do not count there; AP by frequency of the class."""

    iou: Literal["bbox", "segm"] = vf.field(default="bbox", help="what is compared; segm needs masks")
    max_dets: int = vf.field(default=300, help="detections of one image that count", validator=vf.positive())
    classwise: bool = vf.field(default=False, help="AP of each class in the table")

    def build(self, info: vf.DatasetInfo) -> Metric:
        """Build the metric for the classes of ``info``."""
        from vf_det.metrics.lvis_ap import LvisAP as Metric_

        return Metric_(classes=info.classes, iou=self.iou, max_dets=self.max_dets, classwise=self.classwise)


@vf.config
class CityscapesAP:
    """AP and AP50 of instance masks as Cityscapes counts them; groups and void do not count."""

    min_pixels: int = vf.field(default=100, help="smaller objects do not count", unit="px²", validator=vf.at_least(0))
    classwise: bool = vf.field(default=True, help="AP and AP50 of each class in the table")

    def build(self, info: vf.DatasetInfo) -> Metric:
        """Build the metric for the classes of ``info``."""
        from vf_det.metrics.cityscapes_ap import CityscapesAP as Metric_

        return Metric_(classes=info.classes, min_pixels=self.min_pixels, classwise=self.classwise)


@vf.config
class PanopticQuality:
    """Panoptic, segmentation and recognition quality of all classes, of things and of stuff."""

    classwise: bool = vf.field(default=True, help="PQ, SQ and RQ of each class in the table")

    def build(self, info: vf.DatasetInfo) -> Metric:
        """Build the metric for the classes of ``info``."""
        from vf_det.metrics.panoptic_quality import PanopticQuality as Metric_

        return Metric_(classes=info.classes + info.stuff, classwise=self.classwise)


@vf.config
class ConfusionMatrix:
    """Which class is taken for which, and for background; the most frequent mistakes in the table."""

    score: float = vf.field(default=0.3, help="detections below do not count", validator=vf.within(0, 1))
    iou_thr: float = vf.field(
        default=0.5, help="overlap from which a box stands for an object", validator=vf.within(0.01, 1)
    )
    rows: int = vf.field(default=20, help="most mistakes in the table", validator=vf.at_least(0))

    def build(self, info: vf.DatasetInfo) -> Metric:
        """Build the metric for the classes of ``info``."""
        from vf_det.metrics.confusion_matrix import ConfusionMatrix as Metric_

        return Metric_(classes=info.classes, score=self.score, iou=self.iou_thr, rows=self.rows)


@vf.config
class ErrorAnalysis:
    """What each kind of mistake costs in AP50, in the manner of TIDE."""

    iou: Literal["bbox", "segm"] = vf.field(default="bbox", help="what is compared; segm needs masks")
    foreground: float = vf.field(default=0.5, help="IoU from which a detection is right", validator=vf.within(0.01, 1))
    background: float = vf.field(
        default=0.1, help="IoU up to which a detection lies on background", validator=vf.within(0, 1)
    )
    max_dets: int = vf.field(default=100, help="detections of one image that count", validator=vf.positive())

    def __attrs_post_init__(self) -> None:
        if self.background >= self.foreground:
            raise ValueError(f"background {self.background:g} >= foreground {self.foreground:g}")

    def build(self, info: vf.DatasetInfo) -> Metric:
        """Build the metric for the classes of ``info``."""
        from vf_det.metrics.error_analysis import ErrorAnalysis as Metric_

        return Metric_(
            classes=info.classes,
            iou=self.iou,
            foreground=self.foreground,
            background=self.background,
            max_dets=self.max_dets,
        )
