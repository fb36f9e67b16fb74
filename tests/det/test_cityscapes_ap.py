"""Cityscapes' instance AP: by hand, against a loop written from its rules, and where there is nothing to measure."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from vf.errors import DataError
from vf.protocols import DatasetInfo
from vf.testing import check_metric
from vf_det.masks import Masks
from vf_det.metric_configs import CityscapesAP

INFO = DatasetInfo(classes=("car", "person"), task="det", num_samples={}, fingerprint="")
SIDE = 40


def dense(boxes: list[list[int]]) -> torch.Tensor:
    """Draw rectangles x1, y1, x2, y2."""
    out = torch.zeros(len(boxes), SIDE, SIDE, dtype=torch.bool)
    for mask, (x1, y1, x2, y2) in zip(out, boxes, strict=True):
        mask[y1:y2, x1:x2] = True
    return out


def found(boxes: list[list[int]], scores: list[float], labels: list[int]) -> dict[str, Any]:
    return {
        "masks": Masks.from_dense(dense(boxes)),
        "scores": torch.tensor(scores),
        "labels": torch.tensor(labels, dtype=torch.int64),
    }


def truth(
    id_: str, boxes: list[list[int]], labels: list[int], group: Any = None, void: list[list[int]] | None = None
) -> dict[str, Any]:
    crowd = torch.zeros(len(boxes), dtype=torch.bool) if group is None else torch.tensor(group, dtype=torch.bool)
    target = {"id": id_, "masks": Masks.from_dense(dense(boxes)), "labels": torch.tensor(labels, dtype=torch.int64)}
    target["iscrowd"] = crowd
    return target if void is None else {**target, "void": dense(void).any(0).numpy()}


A, B, TINY = [0, 0, 10, 20], [20, 0, 40, 10], [30, 30, 35, 35]  # 200, 200 and 25 px


@pytest.mark.parametrize(
    ("prediction", "target", "ap", "ap50"),
    [
        # found exactly
        (found([A], [0.9], [0]), truth("a", [A], [0]), 1.0, 1.0),
        # IoU 0.75 is above 0.5, 0.55 … 0.7, not above 0.75
        (found([[0, 0, 10, 15]], [0.9], [0]), truth("a", [A], [0]), 0.5, 1.0),
        # nothing found; found as another class
        (found([], [], []), truth("a", [A], [0]), 0.0, 0.0),
        (found([A], [0.9], [1]), truth("a", [A], [0]), 0.0, 0.0),
        # Two points (recall 1, precision 1/2) and (0, 0), and the last (0, 1): 1/2 · (1 − 0)/2 + 0 · (1 − 0)/2
        (found([A, B], [0.5, 0.9], [0, 0]), truth("a", [A], [0]), 0.25, 0.25),
        # the same mask twice: the surer one is right, the other wrong. Recall 1, 1, 0, so the first point has no width.
        (found([A, A], [0.5, 0.9], [0, 0]), truth("a", [A], [0]), 1.0, 1.0),
        # on a group, on a small object, half and more on void: neither right nor wrong
        (found([A, B], [0.5, 0.9], [0, 0]), truth("a", [A, B], [0, 0], [False, True]), 1.0, 1.0),
        (found([A, TINY], [0.5, 0.9], [0, 0]), truth("a", [A, TINY], [0, 0]), 1.0, 1.0),
        (found([A, B], [0.5, 0.9], [0, 0]), truth("a", [A], [0], None, [[0, 0, 40, 10]]), 1.0, 1.0),
        # an empty mask is nobody's
        (found([A, [0, 0, 0, 0]], [0.5, 0.9], [0, 0]), truth("a", [A], [0]), 1.0, 1.0),
    ],
)
def test_numbers_worked_out_by_hand(prediction: Any, target: Any, ap: float, ap50: float) -> None:
    metric = CityscapesAP().build(INFO)
    metric.update([prediction], [target])
    assert metric.compute() == pytest.approx({"cityscapes_AP": ap, "cityscapes_AP50": ap50})
    assert metric.table() == [
        ("cityscapes_AP car", pytest.approx(ap)),
        ("cityscapes_AP person", None),
        ("cityscapes_AP50 car", pytest.approx(ap50)),
        ("cityscapes_AP50 person", None),
    ]


@pytest.mark.parametrize(
    "targets", [[], [truth("a", [], [])], [truth("a", [A], [0], [True])], [truth("a", [TINY], [0])]]
)
def test_nothing_to_measure_is_none(targets: Any) -> None:
    metric = CityscapesAP().build(INFO)
    metric.update([found([A], [0.5], [0]) for _ in targets], targets)
    assert metric.compute() == {"cityscapes_AP": None, "cityscapes_AP50": None}


def random_case(seed: int) -> tuple[list[Any], list[Any]]:
    rng = np.random.default_rng(seed)
    predictions, targets = [], []
    for image in range(6):
        where = torch.zeros(SIDE, SIDE, dtype=torch.int64)  # like gtFine: a pixel belongs to one thing
        count = int(rng.integers(0, 6))
        for i, box in enumerate(rectangles(rng, count), 1):
            where[dense([box])[0]] = i
        masks = torch.stack([where == i for i in range(1, count + 1)]) if count else torch.zeros(0, SIDE, SIDE).bool()
        labels = torch.from_numpy(rng.integers(0, 2, count))
        void = dense(rectangles(rng, 1)) & (where == 0)
        target = {"id": f"{image}", "masks": Masks.from_dense(masks), "labels": labels, "void": void.any(0).numpy()}
        targets.append({**target, "iscrowd": torch.from_numpy(rng.random(count) < 0.3)})
        moved = torch.stack([m.roll((int(rng.integers(-2, 3)), 1), (0, 1)) for m in masks.repeat(2, 1, 1)] or [*void])
        more = torch.cat([moved, dense(rectangles(rng, 2))])
        guesses = torch.from_numpy(rng.integers(0, 2, len(more)))
        guesses[: 2 * count] = labels.repeat(2)
        scores = torch.from_numpy(rng.choice([0.2, 0.4, 0.6, 0.8], len(more)))
        predictions.append({"masks": Masks.from_dense(more), "labels": guesses, "scores": scores})
    return predictions, targets


def rectangles(rng: np.random.Generator, count: int) -> list[list[int]]:
    corner, side = rng.integers(0, 30, (count, 2)), rng.integers(2, 25, (count, 2))
    return np.concatenate([corner, np.minimum(corner + side, SIDE)], 1).tolist()


def in_a_loop(predictions: list[Any], targets: list[Any], label: int, threshold: float, smallest: int) -> float:
    """One class at one threshold from the rules, mask by mask."""
    rows: list[tuple[float, bool]] = []
    wanted = 0
    for p, t in zip(predictions, targets, strict=True):
        guesses = [
            (m, float(s))
            for m, s, k in zip(p["masks"].dense(), p["scores"], p["labels"], strict=True)
            if k == label and m.any()
        ]
        objects = [
            (m, bool(crowd))
            for m, k, crowd in zip(t["masks"].dense(), t["labels"], t["iscrowd"], strict=True)
            if k == label and m.any()
        ]
        for mask, crowd in objects:
            if crowd or mask.sum() < smallest:
                continue
            wanted += 1
            scores = sorted((s for m, s in guesses if iou(m, mask) > threshold), reverse=True)
            rows += [(s, i == 0) for i, s in enumerate(scores)]
        for guess, score in guesses:
            if any(iou(guess, mask) > threshold for mask, _ in objects):
                continue
            spared = int((guess & torch.from_numpy(t["void"])).sum())
            spared += sum(int((guess & m).sum()) * (int(crowd) + int(m.sum() < smallest)) for m, crowd in objects)
            if spared / int(guess.sum()) <= threshold:
                rows.append((score, False))
    if not wanted:
        return float("nan")
    points = []
    for score in sorted({s for s, _ in rows}):
        kept = [right for s, right in rows if s >= score]
        points.append((sum(kept) / len(kept), sum(kept) / wanted))
    precision, recall = zip(*points, (1.0, 0.0), strict=True)
    left, right = (recall[0], *recall[:-1]), (*recall[1:], 0.0)
    return sum(p * (a - b) / 2 for p, a, b in zip(precision, left, right, strict=True))


def iou(one: torch.Tensor, other: torch.Tensor) -> float:
    return int((one & other).sum()) / int((one | other).sum())


@pytest.mark.parametrize("seed", range(4))
def test_random_cases_score_as_the_rules_say(seed: int) -> None:
    predictions, targets = random_case(seed)
    metric = CityscapesAP(min_pixels=40).build(INFO)
    metric.update(predictions, targets)
    numbers = metric.compute()
    thresholds = np.arange(0.5, 1.0, 0.05)
    values = np.array([[in_a_loop(predictions, targets, k, t, 40) for t in thresholds] for k in range(2)])
    assert numbers["cityscapes_AP"] == pytest.approx(np.nanmean(values), abs=1e-9)
    assert numbers["cityscapes_AP50"] == pytest.approx(np.nanmean(values[:, 0]), abs=1e-9)


def test_contract() -> None:
    check_metric(CityscapesAP(min_pixels=40), *random_case(9))


def test_masks_that_are_missing_are_refused() -> None:
    prediction = found([A], [0.5], [0])
    del prediction["masks"]
    with pytest.raises(DataError) as error:
        CityscapesAP().build(INFO).update([prediction], [truth("a", [A], [0])])
    assert error.value.problems == (
        "metric cityscapes_ap: image 'a': prediction has no masks: use a model with masks and data with masks: true, "
        "or measure boxes",
    )
