"""LVIS's AP: by hand, against a loop written from its rules, and where there is nothing to measure."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from vf.protocols import DatasetInfo
from vf.testing import check_metric
from vf_det.masks import Masks
from vf_det.metric_configs import LvisAP

INFO = DatasetInfo(classes=("cat", "dog", "cow", "yak"), task="det", num_samples={}, fingerprint="")
FREQUENCY = np.array([2, 1, 0, 0])
A, B, FAR = [0, 0, 10, 10], [20, 20, 30, 30], [80, 80, 90, 90]
IOUS = np.linspace(0.5, 0.95, 10)


def found(boxes: list[list[float]], scores: list[float], labels: list[int]) -> dict[str, torch.Tensor]:
    return {
        "boxes": torch.tensor(boxes).reshape(-1, 4),
        "scores": torch.tensor(scores),
        "labels": torch.tensor(labels, dtype=torch.int64),
    }


def truth(
    id_: str, boxes: list[list[float]], labels: list[int], *, negative: Any = (), not_exhaustive: Any = ()
) -> dict[str, Any]:
    return {
        "id": id_,
        "boxes": torch.tensor(boxes).reshape(-1, 4),
        "labels": torch.tensor(labels, dtype=torch.int64),
        "frequency": torch.from_numpy(FREQUENCY[labels].reshape(-1)),
        "negative": torch.tensor(negative, dtype=torch.int64),
        "not_exhaustive": torch.tensor(not_exhaustive, dtype=torch.int64),
    }


@pytest.mark.parametrize(
    ("negative", "not_exhaustive", "expected"),
    [
        # Nobody looked for a dog in the second image: its wrong dog does not count.
        ((), (), 1.0),
        # Someone looked and there is none: it is wrong, and stands above the right one.
        ((1,), (), 0.5),
        # There are more dogs than labelled: what matches nothing is not wrong.
        ((1,), (1,), 1.0),
    ],
)
def test_only_what_was_looked_for_counts(negative: Any, not_exhaustive: Any, expected: float) -> None:
    metric = LvisAP().build(INFO)
    metric.update(
        [found([A], [0.5], [1]), found([FAR], [0.9], [1])],
        [truth("a", [A], [1]), truth("b", [A], [0], negative=negative, not_exhaustive=not_exhaustive)],
    )
    numbers = metric.compute()
    # cat (frequent) is missed, dog (common) as above; cow and yak (rare) do not occur
    assert numbers["lvis_APc"] == pytest.approx(expected)
    assert (numbers["lvis_APf"], numbers["lvis_APr"]) == (0.0, None)
    assert numbers["lvis_AP"] == pytest.approx(expected / 2)


def test_without_lists_every_class_was_looked_for() -> None:
    target = {key: value for key, value in truth("b", [A], [0]).items() if key not in ("negative", "not_exhaustive")}
    metric = LvisAP(classwise=True).build(INFO)
    metric.update([found([A], [0.5], [1]), found([FAR], [0.9], [1])], [truth("a", [A], [1]), target])
    metric.compute()
    assert metric.table() == [
        ("lvis_AP cat", 0.0),
        ("lvis_AP dog", pytest.approx(0.5)),
        ("lvis_AP cow", None),
        ("lvis_AP yak", None),
    ]


def test_the_best_detections_of_an_image_count_whatever_their_class() -> None:
    metric = LvisAP(max_dets=2).build(INFO)
    metric.update([found([A, B, B], [0.1, 0.9, 0.8], [0, 3, 3])], [truth("a", [A], [0])])
    numbers = metric.compute()
    # the yaks take both places, though nobody looked for yaks
    assert (numbers["lvis_AP"], numbers["lvis_AR2"]) == (0.0, 0.0)


NAMES = [
    *("AP", "AP50", "AP75", "AP_small", "AP_medium", "AP_large", "APr", "APc", "APf"),
    *("AR300", "AR_small", "AR_medium", "AR_large"),
]


@pytest.mark.parametrize("targets", [[], [truth("a", [], [])]])
def test_nothing_to_measure_is_none(targets: Any) -> None:
    metric = LvisAP().build(INFO)
    metric.update([found([A], [0.5], [0]) for _ in targets], targets)
    assert metric.compute() == dict.fromkeys(f"lvis_{name}" for name in NAMES)


def random_case(seed: int) -> tuple[list[Any], list[Any]]:
    rng = np.random.default_rng(seed)
    predictions, targets = [], []
    for image in range(12):
        count = int(rng.integers(0, 7))
        corner, side = rng.integers(0, 100, (count, 2)), rng.integers(8, 130, (count, 2))
        boxes = np.concatenate([corner, corner + side], 1).astype(np.float32)
        labels = rng.integers(0, 4, count)
        absent = np.setdiff1d(np.arange(4), labels)
        negative, partial = absent[rng.random(len(absent)) < 0.5], np.unique(labels[rng.random(count) < 0.2])
        target = truth(f"{image:02d}", boxes.tolist(), labels.tolist(), negative=negative, not_exhaustive=partial)
        targets.append(target)
        near = np.concatenate([boxes + rng.integers(-5, 6, boxes.shape), boxes + rng.integers(-9, 10, boxes.shape)])
        near[:, 2:] = np.maximum(near[:, 2:], near[:, :2] + 1)
        moved = np.concatenate([near, rng.integers(1, 60, (6, 4)).cumsum(1)])
        guesses = np.concatenate([labels, labels, rng.integers(0, 4, 6)])
        predictions.append(
            found(moved.tolist(), rng.choice([0.2, 0.4, 0.6, 0.8], len(moved)).tolist(), guesses.tolist())
        )
    return predictions, targets


def in_a_loop(predictions: list[Any], targets: list[Any], most: int, area: tuple[float, float]) -> np.ndarray[Any, Any]:
    """AP of each class and threshold [K,T] from LVIS's rules, one detection at a time; NaN without objects."""
    out = np.full((4, len(IOUS)), np.nan)
    for k in range(4):
        for t, threshold in enumerate(IOUS):
            rows: list[tuple[float, bool]] = []
            wanted = 0
            for p, target in zip(predictions, targets, strict=True):
                best = sorted(range(len(p["scores"])), key=lambda i: -p["scores"][i])[:most]
                mine = [i for i in best if p["labels"][i] == k]
                objects = [
                    b for b, label in zip(*(target[n].tolist() for n in ("boxes", "labels")), strict=True) if label == k
                ]
                outside = [not area[0] <= size(o) <= area[1] for o in objects]
                wanted += outside.count(False)
                if not objects and k not in target["negative"]:
                    continue
                free = set(range(len(objects)))
                for i in mine:
                    box = p["boxes"][i].tolist()
                    near = [(not outside[j], iou(box, objects[j]), j) for j in free]
                    near = [n for n in near if n[1] >= threshold]
                    if near:
                        counts, _, j = max(near)
                        free.remove(j)
                        if counts:
                            rows.append((float(p["scores"][i]), True))
                    elif area[0] <= size(box) <= area[1] and k not in target["not_exhaustive"]:
                        rows.append((float(p["scores"][i]), False))
            if wanted:
                out[k, t] = average(rows, wanted)
    return out


def size(box: list[float]) -> float:
    return (box[2] - box[0]) * (box[3] - box[1])


def iou(one: list[float], other: list[float]) -> float:
    wide, high = (min(one[i + 2], other[i + 2]) - max(one[i], other[i]) for i in range(2))
    inner = max(wide, 0) * max(high, 0)
    return inner / (size(one) + size(other) - inner)


def average(rows: list[tuple[float, bool]], wanted: int) -> float:
    """Mean of the highest precision at recall 0, 0.01 … 1 or beyond."""
    rows = sorted(rows, key=lambda r: -r[0])
    hits = np.cumsum([right for _, right in rows]) if rows else np.zeros(0)
    precision, recall = hits / np.arange(1, len(rows) + 1), hits / wanted
    return float(np.mean([precision[recall >= r].max(initial=0) for r in np.linspace(0, 1, 101)]))


@pytest.mark.parametrize("most", [300, 7])
@pytest.mark.parametrize("seed", range(4))
def test_random_cases_score_as_the_rules_say(seed: int, most: int) -> None:
    predictions, targets = random_case(seed)
    metric = LvisAP(max_dets=most).build(INFO)
    metric.update(predictions, targets)
    numbers = metric.compute()
    values = in_a_loop(predictions, targets, most, (0, 1e10))
    expected = {"AP": values, "AP50": values[:, 0], "AP75": values[:, 5]}
    expected |= {f"AP{name}": values[f == FREQUENCY] for f, name in enumerate("rcf")}
    expected["AP_medium"] = in_a_loop(predictions, targets, most, (32**2, 96**2))
    for name, own in expected.items():
        assert numbers[f"lvis_{name}"] == pytest.approx(np.nanmean(own), abs=1e-6), name


def test_masks_of_rectangles_score_as_their_boxes() -> None:
    predictions, targets = random_case(2)
    for entry in (*predictions, *targets):
        dense = torch.zeros(len(entry["boxes"]), 320, 320, dtype=torch.bool)
        entry["boxes"] = entry["boxes"].clamp(min=0)
        for mask, (x1, y1, x2, y2) in zip(dense, entry["boxes"].int().tolist(), strict=True):
            mask[y1:y2, x1:x2] = True
        entry["masks"] = Masks.from_dense(dense)
    boxes, masks = LvisAP().build(INFO), LvisAP(iou="segm").build(INFO)
    boxes.update(predictions, targets)
    masks.update(predictions, targets)
    expected = {name.replace("lvis_", "lvis_segm_"): value for name, value in boxes.compute().items()}
    assert masks.compute() == pytest.approx(expected)


@pytest.mark.parametrize("kind", ["bbox", "segm"])
def test_contract(kind: Any) -> None:
    predictions, targets = random_case(8)
    for entry in (*predictions, *targets):
        entry["labels"] %= 3  # the contract has three classes
        entry["masks"] = Masks.from_dense(torch.rand(len(entry["boxes"]), 9, 9).round().bool())
    check_metric(LvisAP(iou=kind), predictions, targets)
