"""The neck: a top-down and a bottom-up path over three feature maps (PANet: arXiv 1803.01534)."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vf_det.yolox.csp import ConvBlock, CSPLayer, spatial_block, stage_blocks, stage_channels


class PAFPN(nn.Module):
    """Mix the backbone's maps at strides 8, 16 and 32; channels stay as they are.

    Args:
        depth: scales the number of bottlenecks in a CSP layer, of which YOLOX-l has 3.
        width: scales the channels, as in the backbone.
        depthwise: depthwise separable convolutions instead of 3×3 ones.
    """

    def __init__(self, *, depth: float, width: float, depthwise: bool) -> None:
        super().__init__()
        _, _, c3, c4, c5 = stage_channels(width)
        blocks = stage_blocks(depth)

        def mix(inputs: int, outputs: int) -> CSPLayer:
            return CSPLayer(inputs, outputs, blocks=blocks, shortcut=False, depthwise=depthwise)

        self.reduce5 = ConvBlock(c5, c4, kernel=1)
        self.top4 = mix(2 * c4, c4)
        self.reduce4 = ConvBlock(c4, c3, kernel=1)
        self.top3 = mix(2 * c3, c3)
        self.down3 = spatial_block(c3, c3, stride=2, depthwise=depthwise)
        self.bottom4 = mix(2 * c3, c4)
        self.down4 = spatial_block(c4, c4, stride=2, depthwise=depthwise)
        self.bottom5 = mix(2 * c4, c5)

    def forward(self, c3: Tensor, c4: Tensor, c5: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Map backbone features at strides 8, 16, 32 to features of the same shapes."""
        lateral5 = self.reduce5(c5)
        p4 = self.top4(torch.cat((_twice(lateral5), c4), dim=1))
        lateral4 = self.reduce4(p4)
        p3 = self.top3(torch.cat((_twice(lateral4), c3), dim=1))
        p4 = self.bottom4(torch.cat((self.down3(p3), lateral4), dim=1))
        p5 = self.bottom5(torch.cat((self.down4(p4), lateral5), dim=1))
        return p3, p4, p5


def _twice(x: Tensor) -> Tensor:
    return F.interpolate(x, scale_factor=2.0, mode="nearest")
