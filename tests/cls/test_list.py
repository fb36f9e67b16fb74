"""Lists of images with labels: every form, one label or several, and one line for each mistake."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from vf.errors import DataError
from vf.testing import check_dataset
from vf_cls.data_configs import Folder, List


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A folder with images a.png, b c.png and d.png."""
    for number, name in enumerate(("a.png", "b c.png", "d.png")):
        Image.new("RGB", (5, 4), (number, number, number)).save(tmp_path / name)
    return tmp_path


def labels(config: Any, split: Any = "train") -> list[list[str]]:
    built, classes = config.build(split), config.info().classes
    return [[classes[k] for k in built.labels_of(i)] for i in range(len(built))]


def problems(config: Any) -> Sequence[str]:
    with pytest.raises(DataError) as error:
        config.info()
    return error.value.problems


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("train.txt", "a.png dog\nb c.png cat\n\nd.png dog\n"),
        ("train.txt", "a.png\tdog\nb c.png\tcat\nd.png\tdog\n"),
        ("train.csv", "a.png,dog\nb c.png,cat\nd.png,dog\n"),
        ("meta/train.csv", "id,label,image\n1,dog,a.png\n2,cat,b c.png\n3,dog,d.png\n"),
        ("train.tsv", "filename\tclass\na.png\tdog\nb c.png\tcat\nd.png\tdog\n"),
        (
            "train.json",
            json.dumps([{"image": n, "label": k} for n, k in (("a.png", "dog"), ("b c.png", "cat"), ("d.png", "dog"))]),
        ),
        ("train.json", json.dumps({"a.png": "dog", "b c.png": "cat", "d.png": "dog"})),
        (
            "train.json",
            json.dumps(
                {
                    "metainfo": {"classes": ["cat", "dog"]},
                    "data_list": [
                        {"img_path": n, "gt_label": k} for n, k in (("a.png", 1), ("b c.png", 0), ("d.png", 1))
                    ],
                }
            ),
        ),
        (
            "annotations/train.jsonl",
            '{"path": "a.png", "label": "dog"}\n{"path": "b c.png", "label": "cat"}\n{"path": "d.png", "label": "dog"}',
        ),
    ],
)
def test_every_form_says_the_same(root: Path, name: str, text: str) -> None:
    (root / name).parent.mkdir(exist_ok=True)
    (root / name).write_text(text)
    config = List(path=str(root), holdout=0.0)
    check_dataset(config)
    assert config.info().classes == ("cat", "dog")
    assert not config.info().multi_label
    assert labels(config) == [["dog"], ["cat"], ["dog"]]
    assert List.sniff(str(root)) == {"path": str(root)}
    assert Folder.sniff(str(root)) is None


@pytest.mark.parametrize(
    ("name", "text", "keys"),
    [
        ("train.txt", "a.png dog|cat\nb c.png cat\nd.png |\n", {"separator": "|"}),
        ("train.csv", "image,labels\na.png,dog|cat\nb c.png,cat\nd.png,\n", {"separator": "|"}),
        ("train.json", json.dumps({"a.png": ["dog", "cat", "dog"], "b c.png": ["cat"], "d.png": []}), {}),
    ],
)
def test_several_labels(root: Path, name: str, text: str, keys: dict[str, Any]) -> None:
    (root / name).write_text(text)
    config = List(path=str(root), holdout=0.0, **keys)
    check_dataset(config)
    assert config.info().multi_label
    assert config.info().notes == ("train: kept 1 of 3 images without a label",)
    assert labels(config) == [["cat", "dog"], ["cat"], []]
    assert config.build("train")[2].target["labels"].shape == (0,)
    assert config.build("train").objects().counts.tolist() == [2, 1, 0]  # type: ignore[attr-defined]


def test_one_label_each_may_be_meant_as_several(root: Path) -> None:
    (root / "train.txt").write_text("a.png dog\n")
    assert List(path=str(root), multi_label=True).info().multi_label


def test_numbers_and_a_file_of_names(root: Path) -> None:
    (root / "train.txt").write_text("a.png 2\nb c.png 0\n")
    config = List(path=str(root), holdout=0.0)
    note = "classes have no names but their 3 numbers; data.classes names a file with one name a line"
    assert config.info().classes == ("0", "1", "2")
    assert config.info().notes == (note,)
    (root / "names.txt").write_text("cat\ndog\ncow\n")
    config = List(path=str(root), holdout=0.0, classes="names.txt")
    assert labels(config) == [["cow"], ["cat"]]
    (root / "train.txt").write_text("a.png 3\nb c.png cta\n")
    assert problems(List(path=str(root), classes="names.txt")) == (
        f"{root}/train.txt:1: label 3 is out of range: there are 3 classes, counted from 0",
        f"{root}/train.txt:2: class 'cta' is not in data.classes (cat, dog, cow); did you mean 'cat'?",
    )
    (root / "names.txt").write_text("cat\ncat\n")
    assert problems(List(path=str(root), classes="names.txt")) == (f"{root}/names.txt: class 'cat' is named twice",)


def test_images_elsewhere_and_a_test_without_labels(root: Path) -> None:
    (root / "train.txt").write_text("a.png dog\n")
    (root / "lists").mkdir()
    (root / "train.txt").rename(root / "lists/train.txt")
    (root / "lists/test.txt").write_text("d.png\nb c.png\n")
    config = List(path=str(root), train="lists/train.txt", test="lists/test.txt", holdout=0.0)
    assert config.info().num_samples == {"train": 1, "test": 2}
    assert config.info().unlabelled == ("test",)
    assert config.info().notes == ("test: has no labels: it can be predicted, not measured",)
    assert labels(config, "test") == [[], []]
    assert problems(List(path=str(root / "lists"), images="pixels"))[0] == (
        f"{root}/lists/train.txt:1: image 'a.png' is not in {root}/lists/pixels; see data.images"
    )


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("train.txt", "a.png dog\na.png cat\n", "{0}:2: image 'a.png' was already in {0}:1"),
        (
            "train.txt",
            "a.png dog\nx.png cat\ny.png cat",
            "{0}:2: image 'x.png' is not in {1}; see data.images (and 1 more like it)",
        ),
        ("train.txt", "a.png dog\nd.png\n", "{0}:2: expected one label of 'd.png', got none"),
        ("train.csv", "a.png,dog\n,cat\n", "{0}:2: expected image,label, got ',cat'"),
        ("train.csv", "image,label\na.png,dog\nd.png,\n", "{0}:3: expected one label of 'd.png', got none"),
        ("train.json", '[{"label": 3}]', '{0}: item 0: expected {{"image": …, "label": …}}, got {{"label": 3}}'),
        (
            "train.json",
            '[{"image": "a.png", "label": 1.5}]',
            "{0}: item 0: expected a label, a name or a whole number, got 1.5",
        ),
        ("train.json", "3", '{0}: expected a list of {{"image": …, "label": …}}, got int'),
        ("train.jsonl", '{"image"', '{0}:1: is no valid json; expected {{"image": …, "label": …}}'),
        ("train.txt", "a.png\n", "{0}: names no class; there is nothing to learn"),
    ],
)
def test_every_mistake_is_one_line(root: Path, name: str, text: str, expected: str) -> None:
    (root / name).write_text(text)
    assert problems(List(path=str(root))) == (expected.format(root / name, root),)


def test_other_mistakes(root: Path) -> None:
    assert problems(List(path=str(root))) == (
        f"{root}: no list of images like train.txt, train.csv or train.json; or set data.train",
    )
    assert problems(List(path=str(root), train="t.txt")) == (f"{root}/t.txt: no such file; it is data.train",)
    (root / "train.txt").write_text("a.png dog\n")
    assert problems(List(path=str(root), classes="c.txt")) == (f"{root}/c.txt: no such file; it is data.classes",)
    (root / "val.txt").write_text("d.png dgo\n")
    assert problems(List(path=str(root))) == (
        f"{root}/val.txt:1: class 'dgo' is not in {root}/train.txt (dog); did you mean 'dog'?",
    )
    (root / "val.txt").write_bytes(b"\xff\xfe d\n")
    assert problems(List(path=str(root))) == (f"{root}/val.txt: is no UTF-8 text",)
    (root / "val.json").write_text("{")
    (root / "val.txt").unlink()
    assert problems(List(path=str(root)))[0].startswith(f"{root}/val.json: is no valid json: Expecting property name")


def test_the_same_image_in_train_and_val_is_told(root: Path) -> None:
    (root / "train.txt").write_text("a.png dog\nd.png cat\n")
    (root / "val.txt").write_text("d.png cat\n")
    warnings = [f.text for f in List(path=str(root)).check() if f.level == "warning"]
    assert warnings == ["1 images are in train and in val, the first d.png: val measures what was trained on"]


def test_cocos_json_is_not_taken_for_a_list(root: Path) -> None:
    (root / "train.json").write_text(json.dumps({"images": [{"file_name": "a.png"}], "annotations": []}))
    assert List.sniff(str(root)) is None
