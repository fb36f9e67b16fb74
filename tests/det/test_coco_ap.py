"""COCO's AP: against pycocotools called directly, on random and degenerate cases, and the contract of metrics."""

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
from torch import Tensor

from vf.protocols import DatasetInfo
from vf.testing import check_metric
from vf_det.masks import Masks
from vf_det.metric_configs import CocoAP

Array = np.ndarray[Any, Any]
INFO = DatasetInfo(classes=("cat", "dog", "cow"), task="det", num_samples={}, fingerprint="")
BACKENDS = ("vf", "pycocotools", "faster_coco_eval")


def found(boxes: Array, scores: Array, labels: Array) -> dict[str, Any]:
    return {
        "boxes": torch.tensor(boxes, dtype=torch.float32),
        "scores": torch.tensor(scores, dtype=torch.float32),
        "labels": torch.tensor(labels),
    }


def truth(id_: str, boxes: Array, labels: Array, crowd: Tensor) -> dict[str, Any]:
    target = {"boxes": torch.tensor(boxes, dtype=torch.float32), "labels": torch.tensor(labels)}
    return {"id": id_, **target, "iscrowd": crowd}


def random_case(seed: int) -> tuple[list[Any], list[Any]]:
    rng = np.random.default_rng(seed)
    predictions, targets = [], []
    for image in range(12):
        count = int(rng.integers(0, 6))
        corner, side = rng.uniform(0, 300, (count, 2)), rng.uniform(5, 150, (count, 2))
        boxes = np.concatenate([corner, corner + side], 1)
        labels = rng.integers(0, 3, count)
        crowd = torch.tensor((rng.random(count) < 0.2).tolist())
        targets.append(truth(f"{image:02d}", boxes, labels, crowd))
        moved = np.concatenate([boxes + rng.normal(0, 6, boxes.shape), rng.uniform(0, 100, (3, 4)).cumsum(1)])
        guesses = np.concatenate([labels, rng.integers(0, 3, 3)])
        scores = rng.choice([0.1, 0.3, 0.5, 0.7, 0.9], len(moved))  # with ties
        predictions.append(found(moved, scores, guesses))
    return predictions, targets


def degenerate_case(seed: int) -> tuple[list[Any], list[Any]]:
    """Boxes on a coarse grid (equal IoUs, no area), crowds, areas that are NaN, empty images, 130 detections in one."""
    rng = np.random.default_rng(seed)
    predictions, targets = [], []
    for image in range(8):
        objects, guesses = int(rng.integers(0, 7)) * (image != 3), (0, 130, 9, 9)[image % 4]
        corner, side = rng.integers(0, 4, (objects + guesses, 2)) * 10, rng.integers(0, 5, (objects + guesses, 2)) * 10
        boxes = np.concatenate([corner, corner + side], 1).astype(np.float32)
        labels = rng.integers(0, 2, objects + guesses)
        target = truth(f"{image:02d}", boxes[:objects], labels[:objects], torch.from_numpy(rng.random(objects) < 0.4))
        areas = rng.choice([np.nan, 0, 32**2, 96**2, 1e4], objects).astype(np.float32)
        targets.append({**target, "area": torch.from_numpy(areas)})
        scores = rng.choice([0.25, 0.5], guesses)
        predictions.append(found(boxes[objects:], scores, labels[objects:]))
    return predictions, targets


def with_masks(predictions: list[Any], targets: list[Any]) -> tuple[list[Any], list[Any]]:
    """Draw an ellipse into every box, on images of 320 px."""
    y, x = torch.meshgrid(torch.arange(320.0), torch.arange(320.0), indexing="ij")

    def drawn(boxes: torch.Tensor) -> Masks:
        middle, half = (boxes[:, :2] + boxes[:, 2:]) / 2, (boxes[:, 2:] - boxes[:, :2]) / 2
        distance = [((x - c[0]) / h[0]) ** 2 + ((y - c[1]) / h[1]) ** 2 for c, h in zip(middle, half, strict=True)]
        return Masks.from_dense(torch.stack(distance) < 1 if distance else torch.zeros(0, 320, 320, dtype=torch.bool))

    return [{**p, "masks": drawn(p["boxes"])} for p in predictions], [
        {**t, "masks": drawn(t["boxes"])} for t in targets
    ]


def with_points(seed: int, predictions: list[Any], targets: list[Any]) -> tuple[list[Any], list[Any]]:
    """Put 17 points into every box of one class; some are not visible, some objects have none that is."""
    rng = np.random.default_rng(seed)
    for p, t in zip(predictions, targets, strict=True):
        boxes = t["boxes"].numpy()
        place = rng.random((len(boxes), 17, 2))
        t["keypoints"] = torch.tensor(boxes[:, None, :2] + place * (boxes[:, 2:] - boxes[:, :2])[:, None]).float()
        visible = rng.integers(0, 3, (len(boxes), 17)) * (rng.random((len(boxes), 1)) < 0.8)
        t["visible"] = torch.from_numpy(visible)
        extra = torch.from_numpy(rng.uniform(0, 300, (len(p["boxes"]) - len(boxes), 17, 2))).float()
        p["keypoints"] = torch.cat([t["keypoints"] + torch.tensor(rng.normal(0, 4, place.shape)).float(), extra])
    return predictions, targets


def directly(
    predictions: list[Any], targets: list[Any], folder: Path, kind: str = "bbox", **params: Any
) -> list[float]:
    """Score with pycocotools from files, as its own demo does."""
    annotations, results = [], []
    for i, (p, t) in enumerate(zip(predictions, targets, strict=True)):
        for row, (box, label) in enumerate(zip(t["boxes"].tolist(), t["labels"].tolist(), strict=True)):
            x, y, w, h = box[0], box[1], box[2] - box[0], box[3] - box[1]
            area = float(t["area"][row]) if "area" in t else w * h
            entry = {
                "id": len(annotations) + 1,
                "image_id": i,
                "category_id": label,
                "bbox": [x, y, w, h],
                "area": area,
            }
            entry["iscrowd"] = int(t["iscrowd"][row])
            if kind == "segm":
                rle = t["masks"].rles[row]
                entry["segmentation"] = {**rle, "counts": rle["counts"].decode()}
                entry["area"] = float(t["masks"].areas()[row])
            if kind == "keypoints":
                points = torch.cat([t["keypoints"][row], t["visible"][row][:, None]], 1)
                entry |= {"keypoints": points.reshape(-1).tolist(), "num_keypoints": int((points[:, 2] > 0).sum())}
            annotations.append(entry)
        rows = zip(p["boxes"].tolist(), p["scores"].tolist(), p["labels"].tolist(), strict=True)
        for row, (box, score, label) in enumerate(rows):
            result = {"image_id": i, "category_id": label, "score": score}
            if kind == "bbox":
                result["bbox"] = [box[0], box[1], box[2] - box[0], box[3] - box[1]]
            if kind == "segm":
                rle = p["masks"].rles[row]
                result["segmentation"] = {**rle, "counts": rle["counts"].decode()}
            if kind == "keypoints":
                points = torch.cat([p["keypoints"][row], torch.ones(17, 1)], 1)
                result["keypoints"] = points.reshape(-1).tolist()
            results.append(result)
    images = [{"id": i, "height": 320, "width": 320} for i in range(len(targets))]
    data = {"images": images, "annotations": annotations, "info": {}}
    data["categories"] = [{"id": k, "name": n} for k, n in enumerate(INFO.classes)]
    (folder / "gt.json").write_text(json.dumps(data))
    (folder / "dt.json").write_text(json.dumps(results))
    with contextlib.redirect_stdout(io.StringIO()):
        gt = COCO(str(folder / "gt.json"))
        evaluator = COCOeval(gt, gt.loadRes(str(folder / "dt.json")), kind)
        for name, value in params.items():
            setattr(evaluator.params, name, value)
        evaluator.evaluate()
        evaluator.accumulate()
        evaluator.summarize()
    return evaluator.stats.tolist()


def plain(numbers: dict[str, float | None]) -> list[float]:
    """Return the numbers as pycocotools gives them: −1 for none."""
    return [-1.0 if v is None else v for v in numbers.values()]


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("seed", range(4))
def test_random_cases_score_as_pycocotools_scores_them(tmp_path: Path, backend: str, seed: int) -> None:
    predictions, targets = random_case(seed)
    metric = CocoAP(backend=backend).build(INFO)
    for start in range(0, len(targets), 5):
        metric.update(predictions[start : start + 5], targets[start : start + 5])
    assert plain(metric.compute()) == pytest.approx(directly(predictions, targets, tmp_path), abs=1e-6)


@pytest.mark.parametrize("seed", range(12))
def test_degenerate_cases_score_as_pycocotools_scores_them(tmp_path: Path, seed: int) -> None:
    predictions, targets = degenerate_case(seed)
    metric = CocoAP(max_dets=(1, 3, 100)).build(INFO)
    metric.update(predictions, targets)
    expected = directly(predictions, targets, tmp_path, maxDets=[1, 3, 100])
    assert plain(metric.compute()) == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("chunk", [1, 7, 100])
def test_the_size_of_a_chunk_changes_nothing(monkeypatch: pytest.MonkeyPatch, chunk: int) -> None:
    whole, parts = (CocoAP().build(INFO) for _ in range(2))
    for metric in (whole, parts):
        metric.update(*degenerate_case(1))
    expected = whole.compute()
    monkeypatch.setattr("vf_det.metrics.counting.CHUNK", chunk)
    assert parts.compute() == expected


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("seed", range(2))
def test_masks_score_as_pycocotools_scores_them(tmp_path: Path, backend: str, seed: int) -> None:
    predictions, targets = with_masks(*random_case(seed))
    metric = CocoAP(iou=("bbox", "segm"), backend=backend).build(INFO)
    metric.update(predictions, targets)
    numbers = metric.compute()
    assert plain(numbers)[12:] == pytest.approx(directly(predictions, targets, tmp_path, "segm"), abs=1e-6)
    assert plain(numbers)[:12] == pytest.approx(directly(predictions, targets, tmp_path), abs=1e-6)
    assert [*numbers][12] == "segm_AP"
    assert [name for name, _ in metric.table()][2:4] == ["AP cow", "segm_AP cat"]
    # dense masks are the same
    dense = CocoAP(iou=("segm",)).build(INFO)
    dense.update(
        [{**p, "masks": p["masks"].dense()} for p in predictions], [{**t, "masks": t["masks"].dense()} for t in targets]
    )
    assert plain(dense.compute()) == pytest.approx(plain(numbers)[12:], abs=1e-6)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("seed", range(2))
def test_poses_score_as_pycocotools_scores_them(tmp_path: Path, backend: str, seed: int) -> None:
    predictions, targets = with_points(seed, *random_case(seed))
    metric = CocoAP(iou=("keypoints",), backend=backend).build(INFO)
    metric.update(predictions, targets)
    numbers = metric.compute()
    assert plain(numbers) == pytest.approx(directly(predictions, targets, tmp_path, "keypoints"), abs=1e-6)
    assert [n.removeprefix("keypoints_") for n in numbers] == [
        *("AP", "AP50", "AP75", "AP_medium", "AP_large", "AR", "AR50", "AR75", "AR_medium", "AR_large")
    ]


@pytest.mark.parametrize("backend", BACKENDS)
def test_proposals_are_counted_without_classes(tmp_path: Path, backend: str) -> None:
    predictions, targets = random_case(5)
    for i, p in enumerate(predictions):  # no ties: pycocotools breaks them by class even where classes do not matter
        p["scores"] = torch.rand(len(p["scores"]), generator=torch.Generator().manual_seed(i))
    metric = CocoAP(proposals=True, proposal_dets=(1, 2, 5), backend=backend).build(INFO)
    metric.update(predictions, targets)
    numbers = metric.compute()
    expected = directly(predictions, targets, tmp_path, maxDets=[1, 2, 5], useCats=0)[6:]
    names = ["AR@1", "AR@2", "AR@5", "AR_small@5", "AR_medium@5", "AR_large@5"]
    assert plain({name: numbers[name] for name in names}) == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("backend", BACKENDS)
def test_thresholds_of_the_recipe_are_used(tmp_path: Path, backend: str) -> None:
    predictions, targets = random_case(3)
    metric = CocoAP(iou_thrs=(0.3, 0.75), backend=backend).build(INFO)
    metric.update(predictions, targets)
    numbers = metric.compute()
    expected = directly(predictions, targets, tmp_path, iouThrs=np.array([0.3, 0.75]))
    assert plain(numbers) == pytest.approx(expected, abs=1e-6)
    assert numbers["AP50"] is None


def test_rows_of_classes_can_be_left_out() -> None:
    metric = CocoAP(classwise=False).build(INFO)
    metric.update(*random_case(0))
    metric.compute()
    assert metric.table() == []


def test_masks_are_kept_as_run_lengths() -> None:
    predictions, targets = with_masks(*random_case(0))
    metric = CocoAP(iou=("segm",)).build(INFO)
    metric.update(predictions, targets)
    state = metric.state()
    kept = [*(v for v in state.values() if isinstance(v, torch.Tensor))]
    kept += [t for key in ("found_texts", "labelled_texts") for t in state[key].values()]
    masks = sum(len(entry["boxes"]) for entry in (*predictions, *targets))
    assert sum(t.nbytes for t in kept) < masks * 1000 < masks * 320**2 / 100


def test_contract_of_masks_poses_and_proposals() -> None:
    case = with_points(7, *with_masks(*random_case(7)))
    check_metric(CocoAP(iou=("bbox", "segm", "keypoints"), proposals=True), *case)


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
