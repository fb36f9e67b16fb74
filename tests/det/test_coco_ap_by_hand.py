"""COCO's AP: worked out by hand, where there is nothing to measure, and what is refused."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from vf.errors import DataError, SetupError
from vf.protocols import DatasetInfo
from vf_det.coco_ap import NUMBERS
from vf_det.metric_configs import CocoAP

INFO = DatasetInfo(classes=("cat", "dog", "cow"), task="det", num_samples={}, fingerprint="")
BACKENDS = ("vf", "pycocotools", "faster_coco_eval")


def found(boxes: list[list[float]], scores: list[float], labels: list[int]) -> dict[str, torch.Tensor]:
    return {
        "boxes": torch.tensor(boxes).reshape(-1, 4),
        "scores": torch.tensor(scores),
        "labels": torch.tensor(labels, dtype=torch.int64),
    }


def truth(id_: str, boxes: list[list[float]], labels: list[int], crowd: list[bool] | None = None) -> dict[str, Any]:
    target = {"id": id_, "boxes": torch.tensor(boxes).reshape(-1, 4), "labels": torch.tensor(labels, dtype=torch.int64)}
    return target if crowd is None else {**target, "iscrowd": torch.tensor(crowd)}


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize(
    ("predictions", "targets", "expected"),
    [
        # one object, found exactly: every number is 1
        ([found([[0, 0, 10, 10]], [0.9], [0])], [truth("a", [[0, 0, 10, 10]], [0])], {"AP": 1.0, "AP50": 1.0}),
        # found as another class: 0, and that class has no object, so it does not count
        ([found([[0, 0, 10, 10]], [0.9], [1])], [truth("a", [[0, 0, 10, 10]], [0])], {"AP": 0.0, "AP50": 0.0}),
        # IoU 0.6: right at 0.5, 0.55, 0.6 of ten thresholds
        (
            [found([[0, 0, 10, 6]], [0.9], [0])],
            [truth("a", [[0, 0, 10, 10]], [0])],
            {"AP": 0.3, "AP50": 1.0, "AP75": 0.0},
        ),
        # a wrong box above a right one: precision 1/2 at every recall
        (
            [found([[50, 50, 60, 60], [0, 0, 10, 10]], [0.9, 0.8], [0, 0])],
            [truth("a", [[0, 0, 10, 10]], [0])],
            {"AP": 0.5, "AR1": 0.0, "AR10": 1.0},
        ),
        # one of two found: precision 1 up to recall 0.5, that is 51 of 101 points
        (
            [found([[0, 0, 10, 10]], [0.9], [0])],
            [truth("a", [[0, 0, 10, 10], [50, 50, 60, 60]], [0, 0])],
            {"AP": 51 / 101, "AR100": 0.5},
        ),
        # a box on a crowd region is neither right nor wrong
        (
            [found([[0, 0, 10, 10], [50, 50, 60, 60]], [0.8, 0.9], [0, 0])],
            [truth("a", [[0, 0, 10, 10], [50, 50, 60, 60]], [0, 0], [False, True])],
            {"AP": 1.0},
        ),
        # nothing found
        ([found([], [], [])], [truth("a", [[0, 0, 10, 10]], [0])], {"AP": 0.0, "AR100": 0.0, "AP_large": None}),
    ],
)
def test_numbers_worked_out_by_hand(backend: str, predictions: Any, targets: Any, expected: dict[str, Any]) -> None:
    metric = CocoAP(backend=backend).build(INFO)
    metric.update(predictions, targets)
    numbers = metric.compute()
    assert tuple(numbers) == NUMBERS
    for name, value in expected.items():
        assert numbers[name] == (None if value is None else pytest.approx(value, abs=1e-6)), name


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize(
    "targets",
    [[], [truth("a", [], [])], [truth("a", [[0, 0, 9, 9]], [0], [True])]],
    ids=["no image", "no object", "all crowd"],
)
def test_nothing_to_measure_is_none(backend: str, targets: Any) -> None:
    metric = CocoAP(backend=backend).build(INFO)
    metric.update([found([[0, 0, 5, 5]], [0.5], [0]) for _ in targets], targets)
    assert metric.compute() == dict.fromkeys(NUMBERS)
    assert metric.table() == [("AP cat", None), ("AP dog", None), ("AP cow", None)]


def test_proposals_come_from_the_model_where_it_has_them() -> None:
    metric = CocoAP(proposals=True).build(INFO)
    boxes = torch.tensor([[0.0, 0.0, 10.0, 10.0]])
    metric.update(
        [{**found([], [], []), "proposals": boxes, "proposal_scores": torch.tensor([0.5])}],
        [truth("a", [[0, 0, 10, 10]], [2])],
    )
    numbers = metric.compute()
    assert (numbers["AR100"], numbers["AR@100"]) == (0.0, 1.0)


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"max_dets": (10, 1)}, "must be rising numbers > 0, got [10, 1]"),
        ({"iou_thrs": (0.0,)}, "must be > 0 and <= 1, got [0.0]"),
        ({"iou": ()}, "must have at least 1 item, got none"),
    ],
)
def test_options_that_make_no_sense_are_refused(options: dict[str, Any], problem: str) -> None:
    with pytest.raises(ValueError, match=r"^must") as error:
        CocoAP(**options)
    assert str(error.value) == problem


def refused(options: dict[str, Any], prediction: dict[str, Any], target: dict[str, Any]) -> tuple[str, ...]:
    with pytest.raises(DataError) as error:
        CocoAP(**options).build(INFO).update([prediction], [target])
    return error.value.problems


def test_masks_and_points_that_are_missing_are_refused() -> None:
    prediction, target = found([[0, 0, 5, 5]], [0.5], [0]), truth("a", [[0, 0, 5, 5]], [0])
    cure = "has no masks: use a model with masks and data with masks: true, or measure boxes"
    where = "metric coco_ap: segm: image 'a'"
    assert refused({"iou": ("segm",)}, prediction, target) == (f"{where}: prediction {cure}",)
    prediction["masks"] = torch.ones(1, 8, 9, dtype=torch.bool)
    assert refused({"iou": ("segm",)}, prediction, target) == (f"{where}: target {cure}",)
    target["masks"] = torch.ones(1, 4, 4, dtype=torch.bool)
    assert refused({"iou": ("segm",)}, prediction, target) == (
        f"{where}: masks of 8×9 found, 4×4 labelled (height × width); both must be of the decoded image",
    )
    expected = "metric coco_ap: keypoints: image 'a': prediction: expected 17 keypoints, as 'sigmas' has, got"
    assert refused({"iou": ("keypoints",)}, prediction, target) == (f"{expected} none",)
    prediction["keypoints"] = torch.zeros(1, 5, 2)
    assert refused({"iou": ("keypoints",)}, prediction, target) == (f"{expected} 5",)


def test_per_class_rows_are_the_mean_of_their_class() -> None:
    metric = CocoAP().build(INFO)
    metric.update(
        [found([[0, 0, 10, 10], [50, 50, 60, 60]], [0.9, 0.9], [0, 1])],
        [truth("a", [[0, 0, 10, 10], [20, 20, 30, 30]], [0, 1])],
    )
    assert metric.compute()["AP"] == pytest.approx(0.5)
    assert metric.table() == [("AP cat", pytest.approx(1.0)), ("AP dog", pytest.approx(0.0)), ("AP cow", None)]


def test_a_backend_that_is_not_installed_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert CocoAP().build(INFO).backend == "vf"
    with pytest.raises(SetupError) as error:
        CocoAP(backend="faster_coco_eval").build(INFO)
    assert error.value.problems == (
        "metric coco_ap: backend 'faster_coco_eval' is not installed; pip install faster-coco-eval, "
        "or leave 'backend' out",
    )
