"""DeepLabV3 (arXiv 1706.05587) and DeepLabV3+ (arXiv 1802.02611): convolutions of several dilations side by side."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from vf_seg.heads.blocks import Head, block, like, separable


class ASPP(nn.Module):
    """Atrous spatial pyramid pooling: the mean of the map, a 1×1 convolution, dilated 3×3 ones, joined.

    Args:
        inputs: channels of the map.
        width: of each branch.
        rates: dilations; 1 is the 1×1 convolution.
        depthwise: whether the dilated ones are separable.
        norm: by key.
    """

    def __init__(self, inputs: int, width: int, *, rates: Sequence[int], depthwise: bool, norm: str) -> None:
        super().__init__()
        self.pool = nn.Sequential(nn.AdaptiveAvgPool2d(1), block(inputs, width, norm=norm))
        self.branches = nn.ModuleList(
            block(inputs, width, norm=norm)
            if rate == 1
            else separable(inputs, width, norm=norm, dilation=rate)
            if depthwise
            else block(inputs, width, 3, norm=norm, dilation=rate)
            for rate in rates
        )
        self.pools_to_one = True
        self.channels = (1 + len(rates)) * width

    def forward(self, x: Tensor) -> list[Tensor]:
        """Return all branches, the mean first."""
        return [like(self.pool(x), x), *(branch(x) for branch in self.branches)]


class DeepLabV3Head(Head):
    """ASPP on the coarsest level.

    Args:
        inputs: channels of that level.
        classes: C.
        width: of each branch and of the features.
        rates: dilations.
        project: whether a 1×1 convolution joins the branches before the 3×3 one, as torchvision has it; the mean of
            the map then comes last.
        norm: by key.
        dropout: chance of a channel.
    """

    def __init__(
        self,
        inputs: int,
        *,
        classes: int,
        width: int = 512,
        rates: Sequence[int] = (1, 12, 24, 36),
        project: bool = False,
        norm: str = "bn",
        dropout: float = 0.1,
    ) -> None:
        super().__init__(width, classes, dropout=dropout)
        self.aspp = ASPP(inputs, width, rates=rates, depthwise=False, norm=norm)
        self.project = block(self.aspp.channels, width, norm=norm) if project else None
        self.fuse = block(width if project else self.aspp.channels, width, 3, norm=norm)
        self.initialise()

    def forward(self, levels: Sequence[Tensor]) -> Tensor:
        """Return logits."""
        mean, *branches = self.aspp(levels[-1])
        if self.project is None:
            return self.classified(self.fuse(torch.cat([mean, *branches], 1)))
        return self.classified(self.fuse(self.project(torch.cat([*branches, mean], 1))))


class DeepLabV3PlusHead(Head):
    """ASPP of separable convolutions on the coarsest level, then two more at the size of the finest.

    Args:
        inputs: channels of all levels.
        classes: C.
        width: of each branch and of the features.
        fine_width: to which the channels of the finest level are brought.
        rates: dilations.
        norm: by key.
        dropout: chance of a channel.
    """

    def __init__(
        self,
        inputs: Sequence[int],
        *,
        classes: int,
        width: int = 512,
        fine_width: int = 48,
        rates: Sequence[int] = (1, 12, 24, 36),
        norm: str = "bn",
        dropout: float = 0.1,
    ) -> None:
        super().__init__(width, classes, dropout=dropout)
        self.aspp = ASPP(inputs[-1], width, rates=rates, depthwise=True, norm=norm)
        self.fuse = block(self.aspp.channels, width, 3, norm=norm)
        self.fine = block(inputs[0], fine_width, norm=norm)
        self.refine = nn.Sequential(separable(width + fine_width, width, norm=norm), separable(width, width, norm=norm))
        self.initialise()

    def forward(self, levels: Sequence[Tensor]) -> Tensor:
        """Return logits."""
        coarse = self.fuse(torch.cat(self.aspp(levels[-1]), 1))
        fine = self.fine(levels[0])
        return self.classified(self.refine(torch.cat([like(coarse, fine), fine], 1)))
