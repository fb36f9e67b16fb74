"""Hmean as ICDAR 2015 counts: tables worked by hand, and random images beside a second implementation."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from shapely.geometry import Polygon

import vf.testing
from vf_ocr.hmean_configs import Hmean as Config
from vf_ocr.metrics.hmean import Hmean
from vf_ocr.texts import Texts


def box(x: float, y: float = 0, width: float = 10, height: float = 10) -> list[list[float]]:
    """Corners of a rectangle."""
    return [[x, y], [x + width, y], [x + width, y + height], [x, y + height]]


def found(*quads: Any, scores: Any = None, texts: Any = None) -> dict[str, Any]:
    """What a model says of one image."""
    said = {
        "polygons": torch.from_numpy(np.array(quads, np.float32).reshape(-1, 4, 2)),
        "scores": torch.as_tensor([1.0] * len(quads) if scores is None else scores),
    }
    return said | ({} if texts is None else {"texts": texts})


def there(*quads: Any, ignored: Any = None, texts: Any = None) -> dict[str, Any]:
    """What there is in one image."""
    return {
        "id": "a",
        "polygons": torch.from_numpy(np.array(quads, np.float32).reshape(-1, 4, 2)),
        "ignored": torch.as_tensor([False] * len(quads) if ignored is None else ignored),
        "texts": Texts([""] * len(quads) if texts is None else texts),
    }


def numbers(prediction: Any, target: Any, **options: Any) -> tuple[float | None, ...]:
    """Precision, recall and mean of one image."""
    metric = Hmean(**options)
    metric.update([prediction], [target])
    values = metric.compute()
    prefix = "e2e_" if options.get("transcription") else ""
    return tuple(values[f"{prefix}{name}"] for name in ("precision", "recall", "hmean"))


TWO = (box(0), box(20))


@pytest.mark.parametrize(
    ("prediction", "target", "expected"),
    [
        pytest.param(found(*TWO), there(*TWO), (1, 1, 1), id="all"),
        pytest.param(found(box(0)), there(*TWO), (1, 0.5, 2 / 3), id="one of two"),
        pytest.param(found(*TWO, box(40)), there(*TWO), (2 / 3, 1, 0.8), id="one too many"),
        pytest.param(found(), there(*TWO), (None, 0, 0), id="nothing found"),
        pytest.param(found(box(0)), there(), (0, None, None), id="nothing there"),
        pytest.param(found(), there(), (None, None, None), id="nothing at all"),
        # 12×10 moved by 4: 8/16 is one half, which is not above it; 10×10 by 3: 7/13.
        pytest.param(found(box(4, 0, 12)), there(box(0, 0, 12)), (0, 0, 0), id="half is not enough"),
        pytest.param(found(box(3)), there(box(0)), (1, 1, 1), id="a little more is"),
        pytest.param(found(box(0), box(0)), there(box(0)), (0.5, 1, 2 / 3), id="twice found"),
        pytest.param(found(box(0)), there(box(0), box(0)), (1, 0.5, 2 / 3), id="one for two"),
        pytest.param(found(box(20)), there(*TWO, ignored=[False, True]), (None, 0, 0), id="found on ignored alone"),
        pytest.param(found(*TWO), there(*TWO, ignored=[False, True]), (1, 1, 1), id="ignored neither counts nor harms"),
        pytest.param(found(*TWO), there(*TWO, ignored=[True, True]), (None, None, None), id="all ignored"),
        # Small boxes on a large ignored one: its own area counts, not the IoU. Half of it is not more than half.
        pytest.param(
            found(box(2, 2, 2, 2), box(-1, 2, 2, 2)),
            there(box(0), ignored=[True]),
            (0, None, None),
            id="area of its own",
        ),
        # It lies on text and on ignored text with more than half: it does not count, and the text is missed.
        pytest.param(
            found(box(0)), there(box(0), box(4), ignored=[False, True]), (None, 0, 0), id="ignored comes first"
        ),
    ],
)
def test_one_image_by_hand(prediction: Any, target: Any, expected: tuple[float | None, ...]) -> None:
    for value, wanted in zip(numbers(prediction, target), expected, strict=True):
        assert value is None if wanted is None else value == pytest.approx(wanted)


def test_text_takes_the_first_found_not_the_nearest() -> None:
    # The first text takes the first box (IoU 7/13), so that the second box (IoU 1) is left for nobody.
    prediction, target = found(box(3), box(0)), there(box(0))
    assert numbers(prediction, target) == pytest.approx((0.5, 1, 2 / 3))
    read = found(box(3), box(0), texts=["b", "a"])
    assert numbers(read, there(box(0), texts=["a"]), transcription=True) == pytest.approx((0, 0, 0))


@pytest.mark.parametrize(
    ("text", "case", "hmean"),
    [("Word", True, 1), ("word", True, 0), ("word", False, 1), ("", True, 0), ("Wörd", False, 0)],
)
def test_end_to_end_needs_the_same_text(text: str, case: bool, hmean: float) -> None:
    prediction = found(box(0), texts=[text])
    assert numbers(prediction, there(box(0), texts=["Word"]), transcription=True, case=case)[2] == hmean


def test_end_to_end_picks_the_texts_of_what_counts() -> None:
    # The first of each does not count: found on ignored text, and ignored.
    prediction = found(box(20), box(0), texts=["x", "yes"])
    target = there(box(20), box(0), ignored=[True, False], texts=["###", "yes"])
    assert numbers(prediction, target, transcription=True) == (1, 1, 1)


def test_the_best_score_is_chosen_the_lowest_of_equals() -> None:
    metric = Hmean()
    # From 0.3 on: 2 of 4 right; from 0.5 on: 2 of 2; from 0.7 on: 1 of 1.
    metric.update(
        [found(*TWO, box(40), box(60), scores=[0.65, 0.9, 0.35, 0.45])],
        [there(*TWO)],
    )
    values = metric.compute()
    assert values == {"hmean": 1.0, "precision": 1.0, "recall": 1.0, "score_threshold": 0.5}
    expected = [4 / 6, 4 / 5, 1, 1, 2 / 3, 2 / 3, 2 / 3]
    assert [value for _, value in metric.table()] == pytest.approx(expected)
    assert metric.table()[0][0] == "hmean from 0.3 on"


def test_a_score_on_a_threshold_counts_and_one_below_all_does_not() -> None:
    assert numbers(found(box(0), scores=[0.5]), there(box(0)), scores=(0.5,)) == (1, 1, 1)
    assert numbers(found(box(0), scores=[0.29]), there(box(0))) == (None, 0, 0)


def test_curved_text_counts_by_its_polygon() -> None:
    # An L of three squares of 10, within a box of 20: the box has an IoU of 3/4, the missing square of 0.
    corner = torch.tensor([[[0, 0], [10, 0], [10, 10], [20, 10], [20, 20], [0, 20]]], dtype=torch.float32)
    target = {"id": "a", "polygons": corner}
    assert numbers(found(box(0, 0, 20, 20)), target) == (1, 1, 1)
    assert numbers(found(box(10)), target) == (0, 0, 0)


def test_names_of_end_to_end_are_its_own() -> None:
    assert set(Hmean(transcription=True).compute()) == {
        "e2e_hmean",
        "e2e_precision",
        "e2e_recall",
        "e2e_score_threshold",
    }


def random_quad(rng: np.random.Generator, near: Any = None) -> Any:
    """A turned rectangle anywhere, or a little beside another."""
    if near is not None:
        return np.asarray(near) + rng.normal(0, 2.5, (4, 2))
    angle = rng.uniform(-0.7, 0.7)
    turn = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    size = rng.uniform(8, 30, 2)
    corners = np.array([[0, 0], [1, 0], [1, 1], [0, 1]]) * size
    return corners @ turn + rng.uniform(0, 60, 2)


def random_image(rng: np.random.Generator) -> tuple[dict[str, Any], dict[str, Any]]:
    """Some text, some of it ignored, some found beside it, with the same words or others."""
    texts = [random_quad(rng) for _ in range(rng.integers(0, 6))]
    quads = [random_quad(rng, near) for near in texts for _ in range(rng.integers(0, 3))]
    quads += [random_quad(rng) for _ in range(rng.integers(0, 3))]
    words = [str(word) for word in rng.integers(0, 2, len(texts))]
    said = found(
        *quads, scores=rng.uniform(0.2, 1, len(quads)).round(2), texts=[str(w) for w in rng.integers(0, 2, len(quads))]
    )
    return said, there(*texts, ignored=rng.random(len(texts)) < 0.3, texts=words)


def protocol(
    said: dict[str, Any], target: dict[str, Any], least: float, *, transcription: bool
) -> tuple[int, int, int]:
    """Hits, things found, texts of one image: the protocol's words, one after the other."""
    texts = [Polygon(p) for p in target["polygons"].double().numpy()]
    quads = [Polygon(p) for p in said["polygons"].double().numpy()]
    chosen = [d for d in range(len(quads)) if said["scores"][d].float() >= torch.tensor(least)]
    care = [g for g in range(len(texts)) if not target["ignored"][g]]
    for g in set(range(len(texts))) - set(care):
        chosen = [d for d in chosen if quads[d].intersection(texts[g]).area / quads[d].area <= 0.5]
    matched: dict[int, int] = {}
    for g in care:
        for d in chosen:
            iou = quads[d].intersection(texts[g]).area / quads[d].union(texts[g]).area
            if g not in matched and d not in matched.values() and iou > 0.5:
                matched[g] = d
    right = [g for g, d in matched.items() if not transcription or said["texts"][d] == target["texts"][g]]
    return len(right), len(chosen), len(care)


@pytest.mark.parametrize("transcription", [False, True])
def test_random_images_count_as_the_protocol_says(transcription: bool) -> None:
    rng = np.random.default_rng(3)
    # Quads that cross themselves have no area of their own in the protocol.
    pairs = [random_image(rng) for _ in range(120)]
    pairs = [
        (s, t) for s, t in pairs if all(Polygon(p).is_valid for x in (s, t) for p in x["polygons"].double().numpy())
    ]
    assert len(pairs) > 60
    scores = (0.3, 0.5, 0.7, 0.9)
    metric = Hmean(scores=scores, transcription=transcription)
    metric.update([s for s, _ in pairs], [t for _, t in pairs])
    state = metric.state()
    for place, least in enumerate(scores):
        counts = [protocol(s, t, least, transcription=transcription) for s, t in pairs]
        hits, number, texts = (sum(column) for column in zip(*counts, strict=True))
        assert (int(state["hits"][place]), int(state["found"][place]), state["texts"]) == (hits, number, texts)
        assert 0 < hits < number


def test_it_keeps_the_contract() -> None:
    rng = np.random.default_rng(1)
    pairs = [random_image(rng) for _ in range(6)]
    for config in (Config(), Config(transcription=True, case=False)):
        vf.testing.check_metric(config, [s for s, _ in pairs], [t for _, t in pairs])


@pytest.mark.parametrize("scores", [(), (0.5, 0.4), (0.5, 1.5)])
def test_scores_must_rise(scores: tuple[float, ...]) -> None:
    with pytest.raises(ValueError, match=r"must be rising numbers from 0 to 1, got \["):
        Config(scores=scores)
