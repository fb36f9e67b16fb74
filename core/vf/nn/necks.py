"""Necks: several levels of a backbone in, levels of one width out. Their config classes are in vf.necks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.ops import FeaturePyramidNetwork

from vf.nn.norms import conv_norm, make_norm

EPSILON = 1e-4
"""Of fast normalised fusion (arXiv 1911.09070, section 3.3)."""


class Neck(nn.Module):
    """Levels [B,C,H,W] of a backbone in, levels [B,channels,H,W] out; both fine to coarse."""

    channels: int
    strides: tuple[int, ...]

    def forward(self, levels: Sequence[Tensor]) -> tuple[Tensor, ...]:
        """Return one tensor for each of ``strides``."""
        raise NotImplementedError


class FPN(Neck):
    """Feature pyramid (arXiv 1612.03144) on torchvision's layers, with its names of tensors below ``fpn``.

    Args:
        inputs: channels of each level of the backbone.
        strides: of each level of the backbone, px.
        width: channels of what it gives.
        levels: how many it gives, not fewer than the backbone's.
        extra: where levels beyond the backbone's come from: ``pool`` takes every second pixel of the one before;
            ``conv_in`` is a strided 3×3 convolution of the backbone's coarsest level, ``conv_out`` of the pyramid's.
        extra_relu: whether extra convolutions but the first begin with a ReLU.
        norm: none, bn, sync_bn or gn, after each convolution.
    """

    def __init__(
        self,
        inputs: Sequence[int],
        strides: Sequence[int],
        *,
        width: int = 256,
        levels: int = 5,
        extra: str = "pool",
        extra_relu: bool = False,
        norm: str = "none",
    ) -> None:
        super().__init__()
        self.channels, self.strides = width, _strides(strides, levels)
        layer = None if norm == "none" else lambda channels: make_norm(norm, channels)
        self.fpn = FeaturePyramidNetwork(list(inputs), width, norm_layer=layer)
        self.extra = nn.ModuleList()
        for index in range(levels - len(inputs) if extra != "pool" else 0):
            widths = inputs[-1] if extra == "conv_in" and index == 0 else width
            conv = nn.Sequential(*conv_norm(widths, width, 3, stride=2, norm=norm))
            self.extra.append(nn.Sequential(nn.ReLU(), *conv) if extra_relu and index else conv)
        _initialise(self.extra)
        self._pools = levels - len(inputs) if extra == "pool" else 0
        self._from_input = extra == "conv_in"

    def forward(self, levels: Sequence[Tensor]) -> tuple[Tensor, ...]:
        """Return the pyramid and its extra levels."""
        return self._extended(levels, self._pyramid(levels))

    def _pyramid(self, levels: Sequence[Tensor]) -> list[Tensor]:
        named: dict[str, Tensor] = {str(index): level for index, level in enumerate(levels)}
        return list(self.fpn(named).values())

    def _extended(self, levels: Sequence[Tensor], pyramid: list[Tensor]) -> tuple[Tensor, ...]:
        x = levels[-1] if self._from_input else pyramid[-1]
        for conv in self.extra:
            x = conv(x)
            pyramid.append(x)
        for _ in range(self._pools):
            pyramid.append(F.max_pool2d(pyramid[-1], 1, 2))
        return tuple(pyramid)


class PAFPN(FPN):
    """Path aggregation (arXiv 1803.01534, section 3.1): after the pyramid, each level is added to the next coarser one.

    Takes what :class:`FPN` takes. ``down.N`` halves level N, ``fuse.N`` comes after the sum at level N + 1; both end
    in a ReLU.
    """

    def __init__(self, inputs: Sequence[int], strides: Sequence[int], **options: Any) -> None:
        super().__init__(inputs, strides, **options)
        width, norm = self.channels, options.get("norm", "none")
        steps = range(len(inputs) - 1)
        self.down = nn.ModuleList(nn.Sequential(*conv_norm(width, width, 3, stride=2, norm=norm)) for _ in steps)
        self.fuse = nn.ModuleList(nn.Sequential(*conv_norm(width, width, 3, norm=norm)) for _ in steps)
        _initialise(self.down)
        _initialise(self.fuse)

    def forward(self, levels: Sequence[Tensor]) -> tuple[Tensor, ...]:
        """Return the aggregated pyramid and its extra levels."""
        pyramid = self._pyramid(levels)
        out = pyramid[:1]
        for x, down, fuse in zip(pyramid[1:], self.down, self.fuse, strict=True):
            out.append(F.relu(fuse(x + F.relu(down(out[-1])))))
        return self._extended(levels, out)


class HRFPN(Neck):
    """HRNet's neck (arXiv 1904.04514, figure 4c).

    All levels are brought to the finest size by bilinear interpolation, joined, reduced by a 1×1 convolution
    (``reduce``), averaged over windows of 1, 2, 4 … cells, and each result passes a 3×3 convolution (``convs.N``).

    Args:
        inputs: channels of each level of the backbone.
        strides: of each level of the backbone, px.
        width: channels of what it gives.
        levels: how many it gives; the first has the finest stride.
        step: stride of the 3×3 convolutions, by which all levels are coarser.
        norm: none, bn, sync_bn or gn, after each convolution.
    """

    def __init__(
        self,
        inputs: Sequence[int],
        strides: Sequence[int],
        *,
        width: int = 256,
        levels: int = 5,
        step: int = 1,
        norm: str = "none",
    ) -> None:
        super().__init__()
        self.channels, self.strides = width, tuple(step * strides[0] * 2**level for level in range(levels))
        self.reduce = nn.Sequential(*conv_norm(sum(inputs), width, 1, norm=norm))
        convs = (nn.Sequential(*conv_norm(width, width, 3, stride=step, norm=norm)) for _ in range(levels))
        self.convs = nn.ModuleList(convs)
        _initialise(self)

    def forward(self, levels: Sequence[Tensor]) -> tuple[Tensor, ...]:
        """Return the pyramid; an odd row or column at the end is left out of the averages."""
        size = levels[0].shape[-2:]
        joined = [levels[0], *(F.interpolate(x, size=size, mode="bilinear") for x in levels[1:])]
        x = self.reduce(torch.cat(joined, 1))
        pooled = [x if not level else F.avg_pool2d(x, 2**level) for level in range(len(self.convs))]
        return tuple(conv(x) for conv, x in zip(self.convs, pooled, strict=True))


class BiFPN(Neck):
    """Two-way pyramid with learnt weights, several times over (arXiv 1911.09070, section 3).

    Args:
        inputs: channels of each level of the backbone.
        strides: of each level of the backbone, px.
        width: channels of what it gives.
        levels: how many it gives; those beyond the backbone's are pooled from a 1×1 convolution of its coarsest.
        layers: two-way passes.
        norm: bn, sync_bn or gn, after each convolution.
    """

    def __init__(
        self,
        inputs: Sequence[int],
        strides: Sequence[int],
        *,
        width: int = 64,
        levels: int = 5,
        layers: int = 3,
        norm: str = "bn",
    ) -> None:
        super().__init__()
        self.channels, self.strides = width, _strides(strides, levels)
        given = [*inputs, *(inputs[-1:] if levels > len(inputs) else ())]
        self.lateral = nn.ModuleList(nn.Sequential(*conv_norm(count, width, 1, norm=norm)) for count in given)
        # The way up and the way down see a level through convolutions of their own in the first pass.
        middle = [count for index, count in enumerate(inputs) if 0 < index < levels - 1]
        self.lateral_down = nn.ModuleList(nn.Sequential(*conv_norm(count, width, 1, norm=norm)) for count in middle)
        self.layers = nn.ModuleList(TwoWay(levels, width, norm=norm) for _ in range(layers))
        for module in self.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.eps, module.momentum = 1e-3, 0.01  # as EfficientDet has them

    def forward(self, levels: Sequence[Tensor]) -> tuple[Tensor, ...]:
        """Return the pyramid."""
        given = [*levels, *(levels[-1:] if len(self.lateral) > len(levels) else ())]
        first = [lateral(x) for lateral, x in zip(self.lateral, given, strict=True)]
        if len(given) > len(levels):
            first[-1] = _half(first[-1])
        while len(first) < len(self.strides):
            first.append(_half(first[-1]))
        second = list(first)
        for index, lateral in enumerate(self.lateral_down, 1):
            second[index] = lateral(levels[index])
        for layer in self.layers:
            first = second = layer(first, second)
        return tuple(first)


class TwoWay(nn.Module):
    """One pass: coarse to fine, then fine to coarse, each sum weighted (arXiv 1911.09070, figure 3)."""

    def __init__(self, levels: int, width: int, *, norm: str) -> None:
        super().__init__()
        self.up = nn.ModuleList(Fusion(2, width, norm=norm) for _ in range(levels - 1))
        self.down = nn.ModuleList(Fusion(3 if n < levels - 2 else 2, width, norm=norm) for n in range(levels - 1))

    def forward(self, first: Sequence[Tensor], second: Sequence[Tensor]) -> list[Tensor]:
        """Take the levels as the way to the fine end and as the way back see them."""
        finer = [first[-1]]
        for index in reversed(range(len(self.up))):
            x = first[index]
            coarser = F.interpolate(finer[0], size=x.shape[-2:], mode="nearest")
            finer.insert(0, self.up[index](x, coarser))
        out = finer[:1]
        for index, fusion in enumerate(self.down, 1):
            # The coarsest level has no sum of its own on the first way.
            between = [finer[index]] if index < len(self.down) else []
            out.append(fusion(second[index], *between, _half(out[-1])))
        return out


class Fusion(nn.Module):
    """Sum of inputs with weights >= 0 that add up to 1, Swish, then a separable 3×3 convolution."""

    def __init__(self, inputs: int, width: int, *, norm: str) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(inputs))
        self.depthwise = nn.Conv2d(width, width, 3, padding=1, groups=width, bias=False)
        self.pointwise = nn.Sequential(*conv_norm(width, width, 1, norm=norm))

    def forward(self, *inputs: Tensor) -> Tensor:
        """Fuse [B,C,H,W] of one shape."""
        weight = F.relu(self.weight)
        weight = weight / (weight.sum() + EPSILON)
        total = weight[0] * inputs[0]
        for w, x in zip(weight[1:], inputs[1:], strict=True):
            total = torch.addcmul(total, w, x)
        out: Tensor = self.pointwise(self.depthwise(F.silu(total)))
        return out


def _half(x: Tensor) -> Tensor:
    return F.max_pool2d(x, 3, 2, 1)


def _strides(strides: Sequence[int], levels: int) -> tuple[int, ...]:
    return tuple(strides[0] * 2**level for level in range(levels))


def _initialise(module: nn.Module) -> None:
    """Begin as torchvision's pyramid does."""
    for part in module.modules():
        if isinstance(part, nn.Conv2d):
            nn.init.kaiming_uniform_(part.weight, a=1)
            if part.bias is not None:
                nn.init.zeros_(part.bias)
