"""``vf data split`` and ``merge``: no image in two parts, nothing lost, and mistakes in one line."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from vf_det.data_configs import Coco

Vf = Callable[..., Any]


def numbered(root: Path, count: int = 20, *, offset: int = 0, names: tuple[str, ...] = ("cat", "dog")) -> Path:
    """COCO with images of alternating cameras; every fifth has an object of the second class, too."""
    (root / "train").mkdir(parents=True)
    images, annotations = [], []
    for i in range(1, count + 1):
        name = f"cam{i % 4}_{offset + i:03d}.jpg"
        Image.new("RGB", (40, 30), (i, offset % 250, 9)).save(root / "train" / name)
        images.append({"id": i, "file_name": name, "width": 40, "height": 30})
        for category in (1, 2)[: 1 + (i % 5 == 0)]:
            box = {"image_id": i, "category_id": category, "bbox": [i / 3, 1, 5, 6.5]}
            annotations.append({"id": len(annotations) + 1, **box})
    categories = [{"id": k, "name": name} for k, name in enumerate(names, 1)]
    text = json.dumps({"images": images, "annotations": annotations, "categories": categories})
    (root / "train.json").write_text(text)
    return root


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two data sets in the working folder."""
    monkeypatch.chdir(tmp_path)
    numbered(tmp_path / "one")
    numbered(tmp_path / "two", 4, offset=100, names=("Dog", "cat"))
    return tmp_path


def done(typed: Vf, *arguments: str) -> list[str]:
    said = typed("data", *arguments)
    assert (said.code, said.err) == (0, ""), said.err
    lines: list[str] = said.out.splitlines()
    return lines


def refused(typed: Vf, *arguments: str) -> str:
    said = typed("data", *arguments)
    assert said.code == 2, said.out
    line: str = said.err
    return line.removeprefix("error: ").removesuffix("\n")


def images(folder: str, split: str) -> dict[str, Any]:
    data = json.loads(Path(folder, "annotations", f"instances_{split}.json").read_text())
    return {Path(image["file_name"]).name: image["id"] for image in data["images"]}


def split(typed: Vf, out: str, *more: str, fractions: str = ".5,.3,.2") -> list[str]:
    return done(typed, "split", "--data", "one", "--fractions", fractions, "--out", out, *more)


def test_parts_have_every_image_once(typed: Vf) -> None:
    assert split(typed, "out", "--stratify") == [
        "  images with class         train          val         test",
        "  cat                10 (100.0 %)  6 (100.0 %)  4 (100.0 %)",
        "  dog                  2 (20.0 %)   1 (16.7 %)   1 (25.0 %)",
        "wrote out: train 10, val 6, test 4 images, from train",
    ]
    parts = [images("out", part) for part in ("train", "val", "test")]
    assert [len(part) for part in parts] == [10, 6, 4]
    joined = {name: id_ for part in parts for name, id_ in part.items()}
    assert joined == {f"cam{i % 4}_{i:03d}.jpg": i for i in range(1, 21)}
    config = Coco(path="out")
    assert config.info().num_samples == {"train": 10, "val": 6, "test": 4}
    for part in ("train", "val", "test"):
        dataset = config.build_as(part, evaluation=True)  # type: ignore[arg-type]
        for sample in (dataset[i] for i in range(len(dataset))):
            number = int(Path(sample.id).stem[-3:])
            assert sample.target["boxes"][0].tolist() == pytest.approx([number / 3, 1, number / 3 + 5, 7.5], abs=1e-5)


def test_a_seed_is_a_choice(typed: Vf) -> None:
    for out, seed in (("a", "1"), ("b", "1"), ("c", "2")):
        split(typed, out, "--seed", seed, fractions=".8,.2")
    assert images("a", "val") == images("b", "val") != images("c", "val")


def test_groups(typed: Vf) -> None:
    split(typed, "out", "--group-by", "(cam.)_", "--names", "big,small", fractions=".7,.3")
    groups = [{name[:4] for name in images("out", part)} for part in ("big", "small")]
    assert not groups[0] & groups[1]
    assert len(groups[0]) == 3


def test_images_that_come_along(typed: Vf) -> None:
    split(typed, "copied", "--copy")
    split(typed, "linked", "--link", "--to", "yolo")
    assert len(list(Path("copied/train").iterdir())) == 10
    assert len(list(Path("linked/labels/test").iterdir())) == 4
    assert all(p.is_symlink() and p.is_file() for p in Path("linked/images/val").iterdir())


SPLIT_MISTAKES = [
    (("--fractions", ".5"), "--fractions .5: expected numbers between 0 and 1 that add up to 1, like .8,.1,.1"),
    (("--fractions", ".5,.6"), "--fractions .5,.6: expected numbers between 0 and 1 that add up to 1, like .8,.1,.1"),
    (("--fractions", "a,b"), "--fractions a,b: expected numbers between 0 and 1 that add up to 1, like .8,.1,.1"),
    (("--names", "a"), "--names: expected 2 different words, one for each fraction, got a"),
    (("--names", "a,../b"), "--names: expected 2 different words, one for each fraction, got a,../b"),
    (("--split", "val"), "the data has no split 'val'; it has train"),
    (("--group-by", "x(.)"), "--group-by x(.): matches nothing in the image name 'cam1_001.jpg'"),
    (("--out", "x.json"), "x.json: parts are several files; name a folder"),
    (("--out", "one"), "one: exists and is not empty; nothing is overwritten: name another"),
    (("--data", "nowhere"), "--data nowhere: no such file or folder"),
    (
        ("--group-by", "cam"),
        "part 'val' would have no image: there are 1 group of 20 images; choose other --fractions",
    ),
]


@pytest.mark.parametrize(("arguments", "sentence"), SPLIT_MISTAKES, ids=[m[1][:40] for m in SPLIT_MISTAKES])
def test_mistakes_of_split(typed: Vf, arguments: tuple[str, str], sentence: str) -> None:
    given = {"--data": "one", "--fractions": ".5,.5", "--out": "out", arguments[0]: arguments[1]}
    words = [word for pair in given.items() for word in pair]
    assert refused(typed, "split", *words) == sentence
    assert not Path("out").exists()


def test_merge_joins_classes_by_name(typed: Vf) -> None:
    assert done(typed, "merge", "one", "two", "--out", "out") == [
        "  class        in",
        "  cat    one, two",
        "  dog         one",
        "  Dog         two",
        "warning: classes 'dog' and 'Dog' stay two; rename one if they are the same",
        "wrote out: train 24 images, 3 classes",
    ]
    data = json.loads(Path("out/annotations/instances_train.json").read_text())
    assert [image["id"] for image in data["images"]] == list(range(1, 25))
    assert data["categories"] == [{"id": k, "name": n} for k, n in ((1, "cat"), (2, "dog"), (3, "Dog"))]
    # The first of the second data set: class 1 there is Dog.
    first = [a for a in data["annotations"] if a["image_id"] == 21]
    assert [a["category_id"] for a in first] == [3]
    assert [a["id"] for a in data["annotations"]] == list(range(1, 29))
    assert len(Coco(path="out", holdout=0.0).build_as("train", evaluation=True)) == 24


def test_merge_into_one_json(typed: Vf) -> None:
    done(typed, "merge", "one", "two", "--out", "all.json")
    names = [i["file_name"] for i in json.loads(Path("all.json").read_text())["images"]]
    assert (names[0], names[-1]) == ("one/train/cam1_001.jpg", "two/train/cam0_104.jpg")


def test_merge_of_a_split_gives_the_whole_again(typed: Vf, folder: Path) -> None:
    split(typed, "a", "--names", "train,test", fractions=".5,.5")
    (folder / "b").mkdir()
    (folder / "b" / "train.json").write_text((folder / "a" / "annotations" / "instances_test.json").read_text())
    done(typed, "merge", "a", "b", "--out", "whole", "--split", "train")
    assert set(images("whole", "train")) == {f"cam{i % 4}_{i:03d}.jpg" for i in range(1, 21)}


def test_names_that_clash(typed: Vf, folder: Path) -> None:
    numbered(folder / "three", 2)
    line = "train: 2 names of images are in two data sets, the first 'cam1_001.jpg' in one and in three"
    lines = done(typed, "merge", "one", "three", "--out", "out")
    assert f"warning: {line}; they stay two images, in their own folders" in lines
    assert len(Coco(path="out", holdout=0.0).build_as("train", evaluation=True)) == 22
    assert refused(typed, "merge", "one", "three", "--out", "no", "--copy") == (
        f"{line}; rename them, or let the images stay (without --copy and --link)"
    )


def test_images_without_labels_are_not_split(typed: Vf, layouts: Any) -> None:
    layouts.images()
    words = ("split", "--data", "images", "--fractions", ".5,.5", "--out", "out")
    assert refused(typed, *words) == "images: has no labels; parts of it would be for nothing"


def test_mistakes_of_merge(typed: Vf) -> None:
    assert refused(typed, "merge", "one", "--out", "out") == "merge: expected two data sets or more, got one"
    assert refused(typed, "merge", "one", "one", "--out", "out") == (
        "train: 20 images are in two of the data sets, the first 'cam1_001.jpg'; their labels would be torn apart"
    )
    assert refused(typed, "merge", "one", "nowhere", "--out", "out") == "nowhere: no such file or folder"
    assert refused(typed, "merge", "one", "two", "--out", "one") == (
        "one: exists and is not empty; nothing is overwritten: name another"
    )
    assert refused(typed, "merge", "one", "two", "--split", "val", "--out", "out") == (
        "none of one, two has a split val"
    )
    assert not Path("out").exists()
