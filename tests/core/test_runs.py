"""Run folders are never overwritten, and are found again from anything inside them."""

from __future__ import annotations

from pathlib import Path

import pytest

from vf.errors import CheckpointError, RunError
from vf.launch import Job
from vf.runs import find_weights, new_run, run_of


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_runs_are_numbered() -> None:
    names = [str(new_run(None, "det/quickstart")) for _ in range(3)]
    assert names == ["runs/det-quickstart-001", "runs/det-quickstart-002", "runs/det-quickstart-003"]
    Path("runs/det-quickstart-120").mkdir()
    assert new_run(None, "det/quickstart").name == "det-quickstart-121"


def test_a_folder_that_holds_something_is_refused() -> None:
    Path("mine").mkdir()
    assert new_run("mine", "x") == Path("mine")
    Path("mine/a").touch()
    with pytest.raises(RunError) as error:
        new_run("mine", "x")
    assert error.value.problems == ("mine: exists; choose another --out, or go on with 'vf run train --resume mine'",)


def test_a_folder_that_cannot_be_made_says_why() -> None:
    Path("file").touch()
    with pytest.raises(RunError, match=r"^file/x: cannot make the run folder: Not a directory$"):
        new_run("file/x", "x")


def test_a_run_is_found_from_what_lies_in_it() -> None:
    step = Path("r/checkpoints/step_00000001")
    step.mkdir(parents=True)
    Path("r/recipe.yaml").touch()
    (step / "model.safetensors").touch()
    for inside in ("r", "r/checkpoints", str(step), str(step / "model.safetensors")):
        assert run_of(inside) == Path("r").resolve()


@pytest.mark.parametrize(
    ("reference", "sentence"),
    [
        ("none", "none: no such run or checkpoint"),
        ("empty", "empty: neither a run folder nor a checkpoint of one: no recipe.yaml in it or above it"),
    ],
)
def test_what_is_no_run_is_refused(reference: str, sentence: str) -> None:
    Path("empty").mkdir()
    with pytest.raises(RunError) as error:
        run_of(reference)
    assert error.value.problems == (sentence,)


def test_weights_of_a_run_are_the_best_else_the_last() -> None:
    for step in ("step_1", "step_2"):
        (Path("r/checkpoints") / step).mkdir(parents=True)
        (Path("r/checkpoints") / step / "model.safetensors").touch()
    Path("r/checkpoints/last").symlink_to("step_2")
    assert find_weights("r") == Path("r/checkpoints/last/model.safetensors")
    Path("r/checkpoints/best").symlink_to("step_1")
    assert find_weights("r") == Path("r/checkpoints/best/model.safetensors")
    assert find_weights("r/checkpoints/step_2") == Path("r/checkpoints/step_2/model.safetensors")


@pytest.mark.parametrize(
    ("reference", "sentence"),
    [
        ("none", "none: no such run, checkpoint or file"),
        ("empty", "empty: holds no checkpoint: no model.safetensors in it or in checkpoints/best or last"),
        ("model.pth", "model.pth: expected a run folder, a checkpoint folder or model.safetensors"),
    ],
)
def test_what_holds_no_weights_is_refused(reference: str, sentence: str) -> None:
    Path("empty").mkdir()
    Path("model.pth").touch()
    with pytest.raises(CheckpointError) as error:
        find_weights(reference)
    assert error.value.problems == (sentence,)


def test_a_job_comes_back_from_its_file() -> None:
    Path("r").mkdir()
    job = Job(action="train", folder="r", recipe="task: ü\n", source="s")
    assert Job.read(job.write()) == job
    assert Path("r/recipe.yaml").read_text(encoding="utf-8") == "task: ü\n"


def test_a_broken_job_file_is_refused() -> None:
    Path("job.json").write_text("{}")
    with pytest.raises(RunError, match=r"^job.json: not a job file of this vf: "):
        Job.read(Path("job.json"))
    with pytest.raises(RunError, match=r"^none.json: no such job file$"):
        Job.read(Path("none.json"))
