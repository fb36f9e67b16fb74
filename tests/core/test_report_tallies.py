"""What a report counts of predictions, worked by hand."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from vf.protocols import DatasetInfo
from vf.report import pr
from vf.report.overlaps import box_overlaps, closest_first, polygon_overlaps, surest_first
from vf.report.tallies import Boxes, Mistakes, Outlines, Pixels, Readings, Whole, confusion, tallies

INFO = DatasetInfo(classes=("cat", "dog"), task="toy", num_samples={}, fingerprint="", stuff=("sky",))
NONE = torch.zeros(0)


def found(*rows: tuple[list[float], float, int]) -> dict[str, Any]:
    return {
        "boxes": torch.tensor([row[0] for row in rows]).reshape(-1, 4),
        "scores": torch.tensor([row[1] for row in rows]),
        "labels": torch.tensor([row[2] for row in rows], dtype=torch.int64),
    }


def there(*rows: tuple[list[float], int], **marks: Any) -> dict[str, Any]:
    labels = torch.tensor([row[1] for row in rows], dtype=torch.int64)
    return {"boxes": torch.tensor([row[0] for row in rows]).reshape(-1, 4), "labels": labels, **marks}


def test_overlaps_of_boxes() -> None:
    one, other = np.array([[0.0, 0, 10, 10], [0, 0, 0, 0]]), np.array([[5.0, 0, 15, 10], [20, 20, 30, 30]])
    iou, inside = box_overlaps(one, other)
    np.testing.assert_allclose(iou, [[50 / 150, 0], [0, 0]])
    np.testing.assert_allclose(inside, [[0.5, 0], [0, 0]])
    assert box_overlaps(np.zeros((0, 4)), other)[0].shape == (0, 2)


def test_overlaps_of_polygons() -> None:
    square = np.array([[[0.0, 0], [10, 0], [10, 10], [0, 10]]])
    shifted = square + np.array([5.0, 0])
    far = square + 50
    iou, inside = polygon_overlaps(square, np.concatenate([shifted, far]))
    np.testing.assert_allclose(iou, [[1 / 3, 0]], atol=1e-6)
    np.testing.assert_allclose(inside, [[0.5, 0]], atol=1e-6)
    arrow = np.array([[[0.0, 0], [10, 0], [5, 2], [0, 10], [0, 10]]])  # not convex, its last corner twice
    assert polygon_overlaps(arrow, arrow)[0][0, 0] == pytest.approx(1, abs=0.05)
    line = np.array([[[0.0, 0], [10, 0], [10, 0]]])
    assert polygon_overlaps(line, line)[0][0, 0] == 0


def test_who_is_paired_with_whom() -> None:
    overlaps = np.array([[0.6, 0.9], [0.7, 0.8]])
    assert surest_first(overlaps, np.array([0.1, 0.9]), 0.5).tolist() == [0, 1]
    assert closest_first(overlaps, 0.5).tolist() == [1, 0]
    assert closest_first(overlaps, 0.75).tolist() == [1, -1]
    assert surest_first(np.zeros((2, 0)), np.array([0.1, 0.9]), 0.5).tolist() == [-1, -1]
    assert closest_first(np.zeros((0, 2)), 0.5).tolist() == []


def test_a_curve_by_hand() -> None:
    curve = pr.curve_of(pr.Scored(4, [0.9, 0.8, 0.7, 0.6], [True, False, True, False]))
    assert curve is not None
    assert curve.recall.tolist() == [0.25, 0.25, 0.5, 0.5]
    np.testing.assert_allclose(curve.precision, [1, 2 / 3, 2 / 3, 0.5])
    # 26 recalls up to 0.25, 25 more up to 0.5.
    assert curve.average == pytest.approx((26 * 1 + 25 * 2 / 3) / 101)
    assert curve.points()[25] == [0.25, 1.0, "score 0.900"]
    assert curve.points()[-1] == [0.5, 0.6667, "score 0.700"]


def test_curves_of_nothing() -> None:
    assert pr.curve_of(pr.Scored()) is None
    assert pr.chart("t", {"a": pr.Scored(0, [0.5], [False])}) is None
    missed = pr.curve_of(pr.Scored(3))
    assert missed is not None
    assert (missed.average, missed.points()) == (0.0, [])


def test_many_curves_show_those_with_the_most_objects_first() -> None:
    scored = {f"c{i:02}": pr.Scored(i, [0.5], [True]) for i in range(60)}
    chart = pr.chart("t", scored, mean="mean")
    assert chart is not None
    names = [one["name"].split(" ")[0] for one in chart["series"]]
    assert names[:2] == ["mean", "c59"]
    assert len(names) == 1 + pr.MOST
    assert sum(not one.get("hidden", False) for one in chart["series"]) == 1 + pr.SHOWN


def test_boxes() -> None:
    tally = Boxes(INFO.classes)
    a, b = [0.0, 0, 10, 10], [20.0, 20, 30, 30]
    tally.take(found((a, 0.9, 0), (b, 0.8, 0), (a, 0.7, 1)), there((a, 0), (b, 1)))
    # The first cat is right; the dog is taken for a cat; the dog over the cat is one too many.
    assert tally.matrix.tolist() == [[1, 0, 0], [1, 0, 0], [0, 1, 0]]
    tally.take(found(), there((a, 1)))
    assert tally.matrix.tolist() == [[1, 0, 0], [1, 0, 1], [0, 1, 0]]
    tally.take(found((a, 0.2, 0)), there())  # not sure enough to be drawn
    assert tally.matrix.sum() == 4
    charts = tally.charts()
    assert [one["name"] for one in charts["pr"]["series"]] == [
        "mean of classes · AP 0.500",
        "dog · AP 0.000",
        "cat · AP 1.000",
    ]
    assert charts["confusion"]["rows"] == ["cat", "dog", "background"]


def test_crowds_and_difficult_objects_are_no_objects_and_excuse_what_lies_on_them() -> None:
    a, b, c = [0.0, 0, 10, 10], [20.0, 20, 30, 30], [50.0, 50, 60, 60]
    marks = {"iscrowd": torch.tensor([True, False]), "difficult": torch.tensor([False, True])}
    tally = Boxes(INFO.classes)
    tally.take(found((a, 0.9, 0), (b, 0.8, 0), (c, 0.7, 0)), there((a, 0), (b, 0), **marks))
    assert tally.matrix.tolist() == [[0, 0, 0], [0, 0, 0], [1, 0, 0]]
    assert "pr" not in tally.charts()  # there is no object


def test_images_as_a_whole() -> None:
    tally = Whole(INFO.classes, single=True)
    for probabilities, label in (([0.9, 0.1], 0), ([0.6, 0.4], 1), ([0.2, 0.8], 1)):
        said = {"probabilities": torch.tensor(probabilities), "label": torch.tensor(int(probabilities[1] > 0.5))}
        tally.take(said, {"labels": torch.tensor([label])})
    assert tally.matrix.tolist() == [[1, 0], [1, 1]]
    charts = tally.charts()
    assert [one["name"] for one in charts["pr"]["series"][1:]] == ["dog · AP 1.000", "cat · AP 1.000"]
    several = Whole(INFO.classes, single=False)
    several.take({"probabilities": torch.tensor([0.9, 0.1])}, {"labels": torch.tensor([0, 1])})
    assert "confusion" not in several.charts()


def test_pixels() -> None:
    tally = Pixels(INFO.classes + INFO.stuff)
    said = {"semantic": torch.tensor([[0, 1], [2, 2]], dtype=torch.uint8)}
    tally.take(said, {"semantic": torch.tensor([[[0, 0], [2, 255]]], dtype=torch.uint8)})
    assert tally.matrix.tolist() == [[1, 1, 0], [0, 0, 0], [0, 0, 1]]
    assert tally.charts()["confusion"]["unit"] == "px"


def test_texts_that_are_outlined() -> None:
    quad = torch.tensor([[[0.0, 0], [10, 0], [10, 4], [0, 4]]])
    said = {
        "polygons": torch.cat([quad, quad + 20, quad + 60]),
        "scores": torch.tensor([0.9, 0.8, 0.7]),
        "texts": ["abc", "x", "y"],
    }
    target = {"polygons": torch.cat([quad, quad + 20]), "ignored": torch.tensor([False, True]), "texts": ["abd", "###"]}
    tally = Outlines()
    tally.take(said, target)
    tally.take({"polygons": torch.zeros(0, 4, 2), "scores": NONE, "texts": []}, target)
    charts = tally.charts()
    # Of two texts one is found, surer than what lies nowhere; and it is read wrong.
    assert [one["name"] for one in charts["pr"]["series"]] == [
        "found · AP 0.505",
        "found and read right · AP 0.000",
    ]
    assert charts["misread"]["rows"] == [{"name": "d → c", "values": [1]}]
    empty = Outlines()
    nobody = {"polygons": torch.zeros(0, 4, 2), "ignored": torch.zeros(0, dtype=torch.bool), "texts": []}
    empty.take({"polygons": torch.zeros(0, 4, 2), "scores": NONE, "texts": []}, nobody)
    assert empty.charts() == {}


def test_words() -> None:
    tally = Readings()
    for text, read, score in (("hello", "hello", 0.9), ("word", "w0rd", 0.8), ("a", "", 0.1)):
        tally.take({"text": read, "score": torch.tensor(score)}, {"text": text})
    charts = tally.charts()
    assert charts["pr"]["series"][0]["name"] == "read right · AP 0.337"  # one of three: 34 of 101 recalls
    assert [row["name"] for row in charts["misread"]["rows"]] == ["a → nothing", "o → 0"]
    assert Mistakes().chart() is None


def test_of_many_classes_those_with_mistakes_are_shown() -> None:
    matrix = np.diag(np.full(50, 9))
    matrix[7, 49] = 3
    chart = confusion([f"c{i}" for i in range(50)], matrix, "Images.")
    assert chart is not None
    assert len(chart["rows"]) == 40
    assert {"c7", "c49"} <= set(chart["rows"])
    assert "The 40 of 50 classes with the most mistakes" in chart["note"]
    assert confusion(["a"], np.zeros((1, 1), np.int64), "") is None


@pytest.mark.parametrize(
    ("keys", "kinds"),
    [
        ({"boxes", "scores", "labels"}, [Boxes]),
        ({"boxes", "scores", "labels", "masks", "semantic"}, [Boxes]),
        ({"polygons", "scores", "boxes"}, [Outlines]),
        ({"text", "score"}, [Readings]),
        ({"probabilities", "label"}, [Whole]),
        ({"semantic"}, [Pixels]),
        ({"features"}, []),
    ],
)
def test_what_is_counted_is_said_by_the_keys(keys: set[str], kinds: list[type]) -> None:
    assert [type(one) for one in tallies(dict.fromkeys(keys), INFO)] == kinds
