"""YOLO txt: what is read, and every sentence about what is wrong."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from vf.errors import DataError
from vf.testing import check_dataset
from vf_det.format_configs import Yolo

Write = Callable[..., Path]


def test_contract(yolo: Write) -> None:
    check_dataset(Yolo(path=str(yolo())))


def test_boxes_are_parts_of_the_size(yolo: Write) -> None:
    sample = Yolo(path=str(yolo())).build("train")[0]
    assert sample.target["boxes"].tolist() == [[10, 7.5, 30, 22.5], [0, 0, 20, 30]]
    assert sample.target["labels"].tolist() == [0, 1]
    assert sample.id == "images/train/train1.jpg"


def test_names_as_a_mapping_and_from_the_recipe(yolo: Write) -> None:
    root = str(yolo(names="names: {0: cat, 1: dog}\nval: images/val\n"))
    assert Yolo(path=root).info().classes == ("cat", "dog")
    assert Yolo(path=root, names=("a", "b")).info().classes == ("a", "b")


def test_flat_folders_with_classes_txt_are_split(yolo: Write) -> None:
    root = yolo()
    for kind in ("images", "labels"):
        for file in list((root / kind).glob("*/*")):
            file.rename(root / kind / file.name)
        for folder in (root / kind).glob("*/"):
            folder.rmdir()
    (root / "data.yaml").unlink()
    (root / "classes.txt").write_text("cat\ndog\n")
    info = Yolo(path=str(root)).info()
    assert dict(info.num_samples) == {"train": 1, "val": 1}
    assert info.notes[0] == "there is no val split: 1 of 2 images are held out for it, chosen by hash"


@pytest.mark.parametrize(
    "described",
    [
        "train: images/train\nval: images/val\n",
        "path: {parent}\ntrain: {name}/images/train\nval: {name}/images/val\n",
        "train: ../images/train\nval: ../images/val\n",  # as Roboflow writes them
        "train: [images/train]\nval: {parent}/{name}/images/val\ntest: ../test/images\n",
        "train: train.txt\nval: images/val\n",
    ],
)
def test_data_yaml_says_where_images_lie(yolo: Write, described: str) -> None:
    root = yolo()
    (root / "train.txt").write_text(f"./images/train/train1.jpg\n{root}/images/train/train1.jpg\n\n")
    text = described.format(parent=root.parent, name=root.name)
    (root / "data.yaml").write_text("names: [cat, dog]\n" + text)
    config = Yolo(path=str(root))
    assert dict(config.info().num_samples) == {"train": 1, "val": 1}
    assert len(config.build("train")[0].target["boxes"]) == 2


def test_a_folder_that_data_yaml_names_and_is_not_there(yolo: Write) -> None:
    root = yolo(names="names: [cat, dog]\ntrain: pictures\n")
    with pytest.raises(DataError) as error:
        Yolo(path=str(root)).info()
    assert error.value.problems == (f"{root}/data.yaml: train: no such folder or list 'pictures' under {root}",)


def test_what_is_mended_is_said(yolo: Write) -> None:
    root = yolo("0 .5 .5 0 .5\n0 .9 .9 .5 .5\n0 .5 .5 1 1\n")
    config = Yolo(path=str(root))
    file = f"{root}/labels/train/train1.txt"
    assert config.info().notes == (
        f"boxes without area, left out: 1, the first in {file}:1",
        f"boxes over the edge of their image, cut: 1, the first in {file}:2",
    )
    assert config.check()[2].text == f"boxes that cover over 98 % of their image: 1, the first in {file}:3"
    boxes = config.build("train")[0].target["boxes"]
    assert boxes[0].tolist() == pytest.approx([26, 19.5, 40, 30])


def test_an_image_without_a_label_file_is_kept_and_said(yolo: Write) -> None:
    root = yolo()
    (root / "labels" / "train" / "train1.txt").unlink()
    assert Yolo(path=str(root)).info().notes == (
        "images without a label file, taken as without objects: 1, the first in images/train/train1.jpg",
        "train: kept 1 of 1 images without objects",
    )


@pytest.mark.parametrize(
    ("first", "sentence"),
    [
        ("\n7 .5 .5 .1 .1\n", ":2: class id 7 is not in 0..1 (cat, dog)"),
        ("0 .5 .5 .1\n", ":1: expected 5 numbers 'class cx cy w h', got 4"),
        (
            "0 .1 .1 .2 .1 .2 .2\n",
            ":1: expected 5 numbers 'class cx cy w h', got 7; outlines of masks are not read",
        ),
        ("cat .5 .5 .1 .1\n", ":1: expected numbers 'class cx cy w h', got 'cat .5 .5 .1 .1'"),
        ("0 523 .5 .1 .1\n", ":1: cx 523 is not in 0..1; boxes are parts of the image's size"),
        ("0 .5 .5 .1 nan\n", ":1: h nan is not in 0..1; boxes are parts of the image's size"),
        ("0 .5 .5 -.1 .1\n", ":1: w -0.1 is not in 0..1; boxes are parts of the image's size"),
    ],
)
def test_mistakes_are_one_line_with_their_place(yolo: Write, first: str, sentence: str) -> None:
    root = yolo(first)
    with pytest.raises(DataError) as error:
        Yolo(path=str(root)).info()
    assert error.value.problems == (f"{root}/labels/train/train1.txt{sentence}",)


def test_a_label_file_without_its_image(yolo: Write) -> None:
    root = yolo()
    (root / "labels" / "train" / "lost.txt").touch()
    with pytest.raises(DataError) as error:
        Yolo(path=str(root)).info()
    assert error.value.problems == (f"{root}/labels/train/lost.txt: has no image of this name in {root}/images/train",)


def test_no_label_at_all(yolo: Write) -> None:
    root = yolo()
    for file in root.glob("labels/*/*.txt"):
        file.unlink()
    with pytest.raises(DataError) as error:
        Yolo(path=str(root)).info()
    assert error.value.problems == (
        f"{root}: looked for labels at labels/train/train1.txt (from images/train/train1.jpg): "
        "not found for 2 of 2 images",
    )


@pytest.mark.parametrize(
    ("names", "sentence"),
    [
        ("names: cat\n", "{root}/data.yaml: names: expected a list of class names, got str 'cat'"),
        ("names: {1: cat, 2: dog}\n", "{root}/data.yaml: names: expected the ids 0..1, got [1, 2]"),
        ("- cat\n", "{root}/data.yaml: expected a mapping with names, train and val, got list"),
        (
            "nc: 2\n",
            "{root}: no class names: expected data.yaml with 'names', classes.txt, or data.names in the recipe",
        ),
        ("names: [cat, cat]\n", "{root}: data.names: class 'cat' is named twice"),
        ("names: []\n", "{root}: data.names: names no class; there is nothing to learn"),
    ],
)
def test_class_names_that_cannot_be(yolo: Write, names: str, sentence: str) -> None:
    root = yolo("", names=names)
    (root / "labels" / "val" / "val1.txt").write_text("")
    with pytest.raises(DataError) as error:
        Yolo(path=str(root)).info()
    assert error.value.problems[0] == sentence.format(root=root)


def test_an_empty_folder(tmp_path: Path) -> None:
    with pytest.raises(DataError) as error:
        Yolo(path=str(tmp_path)).info()
    assert error.value.problems == (f"{tmp_path}: holds no images: none in images/, images/train/ or train/images/",)


def test_sniff(tmp_path: Path, yolo: Write) -> None:
    assert Yolo.sniff(str(tmp_path)) is None
    assert Yolo.sniff(str(yolo())) == {"path": str(tmp_path)}
