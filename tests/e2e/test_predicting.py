"""One path for all tasks: a model of each, trained for two steps, on every kind of source, and on odd images."""

from __future__ import annotations

import contextlib
import functools
import http.server
import io
import json
import os
import signal
import subprocess
import sys
import threading
import time
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from PIL import Image

import vf as library
from vf.console import Console
from vf.engine.evaluate import build_metrics
from vf.launch import Measurement
from vf.measure import measure
from vf.prediction_files import open_saved
from vf.sources.opening import open_source
from vf_cli import main as program

Vf = Callable[..., Any]
COMMON = (
    *("train.length=2 steps", "train.batch_size=4", "train.eval_every=2 steps", "train.save_every=2 steps"),
    *("data.train=8", "data.val=4", "data.test=7", "loader.workers=0", "loader.eval_batch_size=4"),
)
OF_TASK = {
    "det": ("model.size=[64, 64]", "model.width=0.125", "data.size=64"),
    "seg": ("model.width=16",),
    "cls": ("model.depth=20",),
    "ocr": ("model.detector.neck_width=16", "model.recogniser.hidden=16", "metrics=[{name: hmean}]"),
}
LOW = {
    "det": ("model.score_threshold=0.0",),
    "ocr": ("model.detector.threshold=0.05", "model.detector.score_threshold=0.0"),
}
"""Keys that let a model that learned nothing say something."""


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Return a function that trains a task once."""
    folder = tmp_path_factory.mktemp("runs")

    @functools.cache
    def trained(task: str) -> Path:
        words = [word for item in (*COMMON, *OF_TASK[task]) for word in ("--set", item)]
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("sys.argv", ["vf", "run", "train", "--task", task, "--out", str(folder / task), *words])
            with contextlib.redirect_stdout(io.StringIO()), pytest.raises(SystemExit) as ended:
                program.main()
        assert ended.value.code == 0
        return folder / task

    return trained


tasks = pytest.mark.parametrize("task", sorted(OF_TASK))


def equal(one: Any, other: Any) -> bool:
    if isinstance(one, torch.Tensor):
        return isinstance(other, torch.Tensor) and one.dtype == other.dtype and torch.equal(one, other)
    return bool(one == other)


@tasks
def test_predictions_are_those_of_the_evaluation_to_the_bit(
    runs: Callable[[str], Path], tmp_path: Path, task: str
) -> None:
    run, overrides = runs(task), LOW.get(task, ())
    asked = Measurement(checkpoint=str(run), split="test", out=str(tmp_path / "preds.json"), overrides=overrides)
    measured = measure(asked, Console(io.StringIO()))
    saved = {one.id: one.prediction for one in open_saved(asked.out).read(lambda values, size: values)}
    model = library.load(run, overrides=overrides)
    split = model.resolved.recipe.data.build("test")
    for index in range(len(split)):
        Image.fromarray(split[index].image.permute(1, 2, 0).numpy()).save(tmp_path / f"{index:03d}.png")
    results = list(model.predict(tmp_path))
    assert len(results) == len(saved) == 7
    said = sum(len(r.scores) if r.scores is not None else 1 for r in results)
    assert said >= 7
    for index, result in enumerate(results):
        before = saved[split[index].id]
        before.pop("labelled_texts", None)  # read where the labels are, which a file of an image lacks
        assert set(before) == set(result.prediction)
        assert all(equal(value, result.prediction[key]) for key, value in before.items())
    # The numbers too, made of these results alone.
    numbers: dict[str, Any] = {}
    for metric in build_metrics(model.resolved.recipe.metrics, model.info).values():
        for index, result in enumerate(results):
            metric.update([result.prediction], [{"id": split[index].id, **split[index].target}])
        numbers |= metric.compute()
    assert numbers == measured.evaluation.numbers


# Odd images


def photo(height: int, width: int) -> Any:
    """Smooth and unlike itself turned, so that JPEG hardly changes it."""
    y, x = np.mgrid[0:height, 0:width]
    return np.stack([x * 255 // width, y * 255 // height, (x + y) * 255 // (height + width)], 2).astype(np.uint8)


def write_odd(name: str, path: Path) -> None:
    """Write one of the files of ODD."""
    plain = Image.fromarray(photo(40, 60))
    if name == "turned.jpg":
        exif = Image.Exif()
        exif[0x0112] = 6
        plain.save(path, exif=exif, quality=98)
    elif name == "deep.png":
        cv2.imwrite(str(path), photo(40, 60).astype(np.uint16) * 257)
    elif name == "one.png":
        Image.fromarray(photo(1, 1)).save(path)
    elif name in ("cut.jpg", "cut.png"):
        plain.save(path)
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    elif name in ("empty.jpg", "text.png"):
        path.write_bytes(b"" if name == "empty.jpg" else b"no picture at all")
    else:
        plain.convert({"grey.jpg": "L", "alpha.png": "RGBA", "cmyk.jpg": "CMYK", "palette.gif": "P"}[name]).save(path)


ODD: dict[str, tuple[int, int] | str] = {
    "turned.jpg": (60, 40),
    "grey.jpg": (40, 60),
    "alpha.png": (40, 60),
    "palette.gif": (40, 60),
    "cmyk.jpg": (40, 60),
    "deep.png": (40, 60),
    "one.png": (1, 1),
    "cut.jpg": "cut.jpg: image is truncated: the JPEG ends after ",
    "cut.png": "cut.png: image is truncated: the PNG ends after ",
    "empty.jpg": "empty.jpg: is empty (0 bytes); expected an image",
    "text.png": "text.png: is not an image that can be read; its first bytes are b'no pictu'",
}
"""Height and width of what is predicted, or how the one line begins that refuses it."""


@pytest.fixture(scope="module")
def odd(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("odd")
    for name in ODD:
        write_odd(name, folder / name)
    return folder


@tasks
def test_odd_images_are_predicted_or_refused_in_one_line(runs: Callable[[str], Path], odd: Path, task: str) -> None:
    model, failed = library.load(runs(task)), []
    said: dict[str, Any] = {Path(r.id).name: r for r in model.predict(odd, batch_size=2, failed=failed.append)}
    for name, expected in ODD.items():
        if isinstance(expected, str):
            (problem,) = (e.problems[0] for e in failed if Path(e.problems[0].partition(":")[0]).name == name)
            assert problem.startswith(str(odd / expected))
            continue
        result = said.pop(name)
        assert result.size == expected
        assert result.draw().size[0] % expected[1] == 0
        if result.semantic is not None:
            assert tuple(result.semantic.shape) == expected
        if result.boxes is not None and len(result.boxes):
            assert float(result.boxes[:, 2].max()) <= expected[1] + 1e-3
        json.dumps(result.to_dict())
    assert not said


@pytest.mark.parametrize("task", ["cls", "det", "ocr", pytest.param("seg", marks=pytest.mark.slow)])
def test_a_large_image(runs: Callable[[str], Path], tmp_path: Path, task: str) -> None:
    Image.fromarray(photo(4000, 8000)).save(tmp_path / "large.jpg", quality=80)
    result = library.load(runs(task))(tmp_path / "large.jpg")
    assert result.size == (4000, 8000)
    assert result.semantic is None or tuple(result.semantic.shape) == (4000, 8000)


# The command


def film(path: Path, count: int = 6) -> Path:
    out = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"MJPG"), 10.0, (64, 48))  # type: ignore[attr-defined]
    for number in range(count):
        out.write(np.roll(photo(48, 64), 5 * number, 1))
    out.release()
    return path


@pytest.fixture
def sources(vf: Vf) -> Path:
    """Make each kind of source in the working folder."""
    folder = Path("photos")
    folder.mkdir()
    for name in ("a.png", "b.jpg"):
        Image.fromarray(photo(40, 60)).save(folder / name)
    with zipfile.ZipFile("photos.zip", "w") as file:
        for path in sorted(folder.iterdir()):
            file.write(path, path.name)
    Path("list.txt").write_text("photos/a.png\nphotos/b.jpg\n")
    film(Path("film.avi"))
    return folder


KEY = {"det": "objects", "seg": "pixels", "cls": "classes", "ocr": "texts"}


@tasks
@pytest.mark.parametrize(
    ("source", "count", "written"),
    [
        (["photos/a.png"], 1, {"a.png.jpg"}),
        (["photos/a.png", "photos/b.jpg"], 2, {"a.png.jpg", "b.jpg"}),
        (["photos"], 2, {"a.png.jpg", "b.jpg"}),
        (["photos/*.png"], 1, {"a.png.jpg"}),
        (["photos.zip"], 2, {"a.png.jpg", "b.jpg"}),
        (["list.txt"], 2, {"photos/a.png.jpg", "photos/b.jpg"}),
        (["film.avi"], 6, {"film.mp4"}),
        (["film.avi", "--every", "4"], 2, {"film.mp4"}),
    ],
    ids=lambda value: value[0] if isinstance(value, list) else "",
)
def test_every_task_predicts_every_source(
    vf: Vf, runs: Callable[[str], Path], sources: Path, task: str, source: list[str], count: int, written: set[str]
) -> None:
    said = vf("run", "infer", str(runs(task)), *source, "--out", "out")
    assert (said.code, said.err) == (0, "")
    rows = json.loads(Path("out/predictions.json").read_text())
    assert len(rows) == count
    assert all(KEY[task] in row for row in rows)
    found = {str(path.relative_to("out")) for path in Path("out").rglob("*.*")} - {"predictions.json"}
    assert {name for name in found if not name.endswith(".labels.png")} == written
    if source[0] == "film.avi":
        assert [row["frame"] for row in rows] == ([0, 4] if count == 2 else list(range(6)))
        with open_source("out/film.mp4") as opened:
            assert opened.video is not None
            assert (len(list(opened)), opened.video.size) == (count, (48, 64))
            assert opened.video.fps == pytest.approx(10 if count == 6 else 2.5)


class Silent(http.server.SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


@pytest.fixture
def address(sources: Path) -> Iterator[str]:
    handler = functools.partial(Silent, directory=str(Path.cwd()))
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    thread.join()
    server.server_close()


def test_an_address(vf: Vf, runs: Callable[[str], Path], address: str) -> None:
    said = vf("run", "infer", str(runs("det")), f"{address}/photos/a.png", "--out", "out")
    assert (said.code, said.err) == (0, "")
    (row,) = json.loads(Path("out/predictions.json").read_text())
    assert row["image"] == f"{address}/photos/a.png"
    assert Path("out/fetched.png.jpg").is_file()


def test_lists_hold_what_is_asked_for(vf: Vf, runs: Callable[[str], Path], sources: Path) -> None:
    run = str(runs("det"))
    low = ("--set", "model.score_threshold=0", "--score-thr", "0")
    said = vf("run", "infer", run, "photos", *low, "--json", "all.json", "--jsonl", "-")
    assert (said.code, said.err) == (0, f"{_objects(said.out)} objects on 2 of 2 images; predictions in all.json\n")
    rows = [json.loads(line) for line in said.out.splitlines()]
    assert json.loads(Path("all.json").read_text()) == rows
    assert not Path("runs").exists()
    names = {row["class"] for row in rows[0]["objects"]}
    assert names <= {"circle", "square", "triangle", "star", "cross"}

    said = vf("run", "infer", run, "photos", *low, "--jsonl", "-", "--class", "star", "--fields", "class,box")
    rows = [json.loads(line) for line in said.out.splitlines()]
    assert [set(row) for row in rows] == [{"image", "objects"}] * 2
    assert all(set(one) == {"class", "box"} and one["class"] == "star" for row in rows for one in row["objects"])

    said = vf("run", "infer", run, "photos/a.png", *low, "--jsonl", "tiled.jsonl", "--tile", "30")
    assert said.code == 0
    assert len(json.loads(Path("tiled.jsonl").read_text())["objects"]) > 0


def _objects(lines: str) -> int:
    return sum(len(json.loads(line)["objects"]) for line in lines.splitlines())


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("--class", "sta"), "--class sta: the model has no such class; did you mean 'star'?; it has circle, square, "),
        (("--fields", "boxes"), "--fields boxes: no such field; did you mean 'box'?; there are width, "),
        (("--out-video", "a.gif"), "--out-video a.gif: expected a name that ends in .mp4, .m4v, .mov, .mkv, .avi"),
        (("--out-video", "a.mp4"), "--out-video a.mp4: takes one video, stream or camera, got photos"),
        (("--wait-time", "1"), "--wait-time: belongs to --show"),
        (("--overlap", "0.5"), "--overlap: belongs to --tile"),
        (("--show",), "--show: there is no display here (DISPLAY is not set); use --out DIR"),
    ],
)
def test_what_cannot_be_is_refused_in_one_line(
    vf: Vf,
    runs: Callable[[str], Path],
    sources: Path,
    monkeypatch: pytest.MonkeyPatch,
    arguments: tuple[str, ...],
    sentence: str,
) -> None:
    monkeypatch.delenv("DISPLAY", raising=False)
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    said = vf("run", "infer", str(runs("det")), "photos", *arguments, "--jsonl", "-")
    assert said.code == 2 or arguments == ("--show",)
    assert said.err.startswith(f"error: {sentence}")
    assert said.err.count("\n") == 1
    assert not Path("runs").exists()


def test_tiles_are_not_for_maps(vf: Vf, runs: Callable[[str], Path], sources: Path) -> None:
    said = vf("run", "infer", str(runs("seg")), "photos", "--tile", "30", "--jsonl", "-")
    assert said.code == 2
    assert said.err.startswith("error: --tile: is for models that find objects, and this one gives semantic; leave it ")


def test_ctrl_c_leaves_files_that_are_whole(runs: Callable[[str], Path], tmp_path: Path) -> None:
    film(tmp_path / "long.avi", 3_000)
    command = ["run", "infer", str(runs("det")), "long.avi", "--out", "out", "--jsonl", "lines.jsonl"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    process = subprocess.Popen(
        [sys.executable, "-m", "vf_cli", *command],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
    )
    lines = tmp_path / "lines.jsonl"
    while process.poll() is None and not (lines.is_file() and lines.read_text().count("\n") > 40):
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (130, "\ninterrupted\n")
    rows = json.loads((tmp_path / "out/predictions.json").read_text())
    count = len(rows)
    assert 40 < count < 3_000
    assert rows == [json.loads(line) for line in lines.read_text().splitlines()]
    with open_source(tmp_path / "out/long.mp4") as opened:
        assert len(list(opened)) == count
    assert out.splitlines()[0] == f"interrupted after {count} frames; what was written until then is whole"
    assert out.splitlines()[1].startswith("video out/long.mp4, 64×48 px, 10 frames/s, ")
