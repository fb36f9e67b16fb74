"""``vf convert``: torchvision's detectors give the same boxes as ours with their weights; names of the others fit."""

from __future__ import annotations

import os
import re
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torchvision.models.detection import FCOS, FasterRCNN, MaskRCNN, RetinaNet, ssd300_vgg16
from torchvision.models.detection.backbone_utils import resnet_fpn_backbone
from torchvision.models.detection.faster_rcnn import FastRCNNPredictor, TwoMLPHead
from torchvision.models.detection.mask_rcnn import MaskRCNNPredictor
from torchvision.ops.feature_pyramid_network import LastLevelP6P7

from vf.carry import carry, facts_of
from vf.data.sample import Batch
from vf.engine.checkpoint import load_into, read_weights
from vf.foreign import Foreign, read_foreign
from vf.recipes import from_text, resolve
from vf_det.known_classes import COCO, COCO_PANOPTIC

SIZE = (96, 128)
SMALL = ("model.resize.short=96", "model.resize.long=128", "model.backbone.depth=18")
NARROW = (*SMALL, "model.head.hidden=32")


@pytest.fixture
def vf(typed: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """Return a function that runs ``vf convert ARGUMENTS`` in an empty folder."""
    monkeypatch.chdir(tmp_path)
    return lambda *arguments: typed("convert", *arguments)


def lively(model: nn.Module, *, gaps: tuple[str, ...] = (), loud: tuple[str, ...] = ()) -> Any:
    """Give a model of torchvision weights that find something.

    Args:
        model: in evaluation mode afterwards.
        gaps: layers whose softmax is over COCO's ids; those that no class has must not count.
        loud: layers that give the classes.
    """
    generator = torch.Generator().manual_seed(0)
    for name, tensor in model.state_dict().items():
        if name.endswith("running_var"):
            tensor.copy_(0.5 + torch.rand(tensor.shape, generator=generator))
        elif name.startswith(loud):
            scale = 3.0 if tensor.ndim == 1 else 0.3
            tensor.copy_(torch.randn(tensor.shape, generator=generator) * scale)
    unknown = [i for i in range(1, 91) if i not in COCO[1]]
    for name in gaps:
        bias: Any = model.get_parameter(f"{name}.bias")
        bias.data.reshape(-1, 91)[:, unknown] = -1e4
    return model.eval()


def image() -> Tensor:
    return torch.randint(0, 256, (3, *SIZE), dtype=torch.uint8, generator=torch.Generator().manual_seed(1))


def ours(path: str, pixels: Tensor) -> tuple[Any, Any]:
    """Load a converted file as ``vf run infer`` does; return facts and the prediction of one image."""
    weights = read_weights(Path(path))
    model = from_text(weights.recipe, "recipe").recipe.model.build(weights.info)
    load_into(model, weights.tensors, Path(path))
    size = torch.tensor([pixels.shape[-2:]])
    batch = Batch(images=pixels[None], sizes=size, original=size, ids=("a",), targets={}, counts={})
    with torch.no_grad():
        [prediction] = model.eval()(batch)
    return weights.info, prediction


def same(found: Any, theirs: dict[str, Tensor], label_of: Callable[[Tensor], Tensor]) -> None:
    """Each detection of one has its like in the other, to 1e-3 px and 1e-4 of the score; equal scores have no order."""
    assert 5 < len(theirs["scores"]) == len(found["scores"])
    one = torch.cat([found["boxes"], 10 * found["scores"][:, None], label_of(found["labels"])[:, None]], 1)
    two = torch.cat([theirs["boxes"], 10 * theirs["scores"][:, None], theirs["labels"][:, None]], 1)
    apart = (one[:, None] - two[None]).abs().amax(-1)
    assert max(apart.amin(0).max(), apart.amin(1).max()) < 1e-3


def small_body(**options: Any) -> nn.Module:
    torch.manual_seed(0)
    body: nn.Module = resnet_fpn_backbone(backbone_name="resnet18", weights=None, **options)
    return body


def narrow(classes: int) -> dict[str, Any]:
    """Heads of 32 instead of 1024 values, for a file that is written in no time."""
    return {"box_head": TwoMLPHead(256 * 49, 32), "box_predictor": FastRCNNPredictor(32, classes)}


def of_coco(labels: Tensor) -> Tensor:
    return torch.tensor(COCO[1])[labels]


@pytest.mark.parametrize("classes", [91, 4])
def test_faster_rcnn_of_torchvision(vf: Any, classes: int) -> None:
    model = FasterRCNN(small_body(), min_size=96, max_size=128, **narrow(classes))
    loud, gaps = ("rpn.head.cls_logits", "roi_heads.box_predictor"), ("roi_heads.box_predictor.cls_score",)
    lively(model, loud=loud, gaps=gaps if classes == 91 else ())
    torch.save(model.state_dict(), "theirs.pth")
    Path("names.txt").write_text("a\nb\n c \n\n")
    named = () if classes == 91 else ("--classes", "names.txt")
    sets = [word for item in NARROW for word in ("--set", item)]
    said = vf("theirs.pth", "ours.safetensors", "--from", "torchvision", "--to", RCNN, *named, *sets)
    assert (said.code, said.err) == (0, "")
    lines = said.out.splitlines()
    assert lines[1] == "to    det/faster_rcnn_r50_fpn_1x_coco, FasterRCNN"
    assert lines[2].startswith("model set as torchvision's weights need it: model.rpn.rounded=true, ")
    assert "came, " in lines[3]
    assert lines[-2:] == ["next  vf run test ours.safetensors", "      vf run infer ours.safetensors IMAGE_OR_FOLDER"]
    info, found = ours("ours.safetensors", image())
    with torch.no_grad():
        [theirs] = model([image().float() / 255])
    if classes == 91:
        assert (info.classes, info.category_ids) == COCO
        same(found, theirs, of_coco)
    else:
        assert info.classes == ("a", "b", "c")
        same(found, theirs, lambda labels: labels + 1)


RCNN = "det/faster_rcnn_r50_fpn_1x_coco"


def test_mask_rcnn_of_torchvision(vf: Any) -> None:
    mask = MaskRCNNPredictor(256, 256, 91)
    model = MaskRCNN(small_body(), min_size=96, max_size=128, mask_predictor=mask, **narrow(91))
    loud = ("rpn.head.cls_logits", "roi_heads.box_predictor", "roi_heads.mask_predictor.mask_fcn_logits")
    lively(model, loud=loud, gaps=("roi_heads.box_predictor.cls_score",))
    torch.save({"model": model.state_dict(), "epoch": 3}, "theirs.pth")
    sets = [word for item in NARROW for word in ("--set", item)]
    recipe = "det/mask_rcnn_r50_fpn_1x_coco"
    assert vf("theirs.pth", "ours.safetensors", "--from", "torchvision", "--to", recipe, *sets).code == 0
    _, found = ours("ours.safetensors", image())
    with torch.no_grad():
        [theirs] = model([image().float() / 255])
    same(found, theirs, of_coco)
    assert len(found["masks"]) == len(found["boxes"])
    state, made = model.state_dict(), read_weights(Path("ours.safetensors")).tensors
    head = "roi_heads.mask_predictor.mask_fcn_logits"
    assert torch.equal(made["masks.0.classes.weight"], state[f"{head}.weight"][list(COCO[1])])
    assert torch.equal(made["masks.0.up.weight"], state["roi_heads.mask_predictor.conv5_mask.weight"])
    assert torch.equal(made["masks.0.convs.3.bias"], state["roi_heads.mask_head.3.0.bias"])


def test_retinanet_of_torchvision(vf: Any) -> None:
    body = small_body(returned_layers=[2, 3, 4], extra_blocks=LastLevelP6P7(256, 256))
    model = RetinaNet(body, 91, min_size=96, max_size=128)
    lively(model, loud=("head.classification_head.cls_logits",))
    unknown = [i for i in range(91) if i not in COCO[1]]
    model.head.classification_head.cls_logits.bias.data.reshape(-1, 91)[:, unknown] = -1e4
    torch.save(model.state_dict(), "theirs.pth")
    sets = [word for item in SMALL for word in ("--set", item)]
    recipe = "det/retinanet_r50_fpn_1x_coco"
    assert vf("theirs.pth", "ours.safetensors", "--from", "torchvision", "--to", recipe, *sets).code == 0
    _, found = ours("ours.safetensors", image())
    with torch.no_grad():
        [theirs] = model([image().float() / 255])
    top = {key: value[:100] for key, value in theirs.items()}
    same(found, top, of_coco)


def test_fcos_of_torchvision(vf: Any) -> None:
    body = small_body(returned_layers=[2, 3, 4], extra_blocks=LastLevelP6P7(256, 256))
    model = FCOS(body, 91, min_size=96, max_size=128)
    lively(model, loud=("head.classification_head.cls_logits",))
    unknown = [i for i in range(91) if i not in COCO[1]]
    model.head.classification_head.cls_logits.bias.data[unknown] = -1e4
    torch.save(model.state_dict(), "theirs.pth")
    sets = [word for item in (*SMALL, "model.backbone.style=pytorch") for word in ("--set", item)]
    recipe = "det/fcos_r50_caffe_fpn_gn_1x_coco"
    keys = ("mean=[123.675, 116.28, 103.53]", "std=[58.395, 57.12, 57.375]", "bgr=false")
    sets += [word for key in keys for word in ("--set", f"model.resize.{key}")]
    said = vf("theirs.pth", "ours.safetensors", "--from", "torchvision", "--to", recipe, *sets)
    assert (said.code, said.err) == (0, "")
    _, found = ours("ours.safetensors", image())
    with torch.no_grad():
        [theirs] = model([image().float() / 255])
    same(found, theirs, of_coco)


def test_ssd_of_torchvision(vf: Any) -> None:
    torch.manual_seed(0)
    model = lively(
        ssd300_vgg16(weights=None, weights_backbone=None, num_classes=91, score_thresh=0.3, topk_candidates=9000),
        gaps=tuple(f"head.classification_head.module_list.{i}" for i in range(6)),
    )
    for conv in model.head.classification_head.module_list:
        conv.weight.data.normal_(std=0.003, generator=torch.Generator().manual_seed(2))
    torch.save(model.state_dict(), "theirs.pth")
    recipe = "det/ssd300_coco"
    sets = ("--set", "model.score_threshold=0.3", "--set", "model.candidates=9000")
    said = vf("theirs.pth", "ours.safetensors", "--from", "torchvision", "--to", recipe, *sets)
    assert (said.code, said.err) == (0, "")
    pixels = torch.randint(0, 256, (3, 300, 300), dtype=torch.uint8, generator=torch.Generator().manual_seed(1))
    _, found = ours("ours.safetensors", pixels)
    with torch.no_grad():
        [theirs] = model([pixels.float() / 255])
    same(found, theirs, of_coco)


# MMDetection and YOLOX: neither is installed; their names are written down here for the tensors of a model of ours.


def made_up(name: str, names: Callable[[str], str], *overrides: str, classes: int = 3, stuff: int = 0) -> Any:
    """Return a model of a recipe, and its tensors under the names of others."""
    torch.manual_seed(0)
    model = resolve(name, overrides=overrides).recipe.model.build(facts_of(classes, stuff))
    for tensor in model.state_dict().values():
        if tensor.is_floating_point():
            tensor.copy_(torch.randn(tensor.shape))
    own = {n: t for n, t in model.state_dict().items() if not n.startswith("preprocess.")}
    return own, OrderedDict((names(n), t.clone()) for n, t in own.items())


def renamed(*pairs: tuple[str, str]) -> Callable[[str], str]:
    """Return a function that applies the first pattern that fits."""

    def name(ours: str) -> str:
        for pattern, theirs in pairs:
            if re.fullmatch(pattern, ours):
                return re.sub(pattern, theirs, ours)
        return ours

    return name


MMDET_NECK = (
    (r"neck\.fpn\.inner_blocks\.(\d)\.0\.(.+)", r"neck.lateral_convs.\1.conv.\2"),
    (r"neck\.fpn\.layer_blocks\.(\d)\.0\.(.+)", r"neck.fpn_convs.\1.conv.\2"),
)
MMDET_RCNN = (
    *MMDET_NECK,
    (r"neck\.reduce\.0\.(.+)", r"neck.reduction_conv.conv.\1"),
    (r"neck\.convs\.(\d)\.0\.(.+)", r"neck.fpn_convs.\1.conv.\2"),
    (r"rpn\.head\.conv\.(.+)", r"rpn_head.rpn_conv.\1"),
    (r"rpn\.head\.objects\.(.+)", r"rpn_head.rpn_cls.\1"),
    (r"rpn\.head\.boxes\.(.+)", r"rpn_head.rpn_reg.\1"),
    (r"semantic\.branches\.(\d)\.(\d)\.0\.(.+)", r"semantic_head.conv_upsample_layers.\1.conv.\2.conv.\3"),
    (r"semantic\.branches\.(\d)\.(\d)\.1\.(.+)", r"semantic_head.conv_upsample_layers.\1.conv.\2.gn.\3"),
    (r"semantic\.classes\.(.+)", r"semantic_head.conv_logits.\1"),
)


def mmdet_heads(stage: str) -> tuple[tuple[str, str], ...]:
    """Names of the RoI heads, with the number of the stage in a cascade."""
    at = r"\1." if stage == "cascade" else ""
    return (
        (r"stages\.(\d)\.fcs\.(\d)\.(.+)", rf"roi_head.bbox_head.{at}shared_fcs.\2.\3"),
        (r"stages\.(\d)\.classes\.(.+)", rf"roi_head.bbox_head.{at}fc_cls.\2"),
        (r"stages\.(\d)\.boxes\.(.+)", rf"roi_head.bbox_head.{at}fc_reg.\2"),
        (r"masks\.(\d)\.convs\.(\d)\.(.+)", rf"roi_head.mask_head.{at}convs.\2.conv.\3"),
        (r"masks\.(\d)\.up\.(.+)", rf"roi_head.mask_head.{at}upsample.\2"),
        (r"masks\.(\d)\.classes\.(.+)", rf"roi_head.mask_head.{at}conv_logits.\2"),
    )


def towers(**predictions: str) -> tuple[tuple[str, str], ...]:
    return (
        (r"head\.class_tower\.(\d)\.0\.(.+)", r"bbox_head.cls_convs.\1.conv.\2"),
        (r"head\.class_tower\.(\d)\.1\.(.+)", r"bbox_head.cls_convs.\1.gn.\2"),
        (r"head\.box_tower\.(\d)\.0\.(.+)", r"bbox_head.reg_convs.\1.conv.\2"),
        (r"head\.box_tower\.(\d)\.1\.(.+)", r"bbox_head.reg_convs.\1.gn.\2"),
        (r"head\.scales\.(\d)", r"bbox_head.scales.\1.scale"),
        *((rf"head\.{ours}\.(.+)", rf"bbox_head.{theirs}.\1") for ours, theirs in predictions.items()),
    )


def _csp(ours: str, theirs: str, names: tuple[str, str, str, str]) -> list[tuple[str, str]]:
    main, side, join, blocks = names
    pairs = (("main", main), ("side", side), ("join", join))
    return [
        *((rf"{ours}\.{own}\.(conv|norm)\.(.+)", rf"{theirs}.{other}.@\1.\2") for own, other in pairs),
        (rf"{ours}\.blocks\.(\d)\.reduce\.(.+)", rf"{theirs}.{blocks}.\1.conv1.@\2"),
        (rf"{ours}\.blocks\.(\d)\.spatial\.(.+)", rf"{theirs}.{blocks}.\1.conv2.@\2"),
    ]


def blocks(*pairs: tuple[str, str], depthwise: tuple[str, str]) -> Callable[[str], str]:
    """Rename blocks: ``@`` stands before what follows a block's name: conv or norm, maybe of a depthwise pair."""
    base = renamed(*pairs)

    def name(ours: str) -> str:
        head, at, tail = base(ours).partition("@")
        if not at:
            return head
        for number, kind in enumerate(depthwise):
            tail = re.sub(rf"^{number}\.(conv|norm)\.", rf"{kind}.\1.", tail)
        return head + re.sub(r"\bnorm\.", "bn.", tail)

    return name


OWN = ("conv1", "conv2", "conv3", "m")
YOLOX = blocks(
    (r"backbone\.stem\.block\.(.+)", r"backbone.backbone.stem.conv.@\1"),
    (r"backbone\.stage(\d)\.0\.(.+)", r"backbone.backbone.dark\1.0.@\2"),
    (r"backbone\.stage5\.1\.reduce\.(.+)", r"backbone.backbone.dark5.1.conv1.@\1"),
    (r"backbone\.stage5\.1\.join\.(.+)", r"backbone.backbone.dark5.1.conv2.@\1"),
    *(pair for n in (2, 3, 4) for pair in _csp(rf"backbone\.stage{n}\.1", f"backbone.backbone.dark{n}.1", OWN)),
    *_csp(r"backbone\.stage5\.2", "backbone.backbone.dark5.2", OWN),
    (r"neck\.reduce5\.(.+)", r"backbone.lateral_conv0.@\1"),
    (r"neck\.reduce4\.(.+)", r"backbone.reduce_conv1.@\1"),
    (r"neck\.down3\.(.+)", r"backbone.bu_conv2.@\1"),
    (r"neck\.down4\.(.+)", r"backbone.bu_conv1.@\1"),
    *_csp(r"neck\.top4", "backbone.C3_p4", OWN),
    *_csp(r"neck\.top3", "backbone.C3_p3", OWN),
    *_csp(r"neck\.bottom4", "backbone.C3_n3", OWN),
    *_csp(r"neck\.bottom5", "backbone.C3_n4", OWN),
    (r"head\.stems\.(\d)\.(.+)", r"head.stems.\1.@\2"),
    (r"head\.class_branches\.(\d)\.(\d)\.(.+)", r"head.cls_convs.\1.\2.@\3"),
    (r"head\.box_branches\.(\d)\.(\d)\.(.+)", r"head.reg_convs.\1.\2.@\3"),
    (r"head\.classes\.(.+)", r"head.cls_preds.\1"),
    (r"head\.boxes\.(.+)", r"head.reg_preds.\1"),
    (r"head\.objects\.(.+)", r"head.obj_preds.\1"),
    depthwise=("dconv", "pconv"),
)
MM = ("main_conv", "short_conv", "final_conv", "blocks")
MMDET_YOLOX = blocks(
    (r"backbone\.stem\.block\.(.+)", r"backbone.stem.conv.@\1"),
    *((rf"backbone\.stage{n + 1}\.0\.(.+)", rf"backbone.stage{n}.0.@\1") for n in (1, 2, 3, 4)),
    (r"backbone\.stage5\.1\.reduce\.(.+)", r"backbone.stage4.1.conv1.@\1"),
    (r"backbone\.stage5\.1\.join\.(.+)", r"backbone.stage4.1.conv2.@\1"),
    *(pair for n in (1, 2, 3) for pair in _csp(rf"backbone\.stage{n + 1}\.1", f"backbone.stage{n}.1", MM)),
    *_csp(r"backbone\.stage5\.2", "backbone.stage4.2", MM),
    (r"neck\.reduce5\.(.+)", r"neck.reduce_layers.0.@\1"),
    (r"neck\.reduce4\.(.+)", r"neck.reduce_layers.1.@\1"),
    *_csp(r"neck\.top4", "neck.top_down_blocks.0", MM),
    *_csp(r"neck\.top3", "neck.top_down_blocks.1", MM),
    (r"neck\.down3\.(.+)", r"neck.downsamples.0.@\1"),
    (r"neck\.down4\.(.+)", r"neck.downsamples.1.@\1"),
    *_csp(r"neck\.bottom4", "neck.bottom_up_blocks.0", MM),
    *_csp(r"neck\.bottom5", "neck.bottom_up_blocks.1", MM),
    (r"head\.stems\.(\d)\.(.+)", r"neck.out_convs.\1.@\2"),
    (r"head\.class_branches\.(\d)\.(\d)\.(.+)", r"bbox_head.multi_level_cls_convs.\1.\2.@\3"),
    (r"head\.box_branches\.(\d)\.(\d)\.(.+)", r"bbox_head.multi_level_reg_convs.\1.\2.@\3"),
    (r"head\.classes\.(.+)", r"bbox_head.multi_level_conv_cls.\1"),
    (r"head\.boxes\.(.+)", r"bbox_head.multi_level_conv_reg.\1"),
    (r"head\.objects\.(.+)", r"bbox_head.multi_level_conv_obj.\1"),
    depthwise=("depthwise_conv", "pointwise_conv"),
)
SSD = renamed(
    (r"backbone\.l2_norm\.weight", "neck.l2_norm.weight"),
    (r"backbone\.extra\.(\d)\.0\.(.+)", r"neck.extra_layers.\1.0.conv.\2"),
    (r"backbone\.extra\.(\d)\.2\.(.+)", r"neck.extra_layers.\1.1.conv.\2"),
    (r"head\.classes\.(\d)\.(.+)", r"bbox_head.cls_convs.\1.0.\2"),
    (r"head\.boxes\.(\d)\.(.+)", r"bbox_head.reg_convs.\1.0.\2"),
)
EXTRA = (
    (r"neck\.extra\.0\.0\.(.+)", r"neck.fpn_convs.3.conv.\1"),
    (r"neck\.extra\.1\.\d\.(.+)", r"neck.fpn_convs.4.conv.\1"),
)
RETINA = renamed(*MMDET_NECK, *EXTRA, *towers(classes="retina_cls", boxes="retina_reg"))
POINTS = renamed(*MMDET_NECK, *EXTRA, *towers(classes="conv_cls", boxes="conv_reg", centerness="conv_centerness"))
R18 = "model.backbone.depth=18"


@pytest.mark.parametrize(
    ("recipe", "source", "names", "sets"),
    [
        ("det/faster_rcnn_r50_fpn_1x_coco", "mmdet", renamed(*MMDET_RCNN, *mmdet_heads("")), (R18,)),
        ("det/mask_rcnn_r50_fpn_1x_coco", "mmdet", renamed(*MMDET_RCNN, *mmdet_heads("")), (R18,)),
        ("det/cascade_mask_rcnn_r50_fpn_1x_coco", "mmdet", renamed(*MMDET_RCNN, *mmdet_heads("cascade")), (R18,)),
        ("det/faster_rcnn_hrnetv2p_w18_1x_coco", "mmdet", renamed(*MMDET_RCNN, *mmdet_heads("")), ()),
        ("det/panoptic_fpn_r50_fpn_1x_coco", "mmdet", renamed(*MMDET_RCNN, *mmdet_heads("")), (R18,)),
        ("det/retinanet_r50_fpn_1x_coco", "mmdet", RETINA, (R18,)),
        ("det/fcos_r50_caffe_fpn_gn_1x_coco", "mmdet", POINTS, ("model.backbone.depth=50",)),
        ("det/ssd300_coco", "mmdet", SSD, ()),
        ("det/yolox_s_coco", "mmdet", MMDET_YOLOX, ("model.width=0.125",)),
        ("det/yolox_nano_coco", "mmdet", MMDET_YOLOX, ()),
        ("det/yolox_s_coco", "yolox", YOLOX, ("model.width=0.125",)),
        ("det/yolox_nano_coco", "yolox", YOLOX, ()),
    ],
)
def test_every_tensor_finds_its_place(
    recipe: str, source: str, names: Callable[[str], str], sets: tuple[str, ...]
) -> None:
    stuff = 2 if "panoptic" in recipe else 0
    own, theirs = made_up(recipe, names, *sets, stuff=stuff)
    assert len(theirs) == len(own)
    assert sum(a != b for a, b in zip(own, theirs, strict=True)) > 10
    model = resolve(recipe, overrides=sets).recipe.model
    labels = tuple("abcde")[: 3 + stuff]
    foreign = Foreign(path=Path("f"), tensors=theirs, under="", facts={}, classes=labels)
    carried = carry(foreign, model.foreign_weights(source), model.build)  # type: ignore[attr-defined]
    assert (carried.missing, carried.unused, carried.shapes) == ((), (), ())
    assert carried.info.classes + carried.info.stuff == labels
    for name, tensor in own.items():
        assert torch.equal(carried.tensors[name].reshape(tensor.shape), tensor), name


def test_scales_of_fcos_have_no_dimension_there() -> None:
    own, theirs = made_up("det/fcos_r50_caffe_fpn_gn_1x_coco", POINTS)
    theirs = {n: t.reshape(()) if n.endswith(".scale") else t for n, t in theirs.items()}
    model: Any = resolve("det/fcos_r50_caffe_fpn_gn_1x_coco").recipe.model
    foreign = Foreign(path=Path("f"), tensors=theirs, under="", facts={}, classes=tuple("abc"))
    carried = carry(foreign, model.foreign_weights("mmdet"), model.build)
    assert carried.whole
    assert torch.equal(carried.tensors["head.scales.2"], own["head.scales.2"])


class Hub:
    """Stands for the objects that MMDetection 3 keeps in the checkpoints of a training."""

    def __reduce__(self) -> Any:
        return os.system, ("touch ran",)


def test_a_checkpoint_of_a_training(vf: Any) -> None:
    small = ("model.width=0.125",)
    _, theirs = made_up("det/yolox_s_coco", MMDET_YOLOX, *small, classes=80)
    theirs = OrderedDict((f"module.{name}", tensor) for name, tensor in theirs.items())
    theirs["module.extra.weight"] = torch.ones(2)
    meta = {"mmengine_version": "0.10", "dataset_meta": {"classes": COCO[0]}, "epoch": 12}
    torch.save({"meta": meta, "state_dict": theirs, "message_hub": Hub(), "optimizer": {"state": {}}}, "epoch_12.pth")
    said = vf("epoch_12.pth", "--from", "mmdet", "--to", "det/yolox_s_coco", "--set", small[0])
    assert (said.code, said.err) == (0, "")
    assert not Path("ran").exists()
    lines = said.out.splitlines()
    assert lines[0].startswith("file  epoch_12.pth: ")
    assert lines[0].endswith(", under 'state_dict'")
    assert "file  written by mmengine 0.10" in lines
    assert "file  ignored 'message_hub': not read" in lines
    assert "file  ignored 'optimizer': 1 entries: state" in lines
    assert "file  left out, not run: objects of posix.system" in lines
    assert "file  unused 1: extra.weight" in lines
    weights = read_weights(Path("epoch_12.safetensors"))
    assert (weights.info.classes, weights.info.category_ids) == COCO


def test_what_is_in_a_file_is_said(vf: Any) -> None:
    _, theirs = made_up("det/yolox_nano_coco", YOLOX, classes=80)
    torch.save({"model": theirs, "start_epoch": 300}, "yolox_nano.pth")
    said = vf("yolox_nano.pth", "--from", "yolox")
    assert (said.code, said.err) == (0, "")
    lines = said.out.splitlines()
    assert lines[1] == "file  ignored 'start_epoch': 300"
    assert any(line.startswith("  backbone: ") for line in lines)
    count = lines[0].partition(": ")[2].partition(" ")[0]
    assert f"fits  det/yolox_nano_coco: {count} of {count} tensors, in the names of yolox" in lines
    assert lines[-1] == "next  vf convert yolox_nano.pth --from yolox --to det/yolox_nano_coco"
    assert sorted(p.name for p in Path().iterdir()) == ["yolox_nano.pth"]


def test_a_model_takes_the_recipe_that_fits(vf: Any) -> None:
    _, theirs = made_up("det/yolox_nano_coco", YOLOX, classes=80)
    torch.save({"model": theirs}, "yolox_nano.pth")
    said = vf("yolox_nano.pth", "o.safetensors", "--from", "yolox", "--to", "yolox")
    assert said.code == 0
    assert "to    det/yolox_nano_coco, YOLOX" in said.out


def test_a_part_starts_a_training(vf: Any) -> None:
    own, theirs = made_up("det/yolox_nano_coco", YOLOX, classes=80)
    kept = {name: tensor for name, tensor in theirs.items() if not name.startswith("head.stems")}
    torch.save(kept, "part.pth")
    said = vf("part.pth", "--from", "yolox", "--to", "det/yolox_nano_coco")
    lines = said.out.splitlines()
    assert "model missing 15: head.stems.*" in lines
    assert lines[-2:] == [
        "wrote part.safetensors: a part of the model, to start a training from",
        "next  vf run train det/yolox_nano_coco --init-from part.safetensors --allow-partial",
    ]
    [tensors] = [read_foreign(Path("part.safetensors")).tensors]
    assert len(tensors) < len(own)
    assert torch.equal(tensors["neck.reduce5.conv.weight"], own["neck.reduce5.conv.weight"])


def test_the_eps_of_published_weights(vf: Any) -> None:
    model = FasterRCNN(small_body(), **narrow(91))
    variance = model.state_dict()["backbone.body.bn1.running_var"].clone()
    sets = [word for item in NARROW for word in ("--set", item)]
    for name, options, eps in (
        ("fasterrcnn_resnet50_fpn_coco-258fb6c6.pth", (), 0.0),
        ("mine.pth", ("--norm-eps", "1e-3"), 1e-3),
    ):
        torch.save(model.state_dict(), name)
        said = vf(name, f"{eps}.safetensors", "--from", "torchvision", "--to", RCNN, *sets, *options)
        line = f"model batch norms of the file have eps {eps:g}; their variances were changed for ours, 1e-05"
        assert line in said.out
        changed = read_weights(Path(f"{eps}.safetensors")).tensors["backbone.bn1.running_var"]
        assert torch.allclose(changed + 1e-5, variance + eps, rtol=1e-6)


@pytest.fixture
def tiny(tmp_path: Path) -> None:
    """A file of one tensor, and others that are none."""
    torch.save({"backbone.x": torch.zeros(2)}, tmp_path / "tiny.pth")
    torch.save({"epoch": 3}, tmp_path / "empty.pth")
    torch.save([1], tmp_path / "list.pth")
    (tmp_path / "broken.pth").write_bytes(b"no torch file")
    (tmp_path / "there.safetensors").touch()


@pytest.mark.usefixtures("tiny")
@pytest.mark.parametrize(
    ("arguments", "code", "sentence"),
    [
        (("no.pth",), 2, "no.pth: no such file"),
        (
            ("empty.pth",),
            2,
            "empty.pth: holds no named tensors, alone or under state_dict, model, module, params; its keys are epoch",
        ),
        (("list.pth",), 2, "list.pth: expected a mapping of named tensors, got list"),
        (("tiny.pth", "o.safetensors"), 2, "OUT: belongs to --to RECIPE"),
        (("tiny.pth", "--classes", "x"), 2, "--classes: belongs to --to RECIPE"),
        (
            ("tiny.pth", "--to", RCNN),
            2,
            "--to: say whose weights these are: --from torchvision, mmdet, mmseg, mmpretrain, mmocr, yolox, timm or "
            "other",
        ),
        (("tiny.pth", "o.pth", "--from", "mmdet", "--to", RCNN), 2, "o.pth: expected a name that ends in .safetensors"),
        (
            ("tiny.pth", "there.safetensors", "--from", "mmdet", "--to", RCNN),
            2,
            "there.safetensors: exists; choose another name",
        ),
        (
            ("tiny.pth", "--from", "mmdet", "--to", RCNN),
            2,
            f"tiny.pth: holds no tensor of {RCNN}; look what it is: vf convert tiny.pth",
        ),
        (
            ("tiny.pth", "--from", "yolox", "--to", RCNN),
            2,
            f"--to {RCNN}: its model fasterrcnn knows no weights of yolox",
        ),
        (
            ("tiny.pth", "--from", "timm", "--to", RCNN),
            2,
            f"--to {RCNN}: its model fasterrcnn has another backbone; timm's weights go into timm's nets: --set "
            "'model.backbone={name: timm, net: NAME}'",
        ),
        (
            ("tiny.pth", "--from", "timm", "--to", "det/yolox_s_coco"),
            2,
            "--to det/yolox_s_coco: its model yolox knows no weights of timm",
        ),
        (
            ("tiny.pth", "--from", "mmdet", "--to", "ssd", "--classes", "no"),
            2,
            "--classes no: cannot be read: No such file or directory",
        ),
    ],
)
def test_mistakes_of_one_line(vf: Any, arguments: tuple[str, ...], code: int, sentence: str) -> None:
    said = vf(*arguments)
    assert (said.code, said.err) == (code, f"error: {sentence}\n")


@pytest.mark.usefixtures("tiny")
def test_a_broken_file(vf: Any) -> None:
    said = vf("broken.pth")
    assert (said.code, said.err.count("\n")) == (2, 1)
    assert said.err.startswith("error: broken.pth: cannot be read: ")


def test_classes_that_nobody_names(vf: Any) -> None:
    _, theirs = made_up("det/yolox_nano_coco", YOLOX, classes=3)
    torch.save(theirs, "mine.pth")
    said = vf("mine.pth", "--from", "yolox", "--to", "det/yolox_nano_coco")
    assert (said.code, said.err) == (
        2,
        "error: mine.pth: has 3 classes and does not name them; say their names in the order of the file: "
        "--classes FILE, one a line\n",
    )
    Path("names.txt").write_text("a\nb\n")
    said = vf("mine.pth", "--from", "yolox", "--to", "det/yolox_nano_coco", "--classes", "names.txt")
    assert (said.code, said.err) == (
        2,
        "error: mine.pth: has 3 classes, and 2 names are given; name them in the order of the file: --classes FILE, "
        "one a line\n",
    )


def test_heads_that_differ(vf: Any) -> None:
    _, theirs = made_up("det/yolox_nano_coco", YOLOX, classes=3)
    theirs["head.cls_preds.0.weight"] = torch.zeros(4, *theirs["head.cls_preds.0.weight"].shape[1:])
    torch.save(theirs, "mixed.pth")
    said = vf("mixed.pth", "--from", "yolox", "--to", "det/yolox_nano_coco")
    expected = "error: mixed.pth: its heads are of 3, 4 classes; expected one number\n"
    assert (said.code, said.err) == (2, expected)


@pytest.mark.usefixtures("tiny")
def test_a_model_that_no_recipe_of_which_fits(vf: Any) -> None:
    said = vf("tiny.pth", "--from", "yolox", "--to", "yolox")
    assert (said.code, said.err.count("\n")) == (2, 1)
    assert said.err.startswith("error: --to yolox: tiny.pth fits none of its recipes; recipes with it: det/custom, ")


def test_classes_of_a_folder_of_data(vf: Any, layouts: Any) -> None:
    _, theirs = made_up("det/yolox_nano_coco", YOLOX, classes=2)
    torch.save(theirs, "mine.pth")
    layouts.coco()
    said = vf("mine.pth", "--from", "yolox", "--to", "det/yolox_nano_coco", "--data", "coco")
    assert (said.code, said.err) == (0, "")
    weights = read_weights(Path("mine.safetensors"))
    assert weights.info.classes == ("person", "car")
    assert "path: coco" in weights.recipe


def test_panoptic_classes_of_coco() -> None:
    assert (len(COCO_PANOPTIC[0]), len(set(COCO_PANOPTIC[1]))) == (133, 133)
