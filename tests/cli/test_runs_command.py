"""``vf runs list`` and ``vf runs check``."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from torch import nn

from vf.engine import checkpoint
from vf.protocols import DatasetInfo

Vf = Callable[..., Any]
INFO = DatasetInfo(classes=("a",), task="toy", num_samples={"train": 3}, fingerprint="f")


@pytest.fixture(autouse=True)
def _here(site: Any) -> None:
    """Work in an empty folder."""


def made(name: str, *, steps: tuple[int, ...] = (), length: str = "20 steps", best: str = "") -> Path:
    """Make a run with checkpoints and without a log."""
    run = Path("runs") / name
    run.mkdir(parents=True)
    (run / "recipe.yaml").write_text(f"train: {{length: {length}, best: '{best}'}}\n")
    for step in steps:
        saved = checkpoint.write(
            run / "checkpoints",
            step,
            tensors=dict(nn.Linear(2, 2).state_dict()),
            recipe="",
            info=INFO,
            trainer={"step": step},
        )
        checkpoint.point(run / "checkpoints", "last", saved)
    return run


def log(run: Path, *records: dict[str, Any]) -> None:
    (run / "log.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records))


def train(step: int, epoch: float) -> dict[str, Any]:
    return {"kind": "train", "step": step, "epoch": epoch, "loss": 1.0}


def test_checkpoints_that_are_well(vf: Vf) -> None:
    run = made("a-001", steps=(10, 20))
    checkpoint.point(run / "checkpoints", "best", run / "checkpoints" / "step_00000010")
    said = vf("runs", "check", str(run))
    assert (said.code, said.err) == (0, "")
    assert said.out == (
        "ok    step_00000010  0.0 MB\nok    step_00000020  0.0 MB\nlast  step_00000020\nbest  step_00000010\n"
        "newest good checkpoint: runs/a-001/checkpoints/step_00000020\n"
    )


def test_a_broken_checkpoint_and_a_dangling_link(vf: Vf) -> None:
    run = made("a-001", steps=(10, 20))
    (run / "checkpoints" / "best").symlink_to("step_00000005")
    (run / "checkpoints" / "step_00000020" / "trainer.pt").unlink()
    said = vf("runs", "check", str(run))
    assert said.code == 2
    assert said.out == (
        "ok    step_00000010  0.0 MB\nlast  step_00000020\n"
        "newest good checkpoint: runs/a-001/checkpoints/step_00000010\n"
    )
    assert said.err == (
        "error: runs/a-001/checkpoints/step_00000020/trainer.pt: missing\n"
        "error: runs/a-001/checkpoints/best: points to step_00000005, which does not exist\n"
    )


def test_no_good_checkpoint(vf: Vf) -> None:
    run = made("a-001", steps=(10,))
    (run / "checkpoints" / "step_00000010" / "manifest.json").unlink()
    said = vf("runs", "check", str(run))
    assert (said.code, said.out) == (2, "last  step_00000010\nnewest good checkpoint: none\n")


def test_runs_that_cannot_be_checked(vf: Vf) -> None:
    made("a-001")
    said = vf("runs", "check", "runs/a-001")
    assert (said.code, said.err) == (2, "error: runs/a-001: holds no checkpoint; nothing to verify\n")
    said = vf("runs", "check", "none")
    assert (said.code, said.err) == (2, "error: none: no such run or checkpoint\n")


def test_the_list(vf: Vf) -> None:
    finished = made("a-001", steps=(20,))
    log(finished, train(20, 2.5), {"kind": "val", "step": 20, "epoch": 2.5, "ap": 0.25, "ap50": 0.5})
    stopped = made("b-001", steps=(10,), length="3 epochs", best="ap50")
    values = [
        {"kind": "val", "step": 10 + i, "epoch": 1.4, "ap": None, "ap50": v} for i, v in enumerate((0.5, 0.25, None))
    ]
    log(stopped, *values, train(14, 2.0))
    log(made("c-001", length="3 epochs"), train(22, 3.0))
    made("d-001")
    (Path("runs") / "infer-001").mkdir()
    said = vf("runs", "list")
    assert (said.code, said.err) == (0, "")
    assert [line.split() for line in said.out.splitlines()] == [
        ["run", "step", "best", "state"],
        ["a-001", "20", "ap", "0.2500", "finished"],
        ["b-001", "14", "ap50", "0.5000", "can", "be", "resumed"],
        ["c-001", "22", "-", "finished"],
        ["d-001", "-", "-", "no", "checkpoint"],
    ]
    assert vf("runs", "list", "runs").out == said.out


@pytest.mark.parametrize("recipe", ["train: [", "- 1", "train: 3", "train: {length: long}", "", "\0"])
@pytest.mark.parametrize("text", [b"{", b"[1]\n3\nnull\n", b'{"step": "x"}\n', b"\xff\xfe", b'{"step": 3}\n{"st'])
def test_damaged_runs_do_not_spoil_the_list(vf: Vf, recipe: str, text: bytes) -> None:
    run = made("a-001", steps=())
    (run / "recipe.yaml").write_text(recipe)
    (run / "log.jsonl").write_bytes(text)
    said = vf("runs", "list")
    step = "3" if text.startswith(b'{"step": 3') else "-"
    assert (said.code, said.err) == (0, "")
    assert said.out.splitlines()[1].split() == ["a-001", step, "-", "no", "checkpoint"]


def test_no_runs(vf: Vf) -> None:
    assert vf("runs", "list").out == "none\n"
    Path("empty").mkdir()
    assert vf("runs", "list", "empty").out == "none\n"
    said = vf("runs", "list", "nowhere")
    assert (said.code, said.err) == (2, "error: nowhere: no such folder; expected one that holds runs\n")
