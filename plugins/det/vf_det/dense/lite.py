"""What SSD has beside VGG's own layers: further levels, and light heads of depthwise convolutions (SSDLite)."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

EPS, MOMENTUM = 1e-3, 0.03
"""Of the batch norms, as in arXiv 1801.04381's detector."""


class ExtraLevels(nn.Module):
    """Levels as they come, and further ones, each from the one before and half as large.

    A further level is a 1×1 convolution to half its channels and a strided 3×3 one, with batch norms and ReLU6.

    Args:
        inputs: channels of each level that comes.
        strides: of these, px.
        extra: channels of each further level.
        depthwise: the 3×3 convolutions are separable.
    """

    def __init__(self, inputs: Sequence[int], strides: Sequence[int], *, extra: Sequence[int], depthwise: bool) -> None:
        super().__init__()
        self.channels = (*inputs, *extra)
        self.strides = (*strides, *(strides[-1] * 2 ** (n + 1) for n in range(len(extra))))
        self.extra = nn.ModuleList()
        for before, width in zip(self.channels[len(inputs) - 1 :], extra, strict=False):
            middle = width // 2
            last = (
                nn.Sequential(block(middle, middle, 3, stride=2, groups=middle), block(middle, width, 1))
                if depthwise
                else block(middle, width, 3, stride=2)
            )
            self.extra.append(nn.Sequential(block(before, middle, 1), last))

    def forward(self, levels: Sequence[Tensor]) -> tuple[Tensor, ...]:
        """Take and return [B,C,H,W], fine to coarse."""
        out = list(levels)
        for layer in self.extra:
            out.append(layer(out[-1]))
        return tuple(out)


def block(inputs: int, outputs: int, kernel: int, *, stride: int = 1, groups: int = 1) -> nn.Sequential:
    """Return a padded convolution, its batch norm and ReLU6."""
    conv = nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=False)
    nn.init.trunc_normal_(conv.weight, std=0.03)
    return nn.Sequential(conv, nn.BatchNorm2d(outputs, eps=EPS, momentum=MOMENTUM), nn.ReLU6(inplace=True))


def light(inputs: int, outputs: int) -> nn.Sequential:
    """Return what predicts in a light head: a depthwise 3×3 convolution and a 1×1 one."""
    last = nn.Conv2d(inputs, outputs, 1)
    nn.init.normal_(last.weight, std=0.001)
    nn.init.zeros_(last.get_parameter("bias"))
    return nn.Sequential(block(inputs, inputs, 3, groups=inputs), last)
