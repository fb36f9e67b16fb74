"""What our classifiers know of the weights of torchvision, timm and MMPretrain. Free of torch.

Each function returns rules from their names to ours (`vf.protocols.ForeignWeights`), or None for a library that has no
such net.
"""

from __future__ import annotations

from vf.protocols import ClassRows, ForeignWeights

Rules = tuple[tuple[str, str], ...]

HEAD = r"net\.(fc|classifier\.\d+|classifier|heads?\.head|head\.fc|head\.l|head)\.(weight|bias)"
"""The layer with a row for each class."""
ROWS = (ClassRows(names=HEAD),)
OTHERS = "backbone|neck|rpn|rpn_head|roi_heads?|bbox_head|mask_head|decode_head|auxiliary_head|panoptic_.*"
"""First parts of the names of detectors and segmenters, which no classifier has."""
AS_IT_IS: Rules = ((rf"((?!({OTHERS})\.).+)", r"net.\1"),)
RESNETS = ("resnet", "resnext", "wide_resnet")


def _mmpretrain_resnet() -> Rules:
    return ((r"backbone\.(.+)", r"net.\1"), (r"head\.fc\.(.+)", r"net.fc.\1"))


MMPRETRAIN_VIT: Rules = (
    (r"backbone\.(cls_token|pos_embed)", r"net.\1"),
    (r"backbone\.patch_embed\.projection\.(.+)", r"net.patch_embed.proj.\1"),
    (r"backbone\.layers\.(\d+)\.ln([12])\.(.+)", r"net.blocks.\1.norm\2.\3"),
    (r"backbone\.layers\.(\d+)\.attn\.(qkv|proj)\.(.+)", r"net.blocks.\1.attn.\2.\3"),
    (r"backbone\.layers\.(\d+)\.ffn\.layers\.0\.0\.(.+)", r"net.blocks.\1.mlp.fc1.\2"),
    (r"backbone\.layers\.(\d+)\.ffn\.layers\.1\.(.+)", r"net.blocks.\1.mlp.fc2.\2"),
    (r"backbone\.ln1\.(.+)", r"net.norm.\1"),
    (r"head\.layers\.head\.(.+)", r"net.head.\1"),
)


def torchvision(arch: str, source: str) -> ForeignWeights | None:
    """Rules of a net of torchvision."""
    if source == "torchvision":
        return ForeignWeights(rules=AS_IT_IS, rows=ROWS, known=_imagenet(arch))
    if source == "mmpretrain" and arch.startswith(RESNETS):
        return ForeignWeights(rules=_mmpretrain_resnet(), rows=ROWS)
    return None


def timm(arch: str, source: str) -> ForeignWeights | None:
    """Rules of a net of timm."""
    if source == "timm":
        return ForeignWeights(rules=AS_IT_IS, rows=ROWS)
    if source == "mmpretrain" and arch.startswith(RESNETS):
        return ForeignWeights(rules=_mmpretrain_resnet(), rows=ROWS)
    if source == "mmpretrain" and arch.startswith(("vit_", "deit_")):
        return ForeignWeights(rules=MMPRETRAIN_VIT, rows=ROWS)
    return None


def cifar_resnet(depth: int, source: str) -> ForeignWeights | None:
    """Rules of a ResNet for CIFAR; MMPretrain has those with the stages of ImageNet's."""
    if source == "mmpretrain" and depth in (18, 34, 50, 101, 152):
        return ForeignWeights(rules=_mmpretrain_resnet(), rows=ROWS)
    return None


def _imagenet(arch: str) -> tuple[tuple[tuple[str, ...], tuple[int, ...]], ...]:
    """Return the class names of torchvision's published weights."""
    from torchvision.models import get_model_weights

    try:
        names = tuple(next(iter(get_model_weights(arch))).meta["categories"])
    except (ValueError, StopIteration):
        return ()
    return ((names, ()),)
