"""FCOS beside torchvision's, and its targets worked out by hand."""

from __future__ import annotations

import math
from typing import Any

import attrs
import pytest
import torch
from torch import Tensor
from torchvision.models.detection import fcos as reference
from torchvision.models.detection.backbone_utils import resnet_fpn_backbone
from torchvision.ops.feature_pyramid_network import LastLevelP6P7

from vf.backbones import ResNet
from vf.necks import FPN
from vf.resizing import Resize
from vf.testing import INFO, check_detector
from vf_det import dense_configs
from vf_det.dense.fcos import FCOS, PointRules, boxes_of, centerness_of, sides_of
from vf_det.dense.points import assign, points_of
from vf_det.matching import BACKGROUND
from vf_det.suppression import NMS

SIZE = (96, 160)
RESIZE = Resize(short=96, long=160, mean=(127.5, 127.5, 127.5), std=(63.75, 63.75, 63.75))
TWO = ([[8.3, 8.1, 40.2, 40.9], [50.7, 10.4, 130.2, 80.6]], [[20.5, 20.3, 60.1, 90.7], [5.2, 3.1, 18.3, 14.9]])
LIKE_TORCHVISION: dict[str, Any] = {
    "grid": "torchvision",
    "normed": True,
    "centerness_on": "box",
    "center_radius": 1.5,
    "box_loss": "giou",
    "weighted_boxes": False,
    "score": "root",
    "nms": NMS(iou=0.6),
}


def tiny(**keys: Any) -> FCOS:
    """Build on a ResNet-18 for small images."""
    torch.manual_seed(0)
    config = dense_configs.FCOS(**{"backbone": ResNet(depth=18, out=(2, 3, 4)), "resize": RESIZE, **keys})
    model = config.build(INFO)
    assert isinstance(model, FCOS)
    return model


def copied(other: reference.FCOS, model: FCOS) -> None:
    """Fill our model with torchvision's weights."""
    names = {
        "backbone.body": "backbone",
        "backbone.fpn.inner_blocks": "neck.fpn.inner_blocks",
        "backbone.fpn.layer_blocks": "neck.fpn.layer_blocks",
        "backbone.fpn.extra_blocks.p6": "neck.extra.0.0",
        "backbone.fpn.extra_blocks.p7": "neck.extra.1.1",
        "head.classification_head.cls_logits": "head.classes",
        "head.regression_head.bbox_reg": "head.boxes",
        "head.regression_head.bbox_ctrness": "head.centerness",
    }
    for n in range(12):
        names[f"head.classification_head.conv.{n}"] = f"head.class_tower.{n // 3}.{n % 3}"
        names[f"head.regression_head.conv.{n}"] = f"head.box_tower.{n // 3}.{n % 3}"
    weights = {}
    for name, value in other.state_dict().items():
        prefix = next(p for p in names if name.startswith(p + "."))
        weights[names[prefix] + name.removeprefix(prefix)] = value
    missing, unexpected = model.load_state_dict(weights, strict=False)
    assert not unexpected
    assert set(missing) == {"preprocess.mean", "preprocess.std", *(f"head.scales.{i}" for i in range(5))}


@pytest.fixture(scope="module")
def pair(detection: Any) -> tuple[FCOS, reference.FCOS]:
    """Ours and torchvision's with the same weights."""
    torch.manual_seed(0)
    extra = LastLevelP6P7(256, 256)
    body = resnet_fpn_backbone(
        backbone_name="resnet18", weights=None, returned_layers=[2, 3, 4], extra_blocks=extra, trainable_layers=5
    )
    keys = {"image_mean": [0.5] * 3, "image_std": [0.25] * 3, "score_thresh": 0.2, "detections_per_img": 60}
    other = reference.FCOS(body, num_classes=3, min_size=96, max_size=160, **keys)
    detection.loosen(other.head.classification_head.cls_logits, other.head.regression_head.bbox_reg)
    detection.loosen(other.head.regression_head.bbox_ctrness, std=1.0)
    torch.nn.init.uniform_(other.head.regression_head.bbox_reg.bias, 0.5, 3.0)
    torch.nn.init.constant_(other.head.classification_head.cls_logits.bias, -2.0)
    model = tiny(
        backbone=ResNet(depth=18, out=(2, 3, 4), norm="frozen_bn"),
        score_threshold=0.2,
        max_detections=60,
        **LIKE_TORCHVISION,
    )
    copied(other, model)
    return model, other


@torch.no_grad()
def test_predictions_are_those_of_torchvision(pair: tuple[FCOS, reference.FCOS], detection: Any) -> None:
    batch = detection.batch([], [], size=SIZE)
    model, other = (m.eval() for m in pair)
    detection.assert_same(model(batch), detection.of_torchvision(other, batch))


@torch.no_grad()
def test_losses_are_those_of_torchvision(pair: tuple[FCOS, reference.FCOS], detection: Any) -> None:
    model, other = (m.train() for m in pair)
    for boxes in TWO:
        batch = detection.batch(boxes, size=SIZE)
        own, losses = detection.of_torchvision(other, batch), model(batch)
        assert losses["_num_pos"] > 3
        torch.testing.assert_close(losses["loss_cls"], own["classification"], atol=1e-4, rtol=1e-5)
        torch.testing.assert_close(losses["loss_box"], own["bbox_regression"], atol=1e-4, rtol=1e-5)
        torch.testing.assert_close(losses["loss_center"], own["bbox_ctrness"], atol=1e-4, rtol=1e-5)


GRIDS = [(8, 12), (4, 6), (2, 3)]
STRIDES = (8, 16, 32)


def learnt(boxes: list[list[float]], *, radius: float | None = None) -> list[tuple[int, int, int, int]]:
    """Return level, row, column and object of each point that learns one, on an image of 64×96."""
    points = points_of(GRIDS, (64, 96), STRIDES, device=torch.device("cpu"))
    match = assign(points, torch.tensor(boxes).reshape(-1, 4), radius=radius).tolist()
    places = [(level, y, x) for level, (h, w) in enumerate(GRIDS) for y in range(h) for x in range(w)]
    return [(*place, own) for place, own in zip(places, match, strict=True) if own != BACKGROUND]


def test_points_lie_in_the_middle_of_cells() -> None:
    points = points_of(GRIDS, (64, 96), STRIDES, device=torch.device("cpu"))
    assert points.xy[:3].tolist() == [[4.0, 4.0], [12.0, 4.0], [20.0, 4.0]]
    assert points.xy[-1].tolist() == [80.0, 48.0]
    facts = torch.stack((points.stride, points.low, points.high), 1)
    assert facts[[0, 96, -1]].tolist() == [[8, 0, 64], [16, 64, 128], [32, 128, math.inf]]


def test_points_of_torchvision_lie_in_corners_of_a_grid_over_the_image() -> None:
    points = points_of([(2, 3)], (70, 96), (32,), device=torch.device("cpu"), as_torchvision=True)
    assert points.xy.tolist() == [[0, 0], [32, 0], [64, 0], [0, 35], [32, 35], [64, 35]]
    assert points.stride.tolist() == [32.0] * 6


def test_a_point_learns_what_it_lies_in() -> None:
    """4..20 × 4..13 holds the points 12,12 of stride 8 (4,4 is on the edge) and none other of its range."""
    assert learnt([[4.0, 4.0, 20.0, 13.0]]) == [(0, 1, 1, 0)]
    assert learnt([]) == []
    assert learnt([[13.0, 13.0, 19.0, 19.0]]) == [], "between the points"


def test_the_farthest_side_chooses_the_level() -> None:
    """A row of 0..96 × 0..9: only the points of stride 8 at y = 4 and of stride 16 at y = 8 are inside."""
    found = learnt([[0.0, 0.0, 96.0, 9.0]])
    # stride 8: x = 4, 12 … 92, at most 64 from both ends: 36 (60) to 60; 28 is 68 from the right.
    assert [(level, y, x) for level, y, x, _ in found if level == 0] == [(0, 0, x) for x in range(4, 8)]
    # stride 16: x = 8, 24, 40 … at least 64 from an end: 8 (88), 24 (72), 72, 88; 40 and 56 are 56 away.
    assert [(level, y, x) for level, y, x, _ in found if level == 1] == [(1, 0, x) for x in (0, 1, 4, 5)]
    assert len(found) == 8


def test_both_ends_of_a_range_count() -> None:
    """The point 36,4 is 64 from the right end of 0..100: the last distance of stride 8, which 28,4 exceeds."""
    found = [x for level, _, x, _ in learnt([[0.0, 0.0, 100.0, 8.0]]) if level == 0]
    assert found == [4, 5, 6, 7]
    # 32 px: the point 16,48 is 128 from the right end, the first distance of stride 32.
    assert (2, 1, 0, 0) in learnt([[0.0, 40.0, 144.0, 60.0]])
    assert (2, 1, 0, 0) not in learnt([[0.0, 40.0, 143.9, 60.0]])


def test_a_point_in_two_objects_learns_the_smaller() -> None:
    boxes = [[0.0, 0.0, 24.0, 24.0], [0.0, 0.0, 16.0, 16.0], [8.0, 8.0, 24.0, 24.0]]
    owner = {(y, x): own for level, y, x, own in learnt(boxes) if level == 0}
    assert owner[0, 0] == 1
    assert owner[0, 2] == 0
    assert owner[2, 2] == 2
    assert owner[1, 1] == 1, "of two that are equally large, the first"


def test_centre_sampling() -> None:
    """Of 0..48 × 0..48 the points of stride 8 less than 12 from 24,24 learn: 20 and 28; 12 and 36 are 12 away."""
    box = [[0.0, 0.0, 48.0, 48.0]]
    assert len(learnt(box)) == 36
    assert learnt(box, radius=1.5) == [(0, y, x, 0) for y in (2, 3) for x in (2, 3)]
    # Near the centre, but outside of the object, a point learns nothing.
    assert learnt([[0.0, 0.0, 48.0, 6.0]], radius=1.5) == [(0, 0, 2, 0), (0, 0, 3, 0)]


def test_centerness_and_sides() -> None:
    xy = torch.tensor([[10.0, 10.0], [4.0, 10.0], [2.0, 2.0]])
    boxes = torch.tensor([[0.0, 0.0, 20.0, 20.0]] * 3)
    sides = sides_of(xy, boxes)
    assert sides.tolist() == [[10, 10, 10, 10], [4, 10, 16, 10], [2, 2, 18, 18]]
    assert centerness_of(sides).tolist() == pytest.approx([1, 0.5, 1 / 9])
    assert torch.equal(boxes_of(xy, sides), boxes)


def test_losses_by_hand(detection: Any) -> None:
    """One point learns, and says distances of 8 px: its box is 4..20 × 4..20, the object 8..20 × 8..20."""
    model = tiny(neck=FPN(channels=8, levels=3, extra="conv_out"), resize=Resize(short=64, long=96), head_depth=0)
    with torch.no_grad():
        for conv, value in ((model.head.classes, 0.0), (model.head.boxes, math.log(8)), (model.head.centerness, 0.0)):
            conv.weight.zero_()
            conv.bias.fill_(value)
    batch = detection.batch([[8.0, 8.0, 20.0, 20.0]], size=(64, 96))
    losses = model(batch)
    assert losses["_num_pos"].item() == 1
    assert losses["loss_box"].item() == pytest.approx(-math.log(144 / 256), abs=1e-5)
    # A logit of 0 for a centre-ness of 4 / 8: the entropy does not depend on it.
    assert losses["loss_center"].item() == pytest.approx(math.log(2), abs=1e-5)
    # p = 1/2 everywhere: 0.25 · log 2 times alpha for one, 1 - alpha for the other 126 · 3 - 1.
    assert losses["loss_cls"].item() == pytest.approx(0.25 * math.log(2) * (0.25 + 0.75 * 377), rel=1e-5)
    model.rules = attrs.evolve(model.rules, box_loss="giou")
    assert model(batch)["loss_box"].item() == pytest.approx(1 - 144 / 256, abs=1e-5)


def test_boxes_count_by_their_centerness(detection: Any) -> None:
    """Distances of 8 px fit the first object, IoU 1 at centre-ness 1, not the second: 100 / 256 at 2 / 8."""
    model = tiny(neck=FPN(channels=8, levels=3, extra="conv_out"), resize=Resize(short=64, long=96), head_depth=0)
    with torch.no_grad():
        model.head.boxes.weight.zero_()
        model.head.boxes.bias.fill_(math.log(8))
    boxes = [[4.0, 4.0, 20.0, 20.0], [42.0, 42.0, 52.0, 52.0]]
    assert learnt(boxes) == [(0, 1, 1, 0), (0, 5, 5, 1)]
    second = -math.log(100 / 256)
    batch = detection.batch(boxes, size=(64, 96))
    assert model(batch)["loss_box"].item() == pytest.approx(0.25 * second / 1.25, abs=1e-5)
    model.rules = attrs.evolve(model.rules, weighted=False)
    assert model(batch)["loss_box"].item() == pytest.approx(second / 2, abs=1e-5)


@pytest.mark.parametrize("boxes", [([], []), ([],), ([[8.0, 8.0, 9.0, 9.0]], [])])
@pytest.mark.parametrize("keys", [{}, LIKE_TORCHVISION], ids=["exp", "normed"])
def test_every_parameter_gets_a_gradient(detection: Any, boxes: Any, keys: dict[str, Any]) -> None:
    model = tiny(**keys)
    losses = model(detection.batch(*boxes, size=SIZE))
    detection.total(losses).backward()
    assert set(losses) == {"loss_cls", "loss_box", "loss_center", "_num_pos"}
    assert all(value.isfinite() and value.ndim == 0 and value.dtype == torch.float32 for value in losses.values())
    assert detection.without_gradient(model) == []


def test_crowd_regions_teach_nothing(detection: Any) -> None:
    model = tiny().eval()
    model.training = True
    none = model(detection.batch([], [], size=SIZE))
    same = model(detection.batch(*TWO, size=SIZE, iscrowd=torch.ones(4, dtype=torch.bool)))
    torch.testing.assert_close(same, none)


def scores(model: FCOS, batch: Any) -> Tensor:
    with torch.no_grad():
        (found,) = model.eval()(batch)
    out: Tensor = found["scores"]
    return out


@pytest.mark.parametrize(
    ("score", "threshold", "wanted"),
    [("product", 0.4, [0.2]), ("product", 0.6, []), ("root", 0.4, [math.sqrt(0.2)]), ("root", 0.5, [])],
)
def test_class_and_centerness_make_the_score(detection: Any, score: Any, threshold: float, wanted: list[float]) -> None:
    """A class of 0.5 in one cell and a centre-ness of 0.4 everywhere."""
    model = tiny(score=score, score_threshold=threshold)
    output = model.output(torch.zeros(1, 3, *SIZE))
    assert output.centerness is not None
    for classes, centerness in zip(output.classes, output.centerness, strict=True):
        classes.data.fill_(-20)
        centerness.data.fill_(math.log(0.4 / 0.6))
    output.classes[1].data[0, 3, 2] = 0.0
    model.output = lambda images: output  # type: ignore[method-assign]
    assert scores(model, detection.batch([], size=SIZE)).tolist() == pytest.approx(wanted, abs=1e-6)


@torch.no_grad()
def test_nothing_above_the_threshold(detection: Any) -> None:
    first, second = tiny(score_threshold=0.99).eval()(detection.batch([], [], size=SIZE))
    assert first["boxes"].shape == second["boxes"].shape == (0, 4)


def test_losses_are_float32_under_autocast(detection: Any) -> None:
    with torch.autocast("cpu", dtype=torch.bfloat16):
        losses = tiny()(detection.batch(*TWO, size=SIZE))
    assert {v.dtype for v in losses.values()} == {torch.float32}
    assert all(v.isfinite() for v in losses.values())


@pytest.mark.slow
def test_compiled_it_learns_the_same(detection: Any) -> None:
    found = []
    for wrap in (lambda m: m, lambda m: torch.compile(m, backend="eager")):  # traced, but not translated to C++
        model = tiny()
        losses = wrap(model)(detection.batch(*TWO, size=SIZE))
        detection.total(losses).backward()
        found.append((losses, [p.grad for p in model.parameters()]))
    torch.testing.assert_close(found[1], found[0], rtol=1e-4, atol=1e-5)


def test_contract() -> None:
    check_detector(dense_configs.FCOS(backbone=ResNet(depth=18, out=(2, 3, 4)), resize=RESIZE, score_threshold=0.01))


def test_rules_of_a_new_model() -> None:
    assert tiny().rules == PointRules()
    assert tiny(center_radius=1.5).rules.radius == 1.5
