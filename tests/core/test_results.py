"""What a result says as plain data: objects, classes of the whole image, parts of its pixels."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torchvision import tv_tensors

from vf.protocols import DatasetInfo
from vf.results import Result

INFO = DatasetInfo(classes=tuple("abcdef"), task="", num_samples={}, fingerprint="", stuff=("sky",))
SIZE = {"image": "i", "width": 4, "height": 2}


def result(**prediction: Any) -> Result:
    image = tv_tensors.Image(torch.zeros(3, 2, 4, dtype=torch.uint8))
    return Result(
        "i",
        image,
        {key: value if key.startswith("text") else torch.as_tensor(value) for key, value in prediction.items()},
        INFO,
    )


def test_objects_that_score_enough() -> None:
    boxes = [[0, 0, 1.234, 2], [0, 0, 4, 2]]
    said = result(boxes=boxes, scores=[0.5, 0.25], labels=[1, 0]).to_dict(threshold=0.5)
    assert said == {**SIZE, "objects": [{"class": "b", "label": 1, "score": 0.5, "box": [0.0, 0.0, 1.23, 2.0]}]}


def test_the_five_likeliest_classes_of_an_image() -> None:
    said = result(probabilities=[0.0625, 0.5, 0.25, 0.03125, 0.125, 0.0], label=1).to_dict()
    assert [(c["class"], c["label"], c["score"]) for c in said["classes"]] == [
        *(("b", 1, 0.5), ("c", 2, 0.25), ("e", 4, 0.125), ("a", 0, 0.0625), ("d", 3, 0.03125)),
    ]


def test_all_classes_that_score_enough_where_they_do_not_exclude_each_other() -> None:
    said = result(probabilities=[0.75, 0.125, 0.875, 0.0, 0.0, 0.0]).to_dict(threshold=0.5)
    assert [c["class"] for c in said["classes"]] == ["c", "a"]
    assert result(probabilities=[0.0] * 6).to_dict() == {**SIZE, "classes": []}


def test_parts_of_the_pixels() -> None:
    found = result(semantic=np.array([[0, 0, 0, 6], [1, 1, 255, 6]], np.uint8))
    assert found.to_dict() == {**SIZE, "pixels": {"a": 0.375, "b": 0.25, "sky": 0.25}}
    assert np.asarray(found.label_map()).tolist() == [[0, 0, 0, 6], [1, 1, 255, 6]]


def test_outlines_with_what_is_read_in_them() -> None:
    squares = [[[0, 0], [2, 0], [2, 1], [0, 1.236]], [[1, 0], [4, 0], [4, 2], [1, 2]]]
    found = result(polygons=squares, scores=[0.5, 0.25], texts=["ab", ""], text_scores=torch.tensor([0.75, 0.0]))
    corners = [[0.0, 0.0], [2.0, 0.0], [2.0, 1.0], [0.0, 1.24]]
    assert found.to_dict() == {
        **SIZE,
        "texts": [{"polygon": corners, "score": 0.5, "text": "ab", "text_score": 0.75}],
    }
    alone = result(polygons=squares, scores=[0.5, 0.25]).to_dict(threshold=0)["texts"]
    assert [set(one) for one in alone] == [{"polygon", "score"}] * 2


def test_the_text_of_an_image() -> None:
    assert result(text="ab", score=0.5).to_dict() == {**SIZE, "text": "ab", "score": 0.5}
