"""Config classes of segmenters on a backbone. Free of torch until ``build()``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import vf
from vf.backbones import HRNet, ResNet
from vf.protocols import BackboneConfig
from vf_seg.backbone_configs import MiT
from vf_seg.segmenter_configs import Aux, OnBackbone

if TYPE_CHECKING:
    from torch import nn

__all__ = ["FCN", "DeepLabV3", "DeepLabV3Plus", "OCRNet", "PSPNet", "SegFormer", "UPerNet"]

DILATED = ResNet(dilate=8, stem="deep")


def _dilated() -> Any:
    return vf.field(default=DILATED, help="see 'vf list backbones'; dilate: 8 for the published dilated nets")


def _aux() -> Any:
    return vf.field(default=(Aux(),), help="heads on earlier levels, in training alone; nothing: none")


def _width(default: int = 512) -> Any:
    return vf.field(default=default, help="channels of the features", validator=vf.positive())


def _bins() -> Any:
    return vf.field(
        default=(1, 2, 3, 6),
        help="cells of each grid of pyramid pooling along a side",
        validator=vf.each(vf.positive()),
    )


def _rates() -> Any:
    return vf.field(
        default=(1, 12, 24, 36),
        help="dilations side by side; 1 is a 1×1 convolution; for stride 16: half of these",
        validator=vf.each(vf.positive()),
    )


@vf.config
class FCN(OnBackbone):
    """FCN (arXiv 1411.4038): convolutions on one level of a backbone, or on several that are joined (HRNet)."""

    backbone: BackboneConfig = _dilated()
    aux: tuple[Aux, ...] = _aux()
    levels: tuple[int, ...] = vf.field(
        default=(4,), help="of the backbone, joined at the size of the first", validator=vf.each(vf.positive())
    )
    width: int | None = vf.field(
        default=512, help="channels of the convolutions; nothing: as many as come in", validator=vf.positive()
    )
    convs: int = vf.field(default=2, help="convolutions before the classes", validator=vf.at_least(0))
    kernel: int = vf.field(default=3, help="of each: 3 or 1", unit="px", validator=vf.positive())
    concat: bool = vf.field(default=True, help="a last convolution sees what came in beside what came out")

    def __attrs_post_init__(self) -> None:
        if not self.levels:
            raise ValueError("levels: must have at least 1 item, got none")
        if self.concat and not self.convs:
            raise ValueError("concat needs convs of 1 or more; set one of them")
        if self.kernel % 2 == 0:
            raise ValueError(f"kernel must be odd, got {self.kernel}")

    def build(self, info: vf.DatasetInfo) -> nn.Module:
        """Build the network for the classes of ``info``."""
        from vf_seg.heads.fcn import FCNHead

        places = self.places(self.levels, "levels")
        backbone = self.backbone.build()
        inputs = [backbone.channels[place] for place in places]
        head = FCNHead(
            inputs,
            places,
            classes=len(info.classes),
            width=sum(inputs) if self.width is None else self.width,
            convs=self.convs,
            kernel=self.kernel,
            concat=self.concat,
            norm=self.norm,
            dropout=self.dropout,
        )
        return self.assembled(info, backbone, head, self.aux_heads(backbone, info))


@vf.config
class PSPNet(OnBackbone):
    """PSPNet (arXiv 1612.01105): means over grids of several sizes beside the features."""

    backbone: BackboneConfig = _dilated()
    aux: tuple[Aux, ...] = _aux()
    width: int = _width()
    bins: tuple[int, ...] = _bins()

    def build(self, info: vf.DatasetInfo) -> nn.Module:
        """Build the network for the classes of ``info``."""
        from vf_seg.heads.psp import PSPHead

        backbone = self.backbone.build()
        head = PSPHead(
            backbone.channels[-1],
            classes=len(info.classes),
            width=self.width,
            bins=self.bins,
            norm=self.norm,
            dropout=self.dropout,
        )
        return self.assembled(info, backbone, head, self.aux_heads(backbone, info))


@vf.config
class DeepLabV3(OnBackbone):
    """DeepLabV3 (arXiv 1706.05587): convolutions of several dilations side by side."""

    backbone: BackboneConfig = _dilated()
    aux: tuple[Aux, ...] = _aux()
    width: int = _width()
    rates: tuple[int, ...] = _rates()
    project: bool = vf.field(
        default=False, help="a 1×1 convolution joins the branches before the 3×3 one, as torchvision has it"
    )

    def build(self, info: vf.DatasetInfo) -> nn.Module:
        """Build the network for the classes of ``info``."""
        from vf_seg.heads.aspp import DeepLabV3Head

        backbone = self.backbone.build()
        head = DeepLabV3Head(
            backbone.channels[-1],
            classes=len(info.classes),
            width=self.width,
            rates=self.rates,
            project=self.project,
            norm=self.norm,
            dropout=self.dropout,
        )
        return self.assembled(info, backbone, head, self.aux_heads(backbone, info))


@vf.config
class DeepLabV3Plus(OnBackbone):
    """DeepLabV3+ (arXiv 1802.02611): DeepLabV3 of separable convolutions, refined with a fine level."""

    backbone: BackboneConfig = _dilated()
    aux: tuple[Aux, ...] = _aux()
    width: int = _width()
    fine_width: int = vf.field(
        default=48, help="to which the channels of the finest level are brought", validator=vf.positive()
    )
    rates: tuple[int, ...] = _rates()

    def build(self, info: vf.DatasetInfo) -> nn.Module:
        """Build the network for the classes of ``info``."""
        from vf_seg.heads.aspp import DeepLabV3PlusHead

        backbone = self.backbone.build()
        head = DeepLabV3PlusHead(
            backbone.channels,
            classes=len(info.classes),
            width=self.width,
            fine_width=self.fine_width,
            rates=self.rates,
            norm=self.norm,
            dropout=self.dropout,
        )
        return self.assembled(info, backbone, head, self.aux_heads(backbone, info))


@vf.config
class UPerNet(OnBackbone):
    """UPerNet (arXiv 1807.10221): pyramid pooling, then a feature pyramid; for ResNet, Swin, ConvNeXt."""

    backbone: BackboneConfig = vf.field(default=ResNet(stem="deep"), help="see 'vf list backbones'")
    aux: tuple[Aux, ...] = _aux()
    width: int = _width()
    bins: tuple[int, ...] = _bins()

    def build(self, info: vf.DatasetInfo) -> nn.Module:
        """Build the network for the classes of ``info``."""
        from vf_seg.heads.psp import UPerHead

        backbone = self.backbone.build()
        head = UPerHead(
            backbone.channels,
            classes=len(info.classes),
            width=self.width,
            bins=self.bins,
            norm=self.norm,
            dropout=self.dropout,
        )
        return self.assembled(info, backbone, head, self.aux_heads(backbone, info))


@vf.config
class OCRNet(OnBackbone):
    """OCRNet (arXiv 1909.11065): each pixel looks at a summary of each class's region; on HRNet."""

    backbone: BackboneConfig = vf.field(default=HRNet(upsample="bilinear"), help="see 'vf list backbones'")
    width: int = _width()
    key_width: int = vf.field(
        default=256, help="channels in which pixels and regions are compared", validator=vf.positive()
    )
    regions_weight: float = vf.field(
        default=0.4, help="of the losses of the regions, beside those of the head", validator=vf.at_least(0)
    )

    def build(self, info: vf.DatasetInfo) -> nn.Module:
        """Build the network for the classes of ``info``."""
        from vf_seg.heads.ocr import OCRHead

        backbone = self.backbone.build()
        head = OCRHead(
            backbone.channels,
            classes=len(info.classes),
            width=self.width,
            key_width=self.key_width,
            norm=self.norm,
            dropout=self.dropout,
        )
        aux = self.aux_heads(backbone, info)
        return self.assembled(info, backbone, head, aux, side_weight=self.regions_weight)


@vf.config
class SegFormer(OnBackbone):
    """SegFormer (arXiv 2105.15203): a light head on all levels of a Mix Transformer."""

    backbone: BackboneConfig = vf.field(default=MiT(), help="see 'vf list backbones'")
    width: int = _width(256)

    def build(self, info: vf.DatasetInfo) -> nn.Module:
        """Build the network for the classes of ``info``."""
        from vf_seg.heads.mlp import MLPHead

        backbone = self.backbone.build()
        head = MLPHead(
            backbone.channels,
            classes=len(info.classes),
            width=self.width,
            norm=self.norm,
            dropout=self.dropout,
        )
        return self.assembled(info, backbone, head, self.aux_heads(backbone, info))
