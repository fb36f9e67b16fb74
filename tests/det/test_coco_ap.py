"""COCO's AP: by hand, against pycocotools called directly, and where there is nothing to measure."""

from __future__ import annotations

import contextlib
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from vf.errors import SetupError
from vf.protocols import DatasetInfo
from vf.testing import check_metric
from vf_det.coco_ap import NUMBERS
from vf_det.data_configs import CocoAP

INFO = DatasetInfo(classes=("cat", "dog", "cow"), task="det", num_samples={}, fingerprint="")
BACKENDS = ("pycocotools", "faster_coco_eval")


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


def random_case(seed: int) -> tuple[list[Any], list[Any]]:
    rng = np.random.default_rng(seed)
    predictions, targets = [], []
    for image in range(12):
        count = int(rng.integers(0, 6))
        corner, side = rng.uniform(0, 300, (count, 2)), rng.uniform(5, 150, (count, 2))
        boxes = np.concatenate([corner, corner + side], 1)
        labels = rng.integers(0, 3, count)
        targets.append(truth(f"{image:02d}", boxes.tolist(), labels.tolist(), (rng.random(count) < 0.2).tolist()))
        moved = np.concatenate([boxes + rng.normal(0, 6, boxes.shape), rng.uniform(0, 100, (3, 4)).cumsum(1)])
        guesses = np.concatenate([labels, rng.integers(0, 3, 3)])
        scores = rng.choice([0.1, 0.3, 0.5, 0.7, 0.9], len(moved))  # with ties
        predictions.append(found(moved.tolist(), scores.tolist(), guesses.tolist()))
    return predictions, targets


def directly(predictions: list[Any], targets: list[Any], folder: Path) -> list[float]:
    """Score with pycocotools from files, as its own demo does."""
    annotations, results = [], []
    for i, (p, t) in enumerate(zip(predictions, targets, strict=True)):
        for box, label, crowd in zip(t["boxes"].tolist(), t["labels"].tolist(), t["iscrowd"].tolist(), strict=True):
            x, y, w, h = box[0], box[1], box[2] - box[0], box[3] - box[1]
            annotations.append(
                {"id": len(annotations) + 1, "image_id": i, "category_id": label, "bbox": [x, y, w, h], "area": w * h}
                | {"iscrowd": int(crowd)}
            )
        for box, score, label in zip(p["boxes"].tolist(), p["scores"].tolist(), p["labels"].tolist(), strict=True):
            xywh = [box[0], box[1], box[2] - box[0], box[3] - box[1]]
            results.append({"image_id": i, "category_id": label, "bbox": xywh, "score": score})
    data = {"images": [{"id": i} for i in range(len(targets))], "annotations": annotations, "info": {}}
    data["categories"] = [{"id": k, "name": n} for k, n in enumerate(INFO.classes)]
    (folder / "gt.json").write_text(json.dumps(data))
    (folder / "dt.json").write_text(json.dumps(results))
    with contextlib.redirect_stdout(io.StringIO()):
        gt = COCO(str(folder / "gt.json"))
        evaluator = COCOeval(gt, gt.loadRes(str(folder / "dt.json")), "bbox")
        evaluator.evaluate()
        evaluator.accumulate()
        evaluator.summarize()
    return evaluator.stats.tolist()


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("seed", range(4))
def test_random_cases_score_as_pycocotools_scores_them(tmp_path: Path, backend: str, seed: int) -> None:
    predictions, targets = random_case(seed)
    metric = CocoAP(backend=backend).build(INFO)
    for start in range(0, len(targets), 5):
        metric.update(predictions[start : start + 5], targets[start : start + 5])
    numbers = [-1.0 if v is None else v for v in metric.compute().values()]
    assert numbers == pytest.approx(directly(predictions, targets, tmp_path), abs=1e-6)


def test_contract() -> None:
    check_metric(CocoAP(), *random_case(9))


def test_an_image_that_two_processes_saw_counts_once() -> None:
    predictions, targets = random_case(1)
    whole, one, two, merged = (CocoAP().build(INFO) for _ in range(4))
    whole.update(predictions, targets)
    one.update(predictions[6:], targets[6:])
    two.update(predictions[:8], targets[:8])
    merged.merge([one.state(), two.state()])
    assert merged.compute() == pytest.approx(whole.compute())


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
    assert CocoAP().build(INFO).backend == "pycocotools"
    with pytest.raises(SetupError) as error:
        CocoAP(backend="faster_coco_eval").build(INFO)
    assert error.value.problems == (
        "metric coco_ap: backend 'faster_coco_eval' is not installed; pip install faster-coco-eval, "
        "or leave 'backend' out",
    )
