"""Somebody else's plugin: the ResNet-20 whose CIFAR-10 weights Yerlan Idelbayev published."""

from pathlib import Path

import vf
from vf.protocols import ClassRows, ForeignWeights

VF_TASK = "cls"


@vf.config
class ResNet20:
    """ResNet-20 for CIFAR-10 (arXiv 1512.03385); eats RGB of 32×32 px with ImageNet's mean and std, as it is."""

    def foreign_weights(self, source):
        known = ForeignWeights(rules=((r"(.+)", r"net.\1"),), rows=(ClassRows(names=r"net\.linear\..+"),))
        return known if source == "other" else None

    def build(self, info):
        from vf_cls.models.classifier import Classifier
        from vf_cls.models.preprocess import CenterCrop
        from vf_resnet20.net import ResNet

        net = ResNet(num_classes=len(info.classes))
        return Classifier(net, preprocess=CenterCrop(size=(32, 32)), num_classes=len(info.classes))


@vf.hookimpl
def vf_models():
    return {"resnet20": ResNet20}


@vf.hookimpl
def vf_recipes():
    return {"resnet20/cifar10": Path(__file__).with_name("cifar10.yaml")}
