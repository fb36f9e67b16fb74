"""Config classes of the classifiers. Free of torch until ``build()``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import vf
from vf.backbones import IMAGENET
from vf.errors import ConfigError
from vf.protocols import ForeignWeights, ModelConfig
from vf_cls.loss_configs import CrossEntropy, Loss

if TYPE_CHECKING:
    from torch import nn

    from vf_cls.models.preprocess import CenterCrop

__all__ = ["CifarResNet", "Distilled", "Input", "LinearProbe", "Timm", "Torchvision"]

WHOLE = 0.875
"""Part of the short side that is left of ImageNet's images: 224 of 256."""
CIFAR_MEAN, CIFAR_STD = (125.307, 122.961, 113.8575), (51.5865, 50.847, 51.255)
"""Of CIFAR-10's pixels, in 0..255."""


@vf.config
class Input:
    """How a model sizes and normalises images, wherever they come from; mean and std are those of its weights.

    The image is resized so that its short side is ``short``, and the middle of ``size`` is cut.
    """

    size: tuple[int, int] = vf.field(
        default=(224, 224),
        help="height and width that the network eats",
        unit="px",
        validator=vf.each(vf.positive(), length=2),
    )
    short: int | None = vf.field(
        default=None,
        help="short side of the image before the middle is cut; nothing: the shorter of size / 0.875, as 256 for 224",
        unit="px",
        validator=vf.positive(),
    )
    squash: bool = vf.field(default=False, help="resize to size whatever the image's ratio, and cut nothing")
    interpolation: Literal["bilinear", "bicubic", "nearest"] = vf.field(
        default="bilinear", help="of the resize, with antialiasing"
    )
    mean: tuple[float, float, float] = vf.field(
        default=(123.675, 116.28, 103.53), help="of the channels in the order that the network eats, in 0..255"
    )
    std: tuple[float, float, float] = vf.field(
        default=(58.395, 57.12, 57.375), help="likewise", validator=vf.each(vf.positive(), length=3)
    )
    bgr: bool = vf.field(default=False, help="the network eats blue, green, red")

    def __attrs_post_init__(self) -> None:
        if self.short is not None and self.short < min(self.size):
            raise ValueError(f"short {self.short} < {min(self.size)}, the shorter side of size")
        if self.short is not None and self.squash:
            raise ValueError("squash cuts nothing, so short has no meaning; leave one of them out")

    def build(self) -> CenterCrop:
        """Build the rules."""
        from vf_cls.models.preprocess import CenterCrop

        side = min(self.size)
        return CenterCrop(
            size=self.size,
            short=side if self.squash else self.short or round(side / WHOLE),
            squash=self.squash,
            interpolation=self.interpolation,
            mean=self.mean,
            std=self.std,
            bgr=self.bgr,
        )


def _input(**keys: Any) -> Any:
    return vf.field(default=Input(**keys), help="how images are sized and normalised")


def _loss() -> Any:
    return vf.field(default=CrossEntropy(), help="cross_entropy, bce, focal or asymmetric, with its options")


def _features() -> Any:
    return vf.field(default=False, help="predictions also hold what the head eats, as metric knn needs it")


def _pretrained(published: str) -> Any:
    return vf.field(
        default="", help=f"weights to start from: imagenet ({published}), a file, a run or an http(s) address"
    )


def _drop(help_: str) -> Any:
    return vf.field(default=None, help=f"{help_}; nothing: the library's own", validator=vf.within(0, 0.999))


def _known(loss: Loss, info: vf.DatasetInfo) -> dict[str, Any]:
    """Return what a classifier gets to know of the data, and its loss.

    Raises:
        ConfigError: the loss is not for labels of this kind.
    """
    loss.fit(multi_label=info.multi_label)
    return {
        "num_classes": len(info.classes),
        "multi_label": info.multi_label,
        "loss": loss.build(info.classes),
    }


@vf.config
class Torchvision:
    """Any classification net of torchvision by its name: resnet50, mobilenet_v3_large, swin_t, vit_b_16 …"""

    arch: str = vf.field(help="torchvision's name of it, like convnext_tiny")
    input: Input = _input()
    loss: Loss = _loss()
    drop: float | None = _drop("probability of dropout in the head")
    drop_path: float | None = _drop("largest probability to leave a block out (Swin, ConvNeXt, EfficientNet)")
    features: bool = _features()
    pretrained: str = _pretrained("torchvision's V1")

    def foreign_weights(self, source: str) -> ForeignWeights | None:
        """What there is to know of the weights of torchvision and MMPretrain."""
        from vf_cls import foreign

        return foreign.torchvision(self.arch, source)

    def build(self, info: vf.DatasetInfo) -> nn.Module:
        """Build the net for the classes of ``info``, without weights."""
        from vf.nn.backbones.backbone import published
        from vf_cls.models import torchvision_net
        from vf_cls.models.classifier import Classifier

        known = _known(self.loss, info)
        net = torchvision_net.make(
            self.arch,
            num_classes=len(info.classes),
            size=self.input.size,
            drop=self.drop,
            drop_path=self.drop_path,
        )
        source = f"torchvision:{self.arch}" if self.pretrained == IMAGENET else self.pretrained
        return Classifier(
            net,
            preprocess=self.input.build(),
            features=self.features,
            fixed_size=torchvision_net.sized_by(self.arch) is not None,
            auxiliary=torchvision_net.AUXILIARY.get(self.arch, 0.0),
            layers=torchvision_net.layers_of(net),
            pretrained=published(source),
            **known,
        )


@vf.config
class Timm:
    """Any net of timm by its name, like vit_small_patch16_224 or convnextv2_tiny; needs ``pip install timm``."""

    arch: str = vf.field(help="timm's name of it, with a tag of weights or without")
    input: Input = _input()
    loss: Loss = _loss()
    drop: float = vf.field(default=0.0, help="probability of dropout in the head", validator=vf.within(0, 0.999))
    drop_path: float = vf.field(
        default=0.0, help="largest probability to leave a block out", validator=vf.within(0, 0.999)
    )
    features: bool = _features()
    pretrained: str = _pretrained("what timm publishes under the name")

    def foreign_weights(self, source: str) -> ForeignWeights | None:
        """What there is to know of the weights of timm and MMPretrain."""
        from vf_cls import foreign

        return foreign.timm(self.arch, source)

    def build(self, info: vf.DatasetInfo) -> nn.Module:
        """Build the net for the classes of ``info``, without weights."""
        from vf_cls.models import timm_net
        from vf_cls.models.classifier import Classifier

        known = _known(self.loss, info)
        net, fixed = timm_net.make(
            self.arch,
            num_classes=len(info.classes),
            size=self.input.size,
            drop=self.drop,
            drop_path=self.drop_path,
        )
        return Classifier(
            net,
            preprocess=self.input.build(),
            features=self.features,
            fixed_size=fixed,
            layers=timm_net.layers_of(net),
            load=timm_net.loader(self.arch, net, self.pretrained) if self.pretrained else None,
            **known,
        )


@vf.config
class CifarResNet:
    """ResNet for images of 32×32 px: depth 20 to 110 of arXiv 1512.03385 section 4.2, or 18 to 152 with a 3×3 stem."""

    depth: Literal[20, 32, 44, 56, 110, 18, 34, 50, 101, 152] = vf.field(
        default=20, help="number of layers; 18, 34, 50, 101, 152: the nets for ImageNet, with a 3×3 stem"
    )
    input: Input = _input(size=(32, 32), short=32, mean=CIFAR_MEAN, std=CIFAR_STD)
    loss: Loss = _loss()
    features: bool = _features()
    pretrained: str = vf.field(default="", help="weights to start from: a file, a run or an http(s) address")

    def foreign_weights(self, source: str) -> ForeignWeights | None:
        """What there is to know of the weights of MMPretrain."""
        from vf_cls import foreign

        return foreign.cifar_resnet(self.depth, source)

    def build(self, info: vf.DatasetInfo) -> nn.Module:
        """Build the net for the classes of ``info``, without weights."""
        from vf_cls.models import cifar_resnet
        from vf_cls.models.classifier import Classifier

        return Classifier(
            cifar_resnet.make(self.depth, num_classes=len(info.classes)),
            preprocess=self.input.build(),
            features=self.features,
            pretrained=self.pretrained,
            **_known(self.loss, info),
        )


@vf.config
class LinearProbe:
    """A new linear head on the frozen features of a model: how much they say of the classes."""

    model: ModelConfig = vf.field(help="whose features are judged, with its weights: any classifier of this plugin")

    def build(self, info: vf.DatasetInfo) -> nn.Module:
        """Build the model for the classes of ``info``, and freeze all but a head."""
        from vf_cls.models.probe import LinearProbe

        return LinearProbe(_classifier(self.model, info, "linear_probe.model"))


@vf.config
class Distilled:
    """A student that also learns what a teacher says of each image (arXiv 1503.02531; hard as in arXiv 2012.12877).

    The teacher is read when a training begins, and is no part of a checkpoint; the student alone predicts.
    """

    student: ModelConfig = vf.field(help="the model that is trained: any classifier of this plugin")
    teacher: str = vf.field(help="run or checkpoint of vf, with the same class names in any order")
    kind: Literal["soft", "hard"] = vf.field(
        default="soft", help="learn the teacher's probabilities, or only its first class"
    )
    temperature: float = vf.field(
        default=4.0, help="by which the logits of both are divided, of kind soft", validator=vf.positive()
    )
    weight: float = vf.field(
        default=0.5, help="part of the loss that is the teacher's; the rest is the labels'", validator=vf.within(0, 1)
    )

    def build(self, info: vf.DatasetInfo) -> nn.Module:
        """Build the student for the classes of ``info``, without its teacher."""
        from vf_cls.models.distilled import Distilled

        if info.multi_label and self.kind == "hard":
            raise ConfigError("model.kind: hard teaches one class, and the data are multi-label; take soft")
        return Distilled(
            _classifier(self.student, info, "distilled.student"),
            classes=info.classes,
            teacher=self.teacher,
            kind=self.kind,
            temperature=self.temperature,
            weight=self.weight,
        )


def _classifier(config: ModelConfig, info: vf.DatasetInfo, key: str) -> Any:
    """Build a model that stands inside another one; ConfigError where it is none of ours."""
    from vf_cls.models.classifier import Classifier

    built = config.build(info)
    if not isinstance(built, Classifier):
        raise ConfigError(
            f"{key}: expected a classifier with a net and a head, got {type(config).__name__.lower()}; take "
            "torchvision, timm or cifar_resnet"
        )
    return built
