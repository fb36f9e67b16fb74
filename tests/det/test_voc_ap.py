"""Pascal VOC's mAP: by hand, against a loop written from the devkit's rules, and where there is nothing to measure."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from vf.protocols import DatasetInfo
from vf.testing import check_metric
from vf_det.metric_configs import VocAP

INFO = DatasetInfo(classes=("cat", "dog"), task="det", num_samples={}, fingerprint="")


def found(boxes: list[list[float]], scores: list[float], labels: list[int]) -> dict[str, torch.Tensor]:
    return {
        "boxes": torch.tensor(boxes).reshape(-1, 4),
        "scores": torch.tensor(scores),
        "labels": torch.tensor(labels, dtype=torch.int64),
    }


def truth(id_: str, boxes: list[list[float]], labels: list[int], difficult: list[bool] | None = None) -> dict[str, Any]:
    target = {"id": id_, "boxes": torch.tensor(boxes).reshape(-1, 4), "labels": torch.tensor(labels, dtype=torch.int64)}
    return target if difficult is None else {**target, "difficult": torch.tensor(difficult, dtype=torch.bool)}


A, B, C, FAR = [0, 0, 10, 10], [20, 20, 30, 30], [40, 40, 50, 50], [80, 80, 90, 90]


@pytest.mark.parametrize(
    ("prediction", "target", "area", "points", "recall"),
    [
        # found exactly
        (found([A], [0.9], [0]), truth("a", [A], [0]), 1.0, 1.0, 1.0),
        # right, wrong, right: precision 1 up to recall 1/3, 2/3 up to 2/3; points 0, .1, .2, .3 and .4, .5, .6
        (
            found([A, FAR, B], [0.9, 0.8, 0.7], [0, 0, 0]),
            truth("a", [A, B, C], [0, 0, 0]),
            1 / 3 + 2 / 9,
            (4 * 1 + 3 * 2 / 3) / 11,
            2 / 3,
        ),
        # the second box on one object is wrong, and it stands below: it costs nothing
        (found([A, A], [0.9, 0.8], [0, 0]), truth("a", [A], [0]), 1.0, 1.0, 1.0),
        # … but above another object's box it does: precision 1, 1/2, 2/3
        (
            found([A, A, B], [0.9, 0.8, 0.7], [0, 0, 0]),
            truth("a", [A, B], [0, 0]),
            0.5 + 0.5 * 2 / 3,
            (6 + 5 * 2 / 3) / 11,
            1.0,
        ),
        # on a difficult object: neither right nor wrong, however often
        (
            found([B, B, A], [0.9, 0.8, 0.7], [0, 0, 0]),
            truth("a", [A, B], [0, 0], [False, True]),
            1.0,
            1.0,
            1.0,
        ),
        # IoU of exactly 0.5 is enough
        (found([[0, 0, 10, 5]], [0.9], [0]), truth("a", [A], [0]), 1.0, 1.0, 1.0),
        # nothing found, and everything found as another class
        (found([], [], []), truth("a", [A], [0]), 0.0, 0.0, 0.0),
        (found([A], [0.9], [1]), truth("a", [A], [0]), 0.0, 0.0, 0.0),
        # no area
        (found([[5, 5, 5, 5]], [0.9], [0]), truth("a", [[5, 5, 5, 5]], [0]), 0.0, 0.0, 0.0),
    ],
)
def test_numbers_worked_out_by_hand(prediction: Any, target: Any, area: float, points: float, recall: float) -> None:
    for mode, expected in (("area", area), ("11point", points)):
        metric = VocAP(mode=mode).build(INFO)
        metric.update([prediction], [target])
        assert metric.compute() == pytest.approx({"mAP": expected, "mAP50": expected, "recall50": recall})
        assert metric.table() == [
            ("AP cat", pytest.approx(expected)),
            ("AP dog", None),
            ("recall cat", pytest.approx(recall)),
            ("recall dog", None),
        ]


def test_the_object_that_overlaps_most_decides_even_if_it_is_taken() -> None:
    # The second box overlaps the first object more (0.8) than the second one (0.6): wrong, though 0.6 would do.
    boxes = [[0, 0, 10, 10], [0, 0, 10, 8]]
    target = truth("a", [[0, 0, 10, 10], [0, 0, 10, 4.8]], [0, 0])
    metric = VocAP().build(INFO)
    metric.update([found(boxes, [0.9, 0.8], [0, 0])], [target])
    assert metric.compute()["recall50"] == 0.5


def test_map_is_the_mean_over_thresholds() -> None:
    metric = VocAP(iou_thrs=(0.5, 0.625)).build(INFO)
    metric.update([found([[0, 0, 10, 6]], [0.9], [0])], [truth("a", [A], [0])])
    assert metric.compute() == {"mAP": 0.5, "mAP50": 1.0, "recall50": 1.0, "mAP62.5": 0.0, "recall62.5": 0.0}


@pytest.mark.parametrize("targets", [[], [truth("a", [], [])], [truth("a", [A], [0], [True])]])
def test_nothing_to_measure_is_none(targets: Any) -> None:
    metric = VocAP().build(INFO)
    metric.update([found([A], [0.5], [0]) for _ in targets], targets)
    assert metric.compute() == {"mAP": None, "mAP50": None, "recall50": None}
    assert all(value is None for _, value in metric.table())


def random_case(seed: int) -> tuple[list[Any], list[Any]]:
    rng = np.random.default_rng(seed)
    predictions, targets = [], []
    for image in range(10):
        count = int(rng.integers(0, 5))
        corner, side = rng.integers(0, 80, (count, 2)), rng.integers(0, 40, (count, 2))
        boxes = np.concatenate([corner, corner + side], 1).astype(np.float32)
        labels = rng.integers(0, 2, count)
        difficult = (rng.random(count) < 0.3).tolist()
        targets.append(truth(f"{image}", boxes.tolist(), labels.tolist(), difficult))
        moved = np.concatenate([boxes + rng.integers(-4, 5, boxes.shape), boxes, rng.uniform(0, 40, (3, 4)).cumsum(1)])
        moved[:, 2:] = np.maximum(moved[:, 2:], moved[:, :2])
        guesses = np.concatenate([labels, labels, rng.integers(0, 2, 3)])
        predictions.append(found(moved.tolist(), rng.random(len(moved)).round(3).tolist(), guesses.tolist()))
    return predictions, targets


def devkit(predictions: list[Any], targets: list[Any], label: int, threshold: float, mode: str) -> float:
    """One class as the VOC devkit does it: a loop over detections, in the order of their scores."""
    detections = sorted(
        (
            (-float(s), i, b)
            for i, p in enumerate(predictions)
            for b, s, k in zip(p["boxes"].double(), p["scores"], p["labels"], strict=True)
            if k == label
        ),
        key=lambda d: d[0],
    )
    taken: set[tuple[int, int]] = set()
    right: list[bool] = []
    for _, image, box in detections:
        best, which = -1.0, -1
        for j, (other, k) in enumerate(zip(targets[image]["boxes"].double(), targets[image]["labels"], strict=True)):
            inner = (torch.minimum(box[2:], other[2:]) - torch.maximum(box[:2], other[:2])).clamp(min=0).prod()
            union = (box[2:] - box[:2]).prod() + (other[2:] - other[:2]).prod() - inner
            iou = float(inner / union) if union > 0 else 0.0
            if k == label and iou > best:
                best, which = iou, j
        if best >= threshold and targets[image]["difficult"][which]:
            continue
        right.append(best >= threshold and (image, which) not in taken)
        if best >= threshold:
            taken.add((image, which))
    wanted = sum(int(((t["labels"] == label) & ~t["difficult"]).sum()) for t in targets)
    hits = np.cumsum(right) if right else np.zeros(0)
    recall, precision = hits / wanted, hits / np.arange(1, len(right) + 1)
    if mode == "11point":
        return (
            sum(max([p for p, r in zip(precision, recall, strict=True) if r >= i / 10], default=0) for i in range(11))
            / 11
        )
    edges, heights = [0.0, *recall, 1.0], [0.0, *precision, 0.0]
    for i in range(len(heights) - 2, -1, -1):
        heights[i] = max(heights[i], heights[i + 1])
    return sum((edges[i + 1] - edges[i]) * heights[i + 1] for i in range(len(edges) - 1))


@pytest.mark.parametrize("mode", ["area", "11point"])
@pytest.mark.parametrize("seed", range(5))
def test_random_cases_score_as_the_devkit_scores_them(seed: int, mode: Any) -> None:
    predictions, targets = random_case(seed)
    metric = VocAP(mode=mode, iou_thrs=(0.4, 0.6)).build(INFO)
    metric.update(predictions, targets)
    numbers = metric.compute()
    for threshold in (0.4, 0.6):
        expected = np.mean([devkit(predictions, targets, k, threshold, mode) for k in range(2)])
        assert numbers[f"mAP{threshold * 100:g}"] == pytest.approx(expected, abs=1e-9)


def test_contract() -> None:
    check_metric(VocAP(), *random_case(9))


def test_no_threshold_is_refused() -> None:
    with pytest.raises(ValueError, match=r"^iou_thrs must have at least 1 item, got none$"):
        VocAP(iou_thrs=())
