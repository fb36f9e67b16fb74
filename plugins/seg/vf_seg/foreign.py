"""What our segmenters know of the weights of MMSegmentation (0.x and 1.x) and torchvision. Free of torch.

Rules are from their names to ours (`vf.protocols.ForeignWeights`).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from vf.protocols import ClassRows, ForeignWeights
from vf_seg.data import names

if TYPE_CHECKING:
    from vf_seg.segmenter_configs import Segmenter

Rules = tuple[tuple[str, str], ...]


def _conv(theirs: str, ours: str) -> Rules:
    """A convolution with its norm; ``theirs`` may have groups, which ``ours`` names."""
    last = theirs.count("(") + 1
    return (
        (rf"{theirs}\.conv\.(.+)", rf"{ours}.0.\{last}"),
        (rf"{theirs}\.bn\.(.+)", rf"{ours}.1.\{last}"),
    )


def _separable(theirs: str, ours: str) -> Rules:
    return (*_conv(rf"{theirs}\.depthwise_conv", f"{ours}.0"), *_conv(rf"{theirs}\.pointwise_conv", f"{ours}.1"))


def _fcn(theirs: str, ours: str) -> Rules:
    """A head of convolutions; ``theirs`` has no groups."""
    return (
        *_conv(rf"{theirs}\.convs\.(\d+)", rf"{ours}.convs.\1"),
        *_separable(rf"{theirs}\.convs\.(\d+)", rf"{ours}.convs.\1"),
        *_conv(rf"{theirs}\.conv_cat", f"{ours}.concat"),
        (rf"{theirs}\.conv_seg\.(.+)", rf"{ours}.classes.\1"),
    )


ROWS = (
    ClassRows(names=r"(head|head\.regions|aux\.\d+)\.classes\..+"),
    ClassRows(names=r"head\.(fine|coarse)\.(weight|bias)"),
)
AUX = (*_fcn(r"auxiliary_head\.0", "aux.0"), *_fcn(r"auxiliary_head\.1", "aux.1"), *_fcn("auxiliary_head", "aux.0"))
HEAD = ((r"decode_head\.conv_seg\.(.+)", r"head.classes.\1"),)
BODY = ((r"backbone\.(.+)", r"backbone.\1"),)
PYRAMID = _conv(r"decode_head\.psp_modules\.(\d+)\.1", r"head.pyramid.\1.1")
ASPP = (
    *_conv(r"decode_head\.image_pool\.1", "head.aspp.pool.1"),
    *_conv(r"decode_head\.aspp_modules\.(\d+)", r"head.aspp.branches.\1"),
    *_separable(r"decode_head\.aspp_modules\.(\d+)", r"head.aspp.branches.\1"),
    *_conv(r"decode_head\.bottleneck", "head.fuse"),
)
CONTEXT = r"decode_head\.1\.object_context_block"
MMSEG: Mapping[str, Rules] = {
    "FCN": (*BODY, *_fcn("decode_head", "head"), *AUX),
    "PSPNet": (*BODY, *HEAD, *PYRAMID, *_conv(r"decode_head\.bottleneck", "head.fuse"), *AUX),
    "DeepLabV3": (*BODY, *HEAD, *ASPP, *AUX),
    "DeepLabV3Plus": (
        *BODY,
        *HEAD,
        *ASPP,
        *_conv(r"decode_head\.c1_bottleneck", "head.fine"),
        *_separable(r"decode_head\.sep_bottleneck\.(\d+)", r"head.refine.\1"),
        *AUX,
    ),
    "UPerNet": (
        *BODY,
        *HEAD,
        *PYRAMID,
        *_conv(r"decode_head\.bottleneck", "head.coarsest"),
        *_conv(r"decode_head\.lateral_convs\.(\d+)", r"head.lateral.\1"),
        *_conv(r"decode_head\.fpn_convs\.(\d+)", r"head.smooth.\1"),
        *_conv(r"decode_head\.fpn_bottleneck", "head.fuse"),
        *AUX,
    ),
    "OCRNet": (
        *BODY,
        (r"decode_head\.1\.conv_seg\.(.+)", r"head.classes.\1"),
        *_fcn(r"decode_head\.0", "head.regions"),
        *_conv(r"decode_head\.1\.bottleneck", "head.pixels"),
        *_conv(rf"{CONTEXT}\.query_project\.(\d)", r"head.query.\1"),
        *_conv(rf"{CONTEXT}\.key_project\.(\d)", r"head.key.\1"),
        *_conv(rf"{CONTEXT}\.value_project", "head.value"),
        *_conv(rf"{CONTEXT}\.out_project", "head.context"),
        *_conv(rf"{CONTEXT}\.bottleneck", "head.fuse"),
    ),
    "SegFormer": (
        *BODY,
        *HEAD,
        *_conv(r"decode_head\.convs\.(\d)", r"head.levels.\1"),
        *_conv(r"decode_head\.fusion_conv", "head.fuse"),
    ),
    "UNet": (
        *_conv(r"backbone\.encoder\.0\.0\.convs\.(\d)", r"backbone.encoder.0.\1"),
        *_conv(r"backbone\.encoder\.(\d)\.1\.convs\.(\d)", r"backbone.encoder.\1.\2"),
        *_conv(r"backbone\.decoder\.(\d)\.conv_block\.convs\.(\d)", r"backbone.decoder.\1.\2"),
        *_conv(r"backbone\.decoder\.(\d)\.upsample\.interp_upsample\.1", r"backbone.up.\1"),
        *_fcn("decode_head", "head"),
        *AUX,
    ),
    "FastSCNN": (
        *_conv(r"backbone\.learning_to_downsample\.conv", "backbone.fine.0"),
        *_separable(r"backbone\.learning_to_downsample\.dsconv(\d)", r"backbone.fine.\1"),
        *(
            rule
            for number in range(3)
            for rule in _conv(
                rf"backbone\.global_feature_extractor\.bottleneck{number + 1}\.(\d)\.conv\.(\d)",
                rf"backbone.groups.{number}.\1.convs.\2",
            )
        ),
        *_conv(r"backbone\.global_feature_extractor\.ppm\.(\d)\.1", r"backbone.pyramid.\1.1"),
        *_conv(r"backbone\.global_feature_extractor\.out", "backbone.coarse"),
        *_conv(r"backbone\.feature_fusion\.dwconv", "backbone.spread"),
        *_conv(r"backbone\.feature_fusion\.conv_lower_res", "backbone.from_coarse"),
        *_conv(r"backbone\.feature_fusion\.conv_higher_res", "backbone.from_fine"),
        *_fcn("decode_head", "head"),
        *AUX,
    ),
}
"""Our class -> rules for MMSegmentation's."""
TORCHVISION_AUX: Rules = (
    (r"aux_classifier\.([01])\.(.+)", r"aux.0.convs.0.\1.\2"),
    (r"aux_classifier\.4\.(.+)", r"aux.0.classes.\1"),
)
TORCHVISION: Mapping[str, tuple[Rules, Mapping[str, Any]]] = {
    "FCN": (
        (
            *BODY,
            (r"classifier\.([01])\.(.+)", r"head.convs.0.\1.\2"),
            (r"classifier\.4\.(.+)", r"head.classes.\1"),
            *TORCHVISION_AUX,
        ),
        {"convs": 1, "concat": False, "backbone.stem": "plain"},
    ),
    "DeepLabV3": (
        (
            *BODY,
            (r"classifier\.0\.convs\.4\.1\.(.+)", r"head.aspp.pool.1.0.\1"),
            (r"classifier\.0\.convs\.4\.2\.(.+)", r"head.aspp.pool.1.1.\1"),
            (r"classifier\.0\.convs\.(\d)\.([01])\.(.+)", r"head.aspp.branches.\1.\2.\3"),
            (r"classifier\.0\.project\.([01])\.(.+)", r"head.project.\1.\2"),
            (r"classifier\.1\.(.+)", r"head.fuse.0.\1"),
            (r"classifier\.2\.(.+)", r"head.fuse.1.\1"),
            (r"classifier\.4\.(.+)", r"head.classes.\1"),
            *TORCHVISION_AUX,
        ),
        {"width": 256, "project": True, "rates": [1, 12, 24, 36], "backbone.stem": "plain"},
    ),
    "LRASPP": (
        (
            (r"backbone\.(\d+)\.(.+)", r"backbone.features.\1.\2"),
            (r"classifier\.cbr\.(.+)", r"head.features.\1"),
            (r"classifier\.scale\.1\.(.+)", r"head.gate.1.\1"),
            (r"classifier\.low_classifier\.(.+)", r"head.fine.\1"),
            (r"classifier\.high_classifier\.(.+)", r"head.coarse.\1"),
        ),
        {},
    ),
}
"""Our class -> rules for torchvision's, and the keys with which the numbers are theirs."""

KNOWN = tuple((classes, tuple(range(len(classes)))) for classes in (names.CITYSCAPES, names.ADE20K, names.VOC))
"""Class lists of published weights, for files that do not name theirs."""


def weights_of(model: Segmenter, source: str) -> ForeignWeights | None:
    """Return what a model knows of a library's weights; None: the library has no such model."""
    name = type(model).__name__
    if source == "mmseg" and name in MMSEG:
        return ForeignWeights(rules=MMSEG[name], rows=ROWS, absent=(r"aux\..*",), known=KNOWN)
    if source == "torchvision" and name in TORCHVISION:
        rules, settings = TORCHVISION[name]
        return ForeignWeights(rules=rules, rows=ROWS, settings=settings, absent=(r"aux\..*",), known=KNOWN)
    return None
