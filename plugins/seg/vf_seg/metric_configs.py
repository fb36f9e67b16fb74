"""Config classes of metrics. Free of torch and numpy until ``build()``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import vf

if TYPE_CHECKING:
    from vf.protocols import Metric

__all__ = ["BoundaryIoU", "MeanIoU"]


@vf.config
class MeanIoU:
    """mIoU, aAcc and mAcc from one confusion matrix of all pixels; Dice, F score, precision and recall where asked.

    A class that neither the labels nor the predictions have is no part of a mean, and n/a in the table.
    """

    dice: bool = vf.field(default=False, help="also mDice")
    fscore: bool = vf.field(default=False, help="also mFscore, mPrecision, mRecall")
    beta: float = vf.field(default=1.0, help="weight of recall in the F score", validator=vf.positive())
    classwise: bool = vf.field(default=True, help="the numbers of each class in the table")

    def build(self, info: vf.DatasetInfo) -> Metric:
        """Build the metric."""
        from vf_seg.metrics.miou import MeanIoU as Metric_

        return Metric_(
            classes=info.classes, dice=self.dice, fscore=self.fscore, beta=self.beta, classwise=self.classwise
        )


@vf.config
class BoundaryIoU:
    """Boundary IoU (arXiv 2103.16562): the IoU of what lies near the edges of a class in labels and prediction."""

    dilation: float = vf.field(
        default=0.02, help="how near, as a part of the image's diagonal; at least 1 px", validator=vf.within(1e-4, 0.5)
    )
    classwise: bool = vf.field(default=True, help="the number of each class in the table")

    def build(self, info: vf.DatasetInfo) -> Metric:
        """Build the metric."""
        from vf_seg.metrics.boundary import BoundaryIoU as Metric_

        return Metric_(classes=info.classes, dilation=self.dilation, classwise=self.classwise)
