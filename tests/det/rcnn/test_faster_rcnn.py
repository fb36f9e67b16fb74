"""Faster R-CNN: losses whatever the images hold, learning, predictions in the frame of the decoded image, keys."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from torch import Tensor
from torchvision.ops import box_iou

from vf.backbones import HRNet, ResNet
from vf.errors import ConfigError
from vf.necks import FPN, HRFPN, PAFPN
from vf.recipes import from_text
from vf.resizing import Resize
from vf.testing import INFO, check_config, check_detector
from vf_det import rcnn_configs
from vf_det.rcnn.model import RCNN
from vf_det.rcnn.rpn import Regions
from vf_det.rcnn_configs import FasterRCNN, Head, Proposals
from vf_det.suppression import NMS

TERMS = {"loss_rpn_cls", "loss_rpn_box", "loss_cls", "loss_box"}
KINDS = ["FasterRCNN", "MaskRCNN", "CascadeRCNN"]


def gradients(model: RCNN, terms: dict[str, Tensor], total: Any) -> list[Tensor]:
    """Return the gradients; every parameter has one, or processes would wait for it."""
    model.zero_grad()
    total(terms).backward()
    assert not [n for n, p in model.named_parameters() if p.requires_grad and p.grad is None]
    return [p.grad for p in model.parameters() if p.grad is not None]


@pytest.mark.parametrize("name", rcnn_configs.__all__)
def test_configs_explain_themselves(name: str) -> None:
    if name in KINDS:
        check_config(getattr(rcnn_configs, name), name)


def test_the_contract_of_detectors() -> None:
    small = Resize(short=48, long=64)
    check_detector(FasterRCNN(backbone=ResNet(depth=18), head=Head(hidden=32), resize=small))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("boxes", [([], []), ([], [[40.0, 10.0, 70.0, 60.0]]), ([[8.0, 8.0, 60.0, 50.0]],)])
def test_losses_and_gradients_whatever_the_images_hold(cases: Any, kind: str, boxes: Any) -> None:
    model = cases.tiny(kind).train()
    terms = model(cases.batch_of(*boxes, masks=True))
    assert all(v.shape == () and v.dtype == torch.float32 and v.isfinite() for v in terms.values())
    assert all(g.isfinite().all() for g in gradients(model, terms, cases.total))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("boxes", [([], []), ([[8.0, 8.0, 60.0, 50.0]], [])])
def test_without_a_proposal(cases: Any, kind: str, boxes: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    model = cases.tiny(kind, **({"masks": True} if kind == "CascadeRCNN" else {}))
    none = Regions(torch.zeros(0, 4), torch.zeros(0, dtype=torch.long)), torch.zeros(0)
    monkeypatch.setattr(model.rpn, "propose", lambda raw, sizes: none)
    batch = cases.batch_of(*boxes, masks=True)
    terms = model.train()(batch)
    assert all(v.isfinite() for v in terms.values())
    assert all(g.isfinite().all() for g in gradients(model, terms, cases.total))
    assert [len(p["boxes"]) for p in model.eval()(batch)] == [0, 0]


@pytest.mark.parametrize("key", ["iscrowd", "difficult"])
def test_crowds_and_difficult_objects_are_no_objects(cases: Any, key: str) -> None:
    left_out = torch.tensor([True, False, True])
    torch.manual_seed(0)
    with_crowd = cases.tiny().train()(cases.batch_of(*cases.boxes, **{key: left_out}))
    batch = cases.batch_of([cases.boxes[0][1]], [])
    batch.targets["labels"] = torch.tensor([1])
    torch.manual_seed(0)
    torch.testing.assert_close(with_crowd, cases.tiny().train()(batch))
    everything = cases.batch_of(*cases.boxes, **{key: torch.ones(3, dtype=torch.bool)})
    assert all(v.isfinite() for v in cases.tiny().train()(everything).values())


def trained(model: RCNN, batch: Any, steps: int, total: Any) -> list[float]:
    """Train on one batch; return the sums of losses."""
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    values = []
    for _ in range(steps):
        optimizer.zero_grad()
        terms = model(batch)
        assert terms.keys() == TERMS
        total(terms).backward()
        optimizer.step()
        values.append(total(terms).item())
    return values


def test_losses_fall(cases: Any) -> None:
    values = trained(cases.tiny().train(), cases.batch_of(*cases.boxes), 12, cases.total)
    assert sum(values[-3:]) < 0.7 * sum(values[:3])


@pytest.mark.slow
def test_it_finds_what_it_learnt(cases: Any) -> None:
    model, batch = cases.tiny().train(), cases.batch_of(*cases.boxes)
    trained(model, batch, 120, cases.total)
    for prediction, boxes, labels in zip(model.eval()(batch), cases.boxes, ([0, 1], [2]), strict=True):
        best = prediction["boxes"][: len(boxes)]
        overlap = box_iou(torch.tensor(boxes), best)
        assert (overlap.amax(1) > 0.7).all()
        assert prediction["labels"][: len(boxes)][overlap.argmax(1)].tolist() == labels
        assert (prediction["scores"][: len(boxes)] > 0.7).all()


def test_the_same_seed_gives_the_same_losses(cases: Any) -> None:
    model, batch = cases.tiny().train(), cases.batch_of(*cases.boxes)
    both = []
    for _ in range(2):
        torch.manual_seed(5)
        both.append(model(batch))
    assert all(torch.equal(both[0][k], both[1][k]) for k in TERMS)


def test_losses_are_float32_under_autocast(cases: Any) -> None:
    with torch.autocast("cpu", dtype=torch.bfloat16):
        terms = cases.tiny().train()(cases.batch_of(*cases.boxes))
    assert {v.dtype for v in terms.values()} == {torch.float32}


def test_an_image_is_seen_alike_alone_and_beside_others(cases: Any) -> None:
    model = cases.tiny(score_threshold=0.0, max_detections=20).eval()
    batch = cases.batch_of([], [])
    alone = copy.copy(batch)
    alone.images, alone.sizes, alone.original, alone.ids = (
        batch.images[:1],
        batch.sizes[:1],
        batch.original[:1],
        ("0",),
    )
    both, single = model(batch), model(alone)
    torch.testing.assert_close(both[0]["boxes"], single[0]["boxes"], atol=1e-3, rtol=0)
    torch.testing.assert_close(both[0]["scores"], single[0]["scores"], atol=1e-5, rtol=0)


def test_boxes_lie_in_the_decoded_image(cases: Any) -> None:
    model = cases.tiny(score_threshold=0.0, keep_proposals=True).eval()
    batch = cases.batch_of([], [])
    batch.sizes = torch.tensor([[40, 128], [64, 100]])
    batch.original = torch.tensor([[80, 256], [640, 1000]])
    for prediction, (height, width) in zip(model(batch), batch.original.tolist(), strict=True):
        limit = torch.tensor([width, height, width, height])
        assert 0 < len(prediction["boxes"]) <= 100
        for boxes in (prediction["boxes"], prediction["proposals"]):
            assert (boxes >= 0).all()
            assert (boxes <= limit).all()
            assert (boxes.amax(0)[2:] > 0.9 * limit[2:]).all()  # the first image is scaled by 2, the second by 10
        scores = prediction["proposal_scores"]
        assert (scores.diff() <= 0).all()
        assert len(scores) == len(prediction["proposals"]) > 10


def test_suppression_is_chosen_by_key(cases: Any) -> None:
    batch = cases.batch_of([])
    counts = {}
    for kind in ("hard", "soft_linear", "soft_gaussian"):
        model = cases.tiny(score_threshold=0.0, nms=NMS(kind=kind, iou=0.1), max_detections=1000).eval()
        counts[kind] = len(model(batch)[0]["boxes"])
    assert counts["hard"] < min(counts["soft_linear"], counts["soft_gaussian"])
    agnostic = cases.tiny(score_threshold=0.0, nms=NMS(iou=0.1, agnostic=True), max_detections=1000).eval()
    assert len(agnostic(batch)[0]["boxes"]) < counts["hard"]


@pytest.mark.parametrize(
    ("backbone", "neck"),
    [
        (HRNet(width=18), HRFPN(channels=32)),
        (ResNet(depth=18, out=(2, 3, 4)), PAFPN(channels=32, levels=4)),
        (ResNet(depth=18, out=(4,)), FPN(channels=32, levels=1)),
    ],
    ids=["hrnet", "pafpn", "one level"],
)
def test_other_backbones_and_necks(cases: Any, backbone: Any, neck: Any) -> None:
    model = cases.tiny(backbone=backbone, neck=neck).train()
    terms = model(cases.batch_of(*cases.boxes))
    assert all(g.isfinite().all() for g in gradients(model, terms, cases.total))


def test_frozen_stages_have_no_gradient(cases: Any) -> None:
    model = cases.tiny(backbone=ResNet(depth=18, frozen_stages=1, norm_eval=True)).train()
    cases.total(model(cases.batch_of(*cases.boxes))).backward()
    without = {n.split(".")[1] for n, p in model.backbone.named_parameters("backbone") if p.grad is None}
    assert without == {"conv1", "bn1", "layer1"}


def test_pretrained_weights_are_those_of_the_backbone(cases: Any, tmp_path: Any) -> None:
    source = cases.tiny(seed=1).backbone
    torch.save(source.state_dict(), tmp_path / "net.pt")
    model = cases.tiny(backbone=ResNet(depth=18, norm="frozen_bn", pretrained=str(tmp_path / "net.pt")))
    lines: list[str] = []
    model.load_pretrained(lines.append)
    assert torch.equal(model.backbone.conv1.weight, source.conv1.weight)
    assert len(lines) == 1


def test_two_anchors_of_a_shape_at_a_cell(cases: Any) -> None:
    model = cases.tiny(rpn=Proposals(scales=(4.0, 8.0), ratios=(1.0,))).train()
    assert model.rpn.head.objects.out_channels == 2
    assert all(v.isfinite() for v in model(cases.batch_of(*cases.boxes)).values())


RECIPE = """
task: det
model: {{name: {name}, backbone: {{name: resnet, depth: 18}}, {keys}}}
data: {{name: shapes}}
metrics: [{{name: coco_ap}}]
train: {{length: 1 steps, batch_size: 2, optimizer: {{name: sgd, lr: 0.02}}}}
"""


@pytest.mark.parametrize(
    ("name", "keys", "said"),
    [
        (
            "faster_rcnn",
            "rpn: {negative_iou: 0.8}",
            "r:3: model.rpn: negative_iou 0.8 > positive_iou 0.7",
        ),
        ("faster_rcnn", "rpn: {ratios: []}", "r:3: model.rpn: scales and ratios must have one item or more"),
        ("cascade_rcnn", "stages: []", "r:3: model: stages must have one item or more"),
        ("faster_rcnn", "nms: {iou: 2.0}", "r:3: model.nms.iou: must be from 0 to 1, got 2.0"),
    ],
)
def test_wrong_keys_are_one_line(name: str, keys: str, said: str) -> None:
    with pytest.raises(ConfigError) as error:
        from_text(RECIPE.format(name=name, keys=keys), "r")
    assert str(error.value) == said


def test_one_key_of_a_cascade_leaves_the_others() -> None:
    model: Any = from_text(RECIPE.format(name="cascade_rcnn", keys="head: {samples: 64}"), "r").recipe.model
    assert (model.head.samples, model.head.agnostic, model.head.beta) == (64, True, 1.0)
    assert from_text(RECIPE.format(name="cascade_rcnn", keys="rpn: {}"), "r").recipe.model.rpn.train_kept == 2000  # type: ignore[attr-defined]


def test_a_neck_without_levels_for_the_backbone_is_one_line() -> None:
    with pytest.raises(ConfigError, match=r"^neck\.levels: must be >= 4"):
        FasterRCNN(backbone=ResNet(depth=18), neck=FPN(levels=2)).build(INFO)
