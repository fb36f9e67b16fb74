"""Torchvision's MobileNetV3 with a dilated last stage, as its LRASPP stands on it."""

from __future__ import annotations

import torchvision
from torch import Tensor

from vf.nn.backbones.backbone import Backbone


class DilatedMobileNet(Backbone):
    """Two levels: the first block of stride 8, and the last layer, stride 16. Tensors have torchvision's names.

    Args:
        net: mobilenet_v3_large or mobilenet_v3_small.
        norm: by key.
        pretrained: see :class:`Backbone`.
    """

    def __init__(self, *, net: str = "mobilenet_v3_large", norm: str = "bn", pretrained: str = "") -> None:
        super().__init__(pretrained=pretrained)
        self.features = torchvision.models.get_model(net, weights=None, dilated=True).features
        # As torchvision does: where a block has a stride, its place is the end of a level.
        places = [0, *(i for i, part in enumerate(self.features) if getattr(part, "_is_cn", False))]
        self._fine = places[-3]
        self.channels = (self.features[self._fine].out_channels, self.features[-1].out_channels)
        self.strides = (8, 16)
        self.settle(norm=norm, norm_eval=False)

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        """Return the levels for a normalised [B,3,H,W]."""
        levels = []
        for number, part in enumerate(self.features):
            x = part(x)
            if number == self._fine:
                levels.append(x)
        return (*levels, x)
