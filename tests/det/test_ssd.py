"""SSD beside torchvision's, and its priors, targets and hard negatives worked out by hand."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from typing import Any

import attrs
import pytest
import torch
from torch import Tensor
from torchvision import tv_tensors
from torchvision.models.detection import ssd as reference
from torchvision.models.detection.anchor_utils import DefaultBoxGenerator
from torchvision.models.vgg import cfgs, make_layers

from vf.backbones import VGG16SSD, ResNet, Torchvision
from vf.data.sample import Sample
from vf.errors import ConfigError
from vf.necks import FPN
from vf.testing import INFO, check_detector
from vf_det import dense_configs
from vf_det.dense.priors import Priors, sides_of
from vf_det.dense.ssd import SSD, assign
from vf_det.dense.stretch import Stretch
from vf_det.matching import BACKGROUND

SIZE = (64, 64)
SMALL: dict[str, Any] = {
    "backbone": ResNet(depth=18, out=(2, 3, 4)),
    "size": 64,
    "scales": (0.2, 0.4, 0.8, 1.0),
    "ratios": ((2.0,), (2.0, 3.0), ()),
}
TWO = ([[8.3, 8.1, 40.2, 40.9], [5.7, 10.4, 60.2, 40.6]], [[20.5, 20.3, 60.1, 50.7]])


def tiny(**keys: Any) -> SSD:
    """Build on a ResNet-18 for images of 64 px: levels of 8, 4 and 2 cells with 4, 6 and 2 priors."""
    torch.manual_seed(0)
    model = dense_configs.SSD(**{**SMALL, **keys}).build(INFO)
    assert isinstance(model, SSD)
    return model


NAMES: tuple[tuple[str, Callable[[str, str], str]], ...] = (
    (r"backbone\.features\.(\d+)(.*)", lambda n, end: f"backbone.features.{n}{end}"),
    (r"backbone\.scale_weight()()", lambda n, end: "backbone.l2_norm.weight"),
    (r"backbone\.extra\.0\.7\.(\d+)(.*)", lambda n, end: f"backbone.features.{30 + int(n)}{end}"),
    (r"backbone\.extra\.0\.(\d+)(.*)", lambda n, end: f"backbone.features.{23 + int(n)}{end}"),
    (r"backbone\.extra\.(\d+)(.*)", lambda n, end: f"backbone.extra.{int(n) - 1}{end}"),
    (r"head\.classification_head\.module_list\.(\d+)(.*)", lambda n, end: f"head.classes.{n}{end}"),
    (r"head\.regression_head\.module_list\.(\d+)(.*)", lambda n, end: f"head.boxes.{n}{end}"),
)
"""torchvision's names and ours; the first that fits counts."""


def copied(other: reference.SSD, model: SSD) -> None:
    """Fill our model with torchvision's weights; there, background is the first of four classes."""
    weights: dict[str, Tensor] = {}
    for name, value in other.state_dict().items():
        ours = next(make(*m.groups()) for pattern, make in NAMES if (m := re.fullmatch(pattern, name)))
        if ours.startswith("head.classes"):
            value = value.view(-1, 4, *value.shape[1:]).roll(-1, 1).reshape(value.shape)
        weights[ours] = value
    missing, unexpected = model.load_state_dict(weights, strict=False)
    assert not unexpected
    assert set(missing) == {"preprocess.mean", "preprocess.std"}


@pytest.fixture(scope="module")
def pair(detection: Any) -> tuple[SSD, reference.SSD]:
    """Ours and torchvision's with the same weights: 300 px, three classes."""
    torch.manual_seed(0)
    body = reference.SSDFeatureExtractorVGG(make_layers(cfgs["D"]), highres=False)
    body.out_channels = [512, 1024, 512, 256, 256, 256]
    priors = DefaultBoxGenerator(
        [[2], [2, 3], [2, 3], [2, 3], [2], [2]],
        scales=[0.07, 0.15, 0.33, 0.51, 0.69, 0.87, 1.05],
        steps=[8, 16, 32, 64, 100, 300],
    )
    mean_std = {"image_mean": [0.48235, 0.45882, 0.40784], "image_std": [1 / 255] * 3}
    other = reference.SSD(body, priors, (300, 300), 4, score_thresh=0.5, topk_candidates=9000, **mean_std)
    detection.loosen(other.head)
    mean = tuple(255 * value for value in mean_std["image_mean"])
    model = dense_configs.SSD(grid="torchvision", score_threshold=0.5, candidates=9000, mean=mean).build(INFO)
    assert isinstance(model, SSD)
    copied(other, model)
    return model, other


@torch.no_grad()
def test_predictions_are_those_of_torchvision(pair: tuple[SSD, reference.SSD], detection: Any) -> None:
    batch = detection.batch([], size=(300, 300))
    model, other = (m.eval() for m in pair)
    detection.assert_same(model(batch), detection.of_torchvision(other, batch), first_label=1)


@torch.no_grad()
def test_losses_are_those_of_torchvision(pair: tuple[SSD, reference.SSD], detection: Any) -> None:
    model, other = (m.train() for m in pair)
    one = [[80.3, 80.1, 240.2, 140.9], [5.7, 10.4, 200.2, 240.6], [40.1, 50.5, 70.2, 85.3]]
    batch = detection.batch(one, [[200.5, 20.3, 260.1, 50.7]], size=(300, 300))
    own, losses = detection.of_torchvision(other, batch, first_label=1), model(batch)
    assert losses["_num_pos"] > 10
    torch.testing.assert_close(losses["loss_cls"], own["classification"], atol=1e-4, rtol=1e-5)
    torch.testing.assert_close(losses["loss_box"], own["bbox_regression"], atol=1e-4, rtol=1e-5)


def test_priors_of_a_cell() -> None:
    """Sides 0.4 and sqrt(0.4 · 0.9) = 0.6, then 2:1 of the area 0.16."""
    root = math.sqrt(2)
    wanted = [[0.4, 0.4], [0.6, 0.6], [0.4 * root, 0.4 / root], [0.4 / root, 0.4 * root]]
    torch.testing.assert_close(sides_of(0.4, 0.9, (2.0,)), torch.tensor(wanted))


def test_priors_lie_around_the_middle_of_cells() -> None:
    priors = Priors(scales=(0.5, 0.5), ratios=((),), strides=(16,))
    assert priors.per_cell == (2,)
    boxes = priors([(2, 2)], (32, 32))
    assert boxes[::2].tolist() == [[0, 0, 16, 16], [16, 0, 32, 16], [0, 16, 16, 32], [16, 16, 32, 32]]
    assert torch.equal(boxes[::2], boxes[1::2])


@pytest.mark.parametrize(("size", "count"), [(300, 8732), (512, 24564)])
def test_as_many_priors_as_published(size: Any, count: int) -> None:
    cells = {300: (38, 19, 10, 5, 3, 1), 512: (64, 32, 16, 8, 4, 2, 1)}[size]
    extra = ((2.0,),) if size == 300 else ((2.0, 3.0), (2.0,))
    ratios = ((2.0,), (2.0, 3.0), (2.0, 3.0), (2.0, 3.0), *extra, (2.0,))
    scales = tuple(0.1 * n for n in range(1, len(ratios) + 2))
    with torch.device("meta"):
        model = dense_configs.SSD(backbone=VGG16SSD(size=size), size=size, ratios=ratios, scales=scales).build(INFO)
    assert sum(n * n * per for n, per in zip(cells, model.priors.per_cell, strict=True)) == count


def test_an_object_takes_its_best_prior_and_all_that_fit() -> None:
    priors = torch.tensor([[0.0, 0, 10, 10], [10, 0, 20, 10], [10, 0, 20, 9], [30, 0, 40, 10], [0, 0, 10, 8]])
    #  fits 0 and 4 | fits 1 and 2 | lies in 3 alone: IoU 0.01
    boxes = torch.tensor([[0.0, 0, 10, 10], [10, 0, 20, 9], [31, 1, 32, 2]])
    assert assign(priors, boxes, positive=0.5).tolist() == [0, 1, 1, 2, 0]
    assert assign(priors, boxes, positive=0.95).tolist() == [0, BACKGROUND, 1, 2, BACKGROUND]
    assert assign(priors, boxes[:0], positive=0.5).tolist() == [BACKGROUND] * 5


def test_of_equal_best_priors_one_is_taken() -> None:
    priors = torch.tensor([[0.0, 0, 10, 10], [1, 1, 11, 11], [50, 50, 60, 60]])
    assert assign(priors, torch.tensor([[4.0, 4, 6, 6]]), positive=0.5).tolist() == [0, BACKGROUND, BACKGROUND]


def test_two_objects_of_one_best_prior() -> None:
    priors = torch.tensor([[0.0, 0, 10, 10], [50, 50, 60, 60]])
    boxes = torch.tensor([[0.0, 0, 10, 10], [0, 0, 3, 3]])
    assert assign(priors, boxes, positive=0.5).tolist() == [1, BACKGROUND]


def entropy(logits: list[float], label: int) -> float:
    return math.log(sum(math.exp(v) for v in logits)) - logits[label]


def test_the_hardest_negatives_count() -> None:
    """Two classes and background; one positive, so three of the five negatives count."""
    model = tiny()
    logits = [[1.0, 0, 0], [2.0, 0, 0], [0, 3.0, 0], [0, 0, 4.0], [0.5, 0, 0], [0, 0, 1.0]]
    labels = torch.tensor([[0, *[BACKGROUND] * 5]])
    value = model._class_loss(torch.tensor([logits]), labels).item()
    wanted = entropy(logits[0], 0) + sum(entropy(logits[i], 2) for i in (1, 2, 4))
    assert value == pytest.approx(wanted, rel=1e-5)
    assert model._class_loss(torch.tensor([logits]), torch.full((1, 6), BACKGROUND)).item() == 0
    # Each image counts for itself: one without objects has no negatives.
    both = torch.tensor([logits, logits])
    value = model._class_loss(both, torch.cat((labels, torch.full((1, 6), BACKGROUND)))).item()
    assert value == pytest.approx(wanted, rel=1e-5)


@pytest.mark.parametrize("boxes", [([], []), ([],), ([[8.0, 8.0, 9.0, 9.0]], [])])
def test_every_parameter_gets_a_gradient(detection: Any, boxes: Any) -> None:
    model = tiny()
    losses = model(detection.batch(*boxes, size=SIZE))
    detection.total(losses).backward()
    assert set(losses) == {"loss_cls", "loss_box", "_num_pos"}
    assert all(value.isfinite() and value.ndim == 0 and value.dtype == torch.float32 for value in losses.values())
    assert detection.without_gradient(model) == []


def test_crowd_regions_teach_nothing(detection: Any) -> None:
    losses = tiny()(detection.batch(*TWO, size=SIZE, iscrowd=torch.ones(3, dtype=torch.bool)))
    assert (losses["loss_cls"], losses["loss_box"], losses["_num_pos"]) == (0, 0, 0)


@torch.no_grad()
def test_nothing_above_the_threshold(detection: Any) -> None:
    first, second = tiny(score_threshold=1.0).eval()(detection.batch([], [], size=SIZE))
    assert first["boxes"].shape == second["boxes"].shape == (0, 4)


def test_contract() -> None:
    check_detector(dense_configs.SSD(**SMALL))


LITE: dict[str, Any] = {
    "backbone": Torchvision(net="mobilenet_v2", out=(3, 4)),
    "extra": (512, 256, 256, 128),
    "depthwise": True,
    "size": 320,
    "scales": (0.15, 0.3125, 0.46875, 0.63125, 0.790625, 0.95, 1.0),
    "ratios": ((2.0, 3.0),) * 6,
    "strides": (16, 32, 64, 107, 160, 320),
}


def test_ssdlite_is_as_large_as_published() -> None:
    """arXiv 1801.04381, table 6: 4.3 M parameters."""
    info = attrs.evolve(INFO, classes=tuple(map(str, range(80))))
    with torch.device("meta"):
        model = dense_configs.SSD(**LITE).build(info).eval()
        levels = model.neck(model.backbone(torch.zeros(1, 3, 320, 320)))
    assert [x.shape[1] for x in levels] == [96, 1280, 512, 256, 256, 128]
    assert [tuple(x.shape[2:]) for x in levels] == [(n, n) for n in (20, 10, 5, 3, 2, 1)]
    assert sum(p.numel() for p in model.parameters()) / 1e6 == pytest.approx(4.3, abs=0.1)


def test_further_levels_after_a_neck(detection: Any) -> None:
    keys = {**SMALL, "neck": FPN(channels=8, levels=3), "extra": (16,)}
    model = tiny(**{**keys, "scales": (0.2, 0.4, 0.6, 0.8, 1.0), "ratios": ((2.0,),) * 4, "strides": (8, 16, 32, 64)})
    detection.total(model(detection.batch(*TWO, size=SIZE))).backward()
    assert detection.without_gradient(model) == []
    assert model.eval().output(torch.zeros(1, 3, 64, 64)).grids == [(8, 8), (4, 4), (2, 2), (1, 1)]


def test_images_are_stretched() -> None:
    rules = Stretch(size=(30, 60), mean=(10.0, 20.0, 30.0), std=(1.0, 2.0, 1.0))
    boxes = tv_tensors.BoundingBoxes(torch.tensor([[10.0, 10, 20, 40]]), format="XYXY", canvas_size=(60, 30))
    sample = Sample(tv_tensors.Image(torch.full((3, 60, 30), 50, dtype=torch.uint8)), {"boxes": boxes}, "a")
    fitted = rules.fit(sample, with_target=True)
    assert fitted.size == (30, 60)
    assert fitted.target["boxes"].tolist() == [[20, 5, 40, 20]]
    assert rules.fit(sample, with_target=False).target["boxes"].tolist() == [[10, 10, 20, 40]]
    x = rules(fitted.image[None], torch.tensor([[30, 60]]))
    assert x.shape == (1, 3, 30, 60)
    assert x[0, :, 3, 3].tolist() == [40, 15, 20]
    x = rules(fitted.image[None, :, :20], torch.tensor([[20, 50]]))
    assert x.shape == (1, 3, 30, 60)
    assert x[0, 0].count_nonzero() == 20 * 50
    swapped = Stretch(size=(30, 60), mean=(10.0, 20.0, 30.0), std=(1.0, 1.0, 1.0), bgr=True)
    image = torch.tensor([1, 2, 3], dtype=torch.uint8).view(1, 3, 1, 1).expand(1, 3, 30, 60)
    assert swapped(image, torch.tensor([[30, 60]]))[0, :, 0, 0].tolist() == [-7, -18, -29]


def test_an_image_larger_than_the_input() -> None:
    rules = Stretch(size=(30, 60), mean=(0.0,) * 3, std=(1.0,) * 3)
    with pytest.raises(ConfigError) as error:
        rules(torch.zeros(1, 3, 40, 60, dtype=torch.uint8), torch.tensor([[40, 60]]))
    assert error.value.problems == (
        "augment: gives images of up to 40×60 px (height × width), more than model.size 30×60; make one smaller or "
        "the other larger",
    )


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"size": 512}, "size 512 is not backbone.size 300; set both"),
        ({"scales": (0.1, 0.2)}, "scales has 2 items and ratios 6; expected one more than ratios"),
        ({"scales": (0.2, 0.1)}, "must be two or more rising numbers > 0, got [0.2, 0.1]"),
        ({"ratios": ((0.0,),) * 6}, "must be > 0, got 0.0"),
    ],
)
def test_a_wrong_key_says_what_was_expected(keys: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=r".") as error:
        dense_configs.SSD(**keys)
    assert str(error.value) == message


def test_priors_of_other_levels() -> None:
    with pytest.raises(ConfigError) as error:
        dense_configs.SSD(backbone=ResNet(depth=18), size=64).build(INFO)
    assert error.value.problems == (
        "model.ratios: has 6 items, expected one for each of the 4 levels of strides 4, 8, 16, 32; "
        "scales has one more, strides none or as many",
    )
