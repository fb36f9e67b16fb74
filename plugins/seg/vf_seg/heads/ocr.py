"""Object-contextual representations (arXiv 1909.11065): each pixel looks at a summary of each class's region.

Legend: N = h·w pixels, D channels.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vf_seg.heads.blocks import Head, block, like
from vf_seg.heads.fcn import FCNHead


class OCRHead(Head):
    """All levels joined at the finest size; gives logits, and those of the regions that the summaries are of.

    Args:
        inputs: channels of all levels.
        classes: C.
        width: of the features.
        key_width: D, channels in which pixels and regions are compared.
        norm: by key.
        dropout: chance of a channel.
    """

    def __init__(
        self,
        inputs: Sequence[int],
        *,
        classes: int,
        width: int = 512,
        key_width: int = 256,
        norm: str = "bn",
        dropout: float = 0.1,
    ) -> None:
        super().__init__(width, classes, dropout=dropout)
        given = sum(inputs)
        self.pixels = block(given, width, 3, norm=norm)
        self.query = nn.Sequential(block(width, key_width, norm=norm), block(key_width, key_width, norm=norm))
        self.key = nn.Sequential(block(width, key_width, norm=norm), block(key_width, key_width, norm=norm))
        self.value = block(width, key_width, norm=norm)
        self.context = block(key_width, width, norm=norm)
        self.fuse = block(2 * width, width, norm=norm)
        self.initialise()
        self.regions = FCNHead(
            [given], [0], classes=classes, width=given, convs=1, kernel=1, norm=norm, dropout=dropout
        )

    def forward(self, levels: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
        """Return logits, and logits of the regions."""
        joined = torch.cat([like(level, levels[0]) for level in levels], 1)
        regions = self.regions([joined])
        pixels = self.pixels(joined)
        context = self.context(self._seen(pixels, _summaries(pixels, regions)))
        return self.classified(self.fuse(torch.cat([context, pixels], 1))), regions

    def _seen(self, pixels: Tensor, summaries: Tensor) -> Tensor:
        """Return for each pixel the mean of the regions' values by how alike they are, [B,D,h,w]."""
        query = self.query(pixels).flatten(2).transpose(1, 2)  # [B,N,D]
        key = self.key(summaries).flatten(2).transpose(1, 2)  # [B,C,D]
        value = self.value(summaries).flatten(2).transpose(1, 2)
        # With a dimension of one head: ONNX's attention takes no other.
        seen = F.scaled_dot_product_attention(query[:, None], key[:, None], value[:, None])[:, 0]
        out: Tensor = seen.transpose(1, 2).unflatten(2, pixels.shape[-2:])
        return out


def _summaries(pixels: Tensor, regions: Tensor) -> Tensor:
    """Return the mean of the pixels over each class's region, [B,width,C,1]; shares of a region sum to 1."""
    shares = regions.flatten(2).softmax(2)  # [B,C,N]
    return (pixels.flatten(2) @ shares.transpose(1, 2))[..., None]
