"""The key ``nms`` of detectors: what becomes of boxes that overlap a better one. Free of torch until ``build()``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import vf

if TYPE_CHECKING:
    from vf_det.postprocess import Suppression

__all__ = ["NMS"]


@vf.config
class NMS:
    """Non-maximum suppression: hard drops boxes; soft (arXiv 1704.04503) lowers their scores."""

    kind: Literal["hard", "soft_linear", "soft_gaussian"] = vf.field(
        default="hard", help="hard: drop; soft_linear: score × (1 - IoU); soft_gaussian: score × exp(-IoU² / sigma)"
    )
    iou: float = vf.field(
        default=0.5,
        help="boxes that overlap a better one by more are dropped (hard) or lowered (soft_linear)",
        validator=vf.within(0, 1),
    )
    agnostic: bool = vf.field(default=False, help="boxes of different classes suppress each other too")
    sigma: float = vf.field(default=0.5, help="of soft_gaussian", validator=vf.positive())
    min_score: float = vf.field(
        default=0.001, help="soft: boxes whose score gets below are dropped", validator=vf.within(0, 1)
    )

    def build(self) -> Suppression:
        """Build the rule."""
        from vf_det.postprocess import Suppression

        return Suppression(
            kind=self.kind, iou=self.iou, agnostic=self.agnostic, sigma=self.sigma, min_score=self.min_score
        )
