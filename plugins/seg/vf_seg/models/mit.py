"""Mix Transformer, the encoder of SegFormer (arXiv 2105.15203). Tensors have the names of OpenMMLab's weights.

Legend: B images, N = h·w tokens, D channels.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.ops import StochasticDepth

from vf.nn.backbones.backbone import Backbone
from vf.nn.forgetful import make_forgetful

HEADS = (1, 2, 5, 8)
REDUCTIONS = (8, 4, 2, 1)
"""By how much keys and values of a stage are coarser than its queries, along a side."""
EPS = 1e-6
"""Of all norms."""


class MiT(Backbone):
    """Four stages with strides 4 to 32.

    Args:
        width: channels of the first stage for each of its heads; the stages have 1, 2, 5 and 8 times as many.
        depths: blocks of each stage.
        drop_path: chance of the last block to be left out in training; it rises from 0 at the first.
        frozen_stages: 0: none; n: stages 1 to n never change.
        checkpoint: whether blocks compute their activations again for the gradient.
        pretrained: see :class:`Backbone`.
    """

    def __init__(
        self,
        *,
        width: int = 32,
        depths: Sequence[int] = (2, 2, 2, 2),
        drop_path: float = 0.1,
        frozen_stages: int = 0,
        checkpoint: bool = False,
        pretrained: str = "",
    ) -> None:
        super().__init__(pretrained=pretrained)
        self.channels = tuple(width * heads for heads in HEADS)
        self.strides = (4, 8, 16, 32)
        chances = [drop_path * number / (sum(depths) - 1) for number in range(sum(depths))]
        self.layers = nn.ModuleList()
        for number, depth in enumerate(depths):
            inputs, outputs = (3, *self.channels)[number], self.channels[number]
            kernel, stride = (7, 4) if number == 0 else (3, 2)
            own, chances = chances[:depth], chances[depth:]
            blocks = [_Block(outputs, HEADS[number], REDUCTIONS[number], chance) for chance in own]
            patches = _Patches(inputs, outputs, kernel, stride)
            self.layers.append(nn.ModuleList([patches, nn.ModuleList(blocks), nn.LayerNorm(outputs, eps=EPS)]))
        self.num_layers = sum(depths)
        self._first = [sum(depths[:number]) for number in range(len(depths))]
        self._initialise(checkpoint=checkpoint)
        self.settle(norm="bn", norm_eval=False, frozen=[f"layers.{number}" for number in range(frozen_stages)])

    def _initialise(self, *, checkpoint: bool) -> None:
        for module in list(self.modules()):
            if isinstance(module, nn.Linear | _Attention):
                for name, parameter in module.named_parameters(recurse=False):
                    _ = nn.init.zeros_(parameter) if "bias" in name else nn.init.trunc_normal_(parameter, std=0.02)
            elif isinstance(module, nn.Conv2d):
                fan_out = module.kernel_size[0] * module.kernel_size[1] * module.out_channels // module.groups
                nn.init.normal_(module.weight, std=(2.0 / fan_out) ** 0.5)
                nn.init.zeros_(module.get_parameter("bias"))
            if checkpoint and isinstance(module, _Block):
                make_forgetful(module)

    def layer_id(self, name: str) -> int:
        """Return 0 for what comes before the first block of all, else the number of the block, from 1."""
        _, stage, part, *rest = name.split(".")
        first = self._first[int(stage)]
        if part == "0":
            return first
        later = [*self._first[1:], self.num_layers]
        return first + int(rest[0]) + 1 if part == "1" else later[int(stage)]

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        """Return all stages for a normalised [B,3,H,W]."""
        levels = []
        for stage in self.layers:
            patches, blocks, norm = stage.children()
            tokens, size = patches(x)
            for block in blocks.children():
                tokens = block(tokens, size)
            x = as_map(norm(tokens), size)
            levels.append(x)
        return tuple(levels)


def as_map(tokens: Tensor, size: tuple[int, int]) -> Tensor:
    """Return tokens [B,N,D] as a map [B,D,h,w]."""
    out: Tensor = tokens.transpose(1, 2).unflatten(2, size)
    return out


class _Patches(nn.Module):
    """Overlapping patches as tokens."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int) -> None:
        super().__init__()
        self.projection = nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2)
        self.norm = nn.LayerNorm(outputs, eps=EPS)

    def forward(self, x: Tensor) -> tuple[Tensor, tuple[int, int]]:
        """Return tokens [B,N,D], and h and w."""
        x = self.projection(x)
        return self.norm(x.flatten(2).transpose(1, 2)), (x.shape[-2], x.shape[-1])


class _Block(nn.Module):
    """Attention, then a feed-forward net with a 3×3 convolution in it; either may be left out in training."""

    def __init__(self, channels: int, heads: int, reduction: int, chance: float) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(channels, eps=EPS), nn.LayerNorm(channels, eps=EPS)
        self.attn = _Reduced(channels, heads, reduction)
        self.ffn = _FeedForward(channels, 4 * channels)
        self.drop = StochasticDepth(chance, "row")

    def forward(self, tokens: Tensor, size: tuple[int, int]) -> Tensor:
        """Return tokens [B,N,D]."""
        tokens = tokens + self.drop(self.attn(self.norm1(tokens), size))
        out: Tensor = tokens + self.drop(self.ffn(self.norm2(tokens), size))
        return out


class _Attention(nn.Module):
    """The projections of torch's multi-head attention, under its names."""

    def __init__(self, channels: int, heads: int) -> None:
        super().__init__()
        self.in_proj_weight = nn.Parameter(torch.empty(3 * channels, channels))
        self.in_proj_bias = nn.Parameter(torch.empty(3 * channels))
        self.out_proj = nn.Linear(channels, channels)
        self._heads, self._channels = heads, channels

    def forward(self, queries: Tensor, keys: Tensor) -> Tensor:
        """Return what each of queries [B,N,D] sees among keys [B,M,D], which are the values too."""
        split = self._channels
        query = F.linear(queries, self.in_proj_weight[:split], self.in_proj_bias[:split])
        both = F.linear(keys, self.in_proj_weight[split:], self.in_proj_bias[split:])
        q, k, v = (x.unflatten(2, (self._heads, -1)).transpose(1, 2) for x in (query, *both.chunk(2, dim=2)))
        seen = F.scaled_dot_product_attention(q, k, v)
        out: Tensor = self.out_proj(seen.transpose(1, 2).flatten(2))
        return out


class _Reduced(nn.Module):
    """Attention to a coarser map of the same tokens."""

    def __init__(self, channels: int, heads: int, reduction: int) -> None:
        super().__init__()
        self.attn = _Attention(channels, heads)
        self.sr = nn.Conv2d(channels, channels, reduction, reduction) if reduction > 1 else None
        self.norm = nn.LayerNorm(channels, eps=EPS) if reduction > 1 else None

    def forward(self, tokens: Tensor, size: tuple[int, int]) -> Tensor:
        """Return tokens [B,N,D]."""
        keys = tokens
        if self.sr is not None and self.norm is not None:
            keys = self.norm(self.sr(as_map(tokens, size)).flatten(2).transpose(1, 2))
        out: Tensor = self.attn(tokens, keys)
        return out


class _FeedForward(nn.Module):
    """1×1, 3×3 of each channel by itself, GELU, 1×1."""

    def __init__(self, channels: int, hidden: int) -> None:
        super().__init__()
        self.layers = nn.ModuleDict(
            {
                "0": nn.Conv2d(channels, hidden, 1),
                "1": nn.Conv2d(hidden, hidden, 3, 1, 1, groups=hidden),
                "4": nn.Conv2d(hidden, channels, 1),
            }
        )

    def forward(self, tokens: Tensor, size: tuple[int, int]) -> Tensor:
        """Return tokens [B,N,D]."""
        widen, mix, narrow = self.layers["0"], self.layers["1"], self.layers["4"]
        x = F.linear(tokens, widen.get_parameter("weight").flatten(1), widen.get_parameter("bias"))
        x = F.gelu(mix(as_map(x, size))).flatten(2).transpose(1, 2)
        return F.linear(x, narrow.get_parameter("weight").flatten(1), narrow.get_parameter("bias"))
