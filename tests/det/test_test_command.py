"""``vf run test`` with a model that says the same of every image: what it measures, writes, draws and refuses."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import pytest
from PIL import Image

from vf import shown
from vf.engine.checkpoint import save_weights
from vf.recipes import from_text
from vf.world import World
from vf_cli.main import plugin_commands

ECHO = (Path(__file__).parents[1] / "toy" / "vf_echo.py").read_text(encoding="utf-8")
RECIPE = """\
task: det
model: {{name: echo, gives: [{gives}]}}
data: {data}
metrics: [{metrics}]
train:
  length: 1 steps
  batch_size: 1
  optimizer: {{name: sgd, lr: 0.1}}
  schedule: {{name: cosine}}
loader: {{workers: 0, eval_batch_size: 2}}
"""
BOXES = "{name: coco, path: coco}"
MASKS = "{name: coco, path: coco, masks: true}"
AP = "{name: coco_ap}"
ALL = "{name: coco_ap, iou: [bbox, segm], classwise: false}"


@pytest.fixture
def work(site: Any, layouts: Any, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with COCO, beside the plugins det and echo."""
    site.add("det", "from vf_det import *\n")
    site.add("echo", ECHO)
    layouts.coco()
    monkeypatch.chdir(layouts.folder)
    folder: Path = layouts.folder
    return folder


@pytest.fixture
def vf(typed: Callable[..., Any], work: Path) -> Callable[..., Any]:
    """Return a function that runs ``vf run test ARGUMENTS``."""

    def run(*arguments: str) -> Any:
        plugin_commands.cache_clear()
        return typed("run", "test", *arguments)

    return run


def model(data: str = BOXES, *, gives: str = "", metrics: str = AP) -> str:
    """Write a checkpoint of the model and return its name."""
    resolved = from_text(RECIPE.format(data=data, gives=gives, metrics=metrics), "recipe")
    info = resolved.recipe.data.info()
    save_weights(resolved.recipe.model.build(info), Path("m.safetensors"), recipe=resolved.yaml(), info=info)
    return "m.safetensors"


def numbers(said: Any) -> dict[str, Any]:
    """Return what --json printed, without where it comes from."""
    found = json.loads(said.out)
    return {key: value for key, value in found.items() if key not in ("checkpoint", "predictions")}


def read(name: str) -> Any:
    return json.loads(Path(name).read_text(encoding="utf-8"))


def test_saved_predictions_give_the_same_numbers_without_the_model(vf: Any) -> None:
    said = vf(model(MASKS, gives="masks", metrics=ALL), "--json", "--out", "p.json")
    assert said.code == 0
    assert said.err.splitlines() == [
        "test  m.safetensors on 2 images of split 'val'",
        "wrote p.json: predictions of 2 images",
    ]
    assert numbers(said)["segm_AP50"] is not None
    os.unlink("m.safetensors")
    again = vf("--predictions", "p.json", "--json")
    assert (again.code, again.err) == (0, "test  p.json on 2 images of split 'val'\n")
    assert numbers(again) == numbers(said)
    assert json.loads(again.out)["predictions"] == "p.json"
    other = vf("--predictions", "p.json", "--set", "metrics=[{name: voc_ap}]")
    assert other.code == 0
    assert "mAP" in other.out


def test_results_for_cocos_server(vf: Any) -> None:
    said = vf(model(MASKS, gives="masks", metrics=ALL), "--format-only", "--out-prefix", "new/P")
    assert (said.code, said.err) == (0, "")
    assert said.out.splitlines() == [
        "test  m.safetensors on 2 images of split 'val'",
        "wrote new/P.bbox.json",
        "wrote new/P.segm.json",
    ]
    assert [(e["image_id"], e["category_id"], e["bbox"]) for e in read("new/P.bbox.json")][:2] == [
        (1, 1, [0.0, 0.0, 20.0, 30.0]),
        (1, 3, [0.1, 0.0, 19.9, 7.5]),
    ]
    assert read("new/P.segm.json")[2]["segmentation"]["size"] == [30, 40]
    assert sorted(p.name for p in Path("new").iterdir()) == ["P.bbox.json", "P.segm.json"]


def test_results_and_numbers_at_once_and_results_of_saved_predictions(vf: Any) -> None:
    said = vf(model(), "--out-prefix", "P", "--out", "p.json")
    assert (said.code, "AP50" in said.out) == (0, True)
    again = vf("--predictions", "p.json", "--format-only", "--out-prefix", "Q")
    assert again.code == 0
    assert "AP50" not in again.out
    assert read("P.bbox.json") == read("Q.bbox.json")


@pytest.fixture
def unlabelled(work: Path) -> None:
    """Turn val into a test-dev: images and categories, no annotations."""
    info = read("coco/annotations/instances_val2017.json")
    del info["annotations"]
    (work / "coco/annotations/image_info_test-dev2017.json").write_text(json.dumps(info))
    os.rename("coco/val2017", "coco/test2017")
    os.unlink("coco/annotations/instances_val2017.json")


@pytest.mark.usefixtures("unlabelled")
def test_a_split_without_labels_is_predicted(vf: Any) -> None:
    data = "{name: coco, path: coco, holdout: 0.5}"
    lines = vf(model(data), "--split", "test", "--out-prefix", "dev").out.splitlines()
    assert lines[-3:] == [
        "data  split 'test' has no labels: it is predicted, not measured",
        "test  m.safetensors on 2 images of split 'test'",
        "wrote dev.bbox.json",
    ]
    assert [e["image_id"] for e in read("dev.bbox.json")] == [1, 1, 2, 2]
    nothing = vf("m.safetensors", "--split", "test")
    assert (nothing.code, nothing.err) == (
        2,
        "error: split 'test' has no labels: it can be predicted, not measured; say where to: --out FILE, --out-prefix "
        "P or --show-dir DIR\n",
    )
    assert "of split 'val'" in vf("m.safetensors").out  # what has labels comes first


def test_a_folder_of_images(vf: Any, layouts: Any) -> None:
    layouts.images()
    said = vf(model(), "--data", "images", "--out-prefix", "P", "--json")
    assert numbers(said) == {"split": "test", "images": 2}
    assert [(e["image_id"], e["category_id"]) for e in read("P.bbox.json")][:2] == [("a.jpg", 1), ("a.jpg", 2)]


def test_results_for_cityscapes(vf: Any, layouts: Any) -> None:
    layouts.cityscapes()
    data, metrics = "{name: cityscapes, path: cityscapes, masks: true}", "{name: cityscapes_ap}"
    said = vf(model(data, gives="masks", metrics=metrics), "--split", "test", "--format-only", "--out-prefix", "C")
    assert said.out.endswith("wrote C\n")
    stem = "rome_000000_000019_leftImg8bit"
    names = sorted(p.name for p in Path("C").iterdir())
    assert names == [f"{stem}_0_person.png", f"{stem}_1_rider.png", f"{stem}_pred.txt"]
    assert Path(f"C/{stem}_pred.txt").read_text().split()[1] == "24"


def test_a_form_that_does_not_fit_costs_no_prediction(vf: Any, layouts: Any) -> None:
    layouts.cityscapes()
    said = vf(model("{name: cityscapes, path: cityscapes}"), "--format-only", "--out-prefix", "C")
    assert (said.code, said.err.splitlines()) == (
        2,
        [
            "error: --out-prefix C: Cityscapes takes masks, the model gives boxes, scores, labels; use one with masks",
            "error: what was predicted is in C.predictions.json: vf run test --predictions C.predictions.json",
        ],
    )
    assert vf("--predictions", "C.predictions.json").code == 0


def test_panoptic_results(vf: Any, layouts: Any) -> None:
    layouts.panoptic()
    data, metrics = "{name: coco_panoptic, path: panoptic}", "{name: panoptic_quality, classwise: false}"
    said = vf(model(data, gives="panoptic", metrics=metrics), "--out-prefix", "P", "--out", "p.json", "--json")
    assert read("P.panoptic.json")["annotations"][0]["segments_info"] == [
        {"id": 70000, "category_id": 9},
        {"id": 5, "category_id": 2},
    ]
    assert sorted(p.name for p in Path("P.panoptic").iterdir()) == ["val_a.png", "val_b.png"]
    assert numbers(vf("--predictions", "p.json", "--json")) == numbers(said)


def test_panoptic_images_without_labels(vf: Any, layouts: Any) -> None:
    layouts.panoptic()
    info = read("panoptic/annotations/panoptic_val2017.json")
    del info["annotations"]
    Path("panoptic/annotations/panoptic_image_info_test-dev2017.json").write_text(json.dumps(info))
    os.rename("panoptic/val2017", "panoptic/test2017")
    os.unlink("panoptic/annotations/panoptic_val2017.json")
    data = (
        "{name: coco_panoptic, path: panoptic, test: annotations/panoptic_image_info_test-dev2017.json, holdout: 0.5}"
    )
    said = vf(model(data, gives="panoptic"), "--split", "test", "--out-prefix", "P")
    assert (said.code, said.err) == (0, "")
    assert len(read("P.panoptic.json")["annotations"]) == 2


def test_pictures(vf: Any) -> None:
    said = vf(model(MASKS, gives="masks", metrics=ALL), "--show-dir", "new/shown", "--interval", "2")
    assert "wrote new/shown: 1 pictures\n" in said.out
    [path] = Path("new/shown").iterdir()
    assert path.name == "val_a.jpg"
    with Image.open(path) as picture:
        assert picture.size == (40 + 8 + 40, 30)
    said = vf("m.safetensors", "--show-dir", "new/shown")
    assert (said.code, said.err) == (
        2,
        "error: --show-dir new/shown: exists and is not an empty folder; choose another\n",
    )


def test_names_stay_below_the_folder() -> None:
    assert shown.safe_name("../../etc/x.jpg").parts == ("etc", "x.jpg")
    assert shown.safe_name("/a\\b.png").parts == ("a", "b.png")
    assert shown.safe_name("..").parts == ("image",)


def test_windows(vf: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    name, waited, closed = model(), [], []
    monkeypatch.delenv("DISPLAY", raising=False)
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    expected = "error: --show: there is no display here (DISPLAY is not set); use --show-dir DIR\n"
    assert vf(name, "--show").err == expected
    monkeypatch.setenv("DISPLAY", ":0")
    monkeypatch.setattr(cv2, "getBuildInformation", lambda: "  GUI:   NONE\n")
    said = vf(name, "--show")
    assert (said.code, said.err) == (
        3,
        "error: --show: this OpenCV is built without windows; pip install opencv-python, or use --show-dir DIR\n",
    )
    monkeypatch.setattr(shown, "find_world", lambda: World(size=2))
    expected = "error: --show: opens windows of one process; leave --nproc out, or use --show-dir DIR\n"
    assert vf(name, "--show").err == expected
    monkeypatch.setattr(shown, "find_world", World)
    monkeypatch.setattr(shown, "has_windows", lambda: True)
    monkeypatch.setattr(cv2, "imshow", lambda title, pixels: waited.append(pixels.shape))
    monkeypatch.setattr(cv2, "waitKey", lambda ms: waited.append(ms) or ord("q"))
    monkeypatch.setattr(cv2, "destroyAllWindows", lambda: closed.append(True))
    assert vf(name, "--show", "--wait-time", "0.25").code == 0
    assert (waited, closed) == ([(30, 88, 3), 250], [True])  # q: no more windows
    monkeypatch.setattr(cv2, "waitKey", lambda ms: -1)
    assert vf(name, "--show").code == 0
    assert len(waited) == 4


@pytest.mark.parametrize(
    ("change", "sentences"),
    [
        (
            lambda images: images.pop(),
            ["p.json: 1 of the 2 images of split 'val' are not predicted: val_b.jpg"],
        ),
        (
            lambda images: images[0].update(id="x.jpg"),
            [
                "p.json: 1 images are not in split 'val': x.jpg",
                "p.json: 1 of the 2 images of split 'val' are not predicted: val_a.jpg",
            ],
        ),
        (lambda images: images.append(images[0]), ["p.json: 1 images are predicted twice: val_a.jpg"]),
        (lambda images: images.append(3), ["p.json: expected entries with a text under 'id', got 3"]),
        (
            lambda images: images[0].update(labels=[0, 2]),
            ["p.json: image 'val_a.jpg': label 2, expected an index under 2, the number of classes"],
        ),
    ],
)
def test_predictions_of_other_images(vf: Any, change: Callable[[list[Any]], Any], sentences: list[str]) -> None:
    assert vf(model(), "--out", "p.json").code == 0
    data = read("p.json")
    change(data["images"])
    Path("p.json").write_text(json.dumps(data))
    said = vf("--predictions", "p.json")
    assert (said.code, said.err.splitlines()) == (2, [f"error: {sentence}" for sentence in sentences])


def test_images_that_were_skipped_are_no_mistake(vf: Any) -> None:
    Path("coco/val2017/val_b.jpg").write_bytes(b"no image")
    skip = ("--set", "loader.on_error=skip")
    said = vf(model(), "--out", "p.json", "--json", *skip)
    assert said.code == 0
    assert "wrote p.json: predictions of 1 images" in said.err
    again = vf("--predictions", "p.json", "--json")
    line = "warning: p.json: 1 of the 2 images of split 'val' are not predicted: val_b.jpg"
    assert line in again.err
    assert numbers(again) == numbers(said)


def test_a_broken_image_is_said(vf: Any) -> None:
    Path("coco/val2017/val_b.jpg").write_bytes(b"no image")
    said = vf(model(), "--out", "p.json")
    assert (said.code, said.err.count("\n")) == (2, 1)
    assert said.err.startswith("error: coco/val2017/val_b.jpg: ")
    assert not Path("p.json").exists()
    assert list(Path().glob(".vf-test-*")) == []


def test_predictions_of_another_program_need_a_run(vf: Any) -> None:
    said = vf(model(), "--out", "p.json", "--json")
    data = read("p.json")
    kept = {key: data[key] for key in ("format", "version", "classes", "images")}
    Path("q.json").write_text(json.dumps(kept))
    alone = vf("--predictions", "q.json")
    assert (alone.code, alone.err) == (
        2,
        "error: q.json: holds no recipe that says data and metrics; name a run too: vf run test RUN --predictions "
        "q.json\n",
    )
    assert numbers(vf("m.safetensors", "--predictions", "q.json", "--json")) == numbers(said)
    Path("q.json").write_text(json.dumps({**kept, "classes": ["person", "cat"]}))
    other = vf("m.safetensors", "--predictions", "q.json")
    assert (other.code, other.err) == (
        2,
        "error: q.json: its classes (person, cat) are not those of m.safetensors (person, car); name the run that "
        "predicted, or none\n",
    )


def test_classes_of_the_data_are_compared(vf: Any) -> None:
    assert vf(model(), "--out", "p.json").code == 0
    data = read("p.json")
    Path("p.json").write_text(json.dumps({**data, "classes": ["person", "cat"]}))
    said = vf("--predictions", "p.json")
    assert "classes matched by name: 1 of 2; objects of car are not counted" in said.out
    Path("p.json").write_text(json.dumps({**data, "classes": ["dog", "cat"]}))
    said = vf("--predictions", "p.json")
    assert (said.code, said.err.count("\n")) == (2, 1)
    assert "error: the data's classes (person, car) and the model's (dog, cat) have no name in common" in said.err


def test_augmentation(vf: Any) -> None:
    said = vf(model(), "--tta")
    expected = "error: tta: Echo has no test-time augmentation; leave tta out\n"
    assert (said.code, said.err) == (2, expected)
    net = "{name: yolox, width: 0.125, size: [64, 64], score_threshold: 0.0}"
    text = RECIPE.format(data=BOXES, gives="", metrics=AP).replace("{name: echo, gives: []}", net)
    resolved = from_text(text, "recipe")
    info = resolved.recipe.data.info()
    save_weights(resolved.recipe.model.build(info), Path("y.safetensors"), recipe=resolved.yaml(), info=info)
    for options in ((), ("--tta",), ("--tta", "0.5,1", "--tta-merge", "wbf", "--no-tta-flip")):
        assert vf("y.safetensors", "--out", f"{len(options)}.json", *options).code == 0
    plain, mirrored, scaled = (read(f"{n}.json")["images"][0]["scores"] for n in (0, 1, 5))
    assert plain != mirrored != scaled
    said = vf("y.safetensors", "--tta", "0")
    assert (said.code, said.err) == (2, "error: tta: scales must be one or more numbers > 0, got [0.0]\n")
    said = vf("y.safetensors", "--tta", "--tta-merge", "max")
    assert (said.code, said.err) == (2, "error: tta: merge must be 'nms' or 'wbf', got 'max'\n")


def test_a_split_that_is_not_there(vf: Any) -> None:
    said = vf(model(), "--split", "test")
    assert (said.code, said.err) == (2, "error: the data has no split 'test'; it has train, val\n")
    assert vf("m.safetensors", "--out", "p.json").code == 0
    Path("p.json").write_text(Path("p.json").read_text().replace('"split": "val"', '"split": "test"'))
    said = vf("--predictions", "p.json")
    expected = "error: the data has no split 'test', which was predicted; it has train, val\n"
    assert (said.code, said.err) == (2, expected)


def test_data_without_a_form_of_its_own(vf: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from vf_det.format_configs import Files

    monkeypatch.delattr(Files, "results")
    said = vf(model(), "--out-prefix", "P")
    expected = "error: --out-prefix P: the data set has no files of its own; use --out FILE\n"
    assert (said.code, said.err) == (2, expected)
    assert vf("m.safetensors", "--out", "p.json").code == 0


def test_a_place_that_cannot_be_written(vf: Any) -> None:
    Path("file").touch()
    said = vf(model(), "--out", "file/p.json")
    assert (said.code, said.err) == (2, "error: file: cannot write there: File exists\n")
