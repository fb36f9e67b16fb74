"""``vf convert``: torchvision's detectors give the same boxes as ours with their weights."""

from __future__ import annotations

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

from vf.data.sample import Batch
from vf.engine.checkpoint import load_into, read_weights
from vf.recipes import from_text
from vf_det.known_classes import COCO

SIZE = (96, 128)
SMALL = ("model.resize.short=96", "model.resize.long=128", "model.backbone.depth=18")
NARROW = (*SMALL, "model.head.hidden=32")


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
