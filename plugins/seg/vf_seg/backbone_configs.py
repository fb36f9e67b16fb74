"""Config of SegFormer's encoder. Free of torch until ``build()``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import vf
from vf.backbones import IMAGENET

if TYPE_CHECKING:
    from vf.nn.backbones.backbone import Backbone

__all__ = ["MiT"]

Size = Literal["b0", "b1", "b2", "b3", "b4", "b5"]

DEPTHS: dict[str, tuple[int, int, int, int]] = {
    "b0": (2, 2, 2, 2),
    "b1": (2, 2, 2, 2),
    "b2": (3, 4, 6, 3),
    "b3": (3, 4, 18, 3),
    "b4": (3, 8, 27, 3),
    "b5": (3, 6, 40, 3),
}
"""Size -> blocks of each stage (arXiv 2105.15203, table 6)."""
WEIGHTS = {
    "b0": "mit_b0_20220624-7e0fe6dd.pth",
    "b1": "mit_b1_20220624-02e5a6a1.pth",
    "b2": "mit_b2_20220624-66e8bf70.pth",
    "b3": "mit_b3_20220624-13b1141c.pth",
    "b4": "mit_b4_20220624-d588d980.pth",
    "b5": "mit_b5_20220624-658746d9.pth",
}
"""Size -> the authors' ImageNet weights, as OpenMMLab keeps them."""
PRETRAIN = "https://download.openmmlab.com/mmsegmentation/v0.5/pretrain/segformer/"


@vf.config
class MiT:
    """Mix Transformer (arXiv 2105.15203), SegFormer's encoder: b0 to b5, strides 4 to 32."""

    size: Size = vf.field(default="b0", help="b0 has 3.3 M parameters, b5 81.4 M")
    drop_path: float = vf.field(
        default=0.1, help="chance of the last block to be left out in training", validator=vf.within(0, 1)
    )
    frozen_stages: int = vf.field(default=0, help="0: none; n: stages 1 to n never change", validator=vf.within(0, 4))
    checkpoint: bool = vf.field(
        default=False, help="compute activations again for the gradient: less memory, more time"
    )
    pretrained: str = vf.field(
        default="",
        help="weights to start from: imagenet (the authors', as OpenMMLab keeps them), a file, a run or an address",
    )

    def build(self) -> Backbone:
        """Build the net, without weights."""
        from vf_seg.models.mit import MiT

        return MiT(
            width=32 if self.size == "b0" else 64,
            depths=DEPTHS[self.size],
            drop_path=self.drop_path,
            frozen_stages=self.frozen_stages,
            checkpoint=self.checkpoint,
            pretrained=PRETRAIN + WEIGHTS[self.size] if self.pretrained == IMAGENET else self.pretrained,
        )
