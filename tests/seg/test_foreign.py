"""Weights of MMSegmentation: names, classes, a file carried over; the numbers are benchmarks/parity_mmseg.py's."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from vf.backbones import HRNet, ResNet
from vf.carry import carry, renamer, shapes_of
from vf.foreign import read_foreign
from vf_seg import light_configs as light
from vf_seg import model_configs as models
from vf_seg.testing import INFO

D8 = ResNet(depth=50, dilate=8, stem="deep")
HR = HRNet(upsample="bilinear")
JOINED = {"levels": (1, 2, 3, 4), "width": None, "convs": 1, "kernel": 1, "concat": False, "aux": ()}
CONTEXT = "decode_head.1.object_context_block"
ROWS: list[tuple[Any, str, str]] = [
    (models.FCN(backbone=D8), "backbone.stem.6.weight", "backbone.stem.6.weight"),
    (models.FCN(backbone=D8), "decode_head.convs.1.conv.weight", "head.convs.1.0.weight"),
    (models.FCN(backbone=D8), "decode_head.conv_cat.bn.running_var", "head.concat.1.running_var"),
    (models.FCN(backbone=D8), "auxiliary_head.conv_seg.bias", "aux.0.classes.bias"),
    (models.FCN(backbone=HR, **JOINED), "decode_head.convs.0.bn.bias", "head.convs.0.1.bias"),
    (models.PSPNet(), "decode_head.psp_modules.3.1.conv.weight", "head.pyramid.3.1.0.weight"),
    (models.PSPNet(), "decode_head.bottleneck.bn.weight", "head.fuse.1.weight"),
    (models.DeepLabV3(), "decode_head.image_pool.1.conv.weight", "head.aspp.pool.1.0.weight"),
    (models.DeepLabV3(), "decode_head.aspp_modules.2.bn.bias", "head.aspp.branches.2.1.bias"),
    (
        models.DeepLabV3Plus(),
        "decode_head.aspp_modules.1.depthwise_conv.bn.bias",
        "head.aspp.branches.1.0.1.bias",
    ),
    (models.DeepLabV3Plus(), "decode_head.c1_bottleneck.conv.weight", "head.fine.0.weight"),
    (models.DeepLabV3Plus(), "decode_head.sep_bottleneck.1.pointwise_conv.conv.weight", "head.refine.1.1.0.weight"),
    (models.UPerNet(), "decode_head.bottleneck.conv.weight", "head.coarsest.0.weight"),
    (models.UPerNet(), "decode_head.fpn_bottleneck.conv.weight", "head.fuse.0.weight"),
    (models.UPerNet(), "decode_head.lateral_convs.2.conv.weight", "head.lateral.2.0.weight"),
    (models.OCRNet(), "decode_head.0.conv_seg.weight", "head.regions.classes.weight"),
    (models.OCRNet(), "decode_head.1.conv_seg.weight", "head.classes.weight"),
    (models.OCRNet(), f"{CONTEXT}.key_project.1.bn.weight", "head.key.1.1.weight"),
    (models.OCRNet(), f"{CONTEXT}.bottleneck.conv.weight", "head.fuse.0.weight"),
    (models.SegFormer(), "decode_head.convs.3.conv.weight", "head.levels.3.0.weight"),
    (
        models.SegFormer(),
        "backbone.layers.0.1.0.attn.attn.in_proj_weight",
        "backbone.layers.0.1.0.attn.attn.in_proj_weight",
    ),
    (light.UNet(), "backbone.encoder.0.0.convs.1.conv.weight", "backbone.encoder.0.1.0.weight"),
    (light.UNet(), "backbone.encoder.4.1.convs.0.bn.bias", "backbone.encoder.4.0.1.bias"),
    (light.UNet(), "backbone.decoder.2.upsample.interp_upsample.1.conv.weight", "backbone.up.2.0.weight"),
    (
        light.FastSCNN(),
        "backbone.global_feature_extractor.bottleneck3.2.conv.1.bn.bias",
        "backbone.groups.2.2.convs.1.1.bias",
    ),
    (light.FastSCNN(), "decode_head.convs.1.depthwise_conv.conv.weight", "head.convs.1.0.0.weight"),
    (light.FastSCNN(), "auxiliary_head.1.convs.0.conv.weight", "aux.1.convs.0.0.weight"),
]


@pytest.mark.parametrize(("model", "theirs", "ours"), ROWS, ids=[f"{type(m).__name__} {t}" for m, t, _ in ROWS])
def test_a_name_of_theirs_is_one_of_ours(model: Any, theirs: str, ours: str) -> None:
    weights = model.foreign_weights("mmseg")
    assert weights is not None
    assert renamer(weights, shapes_of(model.build, INFO))(theirs) == ours


def test_nobody_knows_what_is_not_there() -> None:
    assert light.LRASPP().foreign_weights("mmseg") is None
    assert light.SMP().foreign_weights("torchvision") is None


@pytest.mark.parametrize("named", [True, False])
def test_a_file_is_carried_over_with_its_classes(named: bool, tmp_path: Path) -> None:
    """SegFormer's own names, written backwards; 19 classes without names are Cityscapes'."""
    config = models.SegFormer()
    names = [f"class {i}" for i in range(19)]
    info_of = {"classes": tuple(names)}
    whole = config.build(type(INFO)(task="seg", num_samples={}, fingerprint="", **info_of))
    theirs = {
        name.replace("head.levels", "decode_head.convs")
        .replace("head.fuse.", "decode_head.fusion_conv.")
        .replace("head.classes", "decode_head.conv_seg"): tensor
        for name, tensor in whole.state_dict().items()
        if not name.startswith("preprocess")
    }
    theirs = {(_modules(name) if name.startswith("decode_head") else name): tensor for name, tensor in theirs.items()}
    meta = {"mmseg_version": "1.2.2", **({"dataset_meta": {"classes": names}} if named else {})}
    torch.save({"meta": meta, "state_dict": theirs}, tmp_path / "theirs.pth")
    weights = config.foreign_weights("mmseg")
    assert weights is not None
    foreign = read_foreign(tmp_path / "theirs.pth")
    assert foreign.written_by == "mmseg 1.2.2"
    carried = carry(foreign, weights, config.build, task="seg")
    assert carried.whole
    assert not carried.unused
    assert carried.info.classes[0] == ("class 0" if named else "road")
    for name, tensor in carried.tensors.items():
        assert torch.equal(tensor, whole.state_dict()[name]), name


def _modules(name: str) -> str:
    """Write ``….0.weight`` as ``….conv.weight``, ``….1.weight`` as ``….bn.weight``."""
    head, _, last = name.rpartition(".")
    if head.endswith(".0") and "conv_seg" not in head:
        return f"{head[:-2]}.conv.{last}"
    return f"{head[:-2]}.bn.{last}" if head.endswith(".1") else name
