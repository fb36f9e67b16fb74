"""Metrics of maps: tables worked by hand, independent implementations, and rows where there is nothing to measure."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import pytest
import torch
from numpy.typing import NDArray

import vf
from vf.errors import DataError
from vf.testing import INFO, check_metric
from vf_seg.metric_configs import BoundaryIoU, MeanIoU
from vf_seg.metrics import pixels
from vf_seg.metrics.boundary import zone

CLASSES = 5


def info(count: int = CLASSES) -> vf.DatasetInfo:
    return vf.DatasetInfo(
        classes=tuple(f"c{k}" for k in range(count)), task="seg", num_samples={"val": 1}, fingerprint="x"
    )


def batch(labels: Any, found: Any) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    return [{"semantic": torch.as_tensor(found)}], [{"id": "a", "semantic": np.asarray(labels, np.uint8)}]


def measured(config: Any, labels: Any, found: Any, count: int = CLASSES) -> Any:
    metric = config.build(info(count))
    metric.update(*batch(labels, np.asarray(found, np.uint8)))
    return metric


def drawn(seed: int, size: tuple[int, int] = (37, 53), *, ignored: bool = True) -> list[NDArray[np.uint8]]:
    """Return labels and what was found: blobs of the classes but the last, some of the labels ignored."""
    rng = np.random.default_rng(seed)
    noise = rng.normal(0, 1, (2, CLASSES - 1, *size)).astype(np.float32)
    smooth = [np.stack([cv2.GaussianBlur(one, (0, 0), 3) for one in half]) for half in noise]
    labels = smooth[0].argmax(0).astype(np.uint8)
    found = (smooth[0] + 0.7 * smooth[1]).argmax(0).astype(np.uint8)
    if ignored:
        labels[rng.random(size) < 0.1] = 255
    return [labels, found]


def test_by_hand() -> None:
    # class 0: 3 there, 2 found, 2 right; class 1: 2 there, 3 found, 2 right; 2 is nowhere; 3 found once, never there.
    metric = measured(MeanIoU(dice=True, fscore=True), [[0, 0, 0, 1, 1, 1, 255]], [[0, 0, 1, 1, 1, 3, 0]], 4)
    values = metric.compute()
    assert values == pytest.approx(
        {
            "mIoU": (2 / 3 + 2 / 4 + 0) / 3,
            "aAcc": 4 / 6,
            "mAcc": (2 / 3 + 2 / 3) / 2,
            "mDice": (4 / 5 + 4 / 6 + 0) / 3,
            "mFscore": (4 / 5 + 4 / 6 + 0) / 3,
            "mPrecision": (1 + 2 / 3 + 0) / 3,
            "mRecall": (2 / 3 + 2 / 3) / 2,
        },
        abs=1e-12,
    )
    rows = dict(metric.table())
    assert rows["IoU c2"] is None
    assert rows["IoU c3"] == 0.0
    assert rows["Acc c3"] is None
    assert rows["Recall c3"] is None
    assert rows["Precision c3"] == 0.0
    assert metric.matrix.tolist() == [[2, 1, 0, 0, 0], [0, 2, 0, 1, 0], [0, 0, 0, 0, 0], [0, 0, 0, 0, 0]]


def test_the_weight_of_recall() -> None:
    labels, found = drawn(0)
    valid = labels != 255
    from sklearn.metrics import fbeta_score

    expected = fbeta_score(labels[valid], found[valid], beta=2.0, average=None, labels=range(4))
    metric = measured(MeanIoU(fscore=True, beta=2.0), labels, found)
    rows = dict(metric.table())
    assert [rows[f"Fscore c{k}"] for k in range(4)] == pytest.approx(expected, abs=1e-9)
    assert rows["Fscore c4"] is None


@pytest.mark.parametrize("seed", range(3))
def test_against_scikit_learn_and_torchmetrics(seed: int) -> None:
    from sklearn.metrics import accuracy_score, confusion_matrix, f1_score, jaccard_score, precision_score, recall_score
    from torchmetrics.functional.classification import multiclass_confusion_matrix

    labels, found = drawn(seed)
    metric = measured(MeanIoU(dice=True, fscore=True), labels, found)
    values, rows = metric.compute(), dict(metric.table())
    valid = labels != 255
    true, guess = labels[valid], found[valid]
    known = range(CLASSES - 1)
    for name, score in (
        ("IoU", jaccard_score),
        ("Precision", precision_score),
        ("Recall", recall_score),
        ("Acc", recall_score),
        ("Fscore", f1_score),
        ("Dice", f1_score),
    ):
        expected = score(true, guess, average=None, labels=list(known))
        assert [rows[f"{name} c{k}"] for k in known] == pytest.approx(expected, abs=1e-9)
        assert values[f"m{name}"] == pytest.approx(expected.mean(), abs=1e-9)
    assert values["aAcc"] == pytest.approx(accuracy_score(true, guess), abs=1e-9)
    assert np.array_equal(metric.matrix[:, :-1], confusion_matrix(true, guess, labels=range(CLASSES)))
    other = multiclass_confusion_matrix(
        torch.from_numpy(found).long(), torch.from_numpy(labels).long(), num_classes=CLASSES, ignore_index=255
    )
    assert other.tolist() == metric.matrix[:, :-1].tolist()


def test_many_images_are_one_matrix() -> None:
    metric, everything = MeanIoU().build(info()), []
    for seed in range(4):
        labels, found = drawn(seed, (20 + seed, 30))
        metric.update(*batch(labels, found))
        everything.append((labels.ravel(), found.ravel()))
    one = measured(MeanIoU(), *([np.concatenate(part)[None] for part in zip(*everything, strict=True)]))
    assert metric.compute() == one.compute()


@pytest.mark.parametrize("config", [MeanIoU(dice=True, fscore=True), BoundaryIoU()])
def test_contract(config: Any) -> None:
    rng = np.random.default_rng(0)
    maps = rng.integers(0, len(INFO.classes), (2, 4, 16, 12)).astype(np.uint8)
    predictions = [{"semantic": torch.from_numpy(one)} for one in maps[0]]
    targets = [{"id": str(k), "semantic": one} for k, one in enumerate(maps[1])]
    check_metric(config, predictions, targets)


@pytest.mark.parametrize("config", [MeanIoU(dice=True, fscore=True), BoundaryIoU()])
def test_nothing_to_measure(config: Any) -> None:
    metric = measured(config, np.full((4, 5), 255), np.zeros((4, 5)))
    assert set(metric.compute().values()) == {None}
    assert {value for _, value in metric.table()} == {None}
    empty = measured(config, np.zeros((0, 5)), np.zeros((0, 5)))
    assert set(empty.compute().values()) == {None}


def test_what_was_found_as_no_class_is_wrong() -> None:
    metric = measured(MeanIoU(), [[0, 0, 1, 1]], [[0, 200, 1, 255]])
    assert metric.compute() == pytest.approx({"mIoU": 0.5, "aAcc": 0.5, "mAcc": 0.5}, abs=1e-12)
    wide = MeanIoU().build(info())
    wide.update(
        [{"semantic": torch.tensor([[0, 300, 1, -1]])}], [{"id": "a", "semantic": torch.tensor([[0, 0, 1, 1]])}]
    )
    assert wide.compute() == metric.compute()


@pytest.mark.parametrize(("config", "name"), [(MeanIoU(), "miou"), (BoundaryIoU(), "boundary_iou")])
def test_what_cannot_be_measured(config: Any, name: str) -> None:
    def line(predictions: Any, targets: Any) -> str:
        with pytest.raises(DataError) as caught:
            config.build(info()).update([predictions], [targets])
        return str(caught.value)

    size = torch.zeros(4, 5, dtype=torch.uint8)
    target = {"id": "a.png", "semantic": size}
    where = f"metric {name}: image 'a.png'"
    assert line({"semantic": size[:, :4]}, target) == (
        f"{where}: the maps of labels and prediction are 4×5 and 4×4 (height × width), expected those of the image"
    )
    assert line({"boxes": size}, target) == f"{where}: the prediction has no map 'semantic'; use a model of task seg"
    assert line({"semantic": size}, {"id": "a.png"}) == (
        f"{where}: the target has no map 'semantic'; the split must be labelled"
    )


def test_states_of_other_classes_are_refused() -> None:
    states = [MeanIoU().build(info(k)).state() for k in (2, 3)]
    with pytest.raises(
        DataError, match=r"^metric miou: matrices of 2×3, 3×4 cannot be added; the processes know other"
    ):
        MeanIoU().build(info(2)).merge(states)


def test_no_rows_where_nobody_asks() -> None:
    assert MeanIoU(classwise=False).build(info()).table() == []
    assert BoundaryIoU(classwise=False).build(info()).table() == []


def test_pairs_are_counted_exactly_beyond_what_float32_holds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pixels, "EXACT", 100)
    labels, found = drawn(1)
    counts = pixels.pairs(labels, found)
    expected = np.bincount(labels.ravel().astype(int) * 256 + found.ravel(), minlength=1 << 16).reshape(256, 256)
    assert np.array_equal(counts, expected)


def by_erosion(labels: NDArray[np.uint8], found: NDArray[np.uint8], ratio: float) -> list[float | None]:
    """Boundary IoU class by class: a mask less what is left of it when it is eroded d times by 3×3."""
    found = np.where(labels == 255, 255, found).astype(np.uint8)
    steps = max(1, round(ratio * np.hypot(*labels.shape)))
    result: list[float | None] = []
    for k in range(CLASSES):
        edges = []
        for one in (labels, found):
            mask = np.pad((one == k).astype(np.uint8), 1)
            inner = cv2.erode(mask, np.ones((3, 3), np.uint8), iterations=steps)
            edges.append((mask - inner)[1:-1, 1:-1].astype(bool))
        union = (edges[0] | edges[1]).sum()
        result.append(float((edges[0] & edges[1]).sum() / union) if union else None)
    return result


@pytest.mark.parametrize("ratio", [0.001, 0.02, 0.1])
def test_boundaries_against_erosion(ratio: float) -> None:
    labels, found = drawn(2, (70, 90), ignored=False)
    labels[10:20, 30:50] = 255
    expected = by_erosion(labels, found, ratio)
    metric = measured(BoundaryIoU(dilation=ratio), labels, found)
    rows = [value for _, value in metric.table()]
    assert rows == [None if value is None else pytest.approx(value, abs=1e-12) for value in expected]
    known = [value for value in expected if value is not None]
    assert metric.compute()["boundary_IoU"] == pytest.approx(np.mean(known), abs=1e-12)


def test_zones_by_hand() -> None:
    square = np.zeros((7, 7), np.uint8)
    assert zone(square, 1)[1:6, 1:6].tolist() == [[255] * 5] * 5
    assert (zone(square, 1) == 0).sum() == 24
    whole = measured(BoundaryIoU(), square, square)
    assert whole.compute() == {"boundary_IoU": 1.0}
    half = square.copy()
    half[:, 4:] = 1
    assert zone(half, 1)[3].tolist() == [0, 255, 255, 0, 1, 255, 1]
