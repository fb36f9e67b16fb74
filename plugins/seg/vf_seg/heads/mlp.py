"""SegFormer's head (arXiv 2105.15203, section 3.2)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from vf_seg.heads.blocks import Head, block, like


class MLPHead(Head):
    """Every level by a 1×1 convolution to one width, joined at the finest size.

    Args:
        inputs: channels of all levels.
        classes: C.
        width: of each level and of the features.
        norm: by key.
        dropout: chance of a channel.
    """

    def __init__(
        self, inputs: Sequence[int], *, classes: int, width: int = 256, norm: str = "bn", dropout: float = 0.1
    ) -> None:
        super().__init__(width, classes, dropout=dropout)
        self.levels = nn.ModuleList(block(channels, width, norm=norm) for channels in inputs)
        self.fuse = block(len(inputs) * width, width, norm=norm)
        self.initialise()

    def forward(self, levels: Sequence[Tensor]) -> Tensor:
        """Return logits."""
        same = [own(level) for own, level in zip(self.levels, levels, strict=True)]
        return self.classified(self.fuse(torch.cat([like(level, same[0]) for level in same], 1)))
