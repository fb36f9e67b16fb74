"""A loss that is not finite ends a run where it was promised, with what is needed to find out why."""

from __future__ import annotations

import importlib.util
import json
import math
from io import StringIO
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor

from vf.console import Console
from vf.engine.build import Training, build_training
from vf.engine.guard import Guard
from vf.engine.precision import Precision
from vf.engine.train import train
from vf.errors import RunError
from vf.recipes import from_text

_spec = importlib.util.spec_from_file_location("loop", Path(__file__).with_name("test_train.py"))
assert _spec is not None
assert _spec.loader is not None
loop = importlib.util.module_from_spec(_spec)  # its recipe of nine steps
_spec.loader.exec_module(loop)

PROMISED = {"cpu": 0, "cuda": 1}
"""Passes that are still taken after the one whose loss is not finite."""


def built(folder: Path, **changes: Any) -> Training:
    folder.mkdir(exist_ok=True)
    return build_training(from_text(loop.recipe(**changes), "r.yaml"), folder, Console(StringIO()))


def poison(training: Training, at: int) -> None:
    """Let the loss of one pass be no number, counted from 0."""
    model, turns = training.state.model, iter(range(1000))

    def forward(batch: Any) -> Any:
        losses: dict[str, Tensor] = model(batch)
        return {n: v * math.nan for n, v in losses.items()} if next(turns) == at else losses

    training.state.forward = forward


@pytest.mark.parametrize("device", PROMISED)
def test_it_stops_within_the_promised_passes(tmp_path: Path, device: str) -> None:
    training = built(tmp_path, train__accumulate=2, train__save_every="0 steps", train__eval_every="0 steps")
    state = training.state
    # A guard asks for the kind of device only: what it does on a GPU needs none.
    state.precision = SimpleNamespace(device=SimpleNamespace(type=device))  # type: ignore[assignment]
    guard, taken = Guard(state), 0

    def take(value: float) -> None:
        nonlocal taken
        taken += 1
        state.batch = SimpleNamespace(ids=(f"image {taken}",))  # type: ignore[assignment]
        guard.check(torch.tensor(value), {"loss": torch.tensor(value)})

    with pytest.raises(RunError):
        list(map(take, [1.0, 1.0, math.inf, 1.0, 1.0]))
    assert taken == 3 + PROMISED[device]
    assert json.loads((tmp_path / "nan_report.json").read_text())["images"] == ["image 3"]


@pytest.mark.parametrize(("accumulate", "at", "step", "images"), [(1, 4, 5, 4), (2, 5, 3, 2)])
def test_the_report_holds_step_terms_rate_and_images(
    tmp_path: Path, accumulate: int, at: int, step: int, images: int
) -> None:
    training = built(tmp_path, train__accumulate=accumulate)
    poison(training, at)
    with pytest.raises(RunError) as error:
        train(training)
    report = json.loads((tmp_path / "nan_report.json").read_text())
    assert (report["step"], report["rank"], len(report["images"])) == (step, 0, images)
    assert set(report["images"]) <= {f"square-{n}" for n in range(10)}
    assert report["lr"] == training.state.lr > 0
    assert set(report["losses"].values()) == {"nan"}  # JSON has no such number
    shown = ", ".join(report["images"][:3]) + (", … (4 in all)" if images > 3 else "")
    assert error.value.problems == (
        f"step {step}: the loss is not finite (loss_cls nan, _doubled nan) at lr {report['lr']:g}, images {shown}; "
        f"lower train.optimizer.lr or set train.clip_grad; see {tmp_path}/nan_report.json",
    )
    assert (tmp_path / "checkpoints/last").resolve().name == f"step_{step - 1:08d}"


@pytest.mark.parametrize("clip", [None, 1.0])
def test_gradients_that_overflow_in_half_precision_are_no_fault(tmp_path: Path, clip: float | None) -> None:
    training = built(tmp_path, train__clip_grad=clip, model__scale=30.0, callbacks=[])
    scaler = torch.amp.GradScaler("cpu", init_scale=2.0**127, backoff_factor=2.0**-32)
    training.state.precision = Precision(torch.device("cpu"), None, scaler)
    before = {n: p.clone() for n, p in training.state.model.named_parameters()}
    state = train(training)
    assert state.step == 9
    assert scaler.get_scale() < 2.0**127
    assert not (tmp_path / "nan_report.json").exists()
    after = dict(state.model.named_parameters())
    assert all(p.isfinite().all() for p in after.values())
    assert any(not torch.equal(before[n], p) for n, p in after.items()), "the steps after the first are taken"


def test_a_full_disk_does_not_hide_the_reason(tmp_path: Path) -> None:
    (tmp_path / "nan_report.json").mkdir()  # what cannot be written to
    training = built(tmp_path)
    poison(training, 0)
    with pytest.raises(RunError, match=r"^step 1: the loss is not finite "):
        train(training)
