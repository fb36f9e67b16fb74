"""The confusion matrix: worked out by hand, and where there is nothing to measure."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from vf.protocols import DatasetInfo
from vf.testing import check_metric
from vf_det.metric_configs import ConfusionMatrix

INFO = DatasetInfo(classes=("cat", "dog"), task="det", num_samples={}, fingerprint="")
A, B, FAR = [0, 0, 10, 10], [20, 20, 30, 30], [80, 80, 90, 90]


def found(boxes: list[list[float]], scores: list[float], labels: list[int]) -> dict[str, torch.Tensor]:
    return {
        "boxes": torch.tensor(boxes).reshape(-1, 4),
        "scores": torch.tensor(scores),
        "labels": torch.tensor(labels, dtype=torch.int64),
    }


def truth(id_: str, boxes: list[list[float]], labels: list[int], **flags: list[bool]) -> dict[str, Any]:
    target = {"id": id_, "boxes": torch.tensor(boxes).reshape(-1, 4), "labels": torch.tensor(labels, dtype=torch.int64)}
    return {**target, **{key: torch.tensor(value) for key, value in flags.items()}}


@pytest.mark.parametrize(
    ("prediction", "target", "matrix"),
    [
        # rows: what is there (cat, dog, background); columns: what was found
        (found([A, B], [0.9, 0.9], [0, 1]), truth("a", [A, B], [0, 1]), [[1, 0, 0], [0, 1, 0], [0, 0, 0]]),
        # a cat taken for a dog, a dog missed, a cat where nothing is
        (found([A, FAR], [0.9, 0.9], [1, 0]), truth("a", [A, B], [0, 1]), [[0, 1, 0], [0, 0, 1], [1, 0, 0]]),
        # not sure enough
        (found([A], [0.2], [0]), truth("a", [A], [0]), [[0, 0, 1], [0, 0, 0], [0, 0, 0]]),
        # two boxes of one overlap: the one of the right class takes the object, however unsure; the other is too many
        (found([A, A], [0.9, 0.4], [1, 0]), truth("a", [A], [0]), [[1, 0, 0], [0, 0, 0], [0, 1, 0]]),
        # the higher overlap goes first, whatever the class
        (
            found([A, [0, 0, 10, 8]], [0.4, 0.9], [1, 0]),
            truth("a", [A], [0]),
            [[0, 1, 0], [0, 0, 0], [1, 0, 0]],
        ),
        # IoU of exactly the threshold is enough, below it is not
        (found([[0, 0, 10, 5]], [0.9], [0]), truth("a", [A], [0]), [[1, 0, 0], [0, 0, 0], [0, 0, 0]]),
        (found([[0, 0, 10, 4]], [0.9], [0]), truth("a", [A], [0]), [[0, 0, 1], [0, 0, 0], [1, 0, 0]]),
        # on a crowd (by the part of the box that lies in it) and on a difficult object: no object, no mistake
        (
            found([[0, 0, 5, 5], B], [0.9, 0.9], [0, 0]),
            truth("a", [A, B], [0, 0], iscrowd=[True, False], difficult=[False, True]),
            [[0, 0, 0], [0, 0, 0], [0, 0, 0]],
        ),
        # nothing there, nothing found
        (found([], [], []), truth("a", [A], [1]), [[0, 0, 0], [0, 0, 1], [0, 0, 0]]),
        (found([A], [0.9], [1]), truth("a", [], []), [[0, 0, 0], [0, 0, 0], [0, 1, 0]]),
    ],
)
def test_matrices_worked_out_by_hand(prediction: Any, target: Any, matrix: list[list[int]]) -> None:
    metric = ConfusionMatrix().build(INFO)
    metric.update([prediction], [target])
    assert metric.matrix.tolist() == matrix  # type: ignore[attr-defined]


def test_parts_and_rows() -> None:
    metric = ConfusionMatrix(rows=2).build(INFO)
    metric.update(
        [found([A, FAR, [60, 60, 70, 70]], [0.9] * 3, [1, 0, 0]), found([A], [0.9], [0])],
        [truth("a", [A, B, [40, 40, 50, 50]], [0, 1, 1]), truth("b", [A], [0])],
    )
    assert metric.compute() == {
        **{"objects_right": 0.25, "objects_confused": 0.25, "objects_missed": 0.5},
        "boxes_on_background": 0.5,
    }
    assert metric.table() == [("dog → background", 2.0), ("background → cat", 2.0)]


@pytest.mark.parametrize("targets", [[], [truth("a", [], [])]])
def test_nothing_to_measure_is_none(targets: Any) -> None:
    metric = ConfusionMatrix().build(INFO)
    metric.update([found([], [], []) for _ in targets], targets)
    names = ("objects_right", "objects_confused", "objects_missed", "boxes_on_background")
    assert metric.compute() == dict.fromkeys(names)
    assert metric.table() == []


def test_contract() -> None:
    rng = np.random.default_rng(0)
    predictions, targets = [], []
    for image in range(6):
        boxes, labels = rng.uniform(0, 50, (4, 4)).cumsum(1), rng.integers(0, 2, 4)
        targets.append(truth(f"{image}", boxes.tolist(), labels.tolist()))
        moved = boxes + rng.normal(0, 5, boxes.shape)
        predictions.append(found(moved.tolist(), rng.random(4).tolist(), rng.integers(0, 2, 4).tolist()))
    numbers = check_metric(ConfusionMatrix(), predictions, targets)
    assert sum(numbers[f"objects_{name}"] or 0 for name in ("right", "confused", "missed")) == pytest.approx(1)
