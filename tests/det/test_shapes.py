"""Generated images are the same everywhere, and their labels are right by construction."""

from __future__ import annotations

import hashlib
import pickle

import numpy as np
import pytest

from vf.data.shapes import CLASSES, Settings, scene
from vf.errors import ConfigError
from vf.recipes import resolve
from vf.testing import check_dataset
from vf_det.data_configs import Shapes

SETTINGS = Settings(size=96, min_objects=1, max_objects=5, min_side=0.15, max_side=0.5, seed=0)


def test_contract() -> None:
    check_dataset(Shapes(size=64, train=3, val=2, test=1))


def test_an_image_is_a_function_of_seed_split_and_index() -> None:
    first, again = scene(SETTINGS, "train", 7), scene(SETTINGS, "train", 7)
    assert np.array_equal(first.image, again.image)
    assert np.array_equal(first.boxes, again.boxes)
    for split, index in (("val", 7), ("train", 8)):
        assert not np.array_equal(first.image, scene(SETTINGS, split, index).image)


def test_boxes_hold_what_is_seen() -> None:
    for index in range(30):
        made = scene(SETTINGS, "train", index)
        assert len(made.boxes) == len(made.labels) == len(made.masks)
        for box, mask in zip(made.boxes.astype(int), made.masks, strict=True):
            rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
            assert box[0] <= columns[0] and columns[-1] < box[2]  # noqa: PT018
            assert box[1] <= rows[0] and rows[-1] < box[3]  # noqa: PT018
        assert (made.masks.sum(0) <= 1).all(), "a pixel belongs to one object"


def test_an_object_alone_has_a_tight_box() -> None:
    alone = Settings(size=96, min_objects=1, max_objects=1, min_side=0.3, max_side=0.5, seed=1)
    for index in range(10):
        made = scene(alone, "val", index)
        rows, columns = np.flatnonzero(made.masks[0].any(1)), np.flatnonzero(made.masks[0].any(0))
        assert made.boxes[0].tolist() == [columns[0], rows[0], columns[-1] + 1, rows[-1] + 1]


def test_no_object_at_all() -> None:
    made = scene(Settings(size=32, min_objects=0, max_objects=0, min_side=0.2, max_side=0.3, seed=0), "train", 0)
    assert made.boxes.shape == (0, 4)
    assert made.masks.shape == (0, 32, 32)


def test_every_class_comes() -> None:
    seen = {int(k) for index in range(40) for k in scene(SETTINGS, "train", index).labels}
    assert seen == set(range(len(CLASSES)))


def test_the_data_set_is_tiny_to_pickle() -> None:
    assert len(pickle.dumps(Shapes().build("train"))) < 1000


def test_labels_do_not_change_between_releases() -> None:
    digest = hashlib.sha256()
    for index in range(5):
        digest.update(scene(SETTINGS, "test", index).labels.tobytes())
    assert digest.hexdigest()[:8] == "7b46adc0"


@pytest.mark.parametrize(
    ("override", "sentence"),
    [
        ("data.min_objects=9", "min_objects 9 > max_objects 6"),
        ("data.min_side=0.5", "min_side 0.5 > max_side 0.45"),
    ],
)
def test_ranges_the_wrong_way_round_are_refused(override: str, sentence: str) -> None:
    with pytest.raises(ConfigError) as error:
        resolve("det/quickstart", overrides=(override,))
    assert error.value.problems[0].endswith(f"data: {sentence}")
