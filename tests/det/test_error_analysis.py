"""What mistakes cost: each kind worked out by hand, AP beside COCO's, and where there is nothing to measure."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from vf.protocols import DatasetInfo
from vf.testing import check_metric
from vf_det.masks import Masks
from vf_det.metric_configs import CocoAP, ErrorAnalysis

INFO = DatasetInfo(classes=("cat", "dog"), task="det", num_samples={}, fingerprint="")
KINDS = ("classification", "localisation", "both", "duplicate", "background", "missed")
A, B, FAR = [0, 0, 10, 10], [20, 20, 30, 30], [80, 80, 90, 90]
NEAR_A, OFF_A = [0, 0, 10, 5.5], [0, 0, 10, 4]  # IoU 0.55 and 0.4


def found(boxes: list[list[float]], scores: list[float], labels: list[int]) -> dict[str, Any]:
    return {
        "boxes": torch.tensor(boxes).reshape(-1, 4),
        "scores": torch.tensor(scores),
        "labels": torch.tensor(labels, dtype=torch.int64),
    }


def truth(id_: str, boxes: list[list[float]], labels: list[int], crowd: list[bool] | None = None) -> dict[str, Any]:
    target = {"id": id_, "boxes": torch.tensor(boxes).reshape(-1, 4), "labels": torch.tensor(labels, dtype=torch.int64)}
    return target if crowd is None else {**target, "iscrowd": torch.tensor(crowd)}


HALF = 51 / 101
"""AP of one right detection for two objects: precision 1 at recall 0 … 0.5."""


@pytest.mark.parametrize(
    ("prediction", "target", "ap", "costs", "counts"),
    [
        # all right
        (found([A], [0.9], [0]), truth("a", [A], [0]), 1.0, {}, {}),
        # nobody found the second one
        (
            found([A], [0.9], [0]),
            truth("a", [A, B], [0, 0]),
            HALF,
            {"missed": 1 - HALF, "not_found": 1 - HALF},
            {"missed": 1},
        ),
        # a box too small: moved, it is right
        (
            found([OFF_A], [0.9], [0]),
            truth("a", [A], [0]),
            0.0,
            {"localisation": 1.0},
            {"localisation": 1},
        ),
        # the surer of two is moved, the other dropped; the object is not missed
        (
            found([OFF_A, OFF_A, B], [0.8, 0.9, 0.7], [0, 0, 0]),
            truth("a", [A, B], [0, 0]),
            HALF / 3,
            # dropped and moved: both right. wrong ones gone: one right of two. not_found: precision 1/3 at recall 1.
            {"localisation": 1 - HALF / 3, "wrong": HALF - HALF / 3, "not_found": 1 / 3 - HALF / 3},
            {"localisation": 2},
        ),
        # the right place, the wrong class: renamed, cat has 1; there is no dog, so dog is left out
        (
            found([A], [0.9], [1]),
            truth("a", [A], [0]),
            0.0,
            {"classification": 1.0},
            {"classification": 1},
        ),
        # a second box on one object, above the second object's: precision 1, 1/2, 2/3
        (
            found([A, NEAR_A, B], [0.9, 0.8, 0.7], [0, 0, 0]),
            truth("a", [A, B], [0, 0]),
            (51 + 50 * 2 / 3) / 101,
            {"duplicate": 50 / 3 / 101, "wrong": 50 / 3 / 101},
            {"duplicate": 1},
        ),
        # on nothing, above the right one
        (
            found([FAR, A], [0.9, 0.8], [0, 0]),
            truth("a", [A], [0]),
            0.5,
            {"background": 0.5, "wrong": 0.5},
            {"background": 1},
        ),
        # wrong class and wrong place
        (
            found([OFF_A, B], [0.9, 0.8], [1, 1]),
            truth("a", [A, B], [0, 1]),
            0.25,
            # cat: missed, nothing of it was found: 1 when it is taken out of the count. dog: 1/2, 1 without the box.
            {"both": 0.25, "wrong": 0.25, "missed": 0.5, "not_found": 0.5},
            {"both": 1, "missed": 1},
        ),
        # on a crowd: neither right nor wrong
        (
            found([FAR, A], [0.9, 0.8], [0, 0]),
            truth("a", [A, FAR], [0, 0], [False, True]),
            1.0,
            {},
            {},
        ),
        # nothing found
        (
            found([], [], []),
            truth("a", [A], [0]),
            0.0,
            {"missed": 1.0, "not_found": 1.0},
            {"missed": 1},
        ),
    ],
)
def test_costs_worked_out_by_hand(
    prediction: Any, target: Any, ap: float, costs: dict[str, float], counts: dict[str, int]
) -> None:
    metric = ErrorAnalysis().build(INFO)
    metric.update([prediction], [target])
    numbers = metric.compute()
    assert numbers["analysis_AP"] == pytest.approx(ap)
    for name in KINDS:
        assert numbers[f"dAP_{name}"] == pytest.approx(costs.get(name, 0.0)), name
    for name in ("wrong", "not_found"):
        if name in costs:
            assert numbers[f"dAP_{name}"] == pytest.approx(costs[name]), name
    assert dict(metric.table()) == {f"mistakes {name}": counts.get(name, 0) for name in KINDS}


NOTHING = {name: None for name in ("analysis_AP", *(f"dAP_{name}" for name in (*KINDS, "wrong", "not_found")))}


@pytest.mark.parametrize("targets", [[], [truth("a", [], [])], [truth("a", [A], [0], [True])]])
def test_nothing_to_measure_is_none(targets: Any) -> None:
    metric = ErrorAnalysis().build(INFO)
    metric.update([found([A], [0.5], [0]) for _ in targets], targets)
    assert metric.compute() == NOTHING
    assert all(value is None for _, value in metric.table())


def random_case(seed: int) -> tuple[list[Any], list[Any]]:
    rng = np.random.default_rng(seed)
    predictions, targets = [], []
    for image in range(20):
        count = int(rng.integers(0, 6))
        corner, side = rng.uniform(0, 60, (count, 2)), rng.uniform(5, 40, (count, 2))
        boxes, labels = np.concatenate([corner, corner + side], 1), rng.integers(0, 2, count)
        targets.append(truth(f"{image:02d}", boxes.tolist(), labels.tolist()))
        moved = np.concatenate([boxes.repeat(3, 0) + rng.normal(0, 5, (3 * count, 4)), rng.uniform(0, 40, (2, 4))])
        moved[:, 2:] = np.maximum(moved[:, 2:], moved[:, :2] + 1)
        guesses = np.concatenate([labels.repeat(3), rng.integers(0, 2, 2)])
        guesses[rng.random(len(guesses)) < 0.2] = 1
        predictions.append(found(moved.tolist(), rng.random(len(moved)).tolist(), guesses.tolist()))
    return predictions, targets


@pytest.mark.parametrize("seed", range(3))
def test_ap_is_cocos(seed: int) -> None:
    case = random_case(seed)
    analysis, coco = ErrorAnalysis().build(INFO), CocoAP().build(INFO)
    for metric in (analysis, coco):
        metric.update(*case)
    numbers = analysis.compute()
    assert numbers["analysis_AP"] == pytest.approx(coco.compute()["AP50"], abs=1e-9)


def test_every_kind_of_mistake_costs_something() -> None:
    metric = ErrorAnalysis().build(INFO)
    metric.update(*random_case(1))
    numbers = metric.compute()
    assert all(count for _, count in metric.table())
    assert all((numbers[f"dAP_{name}"] or 0) > 0 for name in KINDS)


def test_masks_of_rectangles_cost_as_their_boxes() -> None:
    predictions, targets = random_case(4)
    for entry in (*predictions, *targets):
        entry["boxes"] = entry["boxes"].round().clamp(min=0)
        dense = torch.zeros(len(entry["boxes"]), 128, 128, dtype=torch.bool)
        for mask, (x1, y1, x2, y2) in zip(dense, entry["boxes"].int().tolist(), strict=True):
            mask[y1:y2, x1:x2] = True
        entry["masks"] = Masks.from_dense(dense)
    boxes, masks = ErrorAnalysis().build(INFO), ErrorAnalysis(iou="segm").build(INFO)
    for metric in (boxes, masks):
        metric.update(predictions, targets)
    assert masks.compute() == pytest.approx(boxes.compute())


def test_contract() -> None:
    check_metric(ErrorAnalysis(), *random_case(9))


def test_thresholds_that_cross_are_refused() -> None:
    with pytest.raises(ValueError, match=r"^background 0\.5 >= foreground 0\.5$"):
        ErrorAnalysis(background=0.5)
