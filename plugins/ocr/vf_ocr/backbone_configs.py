"""Config of a backbone small enough to train from nothing on a CPU. Free of torch."""

from __future__ import annotations

from typing import TYPE_CHECKING

import vf

if TYPE_CHECKING:
    from vf.nn.backbones.backbone import Backbone

__all__ = ["Slim"]


@vf.config
class Slim:
    """A slim ResNet with one basic block a stage: learns text in minutes on a CPU, from nothing."""

    width: int = vf.field(default=32, help="channels of stride 4; each stage doubles them", validator=vf.at_least(8))
    blocks: tuple[int, int, int, int] = vf.field(
        default=(1, 1, 1, 1), help="of each stage", validator=vf.each(vf.at_least(1))
    )
    pretrained: str = vf.field(default="", help="weights to start from: a file, a run or an http(s) address")

    def build(self) -> Backbone:
        """Build the net, without weights."""
        from vf_ocr.detection.slim import Slim

        return Slim(width=self.width, blocks=self.blocks, pretrained=self.pretrained)
