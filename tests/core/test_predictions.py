"""Predictions in files: every bit comes back, the order is that of the split, and what is wrong is said in a line."""

from __future__ import annotations

import importlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from vf.errors import DataError, PluginError, RunError, SetupError, VFError
from vf.prediction_files import Part, check_name, merged, open_saved, write
from vf.predictions import Head, Key, decode, encode, joined_keys
from vf.protocols import DatasetInfo, Predicted

INFO = DatasetInfo(classes=("a", "b"), task="det", num_samples={}, fingerprint="", stuff=("sky",))


class Runs:
    """Stands for masks: it says itself what it is in a file."""

    def plain(self) -> list[str]:
        return ["runs"]


def predicted(count: int = 3, **more: Any) -> Predicted:
    generator = torch.Generator().manual_seed(count)
    boxes = torch.rand(count, 4, generator=generator) * 1000
    prediction: dict[str, Any] = {
        "boxes": boxes,
        "scores": torch.rand(count, generator=generator) * 1e-6,
        "labels": torch.arange(count) % 2,
    }
    return Predicted(id="ä/1.jpg", size=(30, 40), prediction=prediction | more, image_id=7)


def there_and_back(one: Predicted) -> Predicted:
    keys, line = encode(one)
    head = Head(info=INFO, split="val", images=1, keys=keys)
    parsed = Head.parse(json.loads(head.text() + "}"), "f")
    return decode(json.loads(line), parsed, "f", lambda prediction, size: prediction)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("boxes", torch.tensor([[0.1, 1 / 3, 1e-30, 3.4e38], [16777217.0, -0.0, 123456.789, 1e16]])),
        ("boxes", torch.zeros(0, 4)),
        ("keypoints", torch.rand(2, 5, 2)),
        ("keypoints", torch.rand(2, 0, 2)),
        ("scores", torch.rand(4, dtype=torch.float64)),
        ("scores", torch.rand(4).half().float()),
        ("score", torch.tensor(0.1)),
        ("flags", torch.tensor([True, False])),
        ("many", torch.tensor([2**62, -1])),
        ("map", torch.arange(-6, 6, dtype=torch.int32).reshape(3, 4)),
        ("map", torch.zeros(0, 4, dtype=torch.uint8)),
        ("masks", torch.rand(2, 3, 5) < 0.5),
        ("semantic", torch.randint(0, 256, (3, 4), dtype=torch.uint8)),
        ("probabilities", torch.tensor([1 / 3, 2 / 3])),
        ("label", torch.tensor(1)),
    ],
)
def test_every_bit_of_a_tensor_comes_back(key: str, value: torch.Tensor) -> None:
    one = Predicted(id="a", size=(3, 4), prediction={key: value})
    back = there_and_back(one).prediction[key]
    assert (back.dtype, back.shape) == (value.dtype, value.shape)
    assert back.numpy().tobytes() == value.numpy().tobytes()


def test_other_values_come_back_as_plain_data() -> None:
    more = {"segments": [{"id": 3, "score": 0.25}], "text": "ü", "masks": Runs(), "map": np.ones((2, 2), np.uint16)}
    more.pop("map")
    back = there_and_back(predicted(**more))
    assert (back.id, back.size, back.image_id) == ("ä/1.jpg", (30, 40), 7)
    assert back.prediction["segments"] == [{"id": 3, "score": 0.25}]  # type: ignore[comparison-overlap]
    assert back.prediction["text"] == "ü"  # type: ignore[comparison-overlap]
    assert back.prediction["masks"] == ["runs"]  # type: ignore[comparison-overlap]
    half = there_and_back(Predicted(id="a", size=(1, 1), prediction={"x": torch.tensor([0.1]).bfloat16()}))
    assert half.prediction["x"].tolist() == torch.tensor([0.1]).bfloat16().float().tolist()


@pytest.mark.parametrize(
    ("more", "kind", "sentence"),
    [
        (
            {"size": 1},
            PluginError,
            "predictions: the key 'size' is taken by what every entry has; give it another name",
        ),
        (
            {"scores": torch.tensor([0.5, float("nan"), 0.1])},
            DataError,
            "image 'ä/1.jpg': scores: the model gave numbers that are not finite; nothing can be measured or written",
        ),
        (
            {"x": {1, 2}},
            PluginError,
            "predictions: image 'ä/1.jpg': x: expected a tensor, an array, plain data or an object with a method "
            "plain(), got set",
        ),
        (
            {"x": torch.zeros(1, dtype=torch.complex64)},
            PluginError,
            "predictions: image 'ä/1.jpg': x: expected one of float32, float64, int64, int32, int16, int8, uint8, "
            "bool, got complex64",
        ),
    ],
)
def test_what_cannot_be_written(more: dict[str, Any], kind: type[VFError], sentence: str) -> None:
    with pytest.raises(kind) as caught:
        encode(predicted(**more))
    assert caught.value.problems == (sentence,)


ENTRY = {"id": "a.jpg", "size": [30, 40], "boxes": [[1, 2, 3, 4]], "scores": [0.5], "labels": [1]}


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"size": [30]}, "expected the size [height, width] of the image, got [30]"),
        ({"size": [30, 0]}, "expected the size [height, width] of the image, got [30, 0]"),
        ({"boxes": [[1, 2, 3]]}, "boxes: expected 4 numbers of float32 for each object, got [[1, 2, 3]]"),
        ({"scores": ["x"]}, "scores: expected a number of float32 for each object, got ['x']"),
        ({"scores": [1, 2]}, "expected as many of each, got 1 boxes, 2 scores, 1 labels"),
        ({"labels": [2]}, "label 2, expected an index under 2, the number of classes"),
        ({"labels": [-1]}, "label -1, expected an index under 2, the number of classes"),
        ({"map": {"zlib": "AAAA", "dtype": "int32", "shape": [1]}}, "map: cannot be unpacked: it is no zlib stream"),
        ({"map": {"zlib": "eJwDAAAAAAE=", "dtype": "int32", "shape": [1]}}, "map: cannot be unpacked: it has 0 bytes"),
    ],
)
def test_an_entry_that_is_wrong(change: dict[str, Any], sentence: str) -> None:
    with pytest.raises(DataError) as caught:
        decode({**ENTRY, **change}, Head(info=INFO, split="val", images=1), "f", lambda prediction, size: prediction)
    assert caught.value.problems == (f"f: image 'a.jpg': {sentence}",)


def test_an_entry_without_an_id() -> None:
    with pytest.raises(DataError, match=r"^f: expected entries with a text under 'id', got \{'id': 3\}$"):
        decode({"id": 3}, Head(info=INFO, split="val", images=1), "f", lambda prediction, size: prediction)


def test_what_a_data_set_refuses_is_said_with_the_image() -> None:
    def refuse(prediction: dict[str, Any], size: tuple[int, int]) -> Any:
        raise DataError(f"masks: not of {size}")

    with pytest.raises(DataError, match=r"^f: image 'a.jpg': masks: not of \(30, 40\)$"):
        decode(ENTRY, Head(info=INFO, split="val", images=1), "f", refuse)


def test_parts_are_merged_in_the_order_of_the_split(tmp_path: Path) -> None:
    parts = [Part(tmp_path / name) for name in ("one", "two", "none")]
    for place in (0, 3, 2, 5):
        part = parts[0] if place in (0, 2, 5) else parts[1]
        if place == 3:
            part.add(1, predicted(1))
        part.add(place, predicted(place))
    for part in parts:
        part.close()
    assert [len(json.loads(line)["scores"]) for line in merged([p.path for p in parts])] == [0, 1, 2, 3, 5]
    assert joined_keys([p.keys for p in reversed(parts)])["boxes"] == Key("float32", (4,))
    assert joined_keys([{}])["labels"] == Key("int64")


def test_keys_that_change_are_refused(tmp_path: Path) -> None:
    part = Part(tmp_path / "part")
    part.add(0, Predicted(id="a", size=(1, 1), prediction={"x": torch.zeros(1)}))
    with pytest.raises(PluginError) as caught:
        part.add(1, Predicted(id="b", size=(1, 1), prediction={"x": torch.zeros(1).long()}))
    part.close()
    assert caught.value.problems == (
        "predictions: image 'b' has the keys x int64(), those before it x float32(); all must have the same",
    )


@pytest.fixture
def file(tmp_path: Path) -> Callable[..., Path]:
    """Return a function that writes a file of two images."""

    def make(name: str = "p.json", *, images: int = 2) -> Path:
        rows = [encode(predicted(count, masks=Runs())) for count in range(images)]
        keys = rows[0][0] if rows else {}
        head = Head(info=INFO, split="val", images=images, recipe="a: 1\n", model="m", keys=keys)
        write(tmp_path / "new" / name, head, [line for _, line in rows])
        return tmp_path / "new" / name

    return make


@pytest.mark.parametrize("images", [0, 1, 2])
def test_a_file_comes_back(file: Callable[..., Path], images: int) -> None:
    path = file(images=images)
    data = json.loads(path.read_text(encoding="utf-8"))
    assert (data["format"], data["version"], data["count"], len(data["images"])) == (
        "vf-predictions",
        1,
        images,
        images,
    )
    saved = open_saved(str(path))
    assert (saved.head.info, saved.head.split, saved.head.recipe) == (INFO, "val", "a: 1\n")
    back = list(saved.read(lambda prediction, size: prediction))
    assert len(back) == images
    for count, one in enumerate(back):
        assert torch.equal(one.prediction["boxes"], predicted(count).prediction["boxes"])
    assert [p.name for p in path.parent.iterdir()] == ["p.json"]


def test_a_file_laid_out_by_another_program(file: Callable[..., Path], tmp_path: Path) -> None:
    own = file()
    data = json.loads(own.read_text(encoding="utf-8"))
    least = {key: data[key] for key in ("format", "version", "classes", "images")}
    other = tmp_path / "other.json"
    other.write_text(json.dumps(least, indent=1))
    entries = list(open_saved(str(other)).read(lambda prediction, size: prediction))
    assert torch.equal(entries[1].prediction["boxes"], predicted(1).prediction["boxes"])


def test_a_parquet_file_says_the_same(file: Callable[..., Path]) -> None:
    pytest.importorskip("pyarrow")
    one, two = open_saved(str(file())), open_saved(str(file("p.parquet")))
    assert one.head == two.head
    rows = [list(saved.read(lambda prediction, size: prediction)) for saved in (one, two)]
    assert [encode(row) for row in rows[0]] == [encode(row) for row in rows[1]]
    assert list(open_saved(str(file("p.parquet", images=0)))) == []


@pytest.mark.parametrize(
    ("name", "kind", "sentence"),
    [
        (
            "p.pkl",
            RunError,
            "--out p.pkl: pickles are neither written nor read, because opening one can run any program; take a name "
            "that ends in .json or .parquet",
        ),
        ("p.txt", RunError, "--out p.txt: expected a name that ends in .json or .parquet"),
        (
            "p.parquet",
            SetupError,
            "--out p.parquet: pyarrow is not installed; pip install pyarrow, or take a .json",
        ),
    ],
)
def test_names_that_are_refused(name: str, kind: type[VFError], sentence: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(module: str) -> Any:
        raise ModuleNotFoundError(module)

    monkeypatch.setattr(importlib, "import_module", missing)
    with pytest.raises(kind) as caught:
        check_name(name, "--out")
    assert caught.value.problems == (sentence,)


def _replaced(old: str, new: str) -> Callable[[str], str]:
    return lambda text: text.replace(old, new, 1)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda text: "[]", ': not a file of predictions: expected "format": "vf-predictions" at its beginning'),
        (lambda text: "{", ": not valid JSON: Expecting property name enclosed in double quotes: line 1 column 2"),
        (_replaced('"version": 1', '"version": 2'), ": is of version 2, this vf reads version 1"),
        (_replaced('["a", "b"]', "2"), ": expected the names of the classes in a list under 'classes'"),
        (_replaced('"count": 2', '"count": "x"'), ": its head cannot be read (ValueError: invalid literal for int() "),
        (lambda text: text[: text.rindex("]}")], ": is cut off after line 3: expected ]} at its end"),
        (lambda text: text[:-40], ":3: not valid JSON, or cut off: Expecting ',' delimiter: line 1 column "),
        (lambda text: text.split('"images"')[0] + '"images": 3}', ": expected a list under 'images', got int"),
    ],
)
def test_files_that_are_wrong(
    file: Callable[..., Path], change: Callable[[str], str], sentence: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = file()
    monkeypatch.chdir(path.parent)
    path.write_text(change(path.read_text(encoding="utf-8")), encoding="utf-8")
    with pytest.raises(DataError) as caught:
        list(open_saved("p.json"))
    assert len(caught.value.problems) == 1
    assert caught.value.problems[0].startswith(f"p.json{sentence}")


def test_a_missing_file() -> None:
    with pytest.raises(DataError, match=r"^--predictions nowhere.json: no such file$"):
        open_saved("nowhere.json")


def test_a_disk_that_refuses_leaves_the_old_file(file: Callable[..., Path]) -> None:
    path = file()
    before = path.read_bytes()

    def broken() -> Any:
        yield "{}"
        raise OSError(28, "No space left on device")

    with pytest.raises(RunError, match=r"p.json: cannot be written: No space left on device$"):
        write(path, Head(info=INFO, split="val", images=1), broken())
    assert path.read_bytes() == before
    assert [p.name for p in path.parent.iterdir()] == ["p.json"]


@pytest.mark.parametrize(
    ("key", "value", "problem"),
    [
        ("probabilities", torch.rand(3), "expected 2 probabilities, one for each class, got 3"),
        ("label", torch.tensor(2), "label 2, expected an index under 2, the number of classes"),
        (
            "semantic",
            torch.zeros(4, 3, dtype=torch.uint8),
            "semantic: expected a map of (3, 4), the size of the image, got (4, 3)",
        ),
    ],
)
def test_what_does_not_fit_the_classes_or_the_image_is_refused(key: str, value: torch.Tensor, problem: str) -> None:
    with pytest.raises(DataError) as caught:
        there_and_back(Predicted(id="a", size=(3, 4), prediction={key: value}))
    assert str(caught.value) == f"f: image 'a': {problem}"
