"""Config classes of core's backbones, chosen with ``backbone: {name: ...}`` inside a model. Free of torch."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import attrs

from vf.schema import config, field, positive, within

if TYPE_CHECKING:
    from vf.nn.backbones.backbone import Backbone

IMAGENET = "imagenet"
"""Value of ``pretrained`` that means the published weights of a net."""
RESNETS = {
    (18, 1, 64): "resnet18",
    (34, 1, 64): "resnet34",
    (50, 1, 64): "resnet50",
    (101, 1, 64): "resnet101",
    (152, 1, 64): "resnet152",
    (50, 32, 4): "resnext50_32x4d",
    (101, 32, 8): "resnext101_32x8d",
    (101, 64, 4): "resnext101_64x4d",
    (50, 1, 128): "wide_resnet50_2",
    (101, 1, 128): "wide_resnet101_2",
}
"""(depth, groups, width_per_group) -> torchvision's name, under which it publishes weights."""
MIRROR = "https://download.openmmlab.com/pretrain/third_party/"
"""Where OpenMMLab keeps what others published in other places or formats."""
MIRRORED = {
    ("pytorch", 101, 32, 4): f"{MIRROR}resnext101_32x4d-a5af3160.pth",
    ("caffe", 50, 1, 64): f"{MIRROR}resnet50_msra-5891d200.pth",
    ("caffe", 101, 1, 64): f"{MIRROR}resnet101_msra-6cc46731.pth",
    ("caffe", 101, 32, 8): f"{MIRROR}resnext101_32x8d-1516f1aa.pth",
}
"""(style, depth, groups, width_per_group) -> weights that torchvision does not have. Those of style caffe eat BGR."""
DEEP_STEMS = {
    18: f"{MIRROR}resnet18_v1c-b5776b93.pth",
    50: f"{MIRROR}resnet50_v1c-2cccc1ad.pth",
    101: f"{MIRROR}resnet101_v1c-e67eebb6.pth",
}
"""Depth -> weights of nets with a deep stem, as OpenMMLab keeps them."""
HRNETS = {
    18: f"{MIRROR}hrnetv2_w18-00eb2006.pth",
    32: f"{MIRROR}hrnetv2_w32-dc9eeb4f.pth",
    40: f"{MIRROR}hrnetv2_w40-ed0b031c.pth",
    48: f"{MIRROR}hrnetv2_w48-d2186c55.pth",
}
"""Width -> weights of the authors' classification nets (arXiv 1908.07919)."""


def _levels(instance: Any, attribute: attrs.Attribute[Any], value: tuple[int, ...]) -> None:
    if not value or list(value) != sorted(set(value)) or value[0] < 1 or value[-1] > 4:
        raise ValueError(f"must be levels from 1 to 4 in rising order, like [1, 2, 3, 4], got {list(value)}")


def _out() -> Any:
    return field(
        default=(1, 2, 3, 4),
        help="levels to hand on, fine to coarse; level n has stride 2 ** (n + 1)",
        validator=_levels,
    )


def _frozen(stages: int) -> Any:
    return field(default=0, help="0: none; n: stem and stages 1 to n never change", validator=within(0, stages))


def _checkpoint() -> Any:
    return field(default=False, help="compute activations again for the gradient: less memory, more time")


def _pretrained(published: str) -> Any:
    return field(default="", help=f"weights to start from: imagenet ({published}), a file, a run or an http(s) address")


Norm = Literal["bn", "sync_bn", "frozen_bn", "gn"]
NORM_HELP = "bn; sync_bn: over all processes; frozen_bn: constant; gn: 32 groups, or as many as divide the channels"


def _norm() -> Any:
    return field(default="bn", help=NORM_HELP)


def _norm_eval() -> Any:
    return field(default=False, help="batch norms use their running statistics in training too, and leave them alone")


def _refuse_gn(norm: str, pretrained: str) -> None:
    if norm == "gn" and pretrained == IMAGENET:
        raise ValueError("pretrained imagenet was trained with batch norms; leave norm: gn out, or name a file of gn")


@config
class ResNet:
    """ResNet (arXiv 1512.03385); with groups ResNeXt (arXiv 1611.05431), with a larger width Wide ResNet."""

    depth: Literal[18, 34, 50, 101, 152] = field(default=50, help="number of layers")
    groups: int = field(default=1, help="of the 3×3 convolutions; ResNeXt: 32 or 64", validator=positive())
    width_per_group: int = field(
        default=64, help="channels of a group in stage 1; ResNeXt: 4 or 8, wide: 128", validator=positive()
    )
    style: Literal["pytorch", "caffe"] = field(
        default="pytorch", help="which convolution of a block has the stride: the 3×3, or the first 1×1 (caffe)"
    )
    stem: Literal["plain", "deep"] = field(
        default="plain", help="deep: three 3×3 convolutions in the place of the 7×7 one (arXiv 1812.01187, ResNet-C)"
    )
    dilate: Literal[8, 16, 32] = field(
        default=32,
        help="largest stride; stages beyond dilate their 3×3 convolutions instead (arXiv 1606.00915), as levels of "
        "segmentation do",
        unit="px",
    )
    out: tuple[int, ...] = _out()
    frozen_stages: int = _frozen(4)
    norm: Norm = _norm()
    norm_eval: bool = _norm_eval()
    checkpoint: bool = _checkpoint()
    pretrained: str = _pretrained("torchvision's V1; style caffe: Detectron2's, which eat BGR")

    def __attrs_post_init__(self) -> None:
        if self.depth < 50 and (self.groups, self.width_per_group, self.style) != (1, 64, "pytorch"):
            raise ValueError(f"depth {self.depth} has no groups, width_per_group and style; leave them out")
        _refuse_gn(self.norm, self.pretrained)
        self.address()

    def address(self) -> str:
        """Return where the weights are: an address, a path, ``torchvision:NAME`` or nothing; ValueError: nowhere."""
        if self.pretrained != IMAGENET:
            return self.pretrained
        kind = (self.depth, self.groups, self.width_per_group)
        if self.stem == "deep" and self.style == "pytorch" and kind[1:] == (1, 64) and self.depth in DEEP_STEMS:
            return DEEP_STEMS[self.depth]
        if self.stem == "deep":
            raise ValueError(
                f"pretrained imagenet: nobody has published a deep stem for style {self.style}, depth {self.depth}, "
                f"groups {self.groups}, width_per_group {self.width_per_group}; name a file or an address"
            )
        if self.style == "pytorch" and kind in RESNETS:
            return f"torchvision:{RESNETS[kind]}"
        if (self.style, *kind) in MIRRORED:
            return MIRRORED[self.style, *kind]
        raise ValueError(
            f"pretrained imagenet: nobody has published style {self.style}, depth {self.depth}, groups {self.groups}, "
            f"width_per_group {self.width_per_group}; name a file or an address"
        )

    def build(self) -> Backbone:
        """Build the net, without weights."""
        from vf.nn.backbones.resnet import ResNet

        return ResNet(
            depth=self.depth,
            groups=self.groups,
            width_per_group=self.width_per_group,
            style=self.style,
            stem=self.stem,
            dilate=self.dilate,
            out=self.out,
            frozen_stages=self.frozen_stages,
            norm=self.norm,
            norm_eval=self.norm_eval,
            checkpoint=self.checkpoint,
            pretrained=self.address(),
        )


@config
class HRNet:
    """HRNetV2p (arXiv 1904.04514, 1908.07919): keeps a fine and coarser resolutions side by side. Neck: hrfpn."""

    width: Literal[18, 32, 40, 48] = field(default=18, help="channels of the finest resolution, as W18")
    upsample: Literal["nearest", "bilinear"] = field(
        default="nearest", help="how coarse resolutions reach finer ones; segmentation has bilinear"
    )
    out: tuple[int, ...] = _out()
    frozen_stages: int = _frozen(4)
    norm: Norm = _norm()
    norm_eval: bool = _norm_eval()
    checkpoint: bool = _checkpoint()
    pretrained: str = _pretrained("the authors', as OpenMMLab keeps them")

    def __attrs_post_init__(self) -> None:
        _refuse_gn(self.norm, self.pretrained)

    def build(self) -> Backbone:
        """Build the net, without weights."""
        from vf.nn.backbones.hrnet import HRNet

        return HRNet(
            width=self.width,
            upsample=self.upsample,
            out=self.out,
            frozen_stages=self.frozen_stages,
            norm=self.norm,
            norm_eval=self.norm_eval,
            checkpoint=self.checkpoint,
            pretrained=HRNETS[self.width] if self.pretrained == IMAGENET else self.pretrained,
        )


@config
class Torchvision:
    """Any classification net of torchvision by its name: mobilenet_v3_large, efficientnet_b0, swin_t, regnet_y_8gf …

    A level is the last layer of its stride. ``pretrained: imagenet`` is the first weights that torchvision published.
    """

    net: str = field(help="torchvision's name of it, like convnext_tiny")
    out: tuple[int, ...] = _out()
    out_norm: bool = field(default=False, help="layer norm on each level, as detectors on Swin and ConvNeXt have it")
    frozen_stages: int = _frozen(4)
    norm: Norm = _norm()
    norm_eval: bool = _norm_eval()
    checkpoint: bool = _checkpoint()
    pretrained: str = _pretrained("torchvision's V1")

    def __attrs_post_init__(self) -> None:
        _refuse_gn(self.norm, self.pretrained)

    def build(self) -> Backbone:
        """Build the net, without weights."""
        from vf.nn.backbones.tv import Torchvision

        return Torchvision(
            net=self.net,
            out=self.out,
            out_norm=self.out_norm,
            frozen_stages=self.frozen_stages,
            norm=self.norm,
            norm_eval=self.norm_eval,
            checkpoint=self.checkpoint,
            pretrained=f"torchvision:{self.net}" if self.pretrained == IMAGENET else self.pretrained,
        )


@config
class Timm:
    """Any net of timm that gives features, by its name; needs ``pip install timm``.

    A level is what timm counts as the feature of its stride. A file or an address holds weights in timm's names.
    """

    net: str = field(help="timm's name of it, like resnetv2_50 or convnextv2_tiny.fcmae_ft_in1k")
    out: tuple[int, ...] = _out()
    out_norm: bool = field(default=False, help="layer norm on each level, as detectors on Swin and ConvNeXt have it")
    frozen_stages: int = _frozen(4)
    norm: Norm = _norm()
    norm_eval: bool = _norm_eval()
    checkpoint: bool = _checkpoint()
    pretrained: str = _pretrained("what timm publishes under the name")

    def __attrs_post_init__(self) -> None:
        _refuse_gn(self.norm, self.pretrained)

    def build(self) -> Backbone:
        """Build the net, without weights."""
        from vf.nn.backbones.timm_net import Timm

        return Timm(
            net=self.net,
            out=self.out,
            out_norm=self.out_norm,
            frozen_stages=self.frozen_stages,
            norm=self.norm,
            norm_eval=self.norm_eval,
            checkpoint=self.checkpoint,
            pretrained=self.pretrained,
        )


@config
class VGG16SSD:
    """VGG-16 as SSD uses it (arXiv 1512.02325): atrous fc6 and fc7, a norm on conv4_3, and the extra layers.

    It has no norms beside, and its levels are given: six for 300 px, seven for 512 px.
    """

    size: Literal[300, 512] = field(default=300, help="of the input, which decides on the extra layers", unit="px")
    frozen_stages: int = _frozen(5)
    checkpoint: bool = _checkpoint()
    pretrained: str = _pretrained("torchvision's features of VGG-16 for SSD: mean 123, 117, 104, std 1")

    def build(self) -> Backbone:
        """Build the net, without weights."""
        from vf.nn.backbones.vgg_ssd import VGG16SSD

        return VGG16SSD(
            size=self.size,
            frozen_stages=self.frozen_stages,
            checkpoint=self.checkpoint,
            pretrained="torchvision:vgg16.IMAGENET1K_FEATURES" if self.pretrained == IMAGENET else self.pretrained,
        )
