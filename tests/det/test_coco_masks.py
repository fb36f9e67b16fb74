"""COCO json: masks, keypoints, test sets without labels."""

from __future__ import annotations

import json
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torchvision import tv_tensors

from vf.data.collate import Collate
from vf.data.pipeline import Fitted
from vf.data.relabel import relabel
from vf.data.sample import Batch
from vf.errors import DataError
from vf.testing import check_dataset
from vf_det.coco_ap import CocoAP
from vf_det.format_configs import Coco
from vf_det.masks import Masks

SHARED = Path(__file__).parents[3] / "shared" / "data"


def both(layouts: Any, **keys: Any) -> Coco:
    return Coco(path=str(layouts.coco(**keys)), masks=True, keypoints=True)


def test_contract(layouts: Any) -> None:
    check_dataset(both(layouts))
    check_dataset(Coco(path=str(layouts.folder / "coco")))


def test_masks_are_dense_in_training_and_run_lengths_in_evaluation(layouts: Any) -> None:
    config = both(layouts)
    a, b = (config.build("train")[i].target for i in (0, 1))
    assert isinstance(a["masks"], tv_tensors.Mask)
    assert (a["masks"].dtype, a["masks"].shape) == (torch.bool, (1, 30, 40))
    assert a["masks"].sum() == 10 * 6 + 4 * 4
    assert a["masks"][0, 2:8, 2:12].all()
    assert b["masks"].shape == (1, 30, 40)  # without the crowd
    assert b["masks"].nonzero()[:, 1:].amax(0).tolist() == [9, 1]
    evaluated = config.build("val")[1].target
    assert isinstance(evaluated["masks"], Masks)
    assert evaluated["masks"].areas().tolist() == [20, 600]
    assert evaluated["iscrowd"].tolist() == [False, True]
    assert evaluated["image_id"] == 2


def test_keypoints_come_with_their_visibility(layouts: Any) -> None:
    config = both(layouts)
    assert config.info().keypoints == ("nose", "left_eye", "right_eye")
    a, b = (config.build("val")[i].target for i in (0, 1))
    assert isinstance(a["keypoints"], tv_tensors.KeyPoints)
    assert a["keypoints"].tolist() == [[[3, 3], [9, 4], [0, 0]]]
    assert (a["visible"].tolist(), a["visible"].dtype) == ([[2, 1, 0]], torch.int64)
    assert (b["keypoints"].shape, b["visible"].tolist()) == ((2, 3, 2), [[0] * 3] * 2)  # cars have none


def test_nothing_of_it_is_read_without_the_keys(layouts: Any) -> None:
    config = Coco(path=str(layouts.coco()))
    info = config.info()
    assert (info.keypoints, info.category_ids) == ((), (1, 3))
    assert set(config.build("val")[0].target) == {"boxes", "labels", "iscrowd", "area", "image_id"}
    assert info.fingerprint != both(layouts).info().fingerprint


def test_samples_with_and_without_objects_make_a_batch(layouts: Any) -> None:
    config = both(layouts, change=lambda d: d["annotations"].pop(0))
    for split in ("train", "val"):
        dataset = config.build(split)  # type: ignore[arg-type]
        assert dataset[0].target["keypoints"].shape == (0, 3, 2)
        batch = Collate(fill=0)([Fitted(dataset[i], (30, 40)) for i in (0, 1)])
        assert isinstance(batch, Batch)
        assert [len(t["masks"]) for t in batch.per_image()] == [0, 1 if split == "train" else 2]


def test_a_held_out_val_keeps_masks_keypoints_and_ids(layouts: Any) -> None:
    root = layouts.coco()
    (root / "annotations" / "instances_val2017.json").unlink()
    config = Coco(path=str(root), masks=True, keypoints=True)
    [one], [other] = ([t] for t in (config.build("train"), config.build("val")))
    found = {sample.id: sample.target for sample in (one[0], other[0])}
    whole = both(layouts).build("train")
    for index in (0, 1):
        expected = whole[index]
        target = found[expected.id]
        assert target["image_id"] == expected.target["image_id"]
        masks = target["masks"]
        dense = masks.dense()[:1] if isinstance(masks, Masks) else masks
        assert torch.equal(dense, expected.target["masks"].as_subclass(torch.Tensor))
        assert torch.equal(target["keypoints"][:1], expected.target["keypoints"])


def test_a_metric_of_masks_takes_them_as_they_come(layouts: Any) -> None:
    config = both(layouts)
    targets = [{"id": s.id, **s.target} for s in (config.build("val")[i] for i in (0, 1))]
    metric = CocoAP(classes=config.info().classes, iou=("bbox", "segm", "keypoints"), sigmas=(0.1, 0.1, 0.1))
    predictions = [
        {key: t[key] for key in ("boxes", "labels", "masks", "keypoints")} | {"scores": torch.ones(len(t["labels"]))}
        for t in targets
    ]
    metric.update(predictions, targets)
    numbers = metric.compute()
    assert [numbers[key] for key in ("AP", "segm_AP", "keypoints_AP")] == [pytest.approx(1.0)] * 3


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (
            lambda a: a.pop("segmentation"),
            "annotation 1: has no 'segmentation'; leave data.masks out to read boxes only",
        ),
        (
            lambda a: a.update(segmentation=[[1, 2, 3]]),
            "annotation 1: expected polygons x1, y1, x2, y2, … under 'segmentation', got [1, 2, 3]; leave data.masks "
            "out to read boxes only",
        ),
        (
            lambda a: a.update(segmentation={"size": [40, 30], "counts": [1200]}),
            "annotation 1: its run lengths are of 40×30 pixels, its image of 30×40; leave data.masks out to read boxes "
            "only",
        ),
        (
            lambda a: a.update(keypoints=[1, 2]),
            "annotation 1: expected 9 numbers under 'keypoints' (3 × x, y, visibility), got 2",
        ),
        (
            lambda a: a.update(keypoints="nose"),
            "annotation 1: expected 9 numbers under 'keypoints' (3 × x, y, visibility), got 'nose'",
        ),
    ],
)
def test_mistakes_are_one_line(layouts: Any, change: Callable[[Any], None], sentence: str) -> None:
    config = both(layouts, change=lambda d: change(d["annotations"][0]))
    with pytest.raises(DataError) as error:
        config.info()
    assert error.value.problems[0] == f"{config.path}/annotations/instances_train2017.json: {sentence}"


def test_keypoints_that_no_category_names(layouts: Any) -> None:
    config = both(layouts, change=lambda d: d["categories"][1].pop("keypoints"))
    with pytest.raises(DataError) as error:
        config.info()
    assert error.value.problems == (f"{config.path}: no category names 'keypoints'; leave data.keypoints out",)


def test_run_lengths_of_another_size_than_the_decoded_image(layouts: Any) -> None:
    def forget_sizes(data: dict[str, Any]) -> None:
        for image in data["images"]:
            del image["width"], image["height"]
        data["annotations"][1]["segmentation"] = {"size": [40, 30], "counts": [1200]}

    config = both(layouts, change=forget_sizes)
    config.build("val")[0]
    with pytest.raises(DataError) as error:
        config.build("val")[1]
    assert error.value.problems[0] == (
        f"{config.path}/val2017/val_b.jpg: its masks are 40×30 (height × width), the image is 30×40 as it is shown, "
        "upright; make the masks for that"
    )


def test_image_info_without_annotations_is_a_test_split(layouts: Any) -> None:
    root = layouts.coco()
    data = {"images": [{"id": 7, "file_name": "val_a.jpg", "width": 40, "height": 30}]}
    data["categories"] = layouts.coco_objects()["categories"]
    (root / "annotations" / "image_info_test-dev2017.json").write_text(json.dumps(data))
    (root / "val2017").rename(root / "test2017")
    (root / "annotations" / "instances_val2017.json").unlink()
    config = Coco(path=str(root), masks=True)
    info = config.info()
    assert dict(info.num_samples) == {"train": 1, "val": 1, "test": 1}
    assert "test: has no labels: it can be predicted, not measured" in info.notes
    assert [f.text for f in config.check()][2] == "test: 1 images, without labels"
    target = config.build("test")[0].target
    assert (len(target["boxes"]), len(target["masks"]), target["image_id"]) == (0, 0, 7)
    (root / "annotations" / "image_info_test-dev2017.json").rename(root / "annotations" / "instances_train2017.json")
    with pytest.raises(DataError, match=r"train2017.json: expected a list under 'annotations', got NoneType$"):
        Coco(path=str(root)).info()


def test_sizes_and_labels_without_decoding(layouts: Any) -> None:
    config = both(layouts)
    train: Any = config.build("train")
    val: Any = config.build("val")
    assert train.sizes().tolist() == val.sizes().tolist() == [[30, 40], [30, 40]]
    assert [train.labels_of(i).tolist() for i in (0, 1)] == [[0], [1]]
    assert [val.labels_of(i).tolist() for i in (0, 1)] == [[0], [1, 1]]


def test_sizes_come_from_the_files_where_the_labels_lack_them(layouts: Any) -> None:
    config = both(layouts, change=lambda d: d["images"][0].pop("width"))
    dataset: Any = config.build("val")
    assert dataset.sizes().tolist() == [[30, 40], [30, 40]]


def test_a_box_outside_an_image_of_unknown_size_is_left_out_when_it_is_decoded(layouts: Any) -> None:
    def move(data: dict[str, Any]) -> None:
        del data["images"][1]["width"]
        data["annotations"][1]["bbox"] = [50, 5, 10, 10]

    target = both(layouts, change=move).build("val")[1].target
    assert (target["boxes"].tolist(), len(target["masks"]), len(target["visible"])) == ([[20, 0, 40, 30]], 1, 1)


def test_folder_and_zip_give_the_same_bits(layouts: Any) -> None:
    root = layouts.coco()
    expected = [(s.image, s.target["masks"], s.id) for s in map(both(layouts).build("train").__getitem__, (0, 1))]
    layouts.zipped(root / "train2017", inner="train2017")
    for keys in ({}, {"images_train": "train2017.zip"}):
        dataset = Coco(path=str(root), masks=True, **keys).build("train")
        assert len(pickle.dumps(dataset)) < 4000
        for index, (image, masks, id_) in enumerate(expected):
            sample = pickle.loads(pickle.dumps(dataset))[index]
            assert torch.equal(sample.image, image)
            assert torch.equal(sample.target["masks"], masks)
            assert sample.id == id_
    (root / "train2017.zip").unlink()
    layouts.coco()
    path = layouts.zipped(layouts.folder / "coco", inner="some/coco")
    assert Coco.sniff(str(path)) == {"path": str(path)}
    config = Coco(path=str(path), masks=True)
    assert torch.equal(config.build("train")[0].image, expected[0][0])
    assert dict(config.info().num_samples) == {"train": 2, "val": 2}


def test_an_image_that_a_zip_lacks_is_one_line(layouts: Any) -> None:
    root = layouts.coco()
    (root / "train2017" / "train_b.jpg").unlink()
    path = layouts.zipped(root / "train2017", inner="train2017")
    with pytest.raises(DataError) as error:
        Coco(path=str(root)).info()
    line = f"{root}/annotations/instances_train2017.json: image 'train_b.jpg' (id 2) is not in {path}/train2017"
    assert error.value.problems == (line,)
    path.write_bytes(path.read_bytes()[:300])
    with pytest.raises(DataError, match=r"train2017.zip: is no zip that can be read: File is not a zip file"):
        Coco(path=str(root)).info()


@pytest.mark.skipif(not SHARED.is_dir(), reason="../shared is not here")
@pytest.mark.parametrize(("name", "val"), [("pennfudan_coco", ""), ("coco_val128", "instances_val2017_things.json")])
def test_real_masks_fit_their_boxes(name: str, val: str) -> None:
    config = Coco(path=str(SHARED / name), val=val and f"annotations/{val}", masks=True)
    dataset = config.build("val")
    distances, areas = [], []
    for target in (dataset[i].target for i in range(40)):
        distances.append((target["masks"].boxes() - target["boxes"].as_subclass(torch.Tensor)).abs())
        areas.append((target["masks"].areas() - target["area"]).abs() / target["area"])
    assert torch.cat(distances).median() <= 1
    assert np.median(torch.cat(areas).numpy()) < 0.05


def test_masks_follow_when_objects_of_unknown_classes_are_left_out(layouts: Any) -> None:
    config = both(layouts)
    dataset, note = relabel(config.build("val"), theirs=config.info().classes, ours=("person",))
    assert "objects of car are not counted" in note
    assert [len(dataset[i].target["masks"]) for i in (0, 1)] == [1, 0]
    assert dataset[0].target["masks"].areas().tolist() == [76]
