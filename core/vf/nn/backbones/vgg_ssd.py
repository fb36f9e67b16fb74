"""VGG-16 with the changes and the extra layers of SSD (arXiv 1512.02325, sections 2.2 and 3)."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint
from torchvision.models import vgg

from vf.nn.backbones.backbone import Backbone

CONV4_3 = 23
"""Modules of ``features`` up to the ReLU of conv4_3; the names up to conv5_3 are those of torchvision's VGG-16."""
STAGES = (5, 10, 17, 24, 30)
"""Modules of ``features`` up to the end of each stage."""
EXTRA = {
    300: ((256, 512, 3, 2, 1), (128, 256, 3, 2, 1), (128, 256, 3, 1, 0), (128, 256, 3, 1, 0)),
    512: (
        (256, 512, 3, 2, 1),
        (128, 256, 3, 2, 1),
        (128, 256, 3, 2, 1),
        (128, 256, 3, 2, 1),
        (128, 256, 4, 1, 1),
    ),
}
"""Input size -> middle channels, channels, kernel, stride and padding of conv8_2 and those after it."""
STRIDES = {300: (8, 16, 32, 64, 100, 300), 512: (8, 16, 32, 64, 128, 256, 512)}
"""Input size -> distances of the priors of each level, px, as in the authors' models."""


class VGG16SSD(Backbone):
    """Levels conv4_3 (normed), fc7, conv8_2 and on: six for 300 px, seven for 512 px.

    Tensors: ``features.0`` to ``features.34`` (31 and 33 are fc6 and fc7), ``l2_norm.weight``, ``extra.N.0`` and
    ``extra.N.2``.

    Args:
        size: height and width of the input, 300 or 512 px; others give other sizes of the coarse levels.
        frozen_stages: 0: none; n: the convolutions up to stage n of VGG, conv1 to conv5.
        checkpoint: whether the stages of VGG compute their activations again for the gradient.
        pretrained: see :class:`Backbone`.
    """

    def __init__(
        self, *, size: int = 300, frozen_stages: int = 0, checkpoint: bool = False, pretrained: str = ""
    ) -> None:
        super().__init__(pretrained=pretrained)
        convs = list(vgg.make_layers(vgg.cfgs["D"]))[: STAGES[-1]]
        for module in convs:
            if isinstance(module, nn.MaxPool2d):
                module.ceil_mode = True  # 75 px become 38, as in the paper
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
                nn.init.zeros_(module.bias)  # type: ignore[arg-type]
        fc6 = nn.Conv2d(512, 1024, 3, padding=6, dilation=6)
        atrous = [nn.MaxPool2d(3, 1, 1), fc6, nn.ReLU(inplace=True), nn.Conv2d(1024, 1024, 1), nn.ReLU(inplace=True)]
        self.features = nn.Sequential(*convs, *atrous)
        self.l2_norm = L2Norm(512)
        self.extra, widths = nn.ModuleList(), [512, 1024]
        for middle, outputs, kernel, stride, padding in EXTRA[size]:
            self.extra.append(_extra(widths[-1], middle, nn.Conv2d(middle, outputs, kernel, stride, padding)))
            widths.append(outputs)
        for module in (*atrous, *self.extra.modules()):
            if isinstance(module, nn.Conv2d):
                nn.init.xavier_uniform_(module.weight)
                nn.init.zeros_(module.bias)  # type: ignore[arg-type]
        self.channels, self.strides = tuple(widths), STRIDES[size]
        self._checkpoint = checkpoint
        frozen = [f"features.{index}" for index in range(STAGES[frozen_stages - 1] if frozen_stages else 0)]
        self.settle(norm="bn", norm_eval=False, frozen=frozen)

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        """Return all levels for a normalised [B,3,size,size]."""
        levels = []
        start = 0
        for end in (*STAGES[:3], CONV4_3, STAGES[4], len(self.features)):
            x = self._run(x, start, end)
            if end == CONV4_3:
                levels.append(self.l2_norm(x))
            start = end
        levels.append(x)
        for block in self.extra:
            levels.append(block(levels[-1]))
        return tuple(levels)

    def _run(self, x: Tensor, start: int, end: int) -> Tensor:
        part = self.features[start:end]
        if self._checkpoint and self.training and torch.is_grad_enabled():
            x = checkpoint(part, x, use_reentrant=False)  # nothing in it counts how often it runs
        else:
            x = part(x)
        return x


class L2Norm(nn.Module):
    """Divide by the length over the channels and scale each channel by a learnt factor (arXiv 1506.04579)."""

    def __init__(self, channels: int, *, scale: float = 20.0) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.full((channels,), scale))

    def forward(self, x: Tensor) -> Tensor:
        """Normalise [B,C,H,W]; in float32, whose squares do not overflow."""
        return (F.normalize(x.float()) * self.weight.view(1, -1, 1, 1)).to(x.dtype)


def _extra(inputs: int, middle: int, last: nn.Conv2d) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(inputs, middle, 1), nn.ReLU(inplace=True), last, nn.ReLU(inplace=True))
