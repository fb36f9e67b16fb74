"""COCO json: what is read, and every sentence about what is wrong."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from vf.errors import DataError
from vf.testing import check_dataset
from vf_det.format_configs import Coco

Write = Callable[..., Path]
SHARED = Path(__file__).parents[3] / "shared" / "data"


def test_contract(coco: Write) -> None:
    coco()
    check_dataset(Coco(path=str(coco(split="val"))))


def test_classes_follow_category_ids_and_boxes_become_corners(coco: Write) -> None:
    coco()
    config = Coco(path=str(coco(split="val")))
    assert config.info().classes == ("cat", "dog")
    sample = config.build("val")[0]
    assert sample.target["boxes"].tolist() == [[1, 2, 11, 22]]
    assert sample.target["labels"].tolist() == [0]
    assert sample.target["area"].tolist() == [200]
    assert sample.id == "val1.jpg"


def test_crowd_regions_are_for_evaluation_only(coco: Write) -> None:
    coco()
    config = Coco(path=str(coco(split="val")))
    assert len(config.build("train")[1].target["boxes"]) == 0
    crowd = config.build("val")[1].target
    assert (crowd["iscrowd"].tolist(), crowd["area"].tolist()) == ([True], [77])


def test_a_split_is_made_and_said_where_there_is_none(coco: Write) -> None:
    info = Coco(path=str(coco()), holdout=0.34).info()
    assert dict(info.num_samples) == {"train": 2, "val": 1}
    assert info.notes[0] == "there is no val split: 1 of 3 images are held out for it, chosen by hash"


def test_what_is_mended_is_said(coco: Write) -> None:
    def change(data: dict[str, Any]) -> None:
        data["annotations"] = [
            {"id": 1, "image_id": 1, "category_id": 5, "bbox": [1, 2, 0, 20]},
            {"id": 2, "image_id": 2, "category_id": 5, "bbox": [30, 20, 20, 20]},
            {"id": 3, "image_id": 3, "category_id": 5, "bbox": [50, 50, 5, 5]},
        ]

    coco(split="val")
    config = Coco(path=str(coco(change)))
    assert config.info().notes == (
        "boxes without area, left out: 1, the first in train1.jpg",
        "boxes over the edge of their image, cut: 1, the first in train2.jpg",
        "boxes outside their image, left out: 1, the first in train3.jpg",
        "train: kept 2 of 3 images without objects",
        "val: kept 1 of 3 images without objects",
    )
    assert config.build("train")[1].target["boxes"].tolist() == [[30, 20, 40, 30]]


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda d: d["annotations"][0].pop("bbox"), "annotation 7 has no 'bbox'"),
        (
            lambda d: d["annotations"][0].update(category_id=333),
            "annotation 7 has category_id 333, not in categories (5 cat, 9 dog)",
        ),
        (lambda d: d["annotations"][0].update(image_id=99), "annotation 7 has image_id 99, and no image has this id"),
        (
            lambda d: d["annotations"][0].update(bbox=[9, 2, -3, 20]),
            "annotation 7: width -3 < 0; bbox is x, y, width, height",
        ),
        (
            lambda d: d["annotations"][0].update(bbox=[9, 2, 3]),
            "annotation 7: expected bbox of 4 numbers x, y, width, height, got [9, 2, 3]",
        ),
        (
            lambda d: d["annotations"][0].update(bbox=[9, 2, 3, float("nan")]),
            "annotation 7: expected bbox of 4 numbers x, y, width, height, got [9, 2, 3, nan]",
        ),
        (lambda d: d["annotations"].__setitem__(0, 3), "annotation 0 of the list is no object, got 3"),
        (lambda d: d["images"].append(d["images"][0]), "image id 1 is given twice"),
        (
            lambda d: d["images"].append({**d["images"][0], "id": 4}),
            "image 'train1.jpg' has two ids, 1 and 4; its boxes would be torn apart",
        ),
        (lambda d: d["annotations"][0].update(image_id=[1]), "annotation 7 has image_id [1], and no image has this id"),
        (
            lambda d: d["annotations"][0].update(category_id=None),
            "annotation 7 has category_id None, not in categories (5 cat, 9 dog)",
        ),
        (lambda d: d["categories"].append({"id": 9, "name": "cow"}), "category id 9 is given twice"),
        (
            lambda d: d["categories"].append("cow"),
            "category 'cow' lacks a whole number under 'id' or a text under 'name'",
        ),
        (lambda d: d["images"][1].pop("file_name"), "image 1 of the list lacks 'id' or 'file_name'"),
        (
            lambda d: d["images"][1].update(file_name="nothere.jpg"),
            "image 'nothere.jpg' (id 2) is not in {root}/images",
        ),
        (lambda d: d["categories"].append({"id": 11, "name": "cat"}), "categories: class 'cat' is named twice"),
        (lambda d: d.update(categories=[], annotations=[]), "categories: names no class; there is nothing to learn"),
        (lambda d: d.update(images=[]), "holds no images"),
        (lambda d: d.pop("annotations"), "expected a list under 'annotations', got NoneType"),
    ],
)
def test_mistakes_are_one_line_with_their_place(coco: Write, change: Callable[[Any], None], sentence: str) -> None:
    root = coco(change)
    with pytest.raises(DataError) as error:
        Coco(path=str(root)).info()
    first = error.value.problems[0]
    assert first == f"{root}/train.json: {sentence.format(root=root)}"


def test_mistakes_of_one_cause_are_one_line(coco: Write) -> None:
    def change(data: dict[str, Any]) -> None:
        data["annotations"] = [{"id": i, "image_id": 1, "category_id": 5} for i in range(30)]

    with pytest.raises(DataError, match=r"annotation 0 has no 'bbox' \(and 29 more like it\)$"):
        Coco(path=str(coco(change))).info()


def test_all_mistakes_come_at_once_up_to_a_limit(coco: Write) -> None:
    def change(data: dict[str, Any]) -> None:
        data["annotations"] = [{"id": i, "image_id": 1, "category_id": 5, "bbox": str(i)} for i in range(30)]

    with pytest.raises(DataError) as error:
        Coco(path=str(coco(change))).info()
    assert len(error.value.problems) == 21
    assert error.value.problems[-1] == "… and 10 mistakes more"


def test_corners_given_as_sides_are_doubted(coco: Write) -> None:
    boxes = [[10, 10, 38, 28], [20, 5, 40, 25], [15, 12, 35, 30], [0, 0, 12, 9]]

    def change(data: dict[str, Any]) -> None:
        data["annotations"] = [{"id": i, "image_id": 1, "category_id": 5, "bbox": box} for i, box in enumerate(boxes)]

    root = coco(change)
    with pytest.raises(DataError) as error:
        Coco(path=str(root)).info()
    assert error.value.problems == (
        f"{root}/train.json: 3 of 4 boxes leave their image; bbox looks like x1, y1, x2, y2, "
        "where COCO has x, y, width, height",
    )


def test_val_is_held_out_although_there_is_test(coco: Write) -> None:
    coco(split="test")
    info = Coco(path=str(coco())).info()
    assert dict(info.num_samples) == {"train": 2, "val": 1, "test": 3}
    assert "held out" in info.notes[0]


def test_a_data_set_of_val_alone(coco: Write) -> None:
    config = Coco(path=str(coco(split="val")))
    assert dict(config.info().num_samples) == {"val": 3}
    assert [f.level for f in config.check()] == ["note", "note"]


@pytest.mark.parametrize("file", ["annotations.json", "annotations/instances.json", "_annotations.coco.json"])
def test_a_json_without_a_split_in_its_name_is_train(coco: Write, file: str) -> None:
    root = coco()
    (root / file).parent.mkdir(exist_ok=True)
    (root / "train.json").rename(root / file)
    assert Coco.sniff(str(root)) == {"path": str(root)}
    assert dict(Coco(path=str(root)).info().num_samples) == {"train": 2, "val": 1}


def test_folders_as_roboflow_writes_them(coco: Write) -> None:
    for split, folder in (("train", "train"), ("val", "valid")):
        root = coco(split=split)
        (root / folder).mkdir()
        (root / f"{split}.json").rename(root / folder / "_annotations.coco.json")
        for image in (root / "images").glob("*.jpg"):
            image.rename(root / folder / image.name)
    config = Coco(path=str(root))
    assert dict(config.info().num_samples) == {"train": 3, "val": 3}
    assert config.build("val")[2].size == (30, 40)


def test_broken_json_names_its_line(coco: Write) -> None:
    root = coco()
    (root / "train.json").write_text('{"images": [\n{"id": 1,,}]}')
    with pytest.raises(DataError) as error:
        Coco(path=str(root)).info()
    assert error.value.problems[0].startswith(f"{root}/train.json:2:10: not valid JSON: ")


def test_files_that_are_not_there(tmp_path: Path, coco: Write) -> None:
    with pytest.raises(DataError) as error:
        Coco(path=str(tmp_path / "x")).info()
    assert error.value.problems == (f"{tmp_path}/x: no such folder; data.path names the folder of the data set",)
    with pytest.raises(DataError) as error:
        Coco(path=str(tmp_path)).info()
    assert error.value.problems == (
        f"{tmp_path}: no json; looked for annotations/instances_train*.json and the like, or set data.train",
    )
    root = coco()
    with pytest.raises(DataError) as error:
        Coco(path=str(root), train="nope.json").info()
    assert error.value.problems == (f"{root}/nope.json: no such file; data.train names a json relative to data.path",)


def test_a_wrong_image_folder_is_said(coco: Write) -> None:
    root = coco()
    (root / "images").rename(root / "pictures")
    with pytest.raises(DataError) as error:
        Coco(path=str(root)).info()
    sentence = f"{root}/train.json: image 'train1.jpg' is in none of . under {root}; set data.images_train"
    assert error.value.problems == (sentence,)
    assert Coco(path=str(root), images_train="pictures").info().num_samples["train"]


def test_two_files_that_could_be_meant(coco: Write) -> None:
    root = coco()
    (root / "annotations").mkdir()
    for kind in ("boxes", "things"):
        (root / "annotations" / f"instances_val_{kind}.json").touch()
    with pytest.raises(DataError) as error:
        Coco(path=str(root)).info()
    assert error.value.problems == (
        f"{root}: val could be annotations/instances_val_boxes.json or annotations/instances_val_things.json; "
        "say which: --set data.val=annotations/instances_val_boxes.json",
    )


def test_other_classes_in_another_split(coco: Write) -> None:
    coco()
    root = coco(lambda d: d.update(categories=[{"id": 5, "name": "cow"}, {"id": 9, "name": "dog"}]), split="val")
    with pytest.raises(DataError) as error:
        Coco(path=str(root)).info()
    assert error.value.problems == (
        f"{root}/val.json: its categories (cow, dog) are not those of the other splits (cat, dog)",
    )


def test_what_check_finds(coco: Write) -> None:
    coco(lambda d: d["annotations"].pop())
    root = coco(lambda d: d["images"][0].update(file_name="train1.jpg"), split="val")
    texts = [(f.level, f.text) for f in Coco(path=str(root)).check()]
    assert texts == [
        ("note", "train: 3 images, 1 boxes: cat 1"),
        ("note", "val: 3 images, 2 boxes: cat 1, dog 1"),
        ("note", "boxes that cover over 98 % of their image: 1, the first in val2.jpg"),
        ("warning", "train: has no object of class dog"),
        ("warning", "1 images are in train and in val, the first train1.jpg: val measures what was trained on"),
    ]


def test_a_split_that_is_not_there(coco: Write) -> None:
    config = Coco(path=str(coco()))
    with pytest.raises(DataError, match=r": has no split 'test'; it has train, val$"):
        config.build("test")


def test_sniff(tmp_path: Path, coco: Write) -> None:
    assert Coco.sniff(str(tmp_path)) is None
    assert Coco.sniff(str(coco())) == {"path": str(tmp_path)}


@pytest.mark.skipif(not SHARED.is_dir(), reason="../shared is not here")
def test_coco_val128() -> None:
    config = Coco(path=str(SHARED / "coco_val128"), val="annotations/instances_val2017_boxes.json")
    info = config.info()
    assert dict(info.num_samples) == {"val": 128}
    assert (len(info.classes), info.classes[:2], info.classes[-1]) == (80, ("person", "bicycle"), "toothbrush")
    data_set = config.build("val")
    targets = [data_set[i].target for i in range(128)]
    assert sum(len(t["boxes"]) for t in targets) == 903
    assert sum(int(t["iscrowd"].sum()) for t in targets) == 5
