"""``vf run export`` from a run to a file, and the file in every place where a checkpoint can be."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
import torch
from PIL import Image
from werkzeug.test import Client

import vf as library
from vf.demo.serve import open_demo

Vf = Callable[..., Any]
TRAIN = (
    *("train.length=2 steps", "train.batch_size=4", "train.eval_every=2 steps", "train.save_every=2 steps"),
    *("data.train=8", "data.val=5", "data.test=3", "loader.workers=0", "loader.eval_batch_size=4"),
    *("data.size=64", "model.size=[64, 96]", "model.width=0.125", "model.score_threshold=0.0"),
)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a YOLOX that was trained for two steps."""
    from vf.launch import Job
    from vf.recipes import resolve
    from vf.worker import work

    folder = tmp_path_factory.mktemp("run") / "small"
    job = Job(action="train", folder="", recipe=resolve(None, task="det", overrides=TRAIN).yaml(), out=str(folder))
    assert work(job.made()) == 0
    return folder


@pytest.fixture(scope="module")
def exported(run: Path) -> Path:
    """Return its ONNX file."""
    from vf.console import Console
    from vf.export.write import export
    from vf.orders import ExportOrder

    out = run.parent / "model.onnx"
    made = export(ExportOrder(checkpoint=str(run), out=str(out)), Console())
    assert made.parity.worst < 1e-5
    assert made.parity.images == 5
    return out


def test_the_file_can_be_looked_at(exported: Path) -> None:
    with open_demo(str(exported), device="cpu") as server:
        client = Client(server.app)
        asked = {"Host": f"127.0.0.1:{server.port}"}
        assert b"<h1>model.onnx</h1>" in client.get("/", headers=asked).data
        picture = io.BytesIO()
        Image.new("RGB", (96, 64), "red").save(picture, "PNG")
        answer = client.post("/predict?threshold=0", data=picture.getvalue(), headers=asked)
    assert answer.json
    assert answer.json["result"]["width"] == 96
    assert answer.json["result"]["objects"]


def test_the_file_measures_what_the_run_does(vf: Vf, run: Path, exported: Path) -> None:
    numbers = []
    for model in (run, exported):
        done = vf("run", "test", str(model), "--json", "--device", "cpu")
        assert done.code == 0, done.err
        said = json.loads(done.out.splitlines()[-1])
        numbers.append({key: value for key, value in said.items() if key != "checkpoint"})
    assert numbers[0] == pytest.approx(numbers[1], abs=1e-4, nan_ok=True)


def test_the_file_predicts_what_the_run_does(vf: Vf, run: Path, exported: Path, tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    pixels = np.random.default_rng(0)
    for name, size in (("a", (80, 60)), ("b", (50, 120)), ("c", (33, 33))):
        Image.fromarray(pixels.integers(0, 255, (*size, 3), dtype=np.uint8)).save(tmp_path / "images" / f"{name}.png")
    found = []
    for model in (run, exported):
        out = tmp_path / f"{Path(model).name}.json"
        done = vf(*("run", "infer", str(model), "images", "--json", str(out), "--score-thr", "0", "--device", "cpu"))
        assert done.code == 0, done.err
        found.append(json.loads(out.read_text()))
    assert [entry["image"] for entry in found[0]] == [entry["image"] for entry in found[1]]
    for ours, theirs in zip(*found, strict=True):
        assert len(ours["objects"]) > 3
        scores = [[one["score"] for one in entry["objects"]][:10] for entry in (ours, theirs)]
        assert scores[0] == pytest.approx(scores[1], abs=1e-4)


def test_the_file_alone_is_loaded_in_python(exported: Path) -> None:
    model = library.load(exported, device="cpu", overrides=["model.score_threshold=0.5"])
    assert model.info.classes[:2] == ("circle", "square")
    assert model.resolved.recipe.model.score_threshold == 0.5
    assert sum(p.numel() for p in model.model.parameters()) == 0  # nothing is held twice
    result = model(torch.zeros(3, 40, 70, dtype=torch.uint8))
    assert result.prediction["boxes"].shape[1] == 4


def test_others_read_what_the_graph_takes_and_gives(exported: Path) -> None:
    session = onnxruntime.InferenceSession(str(exported), providers=["CPUExecutionProvider"])
    (images,) = session.get_inputs()  # its preprocess does not need the sizes
    assert (images.name, images.type, images.shape) == ("images", "tensor(uint8)", ["batch", 3, 64, 96])
    assert [value.name for value in session.get_outputs()] == ["boxes", "objects", "classes"]
    facts = session.get_modelmeta().custom_metadata_map
    assert json.loads(facts["info"])["classes"][:2] == ["circle", "square"]
    graph = json.loads(facts["graph"])
    assert graph["preprocess"]["resize"] == "the largest size with the image's ratio that fits"
    assert graph["pad_value"] == 114
    boxes, _, _ = session.run(None, {"images": np.zeros((2, 3, 64, 96), np.uint8)})
    assert boxes.shape == (2, 64 * 96 // 64 + 64 * 96 // 256 + 64 * 96 // 1024, 4)


def test_the_command_writes_once_and_says_how_near_it_is(vf: Vf, run: Path, tmp_path: Path) -> None:
    command = ("run", "export", str(run), "--format", "torch_export", "--dynamic", "none", "--check", "2")
    done = vf(*command)
    assert done.code == 0, done.err
    lines = done.out.splitlines()
    assert lines[0] == f"model {run}: YOLOX; 1 images at once, 64×96 px"
    assert lines[1].startswith("same  outputs differ by ")
    assert lines[1].endswith(" the same, on 2 images")
    assert lines[2].startswith("wrote small.pt2: torch_export, ")
    again = vf(*command)
    assert (again.code, again.err) == (2, "error: small.pt2: exists; choose another --out\n")
    refused = vf("run", "infer", "small.pt2", str(run))
    assert refused.err.startswith(
        "error: small.pt2: an archive of torch.export may hold pickles, which torch falls back"
    )


def test_torchscript_runs_without_vf(vf: Vf, run: Path) -> None:
    done = vf("run", "export", str(run), "--format", "torchscript", "--out", "model.ts", "--check", "3", "--json")
    assert done.code == 0, done.err
    said = json.loads(done.out.splitlines()[-1])
    assert said["images"] == 3
    assert set(said["outputs"]) == {"boxes", "objects", "classes"}
    with pytest.warns(FutureWarning, match="deprecated"):  # torch means to give it up
        module = torch.jit.load("model.ts")
    assert module(torch.zeros(3, 3, 64, 96, dtype=torch.uint8), torch.tensor([[64, 96]] * 3))["boxes"].shape[0] == 3


def test_a_file_that_says_something_else_is_not_written(
    vf: Vf, run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from vf.export import write

    opened = write.open_written

    def wrong(*args: Any) -> Any:
        graph = opened(*args)
        return lambda images, sizes: {name: value + 1 for name, value in graph(images, sizes).items()}

    monkeypatch.setattr(write, "open_written", wrong)
    done = vf("run", "export", str(run), "--format", "torch_export", "--out", "a.pt2", "--check", "1")
    assert done.code == 2
    assert done.err.startswith(
        "error: a.pt2: not written: the graph does not say what the model says: outputs differ by"
    )
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ((), "say what to export: a run or a checkpoint, or --task TASK for the newest run of a task"),
        (("RUN", "--out", "a.ts"), "--out a.ts: expected a name that ends in .onnx for --format onnx"),
        (
            ("RUN", "--size", "32", "32"),
            "--size 32 32: this network takes images of 64×96 px (height × width), a key of the model: change it with "
            "--set (see 'vf config show'), or leave --size out",
        ),
        (
            ("RUN", "--dynamic", "size"),
            "--dynamic size: this network takes images of 64×96 px (height × width) alone",
        ),
        (("RUN", "--images", "nowhere"), "--images nowhere: expected an image, or a folder with images in it"),
    ],
)
def test_what_is_refused_before_anything_is_written(
    vf: Vf, run: Path, tmp_path: Path, words: tuple[str, ...], said: str
) -> None:
    done = vf("run", "export", *(str(run) if word == "RUN" else word for word in words))
    assert (done.code, done.err) == (2, f"error: {said}\n")
    assert not list(tmp_path.iterdir())


def test_a_missing_library_is_one_line(vf: Vf, run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "onnxscript", None)
    done = vf("run", "export", str(run))
    assert (done.code, done.err) == (
        3,
        "error: --format onnx: onnxscript is not installed; pip install 'vf-core[export]'\n",
    )


def test_weights_go_to_a_state_dict_and_back(vf: Vf, run: Path) -> None:
    from safetensors.torch import load_file

    done = vf("convert", str(run), "weights.pth")
    assert done.code == 0, done.err
    plain = torch.load("weights.pth", weights_only=True)
    ours = load_file(run / "checkpoints" / "best" / "model.safetensors")
    assert done.out == f"wrote weights.pth: {len(ours)} tensors by name, without recipe and classes\n"
    assert plain.keys() == ours.keys()
    assert all(torch.equal(plain[name], ours[name]) for name in ours)
    again = vf("convert", "weights.pth", "again.safetensors", "--like", str(run))
    assert again.code == 0, again.err
    model = library.load("again.safetensors", device="cpu")
    assert all(torch.equal(tensor, ours[name]) for name, tensor in model.model.state_dict().items())


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("RUN", "a.pth", "--from", "timm"), "OUT a.pth: takes no --from"),
        (("RUN", "a.pth", "--like", "b"), "--like: takes a model.safetensors as OUT"),
        (("a.pth", "--like", "b"), "--like b: say what to write: vf convert a.pth OUT.safetensors --like b"),
        (("nowhere", "a.pth"), "nowhere: no such run, checkpoint or file"),
    ],
)
def test_conversions_that_are_not_clear(vf: Vf, run: Path, words: tuple[str, ...], said: str) -> None:
    done = vf("convert", *(str(run) if word == "RUN" else word for word in words))
    assert (done.code, done.err) == (2, f"error: {said}\n")
