"""ResNets for images of 32×32 px."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.models.resnet import BasicBlock, Bottleneck, ResNet

LAYERS = {18: (2, 2, 2, 2), 34: (3, 4, 6, 3), 50: (3, 4, 6, 3), 101: (3, 4, 23, 3), 152: (3, 8, 36, 3)}
"""Depth -> blocks of each stage, of the nets for ImageNet (arXiv 1512.03385, table 1)."""


def make(depth: int, *, num_classes: int) -> nn.Module:
    """Build a net without weights: of the family for ImageNet with a 3×3 stem, or of that for CIFAR."""
    return _of_imagenet(depth, num_classes) if depth in LAYERS else CifarResNet(depth, num_classes=num_classes)


def _of_imagenet(depth: int, num_classes: int) -> nn.Module:
    """Build the net for ImageNet with a first convolution of 3×3 and stride 1, and no pooling after it."""
    block: type[BasicBlock | Bottleneck] = BasicBlock if depth < 50 else Bottleneck
    net: nn.Module = ResNet(block, list(LAYERS[depth]), num_classes=num_classes)
    stem = nn.Conv2d(3, 64, 3, padding=1, bias=False)
    nn.init.kaiming_normal_(stem.weight, mode="fan_out", nonlinearity="relu")
    net.conv1, net.maxpool = stem, nn.Identity()
    return net


class CifarResNet(nn.Module):
    """The net of arXiv 1512.03385, section 4.2: 6n + 2 layers of 16, 32 and 64 channels, shortcuts without weights.

    Args:
        depth: 20, 32, 44, 56 or 110.
        num_classes: outputs of its head.
    """

    def __init__(self, depth: int, *, num_classes: int) -> None:
        super().__init__()
        count = (depth - 2) // 6
        self.conv1 = nn.Conv2d(3, 16, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(16)
        self.layer1 = nn.Sequential(*(Block(16, 16, 1) for _ in range(count)))
        self.layer2 = nn.Sequential(*(Block(32 if i else 16, 32, 1 if i else 2) for i in range(count)))
        self.layer3 = nn.Sequential(*(Block(64 if i else 32, 64, 1 if i else 2) for i in range(count)))
        self.fc = nn.Linear(64, num_classes)
        for module in self.modules():
            if isinstance(module, nn.Conv2d | nn.Linear):
                nn.init.kaiming_normal_(module.weight)

    def forward(self, x: Tensor) -> Tensor:
        """Return logits [B,C] of a normalised [B,3,H,W]."""
        x = torch.relu(self.bn1(self.conv1(x)))
        x = self.layer3(self.layer2(self.layer1(x)))
        logits: Tensor = self.fc(x.mean((2, 3)))
        return logits


class Block(nn.Module):
    """Two 3×3 convolutions; where channels double, the shortcut takes every other pixel and adds empty channels."""

    def __init__(self, channels: int, out: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, out, 3, stride=stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(out)
        self.conv2 = nn.Conv2d(out, out, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(out)
        self._stride, self._more = stride, (out - channels) // 2

    def forward(self, x: Tensor) -> Tensor:
        """Return features of the same or half the size."""
        y = self.bn2(self.conv2(torch.relu(self.bn1(self.conv1(x)))))
        if self._stride > 1:
            x = F.pad(x[:, :, :: self._stride, :: self._stride], (0, 0, 0, 0, self._more, self._more))
        return torch.relu(x + y)
