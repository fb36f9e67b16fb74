"""The files of COCO's and Cityscapes' servers, number by number, and read back by the tools that they are for."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch

from vf.errors import DataError, RunError
from vf.outputs import ids_of
from vf.protocols import DatasetInfo, Predicted
from vf_det.masks import Masks
from vf_det.results.cityscapes import CityscapesResults
from vf_det.results.coco import CocoResults

INFO = DatasetInfo(
    classes=("person", "car"), task="det", num_samples={}, fingerprint="", stuff=("sky",), category_ids=(1, 3, 9)
)
SIZE = (4, 6)


def image(id_: str, image_id: int | str | None = None, **more: Any) -> Predicted:
    """Two objects, a person and a car."""
    dense = torch.zeros(2, *SIZE, dtype=torch.bool)
    dense[0, 1:3, 2:5] = dense[1, 0, 0] = True
    prediction: dict[str, Any] = {
        "boxes": torch.tensor([[2.0, 1.0, 5.00004, 3.0], [0.1, 0.0, 1.0, 1.0]]),
        "scores": torch.tensor([0.9, 1 / 3]),
        "labels": torch.tensor([0, 1]),
        "masks": Masks.from_dense(dense),
    }
    return Predicted(id=id_, size=SIZE, prediction=prediction | more, image_id=image_id)


def written(path: str) -> Any:
    return json.loads(Path(path).read_text(encoding="utf-8"))


def test_boxes_and_masks_in_cocos_form(tmp_path: Path) -> None:
    prefix = str(tmp_path / "new" / "P")
    names = CocoResults().write(iter([image("a.jpg", 7), image("b.jpg", 4)]), prefix, INFO)
    assert names == [f"{prefix}.bbox.json", f"{prefix}.segm.json"]
    boxes, masks = map(written, names)
    assert boxes[:2] == [
        {"image_id": 7, "bbox": [2.0, 1.0, 3.0, 2.0], "score": 0.9, "category_id": 1},
        {"image_id": 7, "bbox": [0.1, 0.0, 0.9, 1.0], "score": 0.33333334, "category_id": 3},
    ]
    assert [box["image_id"] for box in boxes] == [7, 7, 4, 4]
    assert masks[0].keys() == {"image_id", "segmentation", "score", "category_id"}
    runs = Masks.from_rles([masks[0]["segmentation"]], SIZE)
    assert runs.areas().tolist() == [6]
    assert np.float32(boxes[1]["score"]) == np.float32(1 / 3)


def test_pycocotools_reads_them(tmp_path: Path) -> None:
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    dense = image("a").prediction["masks"]
    objects = [
        {"id": i, "image_id": 7, "category_id": k, "bbox": box, "area": area, "iscrowd": 0, "segmentation": runs}
        for i, (k, box, area, runs) in enumerate(
            zip((1, 3), ([2, 1, 3, 2], [0, 0, 1, 1]), (6, 1), dense.plain(), strict=True),  # type: ignore[operator]
            1,
        )
    ]
    labels = COCO()
    labels.dataset = {
        "images": [{"id": 7, "height": 4, "width": 6}],
        "annotations": objects,
        "categories": [{"id": 1, "name": "person"}, {"id": 3, "name": "car"}],
    }
    labels.createIndex()
    for name in CocoResults().write([image("a.jpg", 7)], str(tmp_path / "P"), INFO):
        kind = name.split(".")[-2]
        evaluation = COCOeval(labels, labels.loadRes(name), kind)
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
        assert evaluation.stats[1] == pytest.approx(1)


def test_keypoints_and_proposals(tmp_path: Path) -> None:
    more = {
        "keypoints": torch.tensor([[[1.0, 2.5]], [[0.0, 0.0]]]),
        "proposals": torch.tensor([[0.0, 1.0, 2.0, 3.0]]),
        "proposal_scores": torch.tensor([0.25]),
    }
    names = CocoResults().write([image("a.jpg", 7, **more)], str(tmp_path / "P"), INFO)
    assert [name.rpartition("/")[2] for name in names] == [
        *("P.bbox.json", "P.segm.json", "P.keypoints.json", "P.proposal.json")
    ]
    assert written(names[2])[0] == {"image_id": 7, "keypoints": [1.0, 2.5, 1], "score": 0.9, "category_id": 1}
    assert written(names[3]) == [{"image_id": 7, "bbox": [0.0, 1.0, 2.0, 2.0], "score": 0.25, "category_id": 1}]


def test_without_ids_names_and_numbers_stand_for_them(tmp_path: Path) -> None:
    info = DatasetInfo(classes=("person", "car"), task="det", num_samples={}, fingerprint="")
    [name, _] = CocoResults().write([image("x/a.jpg")], str(tmp_path / "P"), info)
    assert [(e["image_id"], e["category_id"]) for e in written(name)] == [("x/a.jpg", 1), ("x/a.jpg", 2)]


def test_classes_that_the_data_does_not_know_are_left_out(tmp_path: Path) -> None:
    data = DatasetInfo(classes=("car",), task="det", num_samples={}, fingerprint="", category_ids=(30,))
    ids = ids_of(INFO, data)
    assert ids == (-1, 30, -1)
    info = DatasetInfo(classes=INFO.classes, task="det", num_samples={}, fingerprint="", category_ids=ids[:2])
    for name in CocoResults().write([image("a.jpg", 7)], str(tmp_path / "P"), info):
        assert [entry["category_id"] for entry in written(name)] == [30]
    assert ids_of(INFO, DatasetInfo(classes=("car",), task="det", num_samples={}, fingerprint="")) == ()


def test_nothing_at_all(tmp_path: Path) -> None:
    [name] = CocoResults().write([], str(tmp_path / "P"), INFO)
    assert written(name) == []
    none = {"boxes": torch.zeros(0, 4), "scores": torch.zeros(0), "labels": torch.zeros(0, dtype=torch.int64)}
    one = Predicted(id="a", size=SIZE, prediction={**none, "masks": Masks([], SIZE)}, image_id=1)  # type: ignore[dict-item]
    assert [written(name) for name in CocoResults().write([one], str(tmp_path / "P"), INFO)] == [[], []]


def test_one_id_twice_leaves_no_file(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"P: two images have the id 7; results name images by their ids alone$"):
        CocoResults().write([image("a.jpg", 7), image("b.jpg", 7)], str(tmp_path / "P"), INFO)
    assert list(tmp_path.iterdir()) == []


def panoptic() -> dict[str, Any]:
    ids = torch.full(SIZE, 5, dtype=torch.int32)
    ids[:, :3], ids[3] = 70000, 0
    segments = [{"id": 70000, "category": 1, "isthing": True}, {"id": 5, "category": 2, "isthing": False}]
    return {"panoptic": ids, "segments": segments}


def test_panoptic_maps(tmp_path: Path) -> None:
    one = Predicted(id="x/a.jpg", size=SIZE, prediction=panoptic(), image_id=7)
    names = CocoResults().write([one], str(tmp_path / "P"), INFO)
    assert [name.rpartition("/")[2] for name in names] == ["P.panoptic.json", "P.panoptic"]
    segments = [{"id": 70000, "category_id": 3}, {"id": 5, "category_id": 9}]
    expected = {"annotations": [{"image_id": 7, "file_name": "x_a.png", "segments_info": segments}]}
    assert written(names[0]) == expected
    pixels = cv2.imread(f"{names[1]}/x_a.png")[..., ::-1].astype(np.int64)
    ids = pixels[..., 0] + 256 * pixels[..., 1] + 65536 * pixels[..., 2]
    assert np.array_equal(ids, one.prediction["panoptic"].numpy())
    with pytest.raises(RunError, match=r"P.panoptic: exists and is not empty; choose another --out-prefix$"):
        CocoResults().write([one], str(tmp_path / "P"), INFO)


def test_segments_that_the_data_does_not_know_become_void(tmp_path: Path) -> None:
    info = DatasetInfo(
        classes=INFO.classes, task="det", num_samples={}, fingerprint="", stuff=("sky",), category_ids=(1, -1, 9)
    )
    one = Predicted(id="a.jpg", size=SIZE, prediction=panoptic(), image_id=7)
    names = CocoResults().write([one], str(tmp_path / "P"), info)
    assert written(names[0])["annotations"][0]["segments_info"] == [{"id": 5, "category_id": 9}]
    assert not cv2.imread(f"{names[1]}/a.png")[:, :3].any()


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (
            {"segments": [{"id": 5, "category": 3, "isthing": False}]},
            "image 'a.jpg': segment 5 has category 3, expected under 3",
        ),
        (
            {"panoptic": torch.full(SIZE, 1 << 24, dtype=torch.int32)},
            "image 'a.jpg': segment ids must be from 0 to 16777215, got 16777216, 16777216",
        ),
    ],
)
def test_panoptic_maps_that_are_wrong(tmp_path: Path, change: dict[str, Any], sentence: str) -> None:
    one = Predicted(id="a.jpg", size=SIZE, prediction={**panoptic(), **change}, image_id=7)
    with pytest.raises(DataError) as caught:
        CocoResults().write([one], str(tmp_path / "P"), INFO)
    assert caught.value.problems == (sentence,)


def test_the_folder_of_cityscapes(tmp_path: Path) -> None:
    info = DatasetInfo(
        classes=("person", "traffic car"), task="det", num_samples={}, fingerprint="", category_ids=(24, 26)
    )
    empty = {"scores": torch.zeros(0), "labels": torch.zeros(0, dtype=torch.int64), "masks": Masks([], SIZE)}

    def images() -> Iterator[Predicted]:
        yield image("rome/rome_000000_000019_leftImg8bit.png")
        yield Predicted(id="rome/rome_1_leftImg8bit.png", size=SIZE, prediction=empty)  # type: ignore[arg-type]

    folder = tmp_path / "new" / "results"
    assert CityscapesResults().write(images(), str(folder), info) == [str(folder)]
    stem = "rome_000000_000019_leftImg8bit"
    lines = (folder / f"{stem}_pred.txt").read_text().splitlines()
    assert lines == [f"{stem}_0_person.png 24 0.899999976", f"{stem}_1_traffic-car.png 26 0.333333343"]
    assert (folder / "rome_1_leftImg8bit_pred.txt").read_text() == ""
    mask = cv2.imread(str(folder / f"{stem}_0_person.png"), cv2.IMREAD_UNCHANGED)
    assert (mask.shape, sorted(set(mask.flatten().tolist())), (mask > 0).sum()) == (SIZE, [0, 255], 6)
    with pytest.raises(RunError, match=r"results: exists and is not empty; choose another --out-prefix$"):
        CityscapesResults().write(images(), str(folder), info)


def test_cityscapes_takes_masks_or_panoptic_maps(tmp_path: Path) -> None:
    boxes = Predicted(id="a", size=SIZE, prediction={"boxes": torch.zeros(0, 4), "scores": torch.zeros(0)})
    with pytest.raises(DataError) as caught:
        CityscapesResults().write([boxes], "P", INFO)
    expected = "--out-prefix P: Cityscapes takes masks, the model gives boxes, scores; use one with masks"
    assert caught.value.problems == (expected,)
    one = Predicted(id="ulm/ulm_000000_000019_leftImg8bit.png", size=SIZE, prediction=panoptic())
    CityscapesResults().write([one], str(tmp_path / "P"), INFO)
    [entry] = written(str(tmp_path / "P" / "pred.panoptic.json"))["annotations"]
    assert entry["image_id"] == "ulm_000000_000019"
    assert (tmp_path / "P" / "pred.panoptic" / entry["file_name"]).is_file()


@pytest.mark.parametrize(
    "rle",
    [
        {"size": [4, 6], "counts": [0, 24]},
        {"size": [6, 4], "counts": "0h0"},
        {"size": [4, 6], "counts": "0h"},
        {"size": [4, 6], "counts": "0 é"},
        {"counts": "0h0"},
        3,
    ],
)
def test_run_lengths_that_are_wrong(rle: Any) -> None:
    with pytest.raises(DataError) as caught:
        CocoResults().restore({"masks": [rle]}, SIZE)
    expected = f"masks: expected COCO's compressed run lengths of 4×6 pixels, got {rle}"
    assert caught.value.problems == (expected,)


def test_run_lengths_become_masks_again() -> None:
    masks: Any = image("a").prediction["masks"]
    again: Any = CityscapesResults().restore({"masks": json.loads(json.dumps(masks.plain()))}, SIZE)
    assert again["masks"] == masks
    assert CocoResults().restore({"x": 1}, SIZE) == {"x": 1}
