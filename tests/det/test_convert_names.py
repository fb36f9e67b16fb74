"""``vf convert``: each tensor of MMDetection and YOLOX finds its place, and what becomes of their files and classes."""

from __future__ import annotations

import os
import re
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from vf.carry import carry, facts_of
from vf.engine.checkpoint import read_weights
from vf.foreign import Foreign, read_foreign
from vf.recipes import resolve
from vf_det.known_classes import COCO, COCO_PANOPTIC

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
