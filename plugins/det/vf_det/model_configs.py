"""Config classes of the detectors. Free of torch until ``build()``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import attrs

import vf
from vf.translation import ForeignWeights

if TYPE_CHECKING:
    from torch import nn


def _multiple_of_32(instance: Any, attribute: attrs.Attribute[Any], value: Any) -> None:
    if value <= 0 or value % 32:
        raise ValueError(f"must be a multiple of 32 (the coarsest stride), got {value!r}")


@vf.config
class YOLOX:
    """YOLOX (arXiv 2107.08430). depth × width: nano .33×.25 depthwise, tiny .33×.375, s .33×.5, m .67×.75."""

    depth: float = vf.field(0.33, help="how many blocks a stage has, relative to YOLOX-l", validator=vf.positive())
    width: float = vf.field(
        0.5, help="how many channels a layer has, relative to YOLOX-l", validator=vf.at_least(0.125)
    )
    depthwise: bool = vf.field(False, help="depthwise separable convolutions instead of 3×3 ones, as in nano")
    size: tuple[int, int] = vf.field(
        (640, 640),
        help="height and width that the network eats",
        unit="px",
        validator=vf.each(_multiple_of_32, length=2),
    )
    score_threshold: float = vf.field(
        0.001, help="predictions below are dropped; low, because AP counts them", validator=vf.within(0, 1)
    )
    nms_iou: float = vf.field(
        0.65,
        help="of two boxes of a class that overlap more, the lower score is dropped",
        validator=vf.within(0, 1),
    )
    max_detections: int = vf.field(300, help="kept for one image, the best first", validator=vf.at_least(1))
    fused: bool = vf.field(False, help="batch norm folded into the convolutions: for inference with published weights")

    def foreign_weights(self, source: str) -> ForeignWeights | None:
        """What there is to know of the weights of YOLOX's authors and of MMDetection."""
        from vf_det import foreign

        return foreign.yolox(source)

    def build(self, info: vf.DatasetInfo) -> nn.Module:
        """Build the network for the classes of ``info``."""
        from vf_det.yolox import model

        return model.YOLOX(
            num_classes=len(info.classes),
            depth=self.depth,
            width=self.width,
            depthwise=self.depthwise,
            size=self.size,
            score_threshold=self.score_threshold,
            nms_iou=self.nms_iou,
            max_detections=self.max_detections,
            fused=self.fused,
        )
