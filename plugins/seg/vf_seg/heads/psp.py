"""PSPNet (arXiv 1612.01105) and UPerNet (arXiv 1807.10221)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from vf_seg.heads.blocks import Fuse, Head, Pyramid, block, like


class PSPHead(Head):
    """Pyramid pooling on the coarsest level.

    Args:
        inputs: channels of that level.
        classes: C.
        width: of each grid and of the features.
        bins: cells of each grid along a side.
        norm: by key.
        dropout: chance of a channel.
    """

    def __init__(
        self,
        inputs: int,
        *,
        classes: int,
        width: int = 512,
        bins: Sequence[int] = (1, 2, 3, 6),
        norm: str = "bn",
        dropout: float = 0.1,
    ) -> None:
        super().__init__(width, classes, dropout=dropout)
        self.pyramid = Pyramid(inputs, width, bins=bins, norm=norm)
        self.fuse = Fuse(inputs, [width] * len(bins), width, norm=norm)
        self.initialise()

    def forward(self, levels: Sequence[Tensor]) -> Tensor:
        """Return logits."""
        return self.classified(self.fuse(levels[-1], self.pyramid(levels[-1])))


class UPerHead(Head):
    """Pyramid pooling on the coarsest level, then a feature pyramid, whose levels are joined.

    Args:
        inputs: channels of all levels.
        classes: C.
        width: of every level and of the features.
        bins: cells of each grid along a side.
        norm: by key.
        dropout: chance of a channel.
    """

    def __init__(
        self,
        inputs: Sequence[int],
        *,
        classes: int,
        width: int = 512,
        bins: Sequence[int] = (1, 2, 3, 6),
        norm: str = "bn",
        dropout: float = 0.1,
    ) -> None:
        super().__init__(width, classes, dropout=dropout)
        self.pyramid = Pyramid(inputs[-1], width, bins=bins, norm=norm)
        self.coarsest = Fuse(inputs[-1], [width] * len(bins), width, norm=norm)
        self.lateral = nn.ModuleList(block(channels, width, norm=norm) for channels in inputs[:-1])
        self.smooth = nn.ModuleList(block(width, width, 3, norm=norm) for _ in inputs[:-1])
        self.fuse = block(len(inputs) * width, width, 3, norm=norm)
        self.initialise()

    def forward(self, levels: Sequence[Tensor]) -> Tensor:
        """Return logits."""
        top: Tensor = self.coarsest(levels[-1], self.pyramid(levels[-1]))
        summed = [top]
        for lateral, level in zip(reversed(self.lateral), reversed(levels[:-1]), strict=True):
            own = lateral(level)
            summed.insert(0, own + like(summed[0], own))
        smoothed = [smooth(level) for smooth, level in zip(self.smooth, summed[:-1], strict=True)]
        joined = torch.cat([like(level, summed[0]) for level in (*smoothed, top)], 1)
        return self.classified(self.fuse(joined))
