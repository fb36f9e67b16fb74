"""Convolution blocks and the CSPDarknet backbone (CSPNet: arXiv 1911.11929; SPP: arXiv 1406.4729).

Modules call their convolutions in the order in which they are declared; ``benchmarks/parity_yolox.py`` relies
on the order of the calls to carry published weights over.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn


class ConvBlock(nn.Module):
    """Convolution without bias, batch norm, SiLU; "same" padding for odd kernels."""

    def __init__(self, inputs: int, outputs: int, *, kernel: int, stride: int = 1, groups: int = 1) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, kernel, stride=stride, padding=kernel // 2, groups=groups, bias=False)
        self.norm: nn.Module = nn.BatchNorm2d(outputs, eps=1e-3, momentum=0.03)
        self.act = nn.SiLU(inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        """Map [B,inputs,H,W] to [B,outputs,H/stride,W/stride]."""
        out: Tensor = self.act(self.norm(self.conv(x)))
        return out

    @torch.no_grad()
    def fold(self) -> None:
        """Replace convolution and norm by one convolution with bias that does the same in evaluation."""
        norm, old = self.norm, self.conv
        if not isinstance(norm, nn.BatchNorm2d) or norm.running_mean is None or norm.running_var is None:
            return
        new = nn.Conv2d(
            old.in_channels,
            old.out_channels,
            old.kernel_size,  # type: ignore[arg-type] # torch types the attribute wider than the parameter
            stride=old.stride,  # type: ignore[arg-type]
            padding=old.padding,  # type: ignore[arg-type]
            groups=old.groups,
            device=old.weight.device,
            dtype=old.weight.dtype,
        )
        gain = norm.weight / torch.sqrt(norm.running_var + norm.eps)
        new.weight.copy_(old.weight * gain.view(-1, 1, 1, 1))
        if new.bias is not None:
            new.bias.copy_(norm.bias - norm.running_mean * gain)
        self.conv, self.norm = new, nn.Identity()


def spatial_block(inputs: int, outputs: int, *, stride: int = 1, depthwise: bool) -> nn.Module:
    """Build a 3×3 block; with ``depthwise``, a 3×3 block on each channel and a 1×1 block after it."""
    if not depthwise:
        return ConvBlock(inputs, outputs, kernel=3, stride=stride)
    return nn.Sequential(
        ConvBlock(inputs, inputs, kernel=3, stride=stride, groups=inputs),
        ConvBlock(inputs, outputs, kernel=1),
    )


class Focus(nn.Module):
    """Space to depth by 2, then a 3×3 block: the stem."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.block = ConvBlock(4 * inputs, outputs, kernel=3)

    def forward(self, x: Tensor) -> Tensor:
        """Map [B,C,H,W] to [B,outputs,H/2,W/2]; H and W even."""
        batch, channels, height, width = x.shape
        cells = x.view(batch, channels, height // 2, 2, width // 2, 2)
        # Columns before rows: the channel order of the published weights.
        packed = cells.permute(0, 5, 3, 1, 2, 4).reshape(batch, 4 * channels, height // 2, width // 2)
        out: Tensor = self.block(packed)
        return out


class Bottleneck(nn.Module):
    """A 1×1 block and a 3×3 block, with the input added where ``shortcut``."""

    def __init__(self, channels: int, *, shortcut: bool, depthwise: bool) -> None:
        super().__init__()
        self.shortcut = shortcut
        self.reduce = ConvBlock(channels, channels, kernel=1)
        self.spatial = spatial_block(channels, channels, depthwise=depthwise)

    def forward(self, x: Tensor) -> Tensor:
        """Map [B,C,H,W] to the same shape."""
        out: Tensor = self.spatial(self.reduce(x))
        return out + x if self.shortcut else out


class CSPLayer(nn.Module):
    """Half of the channels through ``blocks`` bottlenecks, half around them, then joined by a 1×1 block."""

    def __init__(self, inputs: int, outputs: int, *, blocks: int, shortcut: bool, depthwise: bool) -> None:
        super().__init__()
        hidden = outputs // 2
        self.main = ConvBlock(inputs, hidden, kernel=1)
        self.side = ConvBlock(inputs, hidden, kernel=1)
        self.blocks = nn.Sequential(
            *(Bottleneck(hidden, shortcut=shortcut, depthwise=depthwise) for _ in range(blocks))
        )
        self.join = ConvBlock(2 * hidden, outputs, kernel=1)

    def forward(self, x: Tensor) -> Tensor:
        """Map [B,inputs,H,W] to [B,outputs,H,W]."""
        main, side = self.main(x), self.side(x)
        out: Tensor = self.join(torch.cat((self.blocks(main), side), dim=1))
        return out


class SPP(nn.Module):
    """Spatial pyramid pooling: maxima over windows of 5, 9 and 13 cells beside the input."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.reduce = ConvBlock(inputs, inputs // 2, kernel=1)
        self.pool = nn.MaxPool2d(5, stride=1, padding=2)
        self.join = ConvBlock(4 * (inputs // 2), outputs, kernel=1)

    def forward(self, x: Tensor) -> Tensor:
        """Map [B,inputs,H,W] to [B,outputs,H,W]."""
        x = self.reduce(x)
        pooled = [x]
        for _ in range(3):  # a maximum over 5 of maxima over 5 is one over 9, and so on: far fewer compares
            pooled.append(self.pool(pooled[-1]))
        out: Tensor = self.join(torch.cat(pooled, dim=1))
        return out


def stage_channels(width: float) -> tuple[int, int, int, int, int]:
    """Return the channels of stem and stages at strides 2, 4, 8, 16, 32."""
    first = int(64 * width)
    return first, first * 2, first * 4, first * 8, first * 16


def stage_blocks(depth: float) -> int:
    """Return the number of bottlenecks in a stage; those at strides 8 and 16 have three times as many."""
    return max(round(3 * depth), 1)


class CSPDarknet(nn.Module):
    """The backbone: feature maps at strides 8, 16 and 32.

    Args:
        depth: scales the number of bottlenecks in a stage, of which YOLOX-l has 3, 9, 9, 3.
        width: scales the channels, of which YOLOX-l has 64 to 1024.
        depthwise: depthwise separable convolutions instead of 3×3 ones.
    """

    def __init__(self, *, depth: float, width: float, depthwise: bool) -> None:
        super().__init__()
        stem, c2, c3, c4, c5 = stage_channels(width)
        blocks = stage_blocks(depth)

        def stage(inputs: int, outputs: int, *, blocks: int, last: bool = False) -> nn.Sequential:
            layers = [spatial_block(inputs, outputs, stride=2, depthwise=depthwise)]
            if last:
                layers.append(SPP(outputs, outputs))
            layers.append(CSPLayer(outputs, outputs, blocks=blocks, shortcut=not last, depthwise=depthwise))
            return nn.Sequential(*layers)

        self.stem = Focus(3, stem)
        self.stage2 = stage(stem, c2, blocks=blocks)
        self.stage3 = stage(c2, c3, blocks=3 * blocks)
        self.stage4 = stage(c3, c4, blocks=3 * blocks)
        self.stage5 = stage(c4, c5, blocks=blocks, last=True)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Map [B,3,H,W], H and W multiples of 32, to maps at strides 8, 16, 32."""
        c3: Tensor = self.stage3(self.stage2(self.stem(x)))
        c4: Tensor = self.stage4(c3)
        c5: Tensor = self.stage5(c4)
        return c3, c4, c5
