"""``vf data stats`` and ``browse``: tables, json, pages; mistakes in one line."""

from __future__ import annotations

import base64
import io
import json
import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from vf.data.annotations import Builder
from vf.data.statistics import statistics
from vf_det.data.boxes import BoxDataset
from vf_det.data.source import Part

Vf = Callable[..., Any]


@pytest.fixture(autouse=True)
def folder(layouts: Any, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Work where the data sets are."""
    monkeypatch.chdir(layouts.folder)
    path: Path = layouts.folder
    return path


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


def test_a_table(typed: Vf, layouts: Any) -> None:
    layouts.coco()
    assert done(typed, "stats", "--data", "coco", "--json", "told.json") == [
        "  split                   train          val",
        "  images                      2            2",
        "  objects                     2            2",
        "  crowd regions               1            1",
        "  small (< 32² px)  2 (100.0 %)  2 (100.0 %)",
        "  medium              0 (0.0 %)    0 (0.0 %)",
        "  large (> 96² px)    0 (0.0 %)    0 (0.0 %)",
        "",
        "                           min  25 %  median  75 %  95 %  max  mean",
        "  train: objects an image    1     1       1     1     1    1     1",
        "  val: objects an image      1     1       1     1     1    1     1",
        "  train: image width, px    40    40      40    40    40   40    40",
        "  val: image width, px      40    40      40    40    40   40    40",
        "  train: image height, px   30    30      30    30    30   30    30",
        "  val: image height, px     30    30      30    30    30   30    30",
        "  train: most are 40×30 (2)",
        "  val: most are 40×30 (2)",
        "",
        "  objects of class       train         val",
        "  person            1 (50.0 %)  1 (50.0 %)",
        "  car               1 (50.0 %)  1 (50.0 %)",
        "wrote told.json",
    ]
    told = json.loads(Path("told.json").read_text())
    assert told["train"]["crowd"] == 1
    assert told["val"]["classes"] == {"person": {"objects": 1, "images": 1}, "car": {"objects": 1, "images": 1}}
    assert told["val"]["areas"] == {"small": 2, "medium": 0, "large": 0}
    taken = refused(typed, "stats", "--data", "coco", "--json", "told.json")
    assert taken == "told.json: exists; nothing is overwritten: name another"


@pytest.mark.parametrize("layout", ["lvis", "voc", "yolo", "csv", "cityscapes", "panoptic", "images"])
def test_every_layout_can_be_counted(typed: Vf, layouts: Any, layout: str, monkeypatch: pytest.MonkeyPatch) -> None:
    root = getattr(layouts, layout)()

    def decoded(*arguments: Any, **options: Any) -> None:
        raise AssertionError("decodes an image")

    for module in ("boxes", "cityscapes"):
        monkeypatch.setattr(f"vf_det.data.{module}.decode", decoded)
    done(typed, "stats", "--task", "det", "--data", root.name, "--json", "told.json")
    told = json.loads(Path("told.json").read_text())
    first = told["test" if layout == "images" else "train"]
    assert first["image_sizes"] == [[40, 30, first["images"]]]
    if layout == "voc":
        assert (told["train"]["objects"], told["train"]["difficult"], told["train"]["crowd"]) == (1, 1, 0)
    if layout == "cityscapes":
        assert (told["train"]["objects"], told["train"]["crowd"], told["test"]["images"]) == (2, 1, 1)
        assert "objects" not in told["test"]


def test_as_many_objects_as_coco_has_are_counted_at_once(tmp_path: Path) -> None:
    builder = Builder()
    for i in range(20_000):
        rows = [((1.0, 2.0, 3.0 + k, 9.0), k, False, float("nan")) for k in range(7)]
        builder.add(f"{i}.jpg", rows, size=(480, 640))
    dataset = BoxDataset(Part(tmp_path, builder.freeze()), with_crowd=True)
    began = time.process_time()
    told = statistics(dataset, tuple("abcdefg"))
    assert time.process_time() - began < 1.0
    assert told["objects"] == 140_000


def test_a_page_is_complete_in_itself(typed: Vf, layouts: Any) -> None:
    layouts.coco(change=lambda data: data.update(categories=[{"id": 1, "name": "<b>&"}, {"id": 3, "name": "car"}]))
    assert done(typed, "browse", "--data", "coco", "--set", "data.masks=true", "--out", "p.html") == [
        "wrote p.html: 2 samples"
    ]
    page = Path("p.html").read_text()
    assert "<title>coco: train, as labelled</title>" in page
    assert "1 &lt;b&gt;&amp;" in page
    assert "<b>&" not in page
    assert "train_a.jpg" in page
    assert "2 car · 1 crowd" in page
    assert not re.search(r'(src|href)="(?!data:)', page)
    images = [Image.open(io.BytesIO(base64.b64decode(text))) for text in re.findall(r"base64,([^\"]*)", page)]
    assert [image.size for image in images] == [(40, 30)] * 2


def test_a_folder_has_its_images_beside(typed: Vf, layouts: Any) -> None:
    layouts.coco()
    done(typed, "browse", "--data", "coco", "--out", "pages", "--number", "1", "--split", "val")
    assert sorted(p.name for p in Path("pages").iterdir()) == ["0001.jpg", "index.html"]
    assert refused(typed, "browse", "--data", "coco", "--out", "pages") == (
        "pages: exists and is not empty; nothing is overwritten: name another"
    )


RECIPE = ("det/quickstart", "--set", "data.train=8", "--set", "data.val=2", "--set", "data.size=64")


def test_samples_of_a_recipe_are_those_that_training_sees(typed: Vf, monkeypatch: pytest.MonkeyPatch) -> None:
    from vf import browse
    from vf.data.loader import train_batches
    from vf.data.pipeline import TrainView
    from vf.data.sampler import TrainSampler
    from vf.engine.build import preprocess_of
    from vf.recipes import resolve

    recipe = resolve(RECIPE[0], overrides=[*RECIPE[2::2], "model.size=[96, 96]", "train.batch_size=4"]).recipe
    seen: list[Any] = []
    monkeypatch.setattr(browse, "_drawn", lambda sample, info, *facts: seen.append(sample))
    list(browse.as_trained(recipe, "train", number=6, seed=None))
    preprocess = preprocess_of(recipe.model.build(recipe.data.info()))
    transforms = [t.build() for t in recipe.augment]
    view = TrainView(recipe.data.build("train"), transforms, preprocess, seed=recipe.train.seed)
    sampler = TrainSampler(num_samples=8, batch_size=4, steps=2, seed=recipe.train.seed)
    batches = train_batches(view, sampler, fill=preprocess.pad_value, workers=0, prefetch=1, pin=False)
    images = [image for batch in batches for image in batch.images][:6]
    assert len(seen) == 6
    assert all(sample.image.equal(image) for sample, image in zip(seen, images, strict=True))
    assert seen[0].size == (96, 96)


def test_pages_of_a_recipe(typed: Vf) -> None:
    done(typed, "browse", *RECIPE, "--out", "a.html", "--number", "3")
    done(typed, "browse", *RECIPE, "--out", "b.html", "--number", "3", "--seed", "1")
    done(typed, "browse", *RECIPE, "--out", "c.html", "--number", "3", "--original")
    done(typed, "browse", *RECIPE, "--out", "d.html", "--number", "9", "--split", "val")
    a, b, c, d = (Path(f"{name}.html").read_text() for name in "abcd")
    assert "as training sees it" in a
    assert "160×160 · from 64×64 · sample " in a
    assert re.findall('base64,([^"]*)', a) != re.findall('base64,([^"]*)', b)
    assert "as labelled" in c
    assert "64×64 · sample " in c
    assert d.count("<figure>") == 2


def test_keypoints_and_other_keys_are_shown(layouts: Any) -> None:
    from vf.browse import as_labelled
    from vf_det.data_configs import Coco

    drawn = list(as_labelled(Coco(path=str(layouts.coco()), keypoints=True), "train", number=9, seed=0))
    first = next(one for one in drawn if one.id == "train_a.jpg")
    assert "image_id: 1" in first.facts
    plain = next(one for one in as_labelled(Coco(path="coco"), "train", number=9, seed=0) if one.id == "train_a.jpg")
    assert not np.array_equal(np.asarray(first.picture), np.asarray(plain.picture))


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ((), "say what to draw: a recipe, --task TASK or --data PATH"),
        (
            ("--data", "coco", "--augmented"),
            "--augmented: transforms and size are a recipe's; name a recipe or --task TASK",
        ),
        (("--data", "coco", "--split", "test"), "the data has no split 'test'; it has train, val"),
        (("--data", "nowhere"), "--data nowhere: no such file or folder"),
        (("--data", "coco", "--out", "coco"), "coco: exists and is not empty; nothing is overwritten: name another"),
    ],
)
def test_mistakes_of_browse(typed: Vf, layouts: Any, arguments: tuple[str, ...], sentence: str) -> None:
    layouts.coco()
    assert refused(typed, "browse", *arguments) == sentence
    assert not Path("browse.html").exists()


def test_an_image_that_cannot_be_read_leaves_no_page(typed: Vf, layouts: Any) -> None:
    (layouts.coco() / "train2017" / "train_b.jpg").write_bytes(b"no")
    sentence = "coco/train2017/train_b.jpg: is not an image that can be read; its first bytes are b'no'"
    assert refused(typed, "browse", "--data", "coco", "--out", "pages") == sentence
    assert not Path("pages").exists()


def test_nothing_to_count(typed: Vf) -> None:
    assert refused(typed, "stats") == "say what to count: a recipe, --task TASK or --data PATH"
