"""What heads are made of.

Legend for all heads: levels come fine to coarse, each float [B,·,h,w]; logits are [B,C,h,w] at the size of the finest
level that a head takes.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vf.nn.norms import make_norm


def block(
    inputs: int,
    outputs: int,
    kernel: int = 1,
    *,
    norm: str = "bn",
    stride: int = 1,
    dilation: int = 1,
    groups: int = 1,
    relu: bool = True,
) -> nn.Sequential:
    """Return a convolution that keeps the size (but for ``stride``), a norm and, where asked, a ReLU."""
    padding = dilation * (kernel // 2)
    conv = nn.Conv2d(inputs, outputs, kernel, stride, padding, dilation, groups, bias=False)
    parts: list[nn.Module] = [conv, make_norm(norm, outputs)]
    return nn.Sequential(*parts, *([nn.ReLU(inplace=True)] if relu else []))


def separable(
    inputs: int, outputs: int, *, norm: str = "bn", stride: int = 1, dilation: int = 1, relu: bool = True
) -> nn.Sequential:
    """Return a 3×3 convolution of each channel by itself, then a 1×1 one; a norm after both, a ReLU after the last.

    Args:
        inputs: channels.
        outputs: channels.
        norm: by key.
        stride: of the 3×3 convolution.
        dilation: likewise.
        relu: whether there is one after the 3×3 convolution too.
    """
    return nn.Sequential(
        block(inputs, inputs, 3, norm=norm, stride=stride, dilation=dilation, groups=inputs, relu=relu),
        block(inputs, outputs, norm=norm),
    )


def like(x: Tensor, other: Tensor) -> Tensor:
    """Resize a map to the height and width of another one, bilinearly."""
    size = other.shape[-2:]
    return x if x.shape[-2:] == size else F.interpolate(x, size=size, mode="bilinear")


class Head(nn.Module):
    """What ends in a 1×1 convolution to the classes, after dropout of whole channels.

    Args:
        width: channels before it.
        classes: C.
        dropout: chance of a channel to be left out.
    """

    def __init__(self, width: int, classes: int, *, dropout: float) -> None:
        super().__init__()
        self.dropout = nn.Dropout2d(dropout)
        self.classes = nn.Conv2d(width, classes, 1)

    def initialise(self) -> None:
        """Draw weights: every layer keeps the variance of gradients, and all classes begin alike."""
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
                if module.bias is not None:
                    nn.init.zeros_(module.bias)
        nn.init.normal_(self.classes.weight, std=0.01)

    def classified(self, x: Tensor) -> Tensor:
        """Return logits of features."""
        logits: Tensor = self.classes(self.dropout(x))
        return logits


class Pyramid(nn.ModuleList):
    """Pyramid pooling (arXiv 1612.01105): means over grids of bins, brought back to the size of the map.

    Args:
        inputs: channels of the map.
        outputs: channels of each grid.
        bins: cells of each grid along a side.
        norm: by key.
    """

    def __init__(self, inputs: int, outputs: int, *, bins: Sequence[int], norm: str) -> None:
        super().__init__(
            nn.Sequential(nn.AdaptiveAvgPool2d(count), block(inputs, outputs, norm=norm)) for count in bins
        )
        self.pools_to_one = 1 in bins

    def forward(self, x: Tensor) -> Tensor:
        """Return the map and all grids, joined along the channels."""
        return torch.cat([x, *(like(grid(x), x) for grid in self)], 1)
