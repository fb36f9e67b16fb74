"""Rows of boxes in csv files, and folders of images without labels."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from vf.data.decode import IMAGE_SUFFIXES
from vf.errors import DataError
from vf.testing import check_dataset
from vf_det import coco_files
from vf_det.format_configs import Csv, Images


def test_contract(layouts: Any) -> None:
    check_dataset(Csv(path=str(layouts.csv())))
    check_dataset(Images(path=str(layouts.images()), classes=("a",)))


@pytest.mark.parametrize("header", ["image,x1,y1,x2,y2,class\n", "", "path, xmin, ymin, xmax, ymax, label\n\n"])
def test_rows_are_boxes(layouts: Any, header: str) -> None:
    config = Csv(path=str(layouts.csv(rows=header)))
    assert config.info().classes == ("cat", "dog")
    a, b = (config.build("val")[i] for i in (0, 1))
    assert a.target["boxes"].tolist() == [[1, 2, 10, 20], [0.5, 0, 40, 30]]
    assert a.target["labels"].tolist() == [1, 0]
    assert (len(b.target["boxes"]), b.id) == (0, "images/b.jpg")
    assert "train: kept 1 of 2 images without objects" in config.info().notes


def test_images_elsewhere_and_classes_in_an_order(layouts: Any) -> None:
    root = layouts.csv()
    for name in ("train.csv", "val.csv"):
        (root / name).write_text((root / name).read_text().replace("images/", ""))
    (root / "val.csv").rename(root / "valid.csv")
    layouts.zipped(root / "images")
    for images in ("images", "images.zip"):
        config = Csv(path=str(root), images=images, classes=("dog", "cat"))
        assert config.build("val")[0].target["labels"].tolist() == [0, 1]


@pytest.mark.parametrize(
    ("row", "sentence"),
    [
        ("a.jpg,1,2,3", "train.csv:1: {expected}; got 4 cells"),
        ("a.jpg,1,2,3,x,cat", "train.csv:1: {expected}; got 'a.jpg,1,2,3,x,cat'"),
        ("a.jpg,1,2,3,inf,cat", "train.csv:1: {expected}; got 'a.jpg,1,2,3,inf,cat'"),
        ("a.jpg,1,2,3,4,", "train.csv:1: {expected}; got 'a.jpg,1,2,3,4,'"),
        ("a.jpg,9,2,3,4,cat", "train.csv:1: x2 3 < x1 9; a box is x1,y1,x2,y2"),
        ("images/a.jpg,1,2,3,4,cow", "train.csv:1: class 'cow' is not in data.classes (cat, dog)"),
        ("x.jpg,1,2,3,4,cat", "train.csv: image 'x.jpg' is not in {root}; see data.images"),
    ],
)
def test_mistakes_are_one_line(layouts: Any, row: str, sentence: str) -> None:
    root = layouts.csv()
    (root / "train.csv").write_text(row)
    with pytest.raises(DataError) as error:
        Csv(path=str(root), classes=("cat", "dog")).info()
    expected = "expected image,x1,y1,x2,y2,class, or image,,,,, for an image without objects"
    assert error.value.problems[0] == f"{root}/" + sentence.format(expected=expected, root=root)


def test_csv_files_that_are_not_there_or_hold_nothing(layouts: Any) -> None:
    root = layouts.csv()
    with pytest.raises(DataError) as error:
        Csv(path=str(root), train="x.csv").info()
    assert error.value.problems == (f"{root}/x.csv: no such file; data.train names a csv relative to data.path",)
    (root / "train.csv").write_text("image,x1,y1,x2,y2,class\n")
    with pytest.raises(DataError, match=r"train.csv: holds no images$"):
        Csv(path=str(root)).info()
    (root / "train.csv").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(DataError, match=r"train.csv: not UTF-8 text: "):
        Csv(path=str(root)).info()
    for name in ("train.csv", "val.csv"):
        (root / name).unlink()
    with pytest.raises(DataError) as error:
        Csv(path=str(root)).info()
    assert error.value.problems == (f"{root}: no train.csv, val.csv or test.csv; or set data.train",)


def test_images_alone_are_a_test_split(layouts: Any) -> None:
    root = layouts.images()
    (root / "deep").mkdir()
    (root / "a.jpg").rename(root / "deep" / "c.jpg")
    (root / "notes.txt").touch()
    config = Images(path=str(root))
    info = config.info()
    assert (info.classes, dict(info.num_samples)) == ((), {"test": 2})
    assert info.notes == ("test: has no labels: it can be predicted, not measured",)
    assert [config.build("test")[i].id for i in (0, 1)] == ["b.png", "deep/c.jpg"]
    path = layouts.zipped(root)
    assert dict(Images(path=str(path)).info().num_samples) == {"test": 2}


def test_no_images(tmp_path: Path) -> None:
    with pytest.raises(DataError) as error:
        Images(path=str(tmp_path)).info()
    assert error.value.problems == (f"{tmp_path}: holds no images",)


def test_sniff(layouts: Any) -> None:
    for config in (Csv, Images):
        assert config.sniff(str(layouts.folder)) is None
    rows, images = str(layouts.csv()), str(layouts.images())
    assert (Csv.sniff(rows), Images.sniff(rows)) == ({"path": rows}, None)
    assert (Csv.sniff(images), Images.sniff(images)) == (None, {"path": images})
    Path(rows, "val.csv").write_text("a,b,c\n")
    assert Csv.sniff(rows) is None
    assert Images.sniff(f"{images}/a.jpg") is None


def test_the_suffixes_are_those_that_are_decoded() -> None:
    assert set(coco_files.IMAGE_SUFFIXES) == IMAGE_SUFFIXES
