"""Lite R-ASPP (arXiv 1905.02244, section 6.4)."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from vf_seg.heads.blocks import block, like


class LRASPPHead(nn.Module):
    """The coarse level, gated by its own mean, and the fine one, both classified and added up.

    Args:
        inputs: channels of the fine and the coarse level.
        classes: C.
        width: of the gated features.
        norm: by key.
    """

    def __init__(self, inputs: Sequence[int], *, classes: int, width: int = 128, norm: str = "bn") -> None:
        super().__init__()
        fine, coarse = inputs
        self.features = block(coarse, width, norm=norm)
        self.gate = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Conv2d(coarse, width, 1, bias=False), nn.Sigmoid())
        self.fine = nn.Conv2d(fine, classes, 1)
        self.coarse = nn.Conv2d(width, classes, 1)

    def forward(self, levels: Sequence[Tensor]) -> Tensor:
        """Return logits."""
        fine, coarse = levels[0], levels[-1]
        gated = self.features(coarse) * self.gate(coarse)
        logits: Tensor = self.fine(fine) + self.coarse(like(gated, fine))
        return logits
