"""Pages in the layouts that they come in, and one line for each mistake."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch

from vf.errors import DataError
from vf.recipes import resolve, resolve_data
from vf.testing import check_dataset
from vf_ocr.page_configs import Ctw1500, Icdar, MmocrPages, PaddlePages, TextOcr, TotalText

QUAD = "10,10,40,12,40,30,10,28"


def put(path: Path, size: tuple[int, int] = (60, 80)) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), np.full((*size, 3), 200, np.uint8))


def write(path: Path, text: str | bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text if isinstance(text, bytes) else text.encode())


def icdar(root: Path, *lines: str, split: str = "") -> Path:
    put(root / split / "images" / "img_1.jpg")
    write(root / split / "gts" / "gt_img_1.txt", "".join(f"{line}\r\n" for line in lines))
    return root


def only(config: Any, split: Any = "train") -> dict[str, Any]:
    return config.build_as(split, evaluation=True)[0].target


def test_reads_icdar_2015(tmp_path: Path) -> None:
    root = icdar(tmp_path, f"\ufeff{QUAD},a,b,", "50,10,70,10,70,20,50,20,###")
    target = only(Icdar(path=str(root)))
    assert target["texts"] == ("a,b,", "###")
    assert target["ignored"].tolist() == [False, True]
    assert target["polygons"][0].tolist() == [[10, 10], [40, 12], [40, 30], [10, 28]]
    assert target["boxes"].tolist() == [[10, 10, 40, 30], [50, 10, 70, 20]]
    assert target["labels"].tolist() == [0, 0]
    check_dataset(Icdar(path=str(root)))


def test_the_characters_of_a_recipe_stay(tmp_path: Path) -> None:
    root = icdar(tmp_path, f"{QUAD},Word")
    told, untold = resolve("ocr/quickstart", data=str(root)).recipe, resolve("ocr/dbnet_custom", data=str(root)).recipe
    assert (told.data.charset, untold.data.charset) == ("lower", "")  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("images", "labels", "name"),
    [
        ("train/images", "train/gts", "gt_img_1.txt"),
        ("images/train", "gts/train", "img_1.txt"),
        ("train_images", "train_gts", "img_1.jpg.txt"),
        ("ch4_training_images", "ch4_training_localization_transcription_gt", "gt_img_1.txt"),
        ("ch8_training_images", "ch8_training_localization_transcription_gt_v2", "gt_img_1.txt"),
        ("Challenge2_Training_Task12_Images", "Challenge2_Training_Task1_GT", "gt_img_1.txt"),
        ("train", "train", "img_1.txt"),
        ("img", "box", "img_1.txt"),
    ],
)
def test_finds_the_layouts(tmp_path: Path, images: str, labels: str, name: str) -> None:
    put(tmp_path / images / "img_1.jpg")
    write(tmp_path / labels / name, f"{QUAD},text\n")
    assert Icdar.sniff(str(tmp_path)) == {"path": str(tmp_path)}
    assert only(Icdar(path=str(tmp_path)))["texts"] == ("text",)


def test_reads_all_splits_of_a_zip(tmp_path: Path) -> None:
    for split in ("train", "val", "test"):
        icdar(tmp_path / "data", f"{QUAD},{split}", split=split)
    with zipfile.ZipFile(tmp_path / "data.zip", "w") as file:
        for path in sorted((tmp_path / "data").rglob("*.*")):
            file.write(path, path.relative_to(tmp_path / "data"))
    config = Icdar(path=str(tmp_path / "data.zip"))
    assert config.info().num_samples == {"train": 1, "val": 1, "test": 1}
    assert [only(config, split)["texts"] for split in ("train", "val", "test")] == [("train",), ("val",), ("test",)]


@pytest.mark.parametrize(
    ("line", "text"),
    [
        ('10, 10, 40, 30, "Tiredness"', "Tiredness"),
        ('10 10 40 30 "Two words"', "Two words"),
        ("10,10,40,30,plain", "plain"),
    ],
)
def test_boxes_of_icdar_2013(tmp_path: Path, line: str, text: str) -> None:
    target = only(Icdar(path=str(icdar(tmp_path, line))))
    assert target["texts"] == (text,)
    assert target["polygons"][0].tolist() == [[10, 10], [40, 10], [40, 30], [10, 30]]


def test_scripts_of_icdar_2017(tmp_path: Path) -> None:
    root = icdar(tmp_path, f"{QUAD},Latin,a,b", f"{QUAD},Korean,한")
    assert only(Icdar(path=str(root)))["texts"] == ("a,b", "한")


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        ((f"{QUAD},ok", "1,2,3,4"), "{gt}:2: expected x1,y1,x2,y2,x3,y3,x4,y4,text, got 2 points: '1,2,3,4'"),
        ((f"{QUAD},ok", "nothing"), "{gt}:2: expected x1,y1,x2,y2,x3,y3,x4,y4,text, got 'nothing'"),
        ((f"{QUAD},a", "1,2,3,4,5,6,7,nan,b"), "{gt}:2: expected numbers, got one that is infinite or none"),
    ],
)
def test_broken_lines(tmp_path: Path, lines: tuple[str, ...], said: str) -> None:
    root = icdar(tmp_path, *lines)
    with pytest.raises(DataError) as error:
        Icdar(path=str(root)).info()
    gt = root / "gts" / "gt_img_1.txt"
    assert str(error.value) == said.format(gt=gt)
    info = Icdar(path=str(root), lenient=True).info()
    assert len(info.notes) == 1
    assert info.notes[0].endswith(f"left out: 1, the first in {gt}:2")


def test_bytes_that_are_no_utf8(tmp_path: Path) -> None:
    root = icdar(tmp_path, "x")
    gt = root / "gts" / "gt_img_1.txt"
    gt.write_bytes(f"{QUAD},a\n{QUAD},caf\xe9\n".encode("latin-1"))
    with pytest.raises(DataError) as error:
        Icdar(path=str(root)).info()
    place = f"{gt}:2: is not utf-8 (byte 0xe9 at {len(QUAD) + 4})"
    assert str(error.value) == f"{place}; save the file as UTF-8, or set data.encoding"
    assert only(Icdar(path=str(root), encoding="latin-1"))["texts"] == ("a", "café")


def test_files_that_have_no_partner(tmp_path: Path) -> None:
    root = icdar(tmp_path, f"{QUAD},a")
    put(root / "images" / "img_2.jpg")
    write(root / "gts" / "gt_img_3.txt", "")
    with pytest.raises(DataError) as error:
        Icdar(path=str(root)).info()
    assert error.value.problems == (
        f"{root}/images/img_2.jpg: has no label file (gt_img_2.txt, img_2.txt, img_2.jpg.txt) in {root}/gts",
        f"{root}/gts/gt_img_3.txt: has no image of its name in {root}/images",
    )


def test_an_empty_transcription_is_refused_where_text_is_read(tmp_path: Path) -> None:
    root = icdar(tmp_path, f"{QUAD},a", f"{QUAD},")
    assert only(Icdar(path=str(root)))["texts"] == ("a", "")
    with pytest.raises(DataError) as error:
        Icdar(path=str(root), charset="lower").info()
    expected = "empty transcription; expected a text, or ### where nobody can read it"
    assert str(error.value) == f"{root}/gts/gt_img_1.txt:2: {expected}"


def test_what_is_read_in_training_and_in_evaluation(tmp_path: Path) -> None:
    root = icdar(tmp_path, f"{QUAD},Caf\u00e9", f"{QUAD},###", f"{QUAD},!")
    config = Icdar(path=str(root), charset="lower")
    info = config.info()
    assert info.classes == tuple("0123456789abcdefghijklmnopqrstuvwxyz")
    assert info.notes == (
        f"train: 2 characters of 2 texts are not in the charset (36: 0-9 a-z): '!' 1, 'é' 1, the first in "
        f"{root}/gts/gt_img_1.txt:1; they are left out of their texts; 1 texts are not trained on",
    )
    assert config.build_as("train", evaluation=False)[0].target["texts"] == ("caf", "###", "")
    assert config.build_as("train", evaluation=True)[0].target["texts"] == ("Café", "###", "!")
    skipping = Icdar(path=str(root), charset="lower", unknown="skip")
    assert skipping.build_as("train", evaluation=False)[0].target["texts"] == ("", "###", "")
    with pytest.raises(DataError, match=r"the first in .*:1; name a larger data.charset, or set data.unknown to drop"):
        _ = Icdar(path=str(root), charset="lower", unknown="error").info().notes
    assert Icdar(path=str(root), charset="data").info().classes == tuple("afé" + "C" + "!")


def test_polygons_are_turned_clockwise_and_held_to_the_image(tmp_path: Path) -> None:
    root = icdar(tmp_path, "10,10,10,30,40,30,40,10,turned", "-5,-5,90,-5,90,20,-5,20,over", "5,5,5,5,5,5,5,5,flat")
    config = Icdar(path=str(root))
    target = only(config)
    assert target["polygons"][0].tolist() == [[10, 10], [40, 10], [40, 30], [10, 30]]
    assert target["boxes"][1].tolist() == [0, 0, 80, 20]
    assert target["polygons"][1].tolist() == [[-5, -5], [90, -5], [90, 20], [-5, 20]]
    gt = root / "gts" / "gt_img_1.txt"
    assert config.info().notes == (
        f"polygons that went against the clock, turned round: 1, the first in {gt}:1",
        f"polygons without area, left out: 1, the first in {gt}:3",
    )


def test_an_image_without_text(tmp_path: Path) -> None:
    target = only(Icdar(path=str(icdar(tmp_path))))
    assert target["polygons"].shape == (0, 4, 2)
    assert target["texts"] == ()


def test_checks_and_counts(tmp_path: Path) -> None:
    root = icdar(tmp_path, f"{QUAD},ab", f"{QUAD},###", split="train")
    icdar(root, "10,10,40,30,40,10,10,30,x", f"{QUAD},###", split="val")
    config = Icdar(path=str(root))
    assert [finding.text for finding in config.check()] == [
        "train: 1 images, 2 texts, 1 of them ###",
        "val: 1 images, 1 texts, 1 of them ###",
        "val: all texts are ###; there is nothing to find or to measure",
    ]
    facts = config.build("train").objects()  # type: ignore[attr-defined]
    assert facts.counts.tolist() == [2]
    assert facts.marks["crowd"].tolist() == [False, True]
    reading = Icdar(path=str(root), charset="lower").build("train").objects()  # type: ignore[attr-defined]
    assert reading.labels.tolist() == [10, 11]


def test_names_two_folders_for_a_split(tmp_path: Path) -> None:
    icdar(tmp_path / "one", f"{QUAD},a")
    icdar(tmp_path / "two", f"{QUAD},b")
    config = Icdar(path=str(tmp_path), train="one", val="two/images:two/gts")
    assert [only(config, split)["texts"] for split in ("train", "val")] == [("a",), ("b",)]
    with pytest.raises(DataError) as error:
        Icdar(path=str(tmp_path), train="three").info()
    assert str(error.value) == f"{tmp_path}/three: no such folder; it is data.train"


POLYGON = "x: [[10 20\n 30 40 40 10]], y: [[10 8 8 10 30 30]], ornt: [u'c'], transcriptions: [u'CURVED']\n"


def test_reads_total_text(tmp_path: Path) -> None:
    put(tmp_path / "Images/Train/img1.jpg")
    label = tmp_path / "Groundtruth/Polygon/Train/poly_gt_img1.txt"
    write(label, f"{POLYGON}x: [[1 9 9 1]], y: [[1 1 9 9]], ornt: [u'#'], transcriptions: [u'#']\n")
    assert TotalText.sniff(str(tmp_path)) == {"path": str(tmp_path)}
    target = only(TotalText(path=str(tmp_path)))
    assert target["texts"] == ("CURVED", "###")
    assert target["polygons"].shape == (2, 6, 2)
    assert target["polygons"][1].tolist() == [[1, 1], [9, 1], [9, 9], [1, 9], [1, 9], [1, 9]]
    write(label, "x: [[1 2 3]], y: [[1 2]], ornt: [u'c'], transcriptions: [u'A']\n")
    with pytest.raises(DataError) as error:
        TotalText(path=str(tmp_path)).info()
    assert str(error.value) == f"{label}:1: expected as many x as y, got 3 and 2"
    label.rename(label.with_suffix(".mat"))
    with pytest.raises(DataError, match=r"poly_gt_img1.mat: MATLAB files are not read; Total-Text gives the same"):
        TotalText(path=str(tmp_path)).info()


ARC = [(5 + 5 * k, 20) for k in range(7)] + [(35 - 5 * k, 40) for k in range(7)]


def test_reads_ctw1500(tmp_path: Path) -> None:
    points = ",".join(f"{x},{y}" for x, y in ARC)
    put(tmp_path / "train_images/1.jpg")
    put(tmp_path / "test_images/2.jpg")
    put(tmp_path / "test_images/3.jpg")
    xml = f"<Annotations><image><box><label>A&amp;B</label><segs>{points}</segs></box></image></Annotations>"
    write(tmp_path / "ctw1500_train_labels/1.xml", xml)
    write(tmp_path / "gt_ctw1500/2.txt", f"{points},####hello world\n{points},#######\n")
    seen = ",".join(f"{x - 5},{y - 20}" for x, y in ARC)
    write(tmp_path / "gt_ctw1500/3.txt", f"5,20,35,40,{seen}\n")
    assert Ctw1500.sniff(str(tmp_path)) == {"path": str(tmp_path)}
    config = Ctw1500(path=str(tmp_path))
    assert only(config)["texts"] == ("A&B",)
    tests = [config.build("test")[k].target for k in (0, 1)]
    assert tests[0]["texts"] == ("hello world", "###")
    assert all(t["polygons"][0].tolist() == [list(map(float, p)) for p in ARC] for t in tests)
    write(tmp_path / "gt_ctw1500/3.txt", "1,2,3,4,####a\n")
    with pytest.raises(DataError) as error:
        Ctw1500(path=str(tmp_path)).info()
    expected = "expected x1,y1,…,x14,y14,####text, got 2 points: '1,2,3,4,####a'"
    assert str(error.value) == f"{tmp_path}/gt_ctw1500/3.txt:1: {expected}"


def textocr(root: Path) -> Path:
    put(root / "train_images/a.jpg")
    anns = {
        "a_1": {"image_id": "a", "points": [10, 10, 40, 10, 40, 30, 10, 30], "utf8_string": "One"},
        "a_2": {"image_id": "a", "bbox": [1, 2, 10, 5], "utf8_string": "."},
    }
    imgs = {"a": {"id": "a", "file_name": "train_images/a.jpg", "width": 80, "height": 60, "set": "train"}}
    write(root / "TextOCR_0.1_train.json", json.dumps({"imgs": imgs, "anns": anns}))
    return root


def paddle(root: Path) -> Path:
    put(root / "imgs/a.jpg")
    labels = [
        {"transcription": "One", "points": [[10, 10], [40, 10], [40, 30], [10, 30]]},
        {"transcription": "###", "points": [[1, 2], [11, 2], [11, 7], [1, 7]]},
    ]
    write(root / "train.txt", f"imgs/a.jpg\t{json.dumps(labels)}\n")
    return root


def mmocr(root: Path) -> Path:
    put(root / "textdet_imgs/a.jpg")
    instances = [
        {"polygon": [10, 10, 40, 10, 40, 30, 10, 30], "text": "One", "ignore": False},
        {"bbox": [1, 2, 11, 7], "text": "Two", "ignore": True},
    ]
    item = {"img_path": "textdet_imgs/a.jpg", "height": 60, "width": 80, "instances": instances}
    write(root / "textdet_train.json", json.dumps({"metainfo": {"task_name": "textdet"}, "data_list": [item]}))
    return root


@pytest.mark.parametrize(("config", "make"), [(TextOcr, textocr), (PaddlePages, paddle), (MmocrPages, mmocr)])
def test_reads_json(tmp_path: Path, config: Any, make: Callable[[Path], Path]) -> None:
    root = make(tmp_path)
    assert config.sniff(str(root)) == {"path": str(root)}
    target = only(config(path=str(root)))
    assert target["texts"] == ("One", "###")
    assert target["polygons"].tolist() == [
        [[10, 10], [40, 10], [40, 30], [10, 30]],
        [[1, 2], [11, 2], [11, 7], [1, 7]],
    ]
    assert type(resolve_data(str(root), (), task="ocr")).__name__ == config.__name__


def test_splits_of_coco_text_lie_in_one_file(tmp_path: Path) -> None:
    imgs = {}
    for number, split in enumerate(("train", "val")):
        put(tmp_path / f"train2014/{number}.jpg")
        imgs[str(number)] = {"file_name": f"{number}.jpg", "width": 80, "height": 60, "set": split}
    ann = {"image_id": 1, "mask": [10, 10, 40, 10, 40, 30], "utf8_string": "x", "legibility": "illegible"}
    write(tmp_path / "cocotext.v2.json", json.dumps({"imgs": imgs, "anns": {"7": ann}, "cats": {}}))
    config = TextOcr(path=str(tmp_path))
    assert config.info().num_samples == {"train": 1, "val": 1}
    assert only(config, "val")["texts"] == ("###",)


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("imgs/a.jpg\t[{]", 'expected IMAGE<tab>[{"transcription": …, "points": …}], got \'imgs/a.jpg\\t[{]\''),
        ("imgs/b.jpg\t[]", "image 'imgs/b.jpg' is not in {root}; see data.images"),
        ('imgs/a.jpg\t[{"points": [[1, 2], [3, 4]]}]', "expected a polygon of at least 3 points, got 2"),
    ],
)
def test_broken_lines_of_paddle(tmp_path: Path, line: str, said: str) -> None:
    root = paddle(tmp_path)
    with (root / "train.txt").open("a") as file:
        file.write(f"{line}\n")
    with pytest.raises(DataError) as error:
        PaddlePages(path=str(root)).info()
    assert str(error.value) == f"{root}/train.txt:2: {said.replace('{root}', str(root))}"


def test_broken_json(tmp_path: Path) -> None:
    write(tmp_path / "textdet_train.json", "[]")
    with pytest.raises(DataError) as error:
        MmocrPages(path=str(tmp_path)).info()
    assert str(error.value) == f"{tmp_path}/textdet_train.json: expected a mapping with 'data_list', as mmocr writes it"


def test_vertices_are_as_many_as_asked_for(tmp_path: Path) -> None:
    root = icdar(tmp_path, f"{QUAD},a")
    assert only(Icdar(path=str(root), points=14))["polygons"].shape == (1, 14, 2)
    with pytest.raises(DataError) as error:
        _ = Icdar(path=str(root), points=3).source
    assert str(error.value) == f"{root}: has polygons of 4 vertices, and data.points is 3"


def test_flat_data_is_small_to_pickle(tmp_path: Path) -> None:
    import pickle

    dataset = Icdar(path=str(icdar(tmp_path, *[f"{QUAD},word{k}" for k in range(500)]))).build("train")
    assert len(pickle.dumps(dataset)) < 80_000
    assert torch.equal(pickle.loads(pickle.dumps(dataset))[0].image, dataset[0].image)
