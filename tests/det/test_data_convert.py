"""``vf data convert``: what is written is what was read, by boxes, ids and numbers; mistakes are one line."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose

from vf.recipes import resolve_data
from vf_det.data_configs import Coco, Yolo
from vf_det.metric_configs import CocoAP
from vf_det.writers.coco import shortest, xywh

Vf = Callable[..., Any]


@pytest.fixture(autouse=True)
def folder(layouts: Any, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Work where the data sets are."""
    monkeypatch.chdir(layouts.folder)
    path: Path = layouts.folder
    return path


def done(typed: Vf, *arguments: str) -> list[str]:
    said = typed("data", "convert", *arguments)
    assert (said.code, said.err) == (0, ""), said.err
    lines: list[str] = said.out.splitlines()
    return lines


def refused(typed: Vf, *arguments: str) -> str:
    said = typed("data", "convert", *arguments)
    assert (said.code, said.out) == (2, ""), said.out
    line: str = said.err
    return line.removeprefix("error: ").removesuffix("\n")


def samples(config: Any, split: str = "train") -> list[Any]:
    dataset = config.build_as(split, evaluation=True)
    return [dataset[i] for i in range(len(dataset))]


def same(one: Any, other: Any, *, split: str = "train", atol: float = 0.0) -> None:
    """Two data sets say the same of every image."""
    assert one.info().classes == other.info().classes
    for a, b in zip(samples(one, split), samples(other, split), strict=True):
        assert Path(a.id).name == Path(b.id).name
        assert a.image.equal(b.image)
        assert_allclose(a.target["boxes"], b.target["boxes"], atol=atol, rtol=0)
        for key in ("labels", "iscrowd", "difficult", "visible"):
            assert (key in a.target) == (key in b.target)
            if key in a.target:
                assert a.target[key].equal(b.target[key])
        assert_allclose(a.target["area"], b.target["area"], atol=100 * atol, rtol=1e-6)
        for key in ("masks", "image_id"):
            if key in a.target and key in b.target:
                assert a.target[key] == b.target[key]


def numbers(config: Any, split: str = "train") -> dict[str, float | None]:
    """Average precision of jittered boxes, the same for data sets that say the same."""
    metric = CocoAP().build(config.info())
    for number, sample in enumerate(samples(config, split)):
        generator = torch.Generator().manual_seed(number)
        boxes = sample.target["boxes"].as_subclass(torch.Tensor)
        moved = boxes + torch.randn(boxes.shape, generator=generator)
        scores = torch.rand(len(boxes), generator=generator)
        prediction = {"boxes": moved, "scores": scores, "labels": sample.target["labels"]}
        metric.update([prediction], [{**sample.target, "id": sample.id}])
    values: dict[str, float | None] = metric.compute()
    return values


def test_coco_to_coco_is_exact(typed: Vf, layouts: Any) -> None:
    before = Coco(path=str(layouts.coco()), masks=True, keypoints=True)
    assert done(typed, "coco", "out") == ["wrote out: train 2, val 2 images, 2 classes"]
    after = Coco(path="out", masks=True, keypoints=True)
    same(before, after)
    assert after.info().category_ids == (1, 3)
    assert after.info().keypoints == ("nose", "left_eye", "right_eye")
    for a, b in zip(samples(before), samples(after), strict=True):
        assert a.target["keypoints"].equal(b.target["keypoints"])
    data = json.loads(Path("out/annotations/instances_train.json").read_text())
    assert [image["file_name"] for image in data["images"]] == [
        "../coco/train2017/train_a.jpg",
        "../coco/train2017/train_b.jpg",
    ]
    first, second, crowd = data["annotations"]
    assert first["segmentation"] == [[2, 2, 12, 2, 12, 8, 2, 8], [2, 10, 6, 10, 6, 14, 2, 14]]
    assert (first["bbox"], first["area"], first["num_keypoints"]) == ([2, 2, 10, 12], 76, 2)
    assert second["segmentation"]["size"] == [30, 40]
    assert (crowd["iscrowd"], crowd["category_id"]) == (1, 3)
    done(typed, "out", "again")
    texts = [Path(p, "annotations", "instances_val.json").read_text() for p in ("out", "again")]
    assert texts[0] == texts[1]


def test_masks_can_be_left_out(typed: Vf, layouts: Any) -> None:
    layouts.coco()
    done(typed, "coco", "out", "--plain")
    assert "segmentation" not in Path("out/annotations/instances_train.json").read_text()


def test_a_file_with_masks_of_some_objects_gives_boxes(typed: Vf, layouts: Any) -> None:
    layouts.coco(change=lambda data: data["annotations"][0].pop("segmentation"))
    done(typed, "coco", "out")
    assert "segmentation" not in Path("out/annotations/instances_train.json").read_text()


def test_voc_to_coco_keeps_difficult(typed: Vf, layouts: Any) -> None:
    layouts.voc()
    before = resolve_data("VOCdevkit")
    assert done(typed, "VOCdevkit", "out") == ["wrote out: train 2, test 1 images, 2 classes"]
    after = Coco(path="out", holdout=0.0)
    same(resolve_data("VOCdevkit", ["data.holdout=0"]), after)
    same(before, after, split="test")
    assert numbers(before, "test") == numbers(after, "test")
    data = json.loads(Path("out/annotations/instances_test.json").read_text())
    assert [annotation["difficult"] for annotation in data["annotations"]] == [0, 1]


def test_coco_to_yolo_and_back(typed: Vf, layouts: Any) -> None:
    rng = np.random.default_rng(0)

    def odd(data: dict[str, Any]) -> None:
        low = rng.uniform(0, 10, (6, 2)).round(3)
        sides = rng.uniform(3, 15, (6, 2)).round(3)
        data["annotations"] = [
            {"id": i, "image_id": 1 + i % 2, "category_id": 1 + 2 * (i % 2), "bbox": [*low[i], *sides[i]]}
            for i in range(6)
        ]
        data["categories"] = [{"id": 1, "name": "person"}, {"id": 3, "name": "don't: #1"}]

    before = Coco(path=str(layouts.coco(change=odd)))
    done(typed, "coco", "flat", "--to", "yolo")
    assert Path("flat/images/train/train_a.jpg").is_symlink()
    done(typed, "flat", "back")
    same(before, Yolo(path="flat"), atol=1e-3)
    same(before, Coco(path="back"), atol=1e-3)
    assert numbers(before) == numbers(Coco(path="back")) == numbers(Yolo(path="flat"))
    done(typed, "back", "flat2", "--to", "yolo", "--copy")
    assert not Path("flat2/images/train/train_a.jpg").is_symlink()
    same(Yolo(path="flat"), Yolo(path="flat2"), atol=1e-4)


def test_yolo_says_what_it_cannot_say(typed: Vf, layouts: Any) -> None:
    layouts.coco()
    assert done(typed, "coco", "out", "--to", "yolo", "--split", "train") == [
        "note: crowd regions and difficult objects left out: 1; YOLO has no place for them",
        "note: keypoints left out: 3; YOLO has no place for them",
        "note: masks left out: 3; YOLO has no place for them",
        "wrote out: train 2 images, 2 classes",
    ]
    assert Path("out/labels/train/train_b.txt").read_text() == "1 0.025 0.1666666667 0.05 0.3333333333\n"
    assert Path("out/data.yaml").read_text() == "path: .\ntrain: images/train\nnames:\n- person\n- car\n"


def test_cityscapes_to_coco(typed: Vf, layouts: Any) -> None:
    layouts.cityscapes()
    before = resolve_data("cityscapes", ["data.masks=true"], task="det")
    lines = done(typed, "cityscapes", "out", "--copy", "--task", "det")
    assert lines == [
        "note: test: has no labels: it can be predicted, not measured",
        "note: maps of 11 classes of stuff are left out: COCO's instances have none",
        "wrote out: train 1, val 1, test 1 images, 8 classes",
    ]
    after = Coco(path="out", masks=True)
    same(before, after)
    assert after.info().category_ids == (24, 25, 26, 27, 28, 31, 32, 33)
    assert after.info().unlabelled == ("test",)
    assert Path("out/train/ulm_000000_000019_leftImg8bit.png").is_file()


def test_lvis_keeps_what_was_looked_for(typed: Vf, layouts: Any) -> None:
    layouts.lvis()
    done(typed, "lvis", "out", "--link")
    image = json.loads(Path("out/annotations/instances_val.json").read_text())["images"][0]
    assert (image["neg_category_ids"], image["not_exhaustive_category_ids"]) == ([2], [3, 1])
    assert image["file_name"] == "val2017/b.jpg"
    assert Path("out/val/val2017/b.jpg").is_symlink()
    same(resolve_data("lvis", ["data.masks=true"]), Coco(path="out", masks=True))


def test_generated_images_are_written_as_png(typed: Vf) -> None:
    before = resolve_data_of_shapes()
    from vf_cli.data.source import fresh, splits_of
    from vf_det.writers.coco import CocoWriter

    with fresh(Path("out"), file=False) as part:
        track: Any = lambda items, label, total: iter(items)  # noqa: E731
        CocoWriter().write(part, before.info(), splits_of(before, ["val"]), images="copy", track=track)
    for a, b in zip(samples(before, "val"), samples(Coco(path="out"), "val"), strict=True):
        assert a.image.equal(b.image)
        assert a.target["boxes"].equal(b.target["boxes"])


def resolve_data_of_shapes() -> Any:
    from vf_det.data_configs import Shapes

    return Shapes(size=32, train=1, val=3, test=1)


def test_images_and_a_list_of_classes(typed: Vf, layouts: Any, folder: Path) -> None:
    root = layouts.images("pictures")
    for name in ("c.JPG", "d.gif", "sub/e.jpeg", "thumbs/f.jpg"):
        (root / name).parent.mkdir(exist_ok=True)
        (root / name).write_bytes((root / "a.jpg").read_bytes())
    (root / "notes.txt").write_text("not an image")
    (folder / "names.txt").write_text("cat\n\n dog \n")
    options = ("--from", "images", "--classes", "names.txt")
    done(typed, "pictures", "out", *options, "--ext", "jpg,JPEG", "--exclude", "THUMBS/*")
    data = json.loads(Path("out/annotations/image_info_test.json").read_text())
    assert [i["file_name"] for i in data["images"]] == [f"../pictures/{n}" for n in ("a.jpg", "c.JPG", "sub/e.jpeg")]
    assert data["categories"] == [{"id": 1, "name": "cat"}, {"id": 2, "name": "dog"}]
    assert "annotations" not in data
    assert Coco(path="out").info().num_samples == {"test": 3}
    done(typed, "pictures", "one.json", *options, "--exclude", "*.gif")
    names = [i["file_name"] for i in json.loads(Path("one.json").read_text())["images"]]
    assert names == [f"pictures/{n}" for n in ("a.jpg", "b.png", "c.JPG", "sub/e.jpeg", "thumbs/f.jpg")]
    assert Path("out").is_dir()
    assert refused(typed, "pictures", "no", *options, "--exclude", "*") == (
        "pictures: holds no images; all 6 are left out by data.ext or data.exclude"
    )
    assert "must be endings of images (jpg, jpeg, png, bmp, tif, tiff, webp, gif), got 'txt'" in refused(
        typed, "pictures", "no", *options, "--ext", "txt"
    )
    assert refused(typed, "pictures", "no", "--from", "images") == (
        "the data names no class; give the names, one a line, with --classes FILE"
    )
    assert refused(typed, "pictures", "no", *options, "--to", "yolo") == (
        "the data has no labels, and YOLO has no form for that; write --to coco"
    )
    assert not Path("no").exists()


def test_a_zip_is_written_out(typed: Vf, layouts: Any) -> None:
    layouts.zipped(layouts.coco(), inner="coco")
    line = refused(typed, "coco.zip", "out")
    assert line.startswith("coco.zip/coco/train2017/train_a.jpg: is no file of its own; say --copy")
    done(typed, "coco.zip", "out", "--copy")
    same(Coco(path="coco.zip"), Coco(path="out"))
    assert sorted(p.name for p in Path("out/train").iterdir()) == ["train_a.jpg", "train_b.jpg"]


def test_nothing_is_left_where_something_fails(typed: Vf, layouts: Any) -> None:
    layouts.zipped(layouts.coco(), inner="coco")
    before = sorted(p.name for p in Path().iterdir())
    refused(typed, "coco.zip", "out")
    assert sorted(p.name for p in Path().iterdir()) == before


def test_two_images_that_would_have_one_name(typed: Vf, layouts: Any) -> None:
    layouts.csv()
    folder = layouts.folder / "csv"
    (folder / "images" / "a.png").write_bytes((folder / "images" / "a.jpg").read_bytes())
    with (folder / "train.csv").open("a") as file:
        file.write("images/a.png,,,,,\n")
    assert refused(typed, "csv", "out", "--to", "yolo") == (
        "images 'images/a.jpg' and 'images/a.png' would both be called 'a'; rename one"
    )
    done(typed, "csv", "out", "--copy")


MISTAKES = [
    (("nowhere", "out"), "nowhere: no such file or folder"),
    (("coco", "taken"), "taken: exists and is not empty; nothing is overwritten: name another"),
    (("coco", "taken/x.json"), "taken/x.json: exists; nothing is overwritten: name another"),
    (("coco", "out.json"), "out.json: one file holds one split, there are train, val; say --split, or name a folder"),
    (("coco", "o.json", "--split", "val", "--copy"), "o.json: --copy and --link need a folder; name one, not a json"),
    (("coco", "o.json", "--split", "val", "--to", "yolo"), "o.json: this format is a folder of files; name a folder"),
    (("coco", "out", "--copy", "--link"), "--copy and --link: take one of them"),
    (("coco", "out", "--split", "test"), "the data has no split 'test'; it has train, val"),
    (("coco", "out", "--to", "cocco"), "unknown writer 'cocco'; did you mean 'coco'?"),
    (("coco", "out", "--from", "coca"), "unknown dataset 'coca'; did you mean 'concat' or 'coco'?"),
    (("coco", "out", "--from", "shapes", "--task", "det"), "dataset 'shapes' is read from no folder; name another"),
    (("coco", "out", "--classes", "lost.txt"), "--classes lost.txt: cannot be read: No such file or directory"),
    (("coco", "out", "--classes", "twice.txt"), "--classes twice.txt: names 'a' twice; expected one name a line"),
    (("coco", "out", "--classes", "empty.txt"), "--classes empty.txt: names no class; expected one name a line"),
    (("coco", "taken/x.json/out"), "taken/x.json/out: cannot be written: Not a directory; name another place"),
]


@pytest.mark.parametrize(("arguments", "sentence"), MISTAKES, ids=[m[1][:40] for m in MISTAKES])
def test_mistakes(typed: Vf, layouts: Any, arguments: tuple[str, ...], sentence: str) -> None:
    layouts.coco()
    Path("taken").mkdir()
    Path("taken/x.json").touch()
    Path("twice.txt").write_text("a\nb\na\n")
    Path("empty.txt").write_text("\n")
    assert refused(typed, *arguments) == sentence


def test_broken_labels(typed: Vf, layouts: Any) -> None:
    root = layouts.coco()
    (root / "annotations" / "instances_train2017.json").write_text('{"images": [')
    line = refused(typed, "coco", "out")
    assert line == "coco/annotations/instances_train2017.json:1:13: not valid JSON: Expecting value"


def test_numbers_are_the_shortest_that_are_the_same() -> None:
    boxes = np.random.default_rng(0).uniform(0, 700, (1000, 4)).astype(np.float32)
    boxes = np.sort(boxes.reshape(-1, 2, 2), axis=1).reshape(-1, 4)
    written = xywh(boxes)
    assert ((written[:, :2] + written[:, 2:]).astype(np.float32) == boxes[:, 2:]).all()
    assert (written[:, :2].astype(np.float32) == boxes[:, :2]).all()
    assert shortest(np.array([473.07], np.float32)).tolist() == [473.07]
    assert xywh(np.array([[473.07, 0.1, 868.41, 1.3]], np.float32)).tolist() == [[473.07, 0.1, 395.34, 1.2]]
