"""Convolutions, then classes (arXiv 1411.4038); of several levels, their maps are joined at the finest size."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from vf_seg.heads.blocks import Head, block, like, separable


class FCNHead(Head):
    """Takes one level, or several.

    Args:
        inputs: channels of the levels taken.
        places: of these levels among all.
        classes: C.
        width: of each convolution.
        convs: their number; 0: the level goes to the classes as it is.
        kernel: of each.
        concat: whether a last convolution sees what came in beside what came out.
        depthwise: whether convolutions are separable, without a ReLU in between.
        norm: by key.
        dropout: chance of a channel.
    """

    def __init__(
        self,
        inputs: Sequence[int],
        places: Sequence[int],
        *,
        classes: int,
        width: int,
        convs: int = 2,
        kernel: int = 3,
        concat: bool = False,
        depthwise: bool = False,
        norm: str = "bn",
        dropout: float = 0.1,
    ) -> None:
        given = sum(inputs)
        super().__init__(width if convs else given, classes, dropout=dropout)
        self._places = tuple(places)
        widths = [given, *[width] * (convs - 1)]
        self.convs = nn.Sequential(
            *(
                separable(w, width, norm=norm, relu=False) if depthwise else block(w, width, kernel, norm=norm)
                for w in widths[:convs]
            )
        )
        self.concat = block(given + width, width, kernel, norm=norm) if concat else None
        self.initialise()

    def forward(self, levels: Sequence[Tensor]) -> Tensor:
        """Return logits."""
        return self.classified(self.features(levels))

    def features(self, levels: Sequence[Tensor]) -> Tensor:
        """Return what the classes are told from."""
        taken = [levels[place] for place in self._places]
        x = taken[0] if len(taken) == 1 else torch.cat([like(level, taken[0]) for level in taken], 1)
        out: Tensor = self.convs(x)
        return out if self.concat is None else self.concat(torch.cat([x, out], 1))
