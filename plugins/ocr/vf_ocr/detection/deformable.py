"""Modulated deformable convolutions in a ResNet, on torchvision's operator."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn
from torchvision.ops import deform_conv2d

from vf.errors import ConfigError

TAPS = 9


class DeformableConv2d(nn.Module):
    """A 3×3 convolution whose nine taps move and weigh themselves in every place (DCNv2, arXiv 1811.11168).

    It begins as a plain convolution whose taps count half.

    Args:
        plain: takes its place, with its weight, stride and dilation.
    """

    onnx_opset = 19
    """The first with such an operator."""

    def __init__(self, plain: nn.Conv2d) -> None:
        super().__init__()
        self.stride, self.dilation = plain.stride[0], plain.dilation[0]
        self.weight = plain.weight
        self.conv_offset = nn.Conv2d(plain.in_channels, 3 * TAPS, 3, self.stride, self.dilation, self.dilation)
        nn.init.zeros_(self.conv_offset.weight)
        nn.init.zeros_(self.conv_offset.get_parameter("bias"))

    def forward(self, x: Tensor) -> Tensor:
        """Convolve [B,C,H,W]; in float32, for want of another kernel on some devices."""
        moves = self.conv_offset(x)
        with torch.autocast(x.device.type, enabled=False):
            moves = moves.float()
            out: Tensor = deform_conv2d(
                x.float(),
                moves[:, : 2 * TAPS].contiguous(),
                self.weight.float(),
                stride=self.stride,
                padding=self.dilation,
                dilation=self.dilation,
                mask=moves[:, 2 * TAPS :].sigmoid(),
            )
        return out


def deform(backbone: nn.Module, stages: Iterable[int]) -> None:
    """Put deformable convolutions in the place of the 3×3 ones of a ResNet's bottlenecks (``conv2``).

    Args:
        backbone: with stages ``layer1`` to ``layer4``.
        stages: from 1.

    Raises:
        ConfigError: it has no such stages, or no bottlenecks in them.
    """
    for stage in stages:
        blocks = getattr(backbone, f"layer{stage}", None)
        own = [block for block in blocks if hasattr(block, "conv3")] if isinstance(blocks, nn.Sequential) else []
        if not own:
            raise ConfigError(
                f"deformable: stage {stage} of the backbone has no bottlenecks; take a resnet of depth 50 or more, "
                "or leave deformable out"
            )
        for block in own:
            plain = block.conv2
            assert isinstance(plain, nn.Conv2d)
            block.conv2 = DeformableConv2d(plain)
