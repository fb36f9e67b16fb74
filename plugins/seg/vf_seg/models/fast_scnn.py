"""Fast-SCNN's body (arXiv 1902.04502, table 1)."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F

from vf.nn.backbones.backbone import Backbone
from vf_seg.heads.blocks import Fuse, Pyramid, block, like, separable

WIDTHS = (64, 96, 128)
"""Of the three groups of bottlenecks; the first two halve the size."""
BLOCKS = 3
EXPANSION = 6


class FastSCNNBody(Backbone):
    """Three levels: the two branches fused (stride 8, 128 channels), the fine one (8, 64), the coarse one (32, 128).

    Args:
        norm: by key.
    """

    def __init__(self, *, norm: str = "bn") -> None:
        super().__init__()
        self.channels, self.strides = (128, 64, 128), (8, 8, 32)
        self.fine = nn.Sequential(
            block(3, 32, 3, norm=norm, stride=2),
            separable(32, 48, norm=norm, stride=2, relu=False),
            separable(48, 64, norm=norm, stride=2, relu=False),
        )
        groups, inputs = [], 64
        for width, stride in zip(WIDTHS, (2, 2, 1), strict=True):
            first = _Bottleneck(inputs, width, stride, norm)
            groups.append(nn.Sequential(first, *(_Bottleneck(width, width, 1, norm) for _ in range(BLOCKS - 1))))
            inputs = width
        self.groups = nn.Sequential(*groups)
        self.pyramid = Pyramid(128, 32, bins=(1, 2, 3, 6), norm=norm)
        self.coarse = Fuse(128, [32] * 4, 128, norm=norm)
        self.spread = block(128, 128, 3, norm=norm, groups=128)
        self.from_coarse = block(128, 128, norm=norm, relu=False)
        self.from_fine = block(64, 128, norm=norm, relu=False)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        """Return the levels for a normalised [B,3,H,W]."""
        fine = self.fine(x)
        grouped = self.groups(fine)
        coarse = self.coarse(grouped, self.pyramid(grouped))
        spread = self.from_coarse(self.spread(like(coarse, fine)))
        return F.relu(self.from_fine(fine) + spread), fine, coarse


class _Bottleneck(nn.Module):
    """An inverted residual (arXiv 1801.04381) with ReLU."""

    def __init__(self, inputs: int, outputs: int, stride: int, norm: str) -> None:
        super().__init__()
        hidden = EXPANSION * inputs
        self.convs = nn.Sequential(
            block(inputs, hidden, norm=norm),
            block(hidden, hidden, 3, norm=norm, stride=stride, groups=hidden),
            block(hidden, outputs, norm=norm, relu=False),
        )
        self._adds = stride == 1 and inputs == outputs

    def forward(self, x: Tensor) -> Tensor:
        """Return [B,outputs,h,w]."""
        out: Tensor = self.convs(x)
        return x + out if self._adds else out
