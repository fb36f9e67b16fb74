"""How levels of a backbone become one level of features, as text detectors do it.

Legend: B images, C channels, h×w the finest level.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vf.nn.norms import conv_norm


class Joined(nn.Module):
    """DBNet's neck (arXiv 1911.08947, figure 3): a pyramid whose levels are joined at the finest size.

    Args:
        inputs: channels of each level of the backbone, fine to coarse.
        width: channels of the pyramid; a quarter of it comes out of each level.
        asf: whether levels are weighted against each other in every place (arXiv 2202.10304, section 3.3).
    """

    def __init__(self, inputs: Sequence[int], *, width: int = 256, asf: bool = False) -> None:
        super().__init__()
        each = width // 4
        self.channels = each * len(inputs)
        self.lateral = nn.ModuleList(nn.Conv2d(count, width, 1, bias=False) for count in inputs)
        self.smooth = nn.ModuleList(nn.Conv2d(width, each, 3, padding=1, bias=False) for _ in inputs)
        for conv in (*self.lateral, *self.smooth):
            assert isinstance(conv, nn.Conv2d)
            nn.init.kaiming_normal_(conv.weight, mode="fan_out", nonlinearity="relu")
        self.asf = ScaleFusion(self.channels, len(inputs)) if asf else None

    def forward(self, levels: Sequence[Tensor]) -> Tensor:
        """Return [B,channels,h,w]."""
        x: Tensor | None = None
        pyramid: list[Tensor] = []
        for lateral, smooth, level in zip(self.lateral[::-1], self.smooth[::-1], levels[::-1], strict=True):
            own = lateral(level)
            x = own if x is None else own + F.interpolate(x, size=own.shape[-2:], mode="nearest")
            pyramid.insert(0, smooth(x))
        size = pyramid[0].shape[-2:]
        same = [pyramid[0], *(F.interpolate(level, size=size, mode="nearest") for level in pyramid[1:])]
        return torch.cat(same, 1) if self.asf is None else self.asf(same)


class ScaleFusion(nn.Module):
    """Adaptive scale fusion: a weight in 0..1 for each level and place (arXiv 2202.10304, section 3.3).

    Args:
        channels: of all levels together.
        levels: how many there are.
    """

    def __init__(self, channels: int, levels: int) -> None:
        super().__init__()
        hidden = channels // 4
        self.conv = nn.Conv2d(channels, channels, 3, padding=1)
        self.channel = nn.Sequential(
            nn.AdaptiveAvgPool2d(1),
            nn.Conv2d(channels, hidden, 1, bias=False),
            nn.ReLU(),
            nn.Conv2d(hidden, channels, 1, bias=False),
            nn.Sigmoid(),
        )
        self.spatial = nn.Sequential(
            nn.Conv2d(1, 1, 3, padding=1, bias=False), nn.ReLU(), nn.Conv2d(1, 1, 1, bias=False), nn.Sigmoid()
        )
        self.level = nn.Sequential(nn.Conv2d(channels, levels, 1, bias=False), nn.Sigmoid())

    def forward(self, levels: Sequence[Tensor]) -> Tensor:
        """Weight levels of one size and join them."""
        x = self.conv(torch.cat(list(levels), 1))
        x = x + self.channel(x)
        x = x + self.spatial(x.mean(1, keepdim=True))
        weights = self.level(x)
        return torch.cat([weights[:, i : i + 1] * level for i, level in enumerate(levels)], 1)


class Smoothed(nn.Module):
    """PSENet's neck (arXiv 1903.12473, section 3.2): each sum is smoothed before it goes on, all levels are fused.

    Args:
        inputs: channels of each level of the backbone, fine to coarse.
        width: channels of every level and of the result.
    """

    def __init__(self, inputs: Sequence[int], *, width: int = 256) -> None:
        super().__init__()
        self.channels = width
        self.lateral = nn.ModuleList(_conv(count, width, 1) for count in inputs)
        self.smooth = nn.ModuleList(_conv(width, width, 3) for _ in inputs[1:])
        self.fuse = _conv(width * len(inputs), width, 3)
        _xavier(self)

    def forward(self, levels: Sequence[Tensor]) -> Tensor:
        """Return [B,channels,h,w]."""
        own = [lateral(level) for lateral, level in zip(self.lateral, levels, strict=True)]
        pyramid = own[-1:]
        for smooth, level in zip(self.smooth[::-1], own[-2::-1], strict=True):
            pyramid.insert(0, smooth(level + F.interpolate(pyramid[0], size=level.shape[-2:], mode="nearest")))
        size = pyramid[0].shape[-2:]
        same = [pyramid[0], *(F.interpolate(level, size=size, mode="nearest") for level in pyramid[1:])]
        out: Tensor = self.fuse(torch.cat(same, 1))
        return out


class Enhanced(nn.Module):
    """PAN's neck (arXiv 1908.05900, section 3.2): light two-way pyramids in a row, whose results are added up.

    Args:
        inputs: channels of each level of the backbone, fine to coarse.
        width: channels of each level; they are joined at the end.
        repeats: pyramids in a row.
    """

    def __init__(self, inputs: Sequence[int], *, width: int = 128, repeats: int = 2) -> None:
        super().__init__()
        self.channels = width * len(inputs)
        self.reduce = nn.ModuleList(
            nn.Sequential(nn.Conv2d(count, width, 1), nn.BatchNorm2d(width), nn.ReLU()) for count in inputs
        )
        self.passes = nn.ModuleList(UpAndDown(len(inputs), width) for _ in range(repeats))
        _xavier(self)

    def forward(self, levels: Sequence[Tensor]) -> Tensor:
        """Return [B,channels,h,w]."""
        x = [reduce(level) for reduce, level in zip(self.reduce, levels, strict=True)]
        total: list[Tensor] | None = None
        for enhance in self.passes:
            x = enhance(x)
            total = x if total is None else [a + b for a, b in zip(total, x, strict=True)]
        assert total is not None
        size = total[0].shape[-2:]
        return torch.cat([total[0], *(F.interpolate(level, size=size, mode="bilinear") for level in total[1:])], 1)


class UpAndDown(nn.Module):
    """One feature pyramid enhancement module: coarse to fine, then fine to coarse, with separable convolutions."""

    def __init__(self, levels: int, width: int) -> None:
        super().__init__()
        self.up = nn.ModuleList(_separable(width, stride=1) for _ in range(levels - 1))
        self.down = nn.ModuleList(_separable(width, stride=2) for _ in range(levels - 1))

    def forward(self, levels: Sequence[Tensor]) -> list[Tensor]:
        """Return levels of the same sizes."""
        x = list(levels)
        for at, conv in zip(range(len(x) - 2, -1, -1), self.up, strict=True):
            x[at] = conv(_added(x[at + 1], x[at]))
        for at, conv in enumerate(self.down, 1):
            x[at] = conv(_added(x[at], x[at - 1]))
        return x


def _added(coarse: Tensor, fine: Tensor) -> Tensor:
    return F.interpolate(coarse, size=fine.shape[-2:], mode="nearest") + fine


def _separable(width: int, *, stride: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(width, width, 3, stride, 1, groups=width),
        nn.Conv2d(width, width, 1),
        nn.BatchNorm2d(width),
        nn.ReLU(),
    )


def _conv(inputs: int, outputs: int, kernel: int) -> nn.Sequential:
    return nn.Sequential(*conv_norm(inputs, outputs, kernel, norm="bn"), nn.ReLU())


def _xavier(module: nn.Module) -> None:
    for part in module.modules():
        if isinstance(part, nn.Conv2d):
            nn.init.xavier_uniform_(part.weight)
            if part.bias is not None:
                nn.init.zeros_(part.bias)
