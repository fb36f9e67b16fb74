"""Word images in the layouts that they come in, and one line for each mistake."""

from __future__ import annotations

import json
import os
import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import cv2
import lmdb
import numpy as np
import pytest
import torch

from vf.errors import DataError
from vf.recipes import resolve_data
from vf.testing import check_dataset
from vf_ocr.data.crops import straightened
from vf_ocr.data.lmdb_words import LmdbImages
from vf_ocr.generated_configs import Pages
from vf_ocr.page_configs import Icdar
from vf_ocr.word_configs import Crops, Lmdb, WordFolder, WordList


def png(shade: int = 200, size: tuple[int, int] = (20, 50)) -> bytes:
    return bytes(cv2.imencode(".png", np.full((*size, 3), shade, np.uint8))[1])


def put(path: Path, data: bytes | str | None = None) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(png() if data is None else data if isinstance(data, bytes) else data.encode())


def listed(root: Path, name: str, text: str, images: tuple[str, ...] = ("a.png", "b.png")) -> Path:
    for image in images:
        put(root / image)
    put(root / name, text)
    return root


def texts(config: Any, split: Any = "train", *, evaluation: bool = True) -> list[str]:
    dataset = config.build_as(split, evaluation=evaluation)
    return [dataset[k].target["text"] for k in range(len(dataset))]


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        ("train.txt", "a.png\tHi, you\nb.png\t x\n", ["Hi, you", " x"]),
        ("train.txt", "a.png Hi you\nb.png, \"x\"\n", ["Hi you", "x"]),
        ("train.csv", "a.png,Hi\nb.png,x,y\n", ["Hi", "x,y"]),
        ("train.csv", "id,text,filename\n1,\"Hi, you\",a.png\n2,x,b.png\n", ["Hi, you", "x"]),
        ("train.tsv", "\ufefffilename\ttext\na.png\tHi\nb.png\tx\n", ["Hi", "x"]),
        ("train.jsonl", '{"filename": "a.png", "text": "Hi"}\n{"filename": "b.png", "text": "x"}\n', ["Hi", "x"]),
        ("labels.json", '{"a.png": "Hi", "b.png": "x"}', ["Hi", "x"]),
        ("rec_gt_train.txt", "a.png\tHi\nb.png\tx\n", ["Hi", "x"]),
        (
            "textrecog_train.json",
            json.dumps(
                {
                    "metainfo": {"task_name": "textrecog"},
                    "data_list": [{"img_path": f"{k}.png", "instances": [{"text": t}]} for k, t in ("ax", "by")],
                }
            ),
            ["x", "y"],
        ),
    ],
)  # fmt: skip
def test_reads_lists(tmp_path: Path, name: str, content: str, expected: list[str]) -> None:
    root = listed(tmp_path, name, content)
    config = WordList(path=str(root), holdout=0)
    assert texts(config) == expected
    assert WordList.sniff(str(root)) == {"path": str(root)}
    check_dataset(config)


SAVE = "; save the file as UTF-8, or set data.encoding"
SAVE16 = "; save it as UTF-8, or set data.encoding=utf-16"


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("train.txt", "a.png\tx\nno\n", "{file}:2: expected IMAGE<tab>TEXT, IMAGE,TEXT or IMAGE TEXT, got 'no'"),
        ("train.csv", "a.png,x\nb.png\n", "{file}:2: expected IMAGE,TEXT, got 'b.png'"),
        ("train.tsv", "a.png\tx\nb.png x\n", "{file}:2: expected IMAGE<tab>TEXT, got 'b.png x'"),
        ("train.jsonl", "{}\n", '{file}:1: expected {{"filename": …, "text": …}}, got \'{{}}\''),
        ("train.txt", "a.png\t \n", "{file}:1: empty transcription of 'a.png'; expected what is written on it"),
        ("train.txt", "a.png\tx\nc.png\ty\n", "{file}:2: image 'c.png' is not in {root}; see data.images"),
        ("train.txt", b"a.png\tcaf\xe9\n", "{file}:1: is not utf-8 (byte 0xe9 at 9)" + SAVE),
        ("train.txt", "a.png\tx\n".encode("utf-16"), "{file}: is UTF-16, not UTF-8" + SAVE16),
    ],
)  # fmt: skip
def test_broken_lists(tmp_path: Path, name: str, content: Any, said: str) -> None:
    root = listed(tmp_path, name, content)
    with pytest.raises(DataError) as error:
        WordList(path=str(root)).info()
    assert str(error.value) == said.format(file=root / name, root=root)


def test_lenient_leaves_out_and_counts(tmp_path: Path) -> None:
    root = listed(tmp_path, "train.txt", "a.png\tx\nc.png\ty\nb.png\t\n")
    config = WordList(path=str(root), lenient=True)
    assert config.info().notes == (
        f"images that are missing, left out: 1, the first in {root}/train.txt:2",
        f"empty transcriptions, left out: 1, the first in {root}/train.txt:3",
    )
    assert texts(config) == ["x"]


def test_utf16_where_it_is_said(tmp_path: Path) -> None:
    root = listed(tmp_path, "train.txt", "a.png\tcafé\n".encode("utf-16"))
    assert texts(WordList(path=str(root), encoding="utf-16")) == ["café"]


def test_charset_folding_and_unknown(tmp_path: Path) -> None:
    root = listed(tmp_path, "train.txt", "a.png\tIt's\nb.png\t!!\n")
    assert WordList(path=str(root)).info().classes == tuple("stI!'")
    config = WordList(path=str(root), charset="lower", holdout=0)
    info = config.info()
    assert info.num_samples == {"train": 1}
    assert info.notes == (
        f"train: 2 characters of 2 texts are not in the charset (36: 0-9 a-z): '!' 2, \"'\" 1, the first in "
        f"{root}/train.txt:1; they are left out of their texts; 1 texts are not trained on",
    )
    assert texts(config, evaluation=False) == ["its"]
    assert texts(config) == ["It's", "!!"]
    assert texts(WordList(path=str(root), charset="symbols", holdout=0, max_length=3), evaluation=False) == ["!!"]
    with pytest.raises(DataError) as error:
        WordList(path=str(root), charset="digits", unknown="error", holdout=0).info()
    shown = "'!' 2, \"'\" 1, 'I' 1, 's' 1, 't' 1"
    assert str(error.value) == (
        f"train: 5 characters of 2 texts are not in the charset (10: 0-9): {shown}, the first in {root}/train.txt:1; "
        "name a larger data.charset, or set data.unknown to drop or skip"
    )


def test_holds_out_where_there_is_no_val(tmp_path: Path) -> None:
    names = tuple(f"{k}.png" for k in range(20))
    root = listed(tmp_path, "train.txt", "".join(f"{name}\tw\n" for name in names), names)
    put(root / "test.txt", "0.png\tw\n")
    info = WordList(path=str(root)).info()
    assert info.num_samples == {"train": 18, "test": 1, "val": 2}
    assert info.notes == ("there is no val split: 2 of 20 words are held out for it, chosen by hash",)


def test_checks_words(tmp_path: Path) -> None:
    root = listed(tmp_path, "train.txt", "a.png\tab\n")
    put(root / "val.txt", "a.png\tabc\n")
    assert [(f.level, f.text) for f in WordList(path=str(root)).check()] == [
        ("note", "train: 1 words of 2 to 2 characters, 2 different: 2: a b"),
        ("note", "val: 1 words of 3 to 3 characters, 3 different: 3: a b c"),
        ("warning", "val: 1 characters are in no word of train: c"),
        ("warning", "1 words are in train and in val, the first a.png: val measures what was trained on"),
    ]
    facts = WordList(path=str(root)).build("val").objects()  # type: ignore[attr-defined]
    assert facts.counts.tolist() == [3]
    assert facts.labels.tolist() == [0, 1, 2]


def test_names_that_hold_their_text(tmp_path: Path) -> None:
    for name in ("12_Coffee_7.png", "Tea.png", "sub/Milk_2.png"):
        put(tmp_path / name)
    config = WordFolder(path=str(tmp_path), holdout=0)
    assert sorted(texts(config)) == ["Coffee", "Milk", "Tea"]
    put(tmp_path / "__.png")
    with pytest.raises(DataError) as error:
        WordFolder(path=str(tmp_path)).info()
    pattern = r"'(?:\\d+_)?(?P<text>[^_]+)(?:_\\d+)?'"
    assert str(error.value) == f"{tmp_path}/__.png: the name holds no text by data.pattern {pattern}"
    with pytest.raises(DataError) as error:
        WordFolder(path=str(tmp_path), pattern="(.*)").info()
    assert str(error.value) == "data.pattern: '(.*)' has no group (?P<text>…)"


def make_lmdb(path: Path, values: Mapping[str, bytes]) -> Path:
    path.mkdir(parents=True, exist_ok=True)
    with lmdb.open(str(path), map_size=1 << 24) as environment, environment.begin(write=True) as transaction:
        for key, value in values.items():
            transaction.put(key.encode(), value)
    return path


def two(count: bytes = b"2", **extra: bytes) -> dict[str, bytes]:
    words = {f"image-{k:09d}": png(100 + k) for k in (1, 2)} | {f"label-{k:09d}": f"w{k}".encode() for k in (1, 2)}
    return {"num-samples": count, **words, **{key.replace("_", "-"): value for key, value in extra.items()}}


def test_reads_lmdb(tmp_path: Path) -> None:
    root = make_lmdb(tmp_path, two())
    config = Lmdb(path=str(root), holdout=0)
    assert texts(config) == ["w1", "w2"]
    assert Lmdb.sniff(str(root)) == {"path": str(root)}
    check_dataset(config)
    dataset: Any = config.build("train")
    assert dataset.sizes().tolist() == [[20, 50], [20, 50]]
    first = dataset[0].image
    assert torch.equal(pickle.loads(pickle.dumps(dataset))[0].image, first)


def test_an_lmdb_survives_a_fork(tmp_path: Path) -> None:
    images = LmdbImages(make_lmdb(tmp_path, two()))
    parent = images.read("image-000000001")
    read, write = os.pipe()
    child = os.fork()
    if not child:
        os.write(write, b"same" if images.read("image-000000001") == parent else b"else")
        os._exit(0)
    os.waitpid(child, 0)
    assert os.read(read, 4) == b"same"
    assert images.read("image-000000001") == parent
    os.close(read)
    os.close(write)


def test_splits_of_lmdbs(tmp_path: Path) -> None:
    make_lmdb(tmp_path / "train", two())
    make_lmdb(tmp_path / "MJ" / "valid", two(b"1"))
    config = Lmdb(path=str(tmp_path), val="MJ/valid")
    assert config.info().num_samples == {"train": 2, "val": 1}


@pytest.mark.parametrize(
    ("values", "said"),
    [
        (two(b"3"), "{path}: label-000000003: is missing, and num-samples is 3; is the LMDB cut short?"),
        (two(label_000000002=b" "), "{path}: label-000000002: empty transcription; expected what is written on it"),
        (two(label_000000002=b"\xff"), "{path}: label-000000002: is not UTF-8 (byte 0)"),
        (two(b"x"), "{path}: num-samples is b'x', expected a number"),
        ({"a": b"b"}, "{path}: has no key 'num-samples'; expected num-samples, image-000000001, label-000000001, …"),
    ],
)
def test_broken_lmdbs(tmp_path: Path, values: Mapping[str, bytes], said: str) -> None:
    root = make_lmdb(tmp_path, values)
    with pytest.raises(DataError) as error:
        Lmdb(path=str(root)).info()
    assert str(error.value) == said.format(path=root)


def test_an_lmdb_that_is_cut_short(tmp_path: Path) -> None:
    root = make_lmdb(tmp_path, two())
    file = root / "data.mdb"
    data = file.read_bytes()
    file.write_bytes(data[: len(data) // 2])
    with pytest.raises(DataError) as error:
        Lmdb(path=str(root)).info()
    have = len(data) // 2
    assert (
        str(error.value) == f"{file}: is cut short: it has {have} bytes, and its pages take {len(data)}; copy it again"
    )
    file.write_bytes(b"nothing")
    with pytest.raises(DataError) as error:
        Lmdb(path=str(root)).info()
    assert str(error.value).startswith(f"{file}: is no LMDB that can be read: ")


def test_a_lenient_lmdb(tmp_path: Path) -> None:
    config = Lmdb(path=str(make_lmdb(tmp_path, two(b"3"))), lenient=True, holdout=0)
    assert config.info().notes == (f"missing entries, left out: 1, the first in {tmp_path}: label-000000003",)
    assert texts(config) == ["w1", "w2"]


def test_no_data(tmp_path: Path) -> None:
    for config, said in (
        (WordList, f"{tmp_path}: no list of word images like train.txt or train.csv; or set data.train"),
        (Lmdb, f"{tmp_path}: no LMDB (a folder with data.mdb) in it, nor in train/; or set data.train"),
        (WordFolder, f"{tmp_path}: holds no images"),
        (Icdar, f"{tmp_path}: no folder of images with one of label files like images/ and gts/; or set data.train"),
    ):
        with pytest.raises(DataError) as error:
            config(path=str(tmp_path)).info()
        assert str(error.value) == said


def test_crops_are_straight(tmp_path: Path) -> None:
    image = np.zeros((60, 80, 3), np.uint8)
    image[10:20, 30:70] = 255
    put(tmp_path / "images/1.png", bytes(cv2.imencode(".png", image)[1]))
    put(tmp_path / "gts/1.txt", "30,10,70,10,70,20,30,20,Word\n1,1,9,1,9,9,1,9,###\n1,30,4,30,4,33,1,33,low\n")
    config = Crops(of=Icdar(path=str(tmp_path), charset="lower"))
    assert config.info().num_samples == {"train": 1}
    check_dataset(config)
    dataset = config.build_as("train", evaluation=False)
    assert dataset[0].target == {"text": "word"}
    assert dataset[0].id == "1_000"
    assert dataset[0].image.shape == (3, 10, 40)
    assert (dataset[0].image == 255).all()
    with pytest.raises(ValueError, match=r"^of: a data set of pages with a charset is expected; set data.of.charset$"):
        Crops(of=Icdar(path=str(tmp_path)))


def test_a_turned_crop_reads_from_its_first_corner() -> None:
    image = np.zeros((40, 40, 3), np.uint8)
    image[10:30, 15:20] = 255  # the upper half of a word that goes downwards lies on the right
    image[10:30, 20:25] = 100
    quad = np.array([(25, 10), (25, 30), (15, 30), (15, 10)], np.float32)
    crop = straightened(image, quad)
    assert crop.shape == (10, 20, 3)
    assert (crop[:5] == 100).all()
    assert (crop[5:] == 255).all()
    assert straightened(image, quad, margin=0.5).shape == (20, 30, 3)


def test_crops_of_generated_pages() -> None:
    config = Crops(of=Pages(charset="lower", train=2, val=1, test=1))
    assert config.info().num_samples["train"] == len(config.build("train"))
    check_dataset(config, most=2)


def test_recognised_by_path(tmp_path: Path) -> None:
    assert isinstance(resolve_data(str(make_lmdb(tmp_path / "l", two())), ()), Lmdb)
    assert isinstance(resolve_data(str(listed(tmp_path / "w", "train.txt", "a.png\tx\n")), (), task="ocr"), WordList)
