"""What a result says as plain data: objects, classes of the whole image, parts of its pixels."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import attrs
import numpy as np
import pytest
import torch
from torchvision import tv_tensors

from vf.errors import ConfigError, DataError, SetupError
from vf.protocols import DatasetInfo
from vf.results import Result, class_indices

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


# 2 by 4 pixels, two objects
TWO: dict[str, Any] = {
    "boxes": [[0, 0, 1, 2], [1, 0, 4, 1]],
    "scores": [0.75, 0.25],
    "labels": [1, 0],
    "masks": [[[True, False, False, False]] * 2, [[False, True, True, True], [False] * 4]],
}
RUNS = [{"size": [2, 4], "counts": [0, 2, 6]}, {"size": [2, 4], "counts": [2, 1, 1, 1, 1, 1, 1]}]


def test_typed_views() -> None:
    found = result(**TWO)
    assert found.names == ("b", "a")
    assert found.masks is not None
    assert found.masks.sum().item() == 5
    assert (found.size, found.label, found.name, found.score, found.text, found.semantic) == ((2, 4), *[None] * 5)
    whole = result(probabilities=[0.25, 0.75, 0, 0, 0, 0], label=1)
    assert (whole.label, whole.name, whole.score, whole.boxes, whole.names) == (1, "b", 0.75, None, None)
    assert (result(text="ab", score=0.5).text, result(text="ab", score=0.5).score) == ("ab", 0.5)


def test_masks_are_run_lengths_as_coco_counts_them() -> None:
    said = result(**TWO).to_dict(threshold=0)["objects"]
    assert [one["mask"] for one in said] == RUNS
    assert [one["mask"] for one in result(**TWO).to_dict()["objects"]] == RUNS[:1]


def test_cocos_form_of_results() -> None:
    rows = result(**TWO).to_coco(7)
    assert rows == [
        {"image_id": 7, "category_id": 2, "bbox": [0, 0, 1, 2], "score": 0.75, "segmentation": RUNS[0]},
        {"image_id": 7, "category_id": 1, "bbox": [1, 0, 3, 1], "score": 0.25, "segmentation": RUNS[1]},
    ]
    own = attrs.evolve(result(**TWO), info=attrs.evolve(INFO, category_ids=(17, 18, 19, 20, 21, 22, 23)))
    assert [row["category_id"] for row in own.to_coco("i", threshold=0.5)] == [18]
    assert result(boxes=np.zeros((0, 4)), scores=[], labels=np.zeros(0, int)).to_coco(7) == []
    (text,) = result(polygons=[[[0, 0], [2, 0], [2, 1], [0, 1]]], scores=[0.5], texts=["ab"]).to_coco(7)
    assert (text["bbox"], text["segmentation"]) == ([0, 0, 2, 1], [[0, 0, 2, 0, 2, 1, 0, 1]])
    with pytest.raises(
        DataError, match=r"^to_coco: COCO's results are of objects, and this model gives semantic; use "
    ):
        result(semantic=np.zeros((2, 4), np.uint8)).to_coco(7)


def test_supervision() -> None:
    supervision = pytest.importorskip("supervision")
    found = result(**TWO).to_supervision()
    assert isinstance(found, supervision.Detections)
    assert (found.xyxy.tolist(), found.class_id.tolist(), found["class_name"].tolist()) == ([[0, 0, 1, 2]], [1], ["b"])
    assert found.mask.sum() == 2
    assert len(result(**TWO).to_supervision(threshold=0.9)) == 0
    whole = result(probabilities=[0.25, 0.75, 0, 0, 0, 0], label=1).to_supervision()
    assert whole.get_top_k(1)[0].tolist() == [1]
    text = result(polygons=[[[0, 0], [2, 0], [2, 1], [0, 1]]], scores=[0.5], texts=["ab"]).to_supervision()
    assert (text.xyxy.tolist(), text["text"].tolist()) == ([[0, 0, 2, 1]], ["ab"])
    with pytest.raises(DataError, match=r"^to_supervision: has no form for semantic; take to_dict\(\) or the tensors$"):
        result(semantic=np.zeros((2, 4), np.uint8)).to_supervision()


def test_without_supervision(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "supervision", None)
    with pytest.raises(SetupError) as caught:
        result(**TWO).to_supervision()
    assert caught.value.problems == ("to_supervision: supervision is not installed; pip install supervision",)


def test_segments() -> None:
    pixels = np.array([[1, 1, 2, 0], [1, 1, 2, 0]], np.int32)
    segments = [
        {"id": 1, "category": 0, "isthing": True, "score": 0.5},
        {"id": 2, "category": 6, "isthing": False},
    ]
    found = attrs.evolve(result(), prediction={"panoptic": torch.from_numpy(pixels), "segments": segments})
    assert found.to_dict()["segments"] == [
        {"id": 1, "class": "a", "label": 0, "score": 0.5, "share": 0.5},
        {"id": 2, "class": "sky", "label": 6, "share": 0.25},
    ]
    assert np.array_equal(np.asarray(found.segment_map()), pixels)
    assert found.draw().size == (4, 2)
    sky = found.only(class_indices(["sky"], INFO))
    assert sky.panoptic is not None
    assert sky.panoptic.tolist() == [[0, 0, 2, 0]] * 2
    assert sky.segments == segments[1:]


def test_only_some_classes() -> None:
    some = class_indices(["a"], INFO)
    assert some == {0}
    objects = result(**TWO).only(some)
    assert (objects.names, objects.masks.sum().item() if objects.masks is not None else 0) == (("a",), 3)
    pixels = result(semantic=np.array([[0, 0, 0, 6], [1, 1, 255, 6]], np.uint8)).only(some).semantic
    assert pixels is not None
    assert pixels.tolist() == [[0, 0, 0, 255], [255, 255, 255, 255]]
    whole = result(probabilities=[0.25, 0.75, 0, 0, 0, 0], label=1).only(some)
    assert (whole.name, whole.score) == ("a", 0.25)
    with pytest.raises(ConfigError, match=r"^--class: this model tells no classes apart; leave it out$"):
        result(text="ab", score=0.5).only(some)
    with pytest.raises(
        ConfigError, match=r"^--class skyy: the model has no such class; did you mean 'sky'\?; it has a, "
    ):
        class_indices(["skyy"], INFO)


def test_a_picture_is_saved_by_its_suffix(tmp_path: Path) -> None:
    assert result(**TWO).save(tmp_path / "new" / "a.png").is_file()
    with pytest.raises(DataError, match=r"a\.text: expected a name that ends like a picture's, as \.jpg or \.png$"):
        result(**TWO).save(tmp_path / "a.text")
    (tmp_path / "file").touch()
    with pytest.raises(DataError, match=r"file/a\.png: cannot be written: "):
        result(**TWO).save(tmp_path / "file" / "a.png")
