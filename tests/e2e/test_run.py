"""``vf run train|test|infer`` with the det plugin, as a user types them."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from vf_cli import main as program

Vf = Callable[..., Any]
SMALL = (
    "model.size=[64, 64]",
    "model.width=0.125",
    "data.size=64",
    "data.train=16",
    "data.val=8",
    "data.test=8",
    "train.length=4 steps",
    "train.batch_size=4",
    "train.eval_every=2 steps",
    "train.save_every=2 steps",
    "loader.workers=0",
)
TRAIN = ("run", "train", "--task", "det", *(word for item in SMALL for word in ("--set", item)))


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Train four steps; other tests only read the run."""
    folder = tmp_path_factory.mktemp("trained") / "run"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sys.argv", ["vf", *TRAIN, "--out", str(folder)])
        with pytest.raises(SystemExit) as ended:
            program.main()
    assert ended.value.code == 0
    return folder


def test_a_run_says_what_it_does_and_what_to_type_next(vf: Vf) -> None:
    said = vf(*TRAIN)
    assert (said.code, said.err) == (0, "")
    lines = said.out.splitlines()
    assert lines[0] == "run   runs/det-quickstart-001"
    assert lines[2] == "data  16 images to train on, 8 to validate on, 5 classes: circle, square, triangle, star, cross"
    assert lines[3] == "train 4 steps of 4 images (1.0 epochs), lr 0.002"
    assert lines[-2] == "      vf run test runs/det-quickstart-001"
    assert lines[-1] == "      vf run infer runs/det-quickstart-001/checkpoints/best IMAGE_OR_FOLDER"
    names = {p.name for p in Path("runs/det-quickstart-001").iterdir() if not p.name.startswith("events")}
    assert names == {
        "job.json",
        "recipe.yaml",
        "environment.jsonl",
        "log.jsonl",
        "train_batch.jpg",
        "checkpoints",
        "finished",
    }
    with Image.open("runs/det-quickstart-001/train_batch.jpg") as picture:
        assert picture.size == (640, 640)


def test_a_run_folder_is_not_overwritten(vf: Vf, trained: Path) -> None:
    before = sorted(trained.rglob("*"))
    said = vf(*TRAIN, "--out", str(trained))
    expected = f"error: {trained}: exists; choose another --out, or go on with 'vf run train --resume {trained}'\n"
    assert (said.code, said.out, said.err) == (2, "", expected)
    assert sorted(trained.rglob("*")) == before


def test_a_run_that_took_no_step_leaves_nothing(vf: Vf) -> None:
    assert vf(*TRAIN, "--out", "run", "--set", "train.accumulate=3").code == 2
    assert not Path("run").exists()


def test_resume_goes_on_from_a_checkpoint(vf: Vf, tmp_path: Path) -> None:
    assert vf(*TRAIN, "--out", "run").code == 0
    weights = load_file("run/checkpoints/last/model.safetensors")
    said = vf("run", "train", "--resume", "run/checkpoints/step_00000002")
    assert (said.code, said.err) == (0, "")
    again = load_file("run/checkpoints/last/model.safetensors")
    assert again.keys() == weights.keys()
    assert all(torch.equal(again[name], value) for name, value in weights.items())


def test_resume_takes_nothing_beside(vf: Vf, trained: Path) -> None:
    said = vf("run", "train", "det/quickstart", "--resume", str(trained), "--task", "det")
    expected = "error: --resume: takes everything from the run; leave out a recipe, --task\n"
    assert (said.code, said.err) == (2, expected)


def test_resume_refuses_what_would_change_the_training(vf: Vf, trained: Path) -> None:
    said = vf("run", "train", "--resume", str(trained), "--seed", "1")
    assert (said.code, said.err) == (
        2,
        "error: --resume: --set train.seed=1 would change what was trained; start a new run with --init-from, "
        "or change only loader.*, launcher, train.length, train.device, and how often to log and save\n",
    )


def test_resume_without_a_value(vf: Vf) -> None:
    said = vf("run", "train", "--resume")
    assert (said.code, said.err) == (
        2,
        "error: --resume: no run in runs/ here; name one, or leave --resume out to start\n",
    )
    assert vf(*TRAIN, "--out", "run", "--resume").code == 0  # there is none: it starts
    again = vf(*TRAIN, "--out", "run", "--resume")
    assert again.code == 0
    assert "resumed from " in again.out


def test_resume_of_nothing(vf: Vf) -> None:
    said = vf("run", "train", "--resume", "nothing")
    assert (said.code, said.err) == (2, "error: nothing: no such run or checkpoint\n")


def test_a_dry_run_tries_everything_and_keeps_nothing(vf: Vf) -> None:
    said = vf(*TRAIN, "--dry-run", "2")
    assert (said.code, said.err) == (0, "")
    stages = [line for line in said.out.splitlines() if line.startswith("ok")]
    assert stages == [
        "ok    trained 2 steps, validated and saved",
        "ok    resumed and trained 2 steps more",
        "ok    tested the saved weights",
        "ok    predicted and drew one image",
    ]
    assert list(Path().iterdir()) == []


def test_test_prints_the_twelve_numbers_and_one_a_class(vf: Vf, trained: Path) -> None:
    said = vf("run", "test", str(trained))
    assert (said.code, said.err) == (0, "")
    lines = said.out.splitlines()
    assert lines[0] == f"test  {trained}/checkpoints/best/model.safetensors on 8 images of split 'test'"
    assert lines[1].split() == ["metric", "test"]
    assert [line.split()[0] for line in lines[2:14]] == [
        *("AP", "AP50", "AP75", "AP_small", "AP_medium", "AP_large"),
        *("AR1", "AR10", "AR100", "AR_small", "AR_medium", "AR_large"),
    ]
    assert [line.split()[1] for line in lines[14:]] == ["circle", "square", "triangle", "star", "cross"]


def test_test_as_json(vf: Vf, trained: Path) -> None:
    said = vf("run", "test", str(trained / "checkpoints" / "last"), "--split", "val", "--json")
    found = json.loads(said.out)
    assert found["checkpoint"] == f"{trained}/checkpoints/last/model.safetensors"
    assert (found["split"], found["images"], len(found)) == ("val", 8, 15)


def test_test_of_data_with_other_classes(vf: Vf, trained: Path) -> None:
    (Path("cats/images")).mkdir(parents=True)
    Image.new("RGB", (40, 30)).save("cats/images/a.jpg")
    annotation = {"id": 1, "image_id": 1, "category_id": 1, "bbox": [1, 2, 10, 10]}
    image = {"id": 1, "file_name": "a.jpg", "width": 40, "height": 30}
    data = {"images": [image], "annotations": [annotation], "categories": [{"id": 1, "name": "cat"}]}
    Path("cats/val.json").write_text(json.dumps(data))
    said = vf("run", "test", str(trained), "--data", "cats")
    assert (said.code, said.err) == (
        2,
        "error: the data's classes (cat) and the model's (circle, square, triangle, star, cross) have no name in "
        "common; test on data with the classes of the training\n",
    )


@pytest.fixture
def photos() -> Path:
    """Make a folder with two images of one stem, one in a folder below, a broken one and a text."""
    folder = Path("photos")
    (folder / "more").mkdir(parents=True)
    for name, side in (("a.jpg", 60), ("a.png", 80), ("more/b.jpg", 100)):
        Image.new("RGB", (side, 50), (200, 30, 30)).save(folder / name)
    (folder / "notes.txt").write_text("no image")
    return folder


@pytest.mark.parametrize("workers", ["0", "2"])
def test_infer_draws_a_folder(vf: Vf, trained: Path, photos: Path, workers: str) -> None:
    arguments = ("--out", "out", "--score-thr", "0", "--workers", workers, "--batch-size", "1")
    said = vf("run", "infer", str(trained), str(photos), *arguments)
    assert (said.code, said.err) == (0, "")
    written = json.loads(Path("out/predictions.json").read_text())
    assert [w["image"] for w in written] == ["photos/a.jpg", "photos/a.png", "photos/more/b.jpg"]
    assert [(w["width"], w["height"]) for w in written] == [(60, 50), (80, 50), (100, 50)]
    for name, width in (("a.jpg", 60), ("a.png.jpg", 80), ("more/b.jpg", 100)):
        with Image.open(f"out/{name}") as picture:
            assert picture.size == (width, 50)
    count = sum(len(w["objects"]) for w in written)
    assert said.out.endswith(f"{count} objects on 3 of 3 images; pictures and predictions.json in out\n")


def test_infer_goes_on_past_a_broken_image(vf: Vf, trained: Path, photos: Path) -> None:
    (photos / "broken.jpg").write_bytes(b"GIF8 is no JPEG")
    said = vf("run", "infer", str(trained), str(photos), "--out", "out")
    assert said.code == 2
    assert said.err == ("error: photos/broken.jpg: is not an image that can be read; its first bytes are b'GIF8 is '\n")
    assert "on 3 of 4 images" in said.out


def test_infer_as_lines_draws_nothing(vf: Vf, trained: Path, photos: Path) -> None:
    said = vf("run", "infer", str(trained), str(photos / "a.jpg"), "--jsonl", "-")
    assert (said.code, said.err) == (0, "")
    assert json.loads(said.out)["image"] == "photos/a.jpg"
    assert not Path("runs").exists()


@pytest.mark.parametrize(
    ("source", "sentence"),
    [
        ("nowhere", "nowhere: no such image, video or folder"),
        (".", ".: no image in it; looked for .bmp, "),
    ],
)
def test_infer_without_an_image(vf: Vf, trained: Path, source: str, sentence: str) -> None:
    said = vf("run", "infer", str(trained), source)
    assert said.code == 2
    assert said.err.startswith(f"error: {sentence}")
    assert said.err.count("\n") == 1


def test_infer_by_the_newest_run_of_a_task(vf: Vf, trained: Path, photos: Path) -> None:
    said = vf("run", "infer", "--task", "det", str(photos / "a.jpg"), "--jsonl", "-")
    assert (said.code, said.err) == (
        2,
        "error: --task det: no run of it in runs/ here has weights; 'vf run train --task det' makes one, or name a run "
        "or checkpoint in its place\n",
    )
    for number, task in (("001", "det"), ("002", "det"), ("003", "det"), ("004", "cls")):
        run = Path("runs") / f"own-{number}"
        shutil.copytree(trained, run, symlinks=True)
        (run / "recipe.yaml").write_text((run / "recipe.yaml").read_text().replace("task: det", f"task: {task}"))
        for file in ("log.jsonl", "job.json", "recipe.yaml"):
            os.utime(run / file, (0, 100 if number == "002" else 50))
    shutil.rmtree(Path("runs/own-003/checkpoints"))
    os.utime(Path("runs/own-003/log.jsonl"), (0, 200))
    said = vf("run", "infer", "--task", "det", str(photos / "a.jpg"), "--jsonl", "-")
    assert (said.code, said.err) == (0, "model runs/own-002: the newest run of det\n")
    assert json.loads(said.out)["image"] == "photos/a.jpg"


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("run", "infer"), "Error: Missing argument 'RUN|CHECKPOINT'."),
        (("run", "infer", "a"), "Error: Missing argument 'SOURCE'."),
        (("run", "infer", "--task", "det"), "Error: Missing argument 'SOURCE'."),
        (
            ("run", "infer", "a", "b", "--camera", "0"),
            "Error: Got unexpected extra argument (b): --camera is the source",
        ),
    ],
)
def test_infer_takes_a_model_and_a_source(vf: Vf, arguments: tuple[str, ...], sentence: str) -> None:
    said = vf(*arguments)
    assert said.code == 2
    assert said.err.splitlines()[-1] == sentence


def test_a_recipe_of_each_file_is_right(vf: Vf) -> None:
    names = [line.split()[0] for line in vf("list", "recipes").out.splitlines() if line.strip().startswith("det/")]
    assert {"det/quickstart", "det/custom", "det/yolox_nano_coco", "det/yolox_x_coco"} <= set(names)
    for name in names:
        said = vf("config", "check", name)
        assert (name, said.code, said.err) == (name, 0, "")


def test_ctrl_c_ends_a_run_in_one_line(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "vf_cli", *TRAIN, "--set", "train.length=100000 steps", "--out", "run"]
    run = subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    log = tmp_path / "run" / "log.jsonl"
    while run.poll() is None and not (log.is_file() and log.stat().st_size):
        time.sleep(0.05)
    run.send_signal(signal.SIGINT)
    out, err = run.communicate(timeout=60)
    assert (run.returncode, err) == (130, "")
    assert out.splitlines()[-1] == "next  go on from there: vf run train --resume run"
