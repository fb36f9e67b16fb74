"""Attention with its keys and values apart, so that a decoder makes them once; and the blocks that stand on it."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

Pairs = tuple[Tensor, Tensor]
"""Keys and values, [N,heads,S,channels of a head] each."""


class Attention(nn.Module):
    """Multi-head attention (arXiv 1706.03762).

    Args:
        channels: of what asks and of what is asked.
        heads: among which the channels are shared out.
    """

    def __init__(self, channels: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.query = nn.Linear(channels, channels)
        self.pair = nn.Linear(channels, 2 * channels)
        self.out = nn.Linear(channels, channels)

    def pairs(self, memory: Tensor) -> Pairs:
        """Return the keys and values of [N,S,channels]."""
        keys, values = self.pair(memory).chunk(2, -1)
        return self._by_head(keys), self._by_head(values)

    def forward(self, x: Tensor, memory: Tensor | Pairs, mask: Tensor | None = None) -> Tensor:
        """Return [N,T,channels].

        Args:
            x: what asks, [N,T,channels].
            memory: what is asked, [N,S,channels], or its pairs.
            mask: bool, [T,S] or [N,1,T,S]: what may be seen; None: all.
        """
        keys, values = self.pairs(memory) if isinstance(memory, Tensor) else memory
        out = F.scaled_dot_product_attention(self._by_head(self.query(x)), keys, values, attn_mask=mask)
        joined: Tensor = self.out(out.transpose(1, 2).flatten(2))
        return joined

    def _by_head(self, x: Tensor) -> Tensor:
        split: Tensor = x.unflatten(-1, (self.heads, -1))
        return split.transpose(1, 2)


def mlp(channels: int, hidden: int, dropout: float = 0.0) -> nn.Sequential:
    """Return two linear layers with GELU between them."""
    return nn.Sequential(nn.Linear(channels, hidden), nn.GELU(), nn.Dropout(dropout), nn.Linear(hidden, channels))


class EncoderBlock(nn.Module):
    """Self-attention and an MLP, each normed before and added."""

    def __init__(self, channels: int, heads: int, *, hidden: int, dropout: float = 0.0) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(channels), nn.LayerNorm(channels)
        self.attention, self.mlp = Attention(channels, heads), mlp(channels, hidden, dropout)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:
        """[N,S,channels] -> the same."""
        normed = self.norm1(x)
        x = x + self.dropout(self.attention(normed, normed))
        out: Tensor = x + self.dropout(self.mlp(self.norm2(x)))
        return out


class DecoderBlock(nn.Module):
    """Attention to what was said, attention to the image, an MLP; each normed before and added."""

    def __init__(self, channels: int, heads: int, *, hidden: int, dropout: float = 0.0) -> None:
        super().__init__()
        self.norm1, self.norm2, self.norm3 = (nn.LayerNorm(channels) for _ in range(3))
        self.said, self.seen = Attention(channels, heads), Attention(channels, heads)
        self.mlp, self.dropout = mlp(channels, hidden, dropout), nn.Dropout(dropout)

    def pairs_said(self, said: Tensor) -> Pairs:
        """Return what attention to [N,T,channels], the same that goes into the block, asks."""
        return self.said.pairs(self.norm1(said))

    def forward(self, x: Tensor, said: Pairs, seen: Tensor | Pairs, mask: Tensor | None = None) -> Tensor:
        """[N,T,channels] -> the same; ``mask`` says what of ``said`` may be seen."""
        x = x + self.dropout(self.said(self.norm1(x), said, mask))
        x = x + self.dropout(self.seen(self.norm2(x), seen))
        out: Tensor = x + self.dropout(self.mlp(self.norm3(x)))
        return out


def joined(pairs: Pairs | None, more: Pairs) -> Pairs:
    """Append pairs to those that there are."""
    return more if pairs is None else (torch.cat((pairs[0], more[0]), 2), torch.cat((pairs[1], more[1]), 2))
