"""Config classes of segmenters with a body of their own. Free of torch until ``build()``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import vf
from vf.backbones import IMAGENET
from vf_seg.image_configs import Resize
from vf_seg.segmenter_configs import Headed, Segmenter

if TYPE_CHECKING:
    from torch import nn

__all__ = ["LRASPP", "SMP", "FastSCNN", "UNet"]

SIXTEEN = 16
"""What the sides of an image must be a multiple of for a U of five levels."""


@vf.config
class UNet(Headed):
    """U-Net (arXiv 1505.04597): five levels down and up, with batch norm; from scratch."""

    resize: Resize = vf.field(default=Resize(divisor=SIXTEEN), help="how images are sized, padded and normalised")
    width: int = vf.field(
        default=64, help="channels at the size of the image; they double with each halving", validator=vf.positive()
    )
    head_width: int = vf.field(
        default=64, help="channels of the convolution before the classes", validator=vf.positive()
    )
    aux_weight: float = vf.field(
        default=0.4, help="of the losses of a head at half of the size, in training; 0: none", validator=vf.at_least(0)
    )

    def __attrs_post_init__(self) -> None:
        if self.resize.divisor % SIXTEEN:
            raise ValueError(f"resize.divisor must be a multiple of {SIXTEEN} here, got {self.resize.divisor}")

    def build(self, info: vf.DatasetInfo) -> nn.Module:
        """Build the network for the classes of ``info``."""
        from vf_seg.heads.fcn import FCNHead
        from vf_seg.models.unet import UNetBody

        body = UNetBody(width=self.width, norm=self.norm)
        head, aux = (
            FCNHead(
                [body.channels[place]],
                [place],
                classes=len(info.classes),
                width=self.head_width,
                convs=1,
                norm=self.norm,
                dropout=self.dropout,
            )
            for place in (0, 1)
        )
        return self.assembled(info, body, head, [(aux, self.aux_weight)] if self.aux_weight else [])


@vf.config
class LRASPP(Segmenter):
    """Lite R-ASPP on MobileNetV3 (arXiv 1905.02244), as torchvision has it."""

    net: Literal["mobilenet_v3_large", "mobilenet_v3_small"] = vf.field(
        default="mobilenet_v3_large", help="torchvision's name of the body"
    )
    pretrained: str = vf.field(
        default="", help="weights of the body: imagenet (torchvision's V1), a file, a run or an address"
    )
    width: int = vf.field(default=128, help="channels of the gated features", validator=vf.positive())

    def build(self, info: vf.DatasetInfo) -> nn.Module:
        """Build the network for the classes of ``info``."""
        from vf_seg.heads.lraspp import LRASPPHead
        from vf_seg.models.mobilenet import DilatedMobileNet

        pretrained = f"torchvision:{self.net}" if self.pretrained == IMAGENET else self.pretrained
        body = DilatedMobileNet(net=self.net, pretrained=pretrained)
        head = LRASPPHead(body.channels, classes=len(info.classes), width=self.width)
        return self.assembled(info, body, head)


@vf.config
class FastSCNN(Headed):
    """Fast-SCNN (arXiv 1902.04502): real time, 1.4 M parameters, with two auxiliary heads."""

    aux_weight: float = vf.field(
        default=0.4, help="of the losses of each auxiliary head, in training; 0: none", validator=vf.at_least(0)
    )

    def build(self, info: vf.DatasetInfo) -> nn.Module:
        """Build the network for the classes of ``info``."""
        from vf_seg.heads.fcn import FCNHead
        from vf_seg.models.fast_scnn import FastSCNNBody

        body, classes = FastSCNNBody(norm=self.norm), len(info.classes)
        head = FCNHead(
            body.channels[:1],
            [0],
            classes=classes,
            width=128,
            depthwise=True,
            norm=self.norm,
            dropout=self.dropout,
        )
        aux = [
            FCNHead(
                [body.channels[place]],
                [place],
                classes=classes,
                width=32,
                convs=1,
                norm=self.norm,
                dropout=self.dropout,
            )
            for place in (2, 1)
        ]
        return self.assembled(info, body, head, [(one, self.aux_weight) for one in aux] if self.aux_weight else [])


@vf.config
class SMP(Segmenter):
    """Any net of segmentation-models-pytorch by its names; needs ``pip install segmentation-models-pytorch``."""

    arch: str = vf.field(default="unet", help="decoder: unet, unetplusplus, manet, linknet, fpn, pspnet, pan …")
    encoder: str = vf.field(default="resnet34", help="encoder: resnet34, efficientnet-b0, mit_b0, tu-NAME of timm …")
    pretrained: str = vf.field(
        default="", help="weights of the encoder: imagenet (what the library publishes), a file, a run or an address"
    )
    resize: Resize = vf.field(default=Resize(divisor=32), help="how images are sized, padded and normalised")

    def build(self, info: vf.DatasetInfo) -> nn.Module:
        """Build the network for the classes of ``info``."""
        from vf_seg.models.smp_net import Only, SMPNet

        net = SMPNet(arch=self.arch, encoder=self.encoder, classes=len(info.classes), pretrained=self.pretrained)
        return self.assembled(info, net, Only())
