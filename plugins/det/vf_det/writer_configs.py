"""Config classes of the layouts that labels are written in. Free of torch and numpy until ``build()``."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

import vf

if TYPE_CHECKING:
    from vf.protocols import Writer

__all__ = ["Coco", "Yolo"]


@vf.config
class Coco:
    """COCO json: annotations/instances_SPLIT.json, with masks, crowds, keypoints and difficult where there are any."""

    task: ClassVar[str] = "det"

    def build(self) -> Writer:
        """Build the writer."""
        from vf_det.writers.coco import CocoWriter

        return CocoWriter()


@vf.config
class Yolo:
    """YOLO txt: labels/SPLIT/*.txt beside images/SPLIT, and data.yaml; boxes alone."""

    task: ClassVar[str] = "det"

    def build(self) -> Writer:
        """Build the writer."""
        from vf_det.writers.yolo import YoloWriter

        return YoloWriter()
