"""What our detectors know of the weights of torchvision, MMDetection 2 and 3, and YOLOX. Free of torch.

Each function returns rules from their names to ours (`vf.protocols.ForeignWeights`), or None for a library that has no
such model. MMDetection's background is the last class, as ours; torchvision's is the first, of heads without a
background too, and its COCO weights count the 90 ids of COCO's 80 classes.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from vf.translation import ClassRows, ForeignWeights
from vf_det.known_classes import KNOWN

if TYPE_CHECKING:
    from vf_det.dense_configs import FCOS, RetinaNet
    from vf_det.rcnn_configs import FasterRCNN

Rules = tuple[tuple[str, str], ...]

TORCHVISION_EPS = {
    "fasterrcnn_resnet50_fpn_coco-258fb6c6": 0.0,
    "maskrcnn_resnet50_fpn_coco-bf2d0c1e": 0.0,
    "retinanet_resnet50_fpn_coco-eeacb38b": 0.0,
}
"""torchvision builds these with ``overwrite_eps(model, 0.0)``."""
RCNN_AS_TORCHVISION = {
    "rpn.rounded": True,
    "rpn.grid_strides": True,
    "rpn.lowest_iou": 0.0,
    "rpn.beta": 1 / 9,
    "rpn.train_kept": 2000,
    "head.sampling_ratio": 2,
    "head.aligned": False,
    "head.beta": 1 / 9,
}
RETINANET_AS_TORCHVISION = {"grid": "torchvision", "neck.extra": "conv_out", "neck.extra_relu": True}
FCOS_AS_TORCHVISION = {
    "normed": True,
    "centerness_on": "box",
    "center_radius": 1.5,
    "box_loss": "giou",
    "weighted_boxes": False,
    "score": "root",
    "score_threshold": 0.2,
    "nms.iou": 0.6,
    "grid": "torchvision",
}
FCOS_AS_CAFFE = {"resize.mean": [102.9801, 115.9465, 122.7717]}
"""mmdet's FCOS was trained from Detectron's weights, which have another mean than Detectron2's; BGR, 0..255."""
SSD_AS_TORCHVISION = {
    "grid": "torchvision",
    "score_threshold": 0.01,
    "candidates": 400,
    "mean": [122.99925, 116.9991, 103.9992],  # 255 × 0.48235 …
}


def pyramid(source: str, levels: Sequence[int], *, relu: bool) -> Rules:
    """Return the rules of a backbone and its neck.

    Args:
        source: torchvision or mmdet.
        levels: of the backbone that the neck takes.
        relu: whether extra levels but the first have a ReLU before their convolution.
    """
    second = "1" if relu else "0"
    if source == "torchvision":
        return (
            (r"backbone\.body\.(.+)", r"backbone.\1"),
            (r"backbone\.fpn\.(inner|layer)_blocks\.(\d+)\.([01])\.(.+)", r"neck.fpn.\1_blocks.\2.\3.\4"),
            (r"backbone\.fpn\.(inner|layer)_blocks\.(\d+)\.(weight|bias)", r"neck.fpn.\1_blocks.\2.0.\3"),
            (r"backbone\.fpn\.extra_blocks\.p6\.(.+)", r"neck.extra.0.0.\1"),
            (r"backbone\.fpn\.extra_blocks\.p7\.(.+)", rf"neck.extra.1.{second}.\1"),
        )
    own = [
        (r"backbone\.(.+)", r"backbone.\1"),
        (r"neck\.lateral_convs\.(\d+)\.conv\.(.+)", r"neck.fpn.inner_blocks.\1.0.\2"),
        (r"neck\.lateral_convs\.(\d+)\.(?:bn|gn)\.(.+)", r"neck.fpn.inner_blocks.\1.1.\2"),
        (r"neck\.fpn_convs\.(\d+)\.conv\.(.+)", r"neck.fpn.layer_blocks.\1.0.\2"),
        (r"neck\.fpn_convs\.(\d+)\.(?:bn|gn)\.(.+)", r"neck.fpn.layer_blocks.\1.1.\2"),
        (r"neck\.downsample_convs\.(\d+)\.conv\.(.+)", r"neck.down.\1.0.\2"),
        (r"neck\.pafpn_convs\.(\d+)\.conv\.(.+)", r"neck.fuse.\1.0.\2"),
        (r"neck\.reduction_conv\.conv\.(.+)", r"neck.reduce.0.\1"),
        (r"neck\.fpn_convs\.(\d+)\.conv\.(.+)", r"neck.convs.\1.0.\2"),
    ]
    count = len(levels)
    own += [(rf"neck\.fpn_convs\.{count}\.conv\.(.+)", r"neck.extra.0.0.\1")]
    own += [(rf"neck\.fpn_convs\.{count + i}\.conv\.(.+)", rf"neck.extra.{i}.{second}.\1") for i in (1, 2, 3)]
    return tuple(own)


def _levels(model: Any) -> tuple[int, ...]:
    return tuple(getattr(model.backbone, "out", (1, 2, 3, 4)))


def _rows(*, agnostic: bool = False) -> tuple[ClassRows, ...]:
    classes = ClassRows(names=r"stages\.\d+\.classes\..+", background=True)
    boxes = ClassRows(names=r"stages\.\d+\.boxes\..+", rows=4)
    masks = ClassRows(names=r"masks\.\d+\.classes\..+")
    return (classes, masks) if agnostic else (classes, boxes, masks)


def rcnn(model: FasterRCNN, source: str) -> ForeignWeights | None:
    """Rules of Faster, Mask and Cascade R-CNN and Panoptic FPN; torchvision has the first two."""
    rules = pyramid(source, _levels(model), relu=bool(getattr(model.neck, "extra_relu", False)))
    if source == "mmdet":
        return ForeignWeights(
            rules=(*rules, *MMDET_RCNN),
            rows=_rows(agnostic=model.head.agnostic),
            stuff="semantic.classes.weight",
            known=KNOWN,
        )
    if source != "torchvision" or hasattr(model, "stages") or hasattr(model, "semantic"):
        return None
    masks = {"mask_head.binary": False} if hasattr(model, "mask_head") else {}
    return ForeignWeights(
        rules=(*rules, *TORCHVISION_RCNN),
        rows=_rows(),
        background_first=True,
        settings={**RCNN_AS_TORCHVISION, **masks},
        known=KNOWN,
        norm_eps=TORCHVISION_EPS,
    )


TORCHVISION_RCNN: Rules = (
    (r"rpn\.head\.conv\.(?:0\.0\.)?(weight|bias)", r"rpn.head.conv.\1"),
    (r"rpn\.head\.cls_logits\.(.+)", r"rpn.head.objects.\1"),
    (r"rpn\.head\.bbox_pred\.(.+)", r"rpn.head.boxes.\1"),
    (r"roi_heads\.box_head\.fc6\.(.+)", r"stages.0.fcs.0.\1"),
    (r"roi_heads\.box_head\.fc7\.(.+)", r"stages.0.fcs.1.\1"),
    (r"roi_heads\.box_predictor\.cls_score\.(.+)", r"stages.0.classes.\1"),
    (r"roi_heads\.box_predictor\.bbox_pred\.(.+)", r"stages.0.boxes.\1"),
    (r"roi_heads\.mask_head\.(\d+)\.0\.(.+)", r"masks.0.convs.\1.\2"),
    *((rf"roi_heads\.mask_head\.mask_fcn{i + 1}\.(.+)", rf"masks.0.convs.{i}.\1") for i in range(8)),
    (r"roi_heads\.mask_predictor\.conv5_mask\.(.+)", r"masks.0.up.\1"),
    (r"roi_heads\.mask_predictor\.mask_fcn_logits\.(.+)", r"masks.0.classes.\1"),
)


def _staged(pattern: str, ours: str) -> Rules:
    """Rules of a head that is alone (stage 0), or one of a cascade's; both patterns begin after the number."""
    name, _, rest = pattern.partition("@")
    kind, _, tail = ours.partition("@")
    groups = re.compile(rest).groups
    later = re.sub(r"\\(\d)", lambda m: f"\\{int(m[1]) + 1}", tail)
    assert groups == len(re.findall(r"\\\d", tail)), f"{pattern}: {ours}"
    return (
        (rf"roi_head\.{name}\.(\d+)\.{rest}", rf"{kind}.\1.{later}"),
        (rf"roi_head\.{name}\.{rest}", rf"{kind}.0.{tail}"),
    )


MMDET_RCNN: Rules = (
    (r"rpn_head\.rpn_conv\.(.+)", r"rpn.head.conv.\1"),
    (r"rpn_head\.rpn_cls\.(.+)", r"rpn.head.objects.\1"),
    (r"rpn_head\.rpn_reg\.(.+)", r"rpn.head.boxes.\1"),
    *_staged(r"bbox_head@shared_fcs\.(\d+)\.(.+)", r"stages@fcs.\1.\2"),
    *_staged(r"bbox_head@fc_cls\.(.+)", r"stages@classes.\1"),
    *_staged(r"bbox_head@fc_reg\.(.+)", r"stages@boxes.\1"),
    *_staged(r"mask_head@convs\.(\d+)\.conv\.(.+)", r"masks@convs.\1.\2"),
    *_staged(r"mask_head@upsample\.(.+)", r"masks@up.\1"),
    *_staged(r"mask_head@conv_logits\.(.+)", r"masks@classes.\1"),
    (r"semantic_head\.conv_upsample_layers\.(\d+)\.conv\.(\d+)\.conv\.(.+)", r"semantic.branches.\1.\2.0.\3"),
    (r"semantic_head\.conv_upsample_layers\.(\d+)\.conv\.(\d+)\.(?:gn|bn)\.(.+)", r"semantic.branches.\1.\2.1.\3"),
    (r"semantic_head\.conv_logits\.(.+)", r"semantic.classes.\1"),
)
TOWERS = (("class", "cls", "classification"), ("box", "reg", "regression"))


def _mmdet_towers(predictions: Mapping[str, str]) -> Rules:
    rules: list[tuple[str, str]] = []
    for ours, theirs, _ in TOWERS:
        rules += [
            (rf"bbox_head\.{theirs}_convs\.(\d+)\.conv\.(.+)", rf"head.{ours}_tower.\1.0.\2"),
            (rf"bbox_head\.{theirs}_convs\.(\d+)\.(?:bn|gn)\.(.+)", rf"head.{ours}_tower.\1.1.\2"),
        ]
    return (*rules, *((rf"bbox_head\.{theirs}\.(.+)", rf"head.{ours}.\1") for theirs, ours in predictions.items()))


def retinanet(model: RetinaNet, source: str) -> ForeignWeights | None:
    """Rules of RetinaNet."""
    rules = pyramid(source, _levels(model), relu=bool(getattr(model.neck, "extra_relu", False)))
    rows = (ClassRows(names=r"head\.classes\..+"),)
    if source == "mmdet":
        own = _mmdet_towers({"retina_cls": "classes", "retina_reg": "boxes"})
        return ForeignWeights(rules=(*rules, *own), rows=rows, known=KNOWN)
    if source != "torchvision":
        return None
    towers: list[tuple[str, str]] = []
    for ours, _, theirs in TOWERS:
        towers.append((rf"head\.{theirs}_head\.conv\.(\d+)\.([01])\.(.+)", rf"head.{ours}_tower.\1.\2.\3"))
        # Files of before torchvision 0.13 count the ReLUs between the convolutions.
        towers += [
            (rf"head\.{theirs}_head\.conv\.{2 * n}\.(weight|bias)", rf"head.{ours}_tower.{n}.0.\1") for n in range(8)
        ]
    return ForeignWeights(
        rules=(
            *rules,
            *towers,
            (r"head\.classification_head\.cls_logits\.(.+)", r"head.classes.\1"),
            (r"head\.regression_head\.bbox_reg\.(.+)", r"head.boxes.\1"),
        ),
        rows=rows,
        background_first=True,
        settings=RETINANET_AS_TORCHVISION,
        known=KNOWN,
        norm_eps=TORCHVISION_EPS,
    )


def fcos(model: FCOS, source: str) -> ForeignWeights | None:
    """Rules of FCOS."""
    rules = pyramid(source, _levels(model), relu=bool(getattr(model.neck, "extra_relu", False)))
    rows = (ClassRows(names=r"head\.classes\..+"),)
    if source == "mmdet":
        own = _mmdet_towers({"conv_cls": "classes", "conv_reg": "boxes", "conv_centerness": "centerness"})
        scales = (r"bbox_head\.scales\.(\d+)\.scale", r"head.scales.\1")
        # Unless asked for, its towers have no biases before their norms; ours begin at 0.
        absent = (r"head\.(class|box)_tower\.\d+\.0\.bias",)
        settings = FCOS_AS_CAFFE if getattr(model.backbone, "style", "") == "caffe" else {}
        return ForeignWeights(rules=(*rules, *own, scales), rows=rows, absent=absent, settings=settings, known=KNOWN)
    if source != "torchvision":
        return None
    towers: list[tuple[str, str]] = []
    for ours, _, theirs in TOWERS:
        for n in range(8):
            for part in (0, 1):  # a convolution, a norm, a ReLU
                pattern = rf"head\.{theirs}_head\.conv\.{3 * n + part}\.(weight|bias)"
                towers.append((pattern, rf"head.{ours}_tower.{n}.{part}.\1"))
    return ForeignWeights(
        rules=(
            *rules,
            *towers,
            (r"head\.classification_head\.cls_logits\.(.+)", r"head.classes.\1"),
            (r"head\.regression_head\.bbox_reg\.(.+)", r"head.boxes.\1"),
            (r"head\.regression_head\.bbox_ctrness\.(.+)", r"head.centerness.\1"),
        ),
        rows=rows,
        background_first=True,
        absent=(r"head\.scales\.\d+",),
        settings=FCOS_AS_TORCHVISION,
        known=KNOWN,
    )


def ssd(source: str) -> ForeignWeights | None:
    """Rules of SSD on VGG-16."""
    rows = (ClassRows(names=r"head\.classes\..+", background=True),)
    if source == "mmdet":
        rules: Rules = (
            (r"backbone\.(features\..+|l2_norm\.weight)", r"backbone.\1"),
            (r"neck\.l2_norm\.weight", "backbone.l2_norm.weight"),
            (r"neck\.extra_layers\.(\d+)\.0\.conv\.(.+)", r"backbone.extra.\1.0.\2"),
            (r"neck\.extra_layers\.(\d+)\.1\.conv\.(.+)", r"backbone.extra.\1.2.\2"),
            (r"bbox_head\.cls_convs\.(\d+)\.0\.(.+)", r"head.classes.\1.\2"),
            (r"bbox_head\.reg_convs\.(\d+)\.0\.(.+)", r"head.boxes.\1.\2"),
        )
        return ForeignWeights(rules=rules, rows=rows, known=KNOWN)
    if source != "torchvision":
        return None
    last = {"1": "24", "3": "26", "5": "28", r"7\.1": "31", r"7\.3": "33"}
    return ForeignWeights(
        rules=(
            (r"backbone\.features\.(.+)", r"backbone.features.\1"),
            *(
                (rf"backbone\.extra\.0\.{theirs}\.(weight|bias)", rf"backbone.features.{n}.\1")
                for theirs, n in last.items()
            ),
            *((rf"backbone\.extra\.{n + 1}\.([02])\.(.+)", rf"backbone.extra.{n}.\1.\2") for n in range(8)),
            (r"backbone\.scale_weight", "backbone.l2_norm.weight"),
            (r"head\.classification_head\.module_list\.(\d+)\.(.+)", r"head.classes.\1.\2"),
            (r"head\.regression_head\.module_list\.(\d+)\.(.+)", r"head.boxes.\1.\2"),
        ),
        rows=rows,
        background_first=True,
        settings=SSD_AS_TORCHVISION,
        known=KNOWN,
    )


def yolox(source: str) -> ForeignWeights | None:
    """Rules of YOLOX."""
    rows = (ClassRows(names=r"head\.classes\.\d+\..+"),)
    if source == "yolox":
        rules = (*_conv_blocks(YOLOX, ("dconv", "pconv")), *YOLOX_PREDICTIONS)
    elif source == "mmdet":
        rules = (*_conv_blocks(MMDET_YOLOX, ("depthwise_conv", "pointwise_conv")), *MMDET_YOLOX_PREDICTIONS)
    else:
        return None
    return ForeignWeights(rules=rules, rows=rows, known=KNOWN)


def _conv_blocks(bases: Rules, depthwise: tuple[str, str]) -> Rules:
    """Return rules of the tensors of blocks: a convolution and its norm, alone or depthwise and pointwise."""
    rules: list[tuple[str, str]] = []
    for pattern, ours in bases:
        last = re.compile(pattern).groups + 1
        for infix, place in (("", ""), (rf"\.{depthwise[0]}", ".0"), (rf"\.{depthwise[1]}", ".1")):
            for theirs, own in (("conv", "conv"), ("bn", "norm")):
                rules.append((rf"{pattern}{infix}\.{theirs}\.([^.]+)", rf"{ours}{place}.{own}.\{last}"))
    return tuple(rules)


def _csp(pattern: str, ours: str, names: tuple[str, str, str, str]) -> Rules:
    """Return rules of the blocks of a CSP layer, whose main, side, join and list of bottlenecks have these names."""
    main, side, join, blocks = names
    number = re.compile(pattern).groups + 1
    return (
        *(
            (rf"{pattern}\.{theirs}", f"{ours}.{own}")
            for theirs, own in ((main, "main"), (side, "side"), (join, "join"))
        ),
        (rf"{pattern}\.{blocks}\.(\d+)\.conv1", rf"{ours}.blocks.\{number}.reduce"),
        (rf"{pattern}\.{blocks}\.(\d+)\.conv2", rf"{ours}.blocks.\{number}.spatial"),
    )


_OWN_CSP = ("conv1", "conv2", "conv3", "m")
YOLOX: Rules = (
    (r"backbone\.backbone\.stem\.conv", "backbone.stem.block"),
    (r"backbone\.backbone\.dark([2-5])\.0", r"backbone.stage\1.0"),
    (r"backbone\.backbone\.dark5\.1\.conv1", "backbone.stage5.1.reduce"),
    (r"backbone\.backbone\.dark5\.1\.conv2", "backbone.stage5.1.join"),
    *_csp(r"backbone\.backbone\.dark([2-4])\.1", r"backbone.stage\1.1", _OWN_CSP),
    *_csp(r"backbone\.backbone\.dark5\.2", "backbone.stage5.2", _OWN_CSP),
    (r"backbone\.lateral_conv0", "neck.reduce5"),
    (r"backbone\.reduce_conv1", "neck.reduce4"),
    (r"backbone\.bu_conv2", "neck.down3"),
    (r"backbone\.bu_conv1", "neck.down4"),
    *_csp(r"backbone\.C3_p([34])", r"neck.top\1", _OWN_CSP),
    *_csp(r"backbone\.C3_n3", "neck.bottom4", _OWN_CSP),
    *_csp(r"backbone\.C3_n4", "neck.bottom5", _OWN_CSP),
    (r"head\.stems\.(\d)", r"head.stems.\1"),
    (r"head\.cls_convs\.(\d)\.(\d)", r"head.class_branches.\1.\2"),
    (r"head\.reg_convs\.(\d)\.(\d)", r"head.box_branches.\1.\2"),
)
YOLOX_PREDICTIONS: Rules = (
    (r"head\.cls_preds\.(.+)", r"head.classes.\1"),
    (r"head\.reg_preds\.(.+)", r"head.boxes.\1"),
    (r"head\.obj_preds\.(.+)", r"head.objects.\1"),
)
_MMDET_CSP = ("main_conv", "short_conv", "final_conv", "blocks")
MMDET_YOLOX: Rules = (
    (r"backbone\.stem\.conv", "backbone.stem.block"),
    *((rf"backbone\.stage{n}\.0", f"backbone.stage{n + 1}.0") for n in (1, 2, 3, 4)),
    (r"backbone\.stage4\.1\.conv1", "backbone.stage5.1.reduce"),
    (r"backbone\.stage4\.1\.conv2", "backbone.stage5.1.join"),
    *(rule for n in (1, 2, 3) for rule in _csp(rf"backbone\.stage{n}\.1", f"backbone.stage{n + 1}.1", _MMDET_CSP)),
    *_csp(r"backbone\.stage4\.2", "backbone.stage5.2", _MMDET_CSP),
    (r"neck\.reduce_layers\.0", "neck.reduce5"),
    (r"neck\.reduce_layers\.1", "neck.reduce4"),
    *_csp(r"neck\.top_down_blocks\.0", "neck.top4", _MMDET_CSP),
    *_csp(r"neck\.top_down_blocks\.1", "neck.top3", _MMDET_CSP),
    (r"neck\.downsamples\.0", "neck.down3"),
    (r"neck\.downsamples\.1", "neck.down4"),
    *_csp(r"neck\.bottom_up_blocks\.0", "neck.bottom4", _MMDET_CSP),
    *_csp(r"neck\.bottom_up_blocks\.1", "neck.bottom5", _MMDET_CSP),
    (r"neck\.out_convs\.(\d)", r"head.stems.\1"),
    (r"bbox_head\.multi_level_cls_convs\.(\d)\.(\d)", r"head.class_branches.\1.\2"),
    (r"bbox_head\.multi_level_reg_convs\.(\d)\.(\d)", r"head.box_branches.\1.\2"),
)
MMDET_YOLOX_PREDICTIONS: Rules = (
    (r"bbox_head\.multi_level_conv_cls\.(.+)", r"head.classes.\1"),
    (r"bbox_head\.multi_level_conv_reg\.(.+)", r"head.boxes.\1"),
    (r"bbox_head\.multi_level_conv_obj\.(.+)", r"head.objects.\1"),
)
