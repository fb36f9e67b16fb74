"""ResNet, ResNeXt and Wide ResNet on torchvision's blocks, with torchvision's names of tensors."""

from __future__ import annotations

from itertools import pairwise

from torch import Tensor, nn
from torchvision.models import resnet

from vf.nn.backbones.backbone import Backbone
from vf.nn.forgetful import make_forgetful

BLOCKS = {18: (2, 2, 2, 2), 34: (3, 4, 6, 3), 50: (3, 4, 6, 3), 101: (3, 4, 23, 3), 152: (3, 8, 36, 3)}
"""Depth -> blocks of each stage (arXiv 1512.03385, table 1)."""


class ResNet(Backbone):
    """Stages ``layer1`` to ``layer4`` with strides 4 to 32, or to ``dilate``, as far as they are needed.

    Args:
        depth: 18, 34, 50, 101 or 152.
        groups: of the 3×3 convolutions (arXiv 1611.05431).
        width_per_group: channels of a group in stage 1.
        style: ``pytorch`` has the stride in the 3×3 convolution of a bottleneck, ``caffe`` in its first 1×1.
        stem: ``deep`` has three 3×3 convolutions, ``stem``, in the place of ``conv1``; else ``plain``.
        dilate: largest stride; a stage that would go beyond keeps the one before and dilates.
        out: stages to hand on, from 1.
        frozen_stages: 0: none; n: stem and stages 1 to n.
        norm: bn, sync_bn, frozen_bn or gn.
        norm_eval: whether batch norms never leave evaluation mode.
        checkpoint: whether blocks compute their activations again for the gradient.
        pretrained: see :class:`Backbone`.
    """

    def __init__(
        self,
        *,
        depth: int = 50,
        groups: int = 1,
        width_per_group: int = 64,
        style: str = "pytorch",
        stem: str = "plain",
        dilate: int = 32,
        out: tuple[int, ...] = (1, 2, 3, 4),
        frozen_stages: int = 0,
        norm: str = "bn",
        norm_eval: bool = False,
        checkpoint: bool = False,
        pretrained: str = "",
    ) -> None:
        super().__init__(pretrained=pretrained)
        block = resnet.Bottleneck if depth >= 50 else resnet.BasicBlock
        # torchvision's constructor wants a block in every stage; those that nobody asked for are dropped below.
        blocks = [count if stage <= out[-1] else 1 for stage, count in enumerate(BLOCKS[depth], 1)]
        net = resnet.ResNet(block, blocks, groups=groups, width_per_group=width_per_group)
        if stem == "deep":
            self.stem = _deep_stem(net.conv1.out_channels)
        else:
            self.conv1, self.bn1 = net.conv1, net.bn1
        self.relu, self.maxpool = net.relu, net.maxpool
        stages = [f"layer{number}" for number in range(1, out[-1] + 1)]
        for name in stages:
            self.add_module(name, net.get_submodule(name))
        self._stages, self._out = tuple(stages), out
        self.channels = tuple(64 * 2 ** (stage - 1) * block.expansion for stage in out)
        self.strides = tuple(min(dilate, 2 ** (stage + 1)) for stage in out)
        for stage, name in enumerate(stages, 1):
            _dilate(self.get_submodule(name), max(1, 2 ** (stage + 1) // dilate))
        for module in list(self.modules()):
            if isinstance(module, resnet.Bottleneck) and style == "caffe":
                module.conv1.stride, module.conv2.stride = module.conv2.stride, module.conv1.stride
            if isinstance(module, block) and checkpoint:
                make_forgetful(module)
        first = ["stem"] if stem == "deep" else ["conv1", "bn1"]
        frozen = [*first, *stages[:frozen_stages]] if frozen_stages else []
        self.settle(norm=norm, norm_eval=norm_eval, frozen=frozen)

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        """Return the stages of ``out`` for a normalised [B,3,H,W]."""
        x = self.stem(x) if hasattr(self, "stem") else self.relu(self.bn1(self.conv1(x)))
        x = self.maxpool(x)
        levels = []
        for number, name in enumerate(self._stages, 1):
            x = getattr(self, name)(x)
            if number in self._out:
                levels.append(x)
        return tuple(levels)


def _deep_stem(channels: int) -> nn.Sequential:
    """Return the stem of ResNet-C (arXiv 1812.01187, section 4.1): half of the channels until the last convolution."""
    widths, parts = [3, channels // 2, channels // 2, channels], list[nn.Module]()
    for number, (inputs, outputs) in enumerate(pairwise(widths)):
        conv = nn.Conv2d(inputs, outputs, 3, 2 if number == 0 else 1, 1, bias=False)
        nn.init.kaiming_normal_(conv.weight, mode="fan_out", nonlinearity="relu")
        parts += [conv, nn.BatchNorm2d(outputs), nn.ReLU(inplace=True)]
    return nn.Sequential(*parts)


def _dilate(stage: nn.Module, rate: int) -> None:
    """Take the stride out of a stage and dilate its 3×3 convolutions; its first block has half of the rate.

    Of a basic block, only the first convolution dilates, as in the nets of 18 layers that are published.
    """
    if rate == 1:
        return
    for number, block in enumerate(stage.children()):
        for name, conv in block.named_modules():
            if not isinstance(conv, nn.Conv2d):
                continue
            conv.stride = (1, 1)
            if conv.kernel_size == (3, 3) and not (isinstance(block, resnet.BasicBlock) and name == "conv2"):
                conv.dilation = conv.padding = (max(1, rate // 2),) * 2 if number == 0 else (rate, rate)
