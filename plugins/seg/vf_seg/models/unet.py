"""U-Net's body (arXiv 1505.04597) with batch norm and bilinear upsampling."""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vf.nn.backbones.backbone import Backbone
from vf_seg.heads.blocks import block


class UNetBody(Backbone):
    """Levels of the decoder, strides 1 to 8, and the bottom of the U, stride 16. Sides must be multiples of 16.

    Args:
        width: channels at the size of the image; they double with each halving.
        norm: by key.
    """

    def __init__(self, *, width: int = 64, norm: str = "bn") -> None:
        super().__init__()
        self.channels = tuple(width * 2**level for level in range(5))
        self.strides = tuple(2**level for level in range(5))
        self.encoder = nn.ModuleList(_double(a, b, norm) for a, b in pairwise((3, *self.channels)))
        pairs = list(pairwise(self.channels))
        self.up = nn.ModuleList(block(coarse, fine, norm=norm) for fine, coarse in pairs)
        self.decoder = nn.ModuleList(_double(2 * fine, fine, norm) for fine, _ in pairs)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        """Return the levels, fine to coarse."""
        down: list[Tensor] = []
        for number, convs in enumerate(self.encoder):
            x = convs(F.max_pool2d(x, 2) if number else x)
            down.append(x)
        levels = [x]
        for level in reversed(range(len(self.up))):
            x = self.up[level](F.interpolate(x, scale_factor=2.0, mode="bilinear"))
            x = self.decoder[level](torch.cat([down[level], x], 1))
            levels.insert(0, x)
        return tuple(levels)


def _double(inputs: int, outputs: int, norm: str) -> nn.Sequential:
    return nn.Sequential(block(inputs, outputs, 3, norm=norm), block(outputs, outputs, 3, norm=norm))
