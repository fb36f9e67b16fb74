"""HRNetV2p: several resolutions side by side that exchange what they see (arXiv 1904.04514, 1908.07919).

Tensors have the names of the authors' published weights.
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.models.resnet import BasicBlock, Bottleneck

from vf.nn.backbones.backbone import Backbone
from vf.nn.forgetful import make_forgetful

MODULES = {2: 1, 3: 4, 4: 3}
"""Stage -> how often its branches exchange (arXiv 1908.07919, section 3); stage n has n branches."""
BLOCKS = 4
"""Residual blocks of a branch between two exchanges."""
STEM = 64


class HRNet(Backbone):
    """All four resolutions of the last exchange, strides 4 to 32, with 1, 2, 4 and 8 times ``width`` channels.

    Args:
        width: channels of the finest resolution: 18, 32, 40, 48 are published.
        upsample: nearest or bilinear: how coarse resolutions reach finer ones.
        out: resolutions to hand on, from 1.
        frozen_stages: 0: none; 1: stem and ``layer1``; n: also the stages up to n.
        norm: bn, sync_bn, frozen_bn or gn.
        norm_eval: whether batch norms never leave evaluation mode.
        checkpoint: whether blocks compute their activations again for the gradient.
        pretrained: see :class:`Backbone`.
    """

    def __init__(
        self,
        *,
        width: int = 18,
        upsample: str = "nearest",
        out: tuple[int, ...] = (1, 2, 3, 4),
        frozen_stages: int = 0,
        norm: str = "bn",
        norm_eval: bool = False,
        checkpoint: bool = False,
        pretrained: str = "",
    ) -> None:
        super().__init__(pretrained=pretrained)
        widths = [width * 2**branch for branch in range(4)]
        self.conv1, self.bn1 = nn.Conv2d(3, STEM, 3, 2, 1, bias=False), nn.BatchNorm2d(STEM)
        self.conv2, self.bn2 = nn.Conv2d(STEM, STEM, 3, 2, 1, bias=False), nn.BatchNorm2d(STEM)
        self.relu = nn.ReLU(inplace=True)
        self.layer1 = _bottlenecks(STEM, BLOCKS)
        self.transition1 = _transition([STEM * Bottleneck.expansion], widths[:2])
        self.stage2 = _stage(2, widths, range(2), upsample)
        self.transition2 = _transition(widths[:2], widths[:3])
        self.stage3 = _stage(3, widths, range(3), upsample)
        self.transition3 = _transition(widths[:3], widths)
        self.stage4 = _stage(4, widths, [level - 1 for level in out], upsample)
        self.channels = tuple(widths[level - 1] for level in out)
        self.strides = tuple(2 ** (level + 1) for level in out)
        self._initialise(checkpoint=checkpoint)
        stages = ("conv1 bn1 conv2 bn2 layer1", "transition1 stage2", "transition2 stage3", "transition3 stage4")
        frozen = " ".join(stages[:frozen_stages]).split()
        self.settle(norm=norm, norm_eval=norm_eval, frozen=frozen)

    def _initialise(self, *, checkpoint: bool) -> None:
        for module in list(self.modules()):
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
            if checkpoint and isinstance(module, BasicBlock | Bottleneck):
                make_forgetful(module)

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        """Return the resolutions of ``out`` for a normalised [B,3,H,W]."""
        x = self.relu(self.bn1(self.conv1(x)))
        x = self.relu(self.bn2(self.conv2(x)))
        levels: list[Tensor] = [self.layer1(x)]
        levels = self.stage2(_branched(self.transition1, levels))
        levels = self.stage3(_branched(self.transition2, levels))
        return tuple(self.stage4(_branched(self.transition3, levels)))


class Exchange(nn.Module):
    """Some blocks on each resolution, then each resolution is the sum of all, brought to its size and channels.

    Args:
        widths: channels of each resolution, fine to coarse, each half as large as the one before.
        outputs: resolutions to give, as indices.
        upsample: nearest or bilinear.
    """

    def __init__(self, widths: Sequence[int], outputs: Sequence[int], upsample: str = "nearest") -> None:
        super().__init__()
        self.branches = nn.ModuleList(
            nn.Sequential(*(BasicBlock(width, width) for _ in range(BLOCKS))) for width in widths
        )
        # The index of a part is a part of its tensors' names, so what is not needed leaves a gap.
        self.fuse_layers = nn.ModuleList(_fusion(widths, i) if i in outputs else nn.ModuleList() for i in _each(widths))
        self.relu = nn.ReLU(inplace=False)
        self._outputs, self._upsample = tuple(outputs), upsample

    def forward(self, levels: list[Tensor]) -> list[Tensor]:
        """Take one [B,C,H,W] for each resolution, return one for each of ``outputs``."""
        levels = [branch(x) for branch, x in zip(self.branches, levels, strict=True)]
        fused = []
        for i in self._outputs:
            fusion: nn.ModuleList = self.fuse_layers[i]  # type: ignore[assignment]
            total = levels[i]
            for j, x in enumerate(levels):
                if j < i:
                    total = total + fusion[j](x)
                elif j > i:
                    total = total + F.interpolate(fusion[j](x), size=levels[i].shape[-2:], mode=self._upsample)
            fused.append(self.relu(total))
        return fused


def _each(widths: Sequence[int]) -> range:
    return range(len(widths))


def _fusion(widths: Sequence[int], to: int) -> nn.ModuleList:
    """Bring each resolution to the channels of number ``to``: by strided convolutions, or a 1×1 before upsampling."""
    return nn.ModuleList(
        nn.Identity()
        if source == to
        else nn.Sequential(nn.Conv2d(widths[source], widths[to], 1, bias=False), nn.BatchNorm2d(widths[to]))
        if source > to
        else _down(widths[source], widths[to], to - source)
        for source in _each(widths)
    )


def _down(inputs: int, outputs: int, steps: int) -> nn.Sequential:
    """Halve the size ``steps`` times; only the last convolution changes the channels, and it has no activation."""
    halves = [nn.Sequential(*_conv(inputs, inputs, stride=2), nn.ReLU(inplace=True)) for _ in range(steps - 1)]
    return nn.Sequential(*halves, nn.Sequential(*_conv(inputs, outputs, stride=2)))


def _conv(inputs: int, outputs: int, *, stride: int) -> list[nn.Module]:
    return [nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False), nn.BatchNorm2d(outputs)]


def _bottlenecks(inputs: int, blocks: int) -> nn.Sequential:
    outputs = inputs * Bottleneck.expansion
    shortcut = nn.Sequential(nn.Conv2d(inputs, outputs, 1, bias=False), nn.BatchNorm2d(outputs))
    first = Bottleneck(inputs, inputs, downsample=shortcut)
    return nn.Sequential(first, *(Bottleneck(outputs, inputs) for _ in range(blocks - 1)))


def _stage(number: int, widths: Sequence[int], last: Sequence[int], upsample: str) -> nn.Sequential:
    """All exchanges of a stage; the last one gives the resolutions ``last``, the others all."""
    modules = MODULES[number]
    return nn.Sequential(
        *(Exchange(widths[:number], range(number) if n < modules - 1 else last, upsample) for n in range(modules))
    )


def _transition(before: Sequence[int], after: Sequence[int]) -> nn.ModuleList:
    """Bring each resolution to its new channels, and open a new one of half the size from the coarsest."""
    parts: list[nn.Module] = []
    for index, width in enumerate(after):
        if index >= len(before):
            parts.append(nn.Sequential(nn.Sequential(*_conv(before[-1], width, stride=2), nn.ReLU(inplace=True))))
        elif before[index] != width:
            parts.append(nn.Sequential(*_conv(before[index], width, stride=1), nn.ReLU(inplace=True)))
        else:
            parts.append(nn.Identity())
    return nn.ModuleList(parts)


def _branched(transition: nn.ModuleList, levels: list[Tensor]) -> list[Tensor]:
    return [part(levels[min(index, len(levels) - 1)]) for index, part in enumerate(transition)]
