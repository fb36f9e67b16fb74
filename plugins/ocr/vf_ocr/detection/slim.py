"""A slim ResNet: two strided 3×3 convolutions, then basic blocks (arXiv 1512.03385) of few channels."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn
from torchvision.models.resnet import BasicBlock

from vf.nn.backbones.backbone import Backbone
from vf.nn.norms import conv_norm


class Slim(Backbone):
    """Stages ``stages.0`` to ``stages.3`` with strides 4 to 32.

    Args:
        width: channels of the first; each other has twice those of the one before.
        blocks: of each stage.
        pretrained: see :class:`Backbone`.
    """

    def __init__(self, *, width: int = 32, blocks: Sequence[int] = (1, 1, 1, 1), pretrained: str = "") -> None:
        super().__init__(pretrained=pretrained)
        self.stem = nn.Sequential(
            *conv_norm(3, width, 3, stride=2, norm="bn"),
            nn.ReLU(inplace=True),
            *conv_norm(width, width, 3, stride=2, norm="bn"),
            nn.ReLU(inplace=True),
        )
        self.channels = tuple(width * 2**stage for stage in range(len(blocks)))
        self.strides = tuple(4 * 2**stage for stage in range(len(blocks)))
        before = (width, *self.channels[:-1])
        self.stages = nn.ModuleList(
            _stage(inputs, outputs, count, stride=2 if number else 1)
            for number, (inputs, outputs, count) in enumerate(zip(before, self.channels, blocks, strict=True))
        )
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
        self.settle(norm="bn", norm_eval=False)

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        """Return all stages for a normalised [B,3,H,W]."""
        x = self.stem(x)
        levels = []
        for stage in self.stages:
            x = stage(x)
            levels.append(x)
        return tuple(levels)


def _stage(inputs: int, outputs: int, blocks: int, *, stride: int) -> nn.Sequential:
    """Return basic blocks, of which the first changes channels and size."""
    same = stride == 1 and inputs == outputs
    down = None if same else nn.Sequential(*conv_norm(inputs, outputs, 1, stride=stride, norm="bn"))
    first = BasicBlock(inputs, outputs, stride, down)
    return nn.Sequential(first, *(BasicBlock(outputs, outputs) for _ in range(blocks - 1)))
