"""Panoptic quality: by hand, against a loop written from panopticapi's rules, and where there is nothing to measure."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from vf.errors import DataError
from vf.protocols import DatasetInfo
from vf.testing import check_metric
from vf_det.metric_configs import PanopticQuality

INFO = DatasetInfo(classes=("cat", "dog", "sky"), task="det", num_samples={}, fingerprint="")
NAMES = ("PQ", "SQ", "RQ", *(f"{n}_{group}" for group in ("things", "stuff") for n in ("PQ", "SQ", "RQ")))


def picture(rows: str, categories: dict[int, int], crowd: tuple[int, ...] = (), id_: str = "a") -> dict[str, Any]:
    """Make a map from digits, one row of pixels a word; class 2 is stuff."""
    segments = [{"id": i, "category": k, "isthing": k < 2, "iscrowd": i in crowd} for i, k in categories.items()]
    panoptic = torch.tensor([[int(c) for c in row] for row in rows.split()], dtype=torch.int32)
    return {"panoptic": panoptic, "segments": segments, "id": id_}


def score(prediction: Any, target: Any) -> dict[str, float | None]:
    metric = PanopticQuality().build(INFO)
    metric.update([prediction], [target])
    return metric.compute()


@pytest.mark.parametrize(
    ("prediction", "target", "expected"),
    [
        # everything right, under other ids
        (
            picture("5511 5511", {5: 0, 1: 2}),
            picture("1122 1122", {1: 0, 2: 2}),
            {name: 1.0 for name in NAMES},
        ),
        # cat: 3 of 4 pixels, sky: 4 of 5; no segment is wrong or missed
        (
            picture("1222 1122", {1: 0, 2: 2}),
            picture("1122 1122", {1: 0, 2: 2}),
            {"PQ_things": 0.75, "PQ_stuff": 0.8, "SQ": 0.775, "RQ": 1.0, "PQ": 0.775},
        ),
        # IoU of exactly 1/2 is no match: one wrong, one missed
        (picture("1000", {1: 0}), picture("1100", {1: 0}), {"PQ": 0.0, "SQ": 0.0, "RQ": 0.0, "PQ_stuff": None}),
        # what lies on void is no part of the union: 2 of 2 pixels
        (picture("1111", {1: 0}), picture("1100", {1: 0}), {"PQ": 1.0}),
        # more than half on void: not wrong; exactly half: wrong
        (picture("1222", {1: 0, 2: 1}), picture("1300", {1: 0, 3: 0}), {"PQ": 1 / 1.5}),
        (picture("1122", {1: 0, 2: 1}), picture("1130", {1: 0, 3: 0}), {"PQ_things": (1 / 1.5 + 0) / 2}),
        # a crowd need not be found, and what lies on the crowd of its class is not wrong
        (picture("1122", {1: 0, 2: 1}), picture("1133", {1: 0, 3: 1}, crowd=(3,)), {"PQ": 1.0, "RQ": 1.0}),
        # … of another class it is
        (picture("1122", {1: 0, 2: 2}), picture("1133", {1: 0, 3: 1}, crowd=(3,)), {"PQ_things": 1.0, "PQ_stuff": 0.0}),
        # nothing found
        (picture("0000", {}), picture("1122", {1: 0, 2: 2}), {"PQ": 0.0, "SQ": 0.0, "RQ": 0.0}),
    ],
)
def test_numbers_worked_out_by_hand(prediction: Any, target: Any, expected: dict[str, float | None]) -> None:
    numbers = score(prediction, target)
    assert tuple(numbers) == NAMES
    for name, value in expected.items():
        assert numbers[name] == (None if value is None else pytest.approx(value)), name


@pytest.mark.parametrize("targets", [[], [picture("00 00", {})], [picture("11", {1: 0}, crowd=(1,))]])
def test_nothing_to_measure_is_none(targets: Any) -> None:
    metric = PanopticQuality().build(INFO)
    metric.update([{**t, "panoptic": 0 * t["panoptic"], "segments": []} for t in targets], targets)
    assert metric.compute() == dict.fromkeys(NAMES)
    assert metric.table() == [(f"{n} {k}", None) for n in ("PQ", "SQ", "RQ") for k in INFO.classes]


def test_rows_of_classes() -> None:
    metric = PanopticQuality().build(INFO)
    metric.update([picture("1222 1122", {1: 0, 2: 2})], [picture("1122 1122", {1: 0, 2: 2})])
    metric.compute()
    assert dict(metric.table()) == {
        **{"PQ cat": 0.75, "PQ dog": None, "PQ sky": 0.8},
        **{"SQ cat": 0.75, "SQ dog": None, "SQ sky": 0.8},
        **{"RQ cat": 1.0, "RQ dog": None, "RQ sky": 1.0},
    }


def random_case(seed: int) -> tuple[list[Any], list[Any]]:
    rng = np.random.default_rng(seed)

    def drawn(id_: str, start: torch.Tensor | None = None) -> dict[str, Any]:
        """Paint rectangles over each other; ids are as wide apart as colours of a PNG."""
        panoptic = torch.zeros(24, 30, dtype=torch.int32) if start is None else start.roll(1, 0)
        for i in range(5 if start is None else 2):
            y, x = rng.integers(0, 18, 2)
            panoptic[y : y + rng.integers(3, 15), x : x + rng.integers(3, 20)] = int(1000 * rng.integers(1, 9000) + i)
        kinds = {int(i): int(rng.integers(0, 3)) for i in panoptic.unique() if i}
        segments = [{"id": i, "category": k, "isthing": k < 2} for i, k in kinds.items()]
        return {"id": id_, "panoptic": panoptic, "segments": segments}

    predictions, targets = [], []
    for image in range(8):
        target = drawn(f"{image}")
        prediction = drawn(f"{image}", target["panoptic"])
        kinds = {s["id"]: s["category"] for s in target["segments"]}
        for s in prediction["segments"]:
            s["category"] = kinds.get(s["id"], s["category"])
        for s in target["segments"]:
            s["iscrowd"] = int(s["category"] < 2 and rng.random() < 0.3)
        predictions.append(prediction)
        targets.append(target)
    return predictions, targets


def in_a_loop(predictions: list[Any], targets: list[Any], label: int) -> float:
    """PQ of one class from the rules, mask by mask."""
    total, right, wrong, missed = 0.0, 0, 0, 0
    for p, t in zip(predictions, targets, strict=True):
        void = t["panoptic"] == 0
        guesses = [p["panoptic"] == s["id"] for s in p["segments"] if s["category"] == label]
        objects = [t["panoptic"] == s["id"] for s in t["segments"] if s["category"] == label and not s["iscrowd"]]
        crowds = [t["panoptic"] == s["id"] for s in t["segments"] if s["category"] == label and s["iscrowd"]]
        spared = void | crowds[-1] if crowds else void
        hit = 0
        for guess in guesses:
            ious = [int((guess & o).sum()) / int(((guess & ~void) | o).sum()) for o in objects]
            if max(ious, default=0) > 0.5:
                hit += 1
                total += max(ious)
            elif int((guess & spared).sum()) / int(guess.sum()) <= 0.5:
                wrong += 1
        right += hit
        missed += len(objects) - hit
    return total / (right + wrong / 2 + missed / 2)


@pytest.mark.parametrize("seed", range(4))
def test_random_cases_score_as_the_rules_say(seed: int) -> None:
    predictions, targets = random_case(seed)
    metric = PanopticQuality().build(INFO)
    metric.update(predictions, targets)
    numbers = metric.compute()
    expected = [in_a_loop(predictions, targets, k) for k in range(3)]
    assert min(expected) > 0
    assert numbers["PQ"] == pytest.approx(np.mean(expected), abs=1e-9)
    assert numbers["PQ_things"] == pytest.approx(np.mean(expected[:2]), abs=1e-9)
    assert numbers["PQ_stuff"] == pytest.approx(expected[2], abs=1e-9)


def test_contract() -> None:
    check_metric(PanopticQuality(), *random_case(9))


@pytest.mark.parametrize(
    ("prediction", "problem"),
    [
        ({"boxes": torch.zeros(0, 4)}, "prediction has no panoptic map: use a panoptic model and panoptic data"),
        (
            picture("17", {1: 0}),
            "prediction: the panoptic map has segment 7, which its segments do not list",
        ),
        (picture("11", {1: 3}), "prediction: segment 1 has category 3, expected an index under 3"),
        (
            picture("11 11", {1: 0}),
            "panoptic maps of 2×2 found, 1×2 labelled; both must be of the decoded image",
        ),
    ],
)
def test_maps_that_do_not_fit_are_refused(prediction: Any, problem: str) -> None:
    with pytest.raises(DataError) as error:
        score(prediction, picture("11", {1: 0}))
    assert error.value.problems == (f"metric panoptic_quality: image 'a': {problem}",)
