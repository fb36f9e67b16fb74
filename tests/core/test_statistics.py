"""Counts of a split, worked out by hand, from whatever a data set can tell."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from vf.data.entries import Objects
from vf.data.statistics import quantiles, rows_of_classes, statistics

LABELS = [[0, 0, 1], [], [1], [2, 0]]


class Told:
    """Four images; knows what ``facts`` say."""

    def __init__(self, **facts: Any) -> None:
        for name, value in facts.items():
            setattr(self, name, lambda *a, value=value: value(*a) if callable(value) else value)

    def __len__(self) -> int:
        return 4

    def __getitem__(self, index: int) -> Any:
        raise AssertionError("decodes")


def flat(**more: Any) -> Objects:
    labels = np.array([k for own in LABELS for k in own], np.int64)
    return Objects(np.array([3, 0, 1, 2], np.int64), labels, **more)


def test_objects_crowds_and_difficult_are_counted_apart() -> None:
    crowd = np.array([0, 0, 1, 1, 0, 0], bool)
    difficult = np.array([0, 0, 0, 1, 0, 1], bool)
    areas = np.array([1023, 1024, 1, 1, 9216, 1], np.float32)
    told = statistics(
        Told(objects=flat(areas=areas, marks={"crowd": crowd, "difficult": difficult})), ("a", "b", "c", "d")
    )
    assert told == {
        "images": 4,
        "empty": 1,
        "objects": 3,
        "crowd": 1,
        "difficult": 2,
        "classes": {
            "a": {"objects": 2, "images": 1},
            "b": {"objects": 0, "images": 0},
            "c": {"objects": 1, "images": 1},
            "d": {"objects": 0, "images": 0},
        },
        "areas": {"small": 1, "medium": 2, "large": 0},
        "objects_per_image": {"min": 0, "25 %": 0, "median": 0, "75 %": 1, "95 %": 2, "max": 2, "mean": 0.75},
    }


def test_labels_alone_are_enough() -> None:
    told = statistics(Told(labels_of=lambda i: LABELS[i]), ("a", "b", "c"))
    assert (told["objects"], told["empty"], "areas" in told) == (6, 1, False)
    assert told["classes"]["a"] == {"objects": 3, "images": 2}
    assert told["objects_per_image"]["max"] == 3


def test_sizes_and_nothing_else() -> None:
    told = statistics(Told(sizes=np.array([[30, 40], [20, 40], [30, 40], [10, 10]])), ("a",))
    assert told["image_sizes"] == [[40, 30, 2], [10, 10, 1], [40, 20, 1]]
    assert list(told["image_height"].values()) == [10, 10, 20, 30, 30, 30, 22.5]
    assert "objects" not in told
    assert statistics(Told(), ()) == {"images": 4}


def test_an_unlabelled_split_has_no_objects_rather_than_none() -> None:
    assert statistics(Told(objects=flat()), ("a", "b", "c"), labelled=False) == {"images": 4}


def test_quantiles_of_nothing() -> None:
    assert quantiles(np.zeros(0)) == {}


def test_a_table_of_classes() -> None:
    told = {
        "train": {"classes": {"a": {"objects": 1}, "b": {"objects": 3}}},
        "test": {"images": 1},
        "val": {"classes": {"a": {"objects": 0}, "b": {"objects": 0}}},
    }
    assert rows_of_classes(told) == [
        ("objects of class", "train", "val"),
        ("b", "3 (75.0 %)", "0 (0.0 %)"),
        ("a", "1 (25.0 %)", "0 (0.0 %)"),
    ]
    assert rows_of_classes({"test": {"images": 1}}) == []


@pytest.mark.parametrize("names", [(), ("a",)])
def test_no_images(names: tuple[str, ...]) -> None:
    class Empty(Told):
        def __len__(self) -> int:
            return 0

    none = Objects(np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0, np.float32))
    told = statistics(Empty(objects=none, sizes=np.zeros((0, 2), np.int32)), names)
    assert (told["images"], told["objects"], told["objects_per_image"]) == (0, 0, {})


def test_pixels_of_classes() -> None:
    class Pixels:
        def __len__(self) -> int:
            return 2

        def pixels(self) -> Any:
            return np.array([[6, 0, 4, 0], [2, 0, 0, 8]])

        def labels_of(self, index: int) -> Any:
            raise AssertionError("counts objects")

    dataset: Any = Pixels()
    told = statistics(dataset, ("road", "sky", "car"))
    assert told == {
        "images": 2,
        "ignored": 0.4,
        "classes": {
            "road": {"pixels": 8, "images": 2},
            "sky": {"pixels": 0, "images": 0},
            "car": {"pixels": 4, "images": 1},
        },
    }
    assert rows_of_classes({"train": told}) == [
        ("pixels of class", "train"),
        ("road", "8 (66.7 %)"),
        ("car", "4 (33.3 %)"),
        ("sky", "0 (0.0 %)"),
    ]
    assert statistics(dataset, ("road",), labelled=False) == {"images": 2}
