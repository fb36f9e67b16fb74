"""A run that is killed and resumed ends with the bits of one that nobody touched."""

from __future__ import annotations

import json
import random
import shutil
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import attrs
import pytest
import torch
from safetensors.torch import load_file

from vf.data.sampler import TrainSampler
from vf.engine import checkpoint

RECIPE = """\
task: toy
model: {name: net}
data: {name: squares, count: 26, val: 7}
augment: [{name: horizontal_flip}]
metrics: [{name: accuracy}]
train:
  length: 200 steps
  batch_size: 8
  accumulate: 2
  optimizer: {name: adamw, lr: 0.01}
  schedule: {name: cosine, warmup: 20 steps}
  eval_every: 30 steps
  save_every: 20 steps
  keep: 2
  log_every: 3
  best: confidence
  final: 40 steps
loader: {workers: 2, eval_batch_size: 4}
callbacks: [{name: ema, decay: 0.99, ramp: 50.0}]
"""
COMMAND = ("resume.yaml", "--out", "run", "--resume")
"""Starts the run, and goes on with it when typed again."""
KILLS = 30


@attrs.frozen
class End:
    """What a run leaves, but for the times of day."""

    weights: dict[str, torch.Tensor]
    trainer: dict[str, Any]
    records: list[dict[str, Any]]
    best: str


def end_of(run: Path) -> End:
    last = run / "checkpoints/last"
    trainer = torch.load(last / "trainer.pt", weights_only=True)
    clocks = {"images_per_s", "data_wait", "time"}
    records = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
    return End(
        load_file(last / "model.safetensors"),
        trainer,
        [{k: v for k, v in r.items() if k not in clocks} for r in records],
        (run / "checkpoints/best").resolve().name,
    )


def different(one: Any, other: Any, where: str = "") -> Iterator[str]:
    """Name everything that is not bitwise the same."""
    if isinstance(one, torch.Tensor):
        if not torch.equal(one, other):
            yield where
    elif isinstance(one, dict):
        if one.keys() != other.keys():
            yield f"{where}: keys {one.keys() ^ other.keys()}"
        for key in one.keys() & other.keys():
            yield from different(one[key], other[key], f"{where}.{key}")
    elif isinstance(one, list):
        if len(one) != len(other):
            yield f"{where}: {len(one)} and {len(other)}"
        for number, pair in enumerate(zip(one, other, strict=False)):
            yield from different(*pair, f"{where}[{number}]")
    elif one != other:
        yield f"{where}: {one!r} and {other!r}"


def assert_same_end(one: End, other: End) -> None:
    assert not list(different(attrs.asdict(one), attrs.asdict(other)))


@attrs.frozen
class Untouched:
    """The run that nobody touched."""

    end: End
    seconds: float


@pytest.fixture(scope="module")
def untouched(lasting_toy: Any) -> Untouched:
    (lasting_toy.folder / "resume.yaml").write_text(RECIPE)
    began = time.monotonic()
    code, out, err = lasting_toy.run(*COMMAND)
    assert (code, err) == (0, ""), out
    return Untouched(end_of(lasting_toy.folder / "run"), time.monotonic() - began)


@pytest.mark.parametrize("number", range(KILLS))
def test_killed_at_any_moment_and_resumed_it_ends_the_same(toy: Any, untouched: Untouched, number: int) -> None:
    (toy.folder / "resume.yaml").write_text(RECIPE)
    process = toy.start(*COMMAND)
    time.sleep(random.Random(number).uniform(0.05, 0.9) * untouched.seconds)
    process.kill_all()
    process.wait()
    code, out, err = toy.run(*COMMAND)
    assert (code, err) == (0, ""), out
    assert_same_end(end_of(toy.folder / "run"), untouched.end)


def stop_after(toy: Any, step: int, *arguments: str) -> str:
    """Start the run, send SIGTERM once a step is logged, and return what it said."""
    (toy.folder / "resume.yaml").write_text(RECIPE)
    process = toy.start(*COMMAND, *arguments)
    log = toy.folder / "run/log.jsonl"
    while process.poll() is None and not (log.is_file() and f'"step": {step},' in log.read_text()):
        time.sleep(0.01)
    process.send_signal(signal.SIGTERM)
    out, err = process.communicate()
    assert (process.returncode, err) == (75, ""), out
    return str(out)


def test_stopped_in_validation_it_validates_again(toy: Any, untouched: Untouched) -> None:
    out = stop_after(toy, 30, "--set", "data.val_seconds=0.15")
    assert "stopped at step 30: SIGTERM\n" in out
    assert "val   step 30" not in out
    trainer = torch.load(toy.folder / "run/checkpoints/last/trainer.pt", weights_only=True)
    assert trainer["owes_evaluation"]
    code, out, err = toy.run("--resume", "run")
    assert (code, err) == (0, "")
    assert "val   step 30" in out
    end = end_of(toy.folder / "run")
    assert_same_end(end, untouched.end)


@pytest.mark.parametrize(("before", "after"), [(0, 2), (1, 0)])
def test_the_number_of_workers_may_change(toy: Any, untouched: Untouched, before: int, after: int) -> None:
    stop_after(toy, 60, "--set", f"loader.workers={before}")
    code, out, err = toy.run("--resume", "run", "--set", f"loader.workers={after}")
    assert (code, err) == (0, ""), out
    assert_same_end(end_of(toy.folder / "run"), untouched.end)


def test_far_into_a_run_it_reads_nothing_that_it_skips(toy: Any) -> None:
    far = 1_000_000
    asked = toy.folder / "asked"
    recipe = RECIPE.replace("200 steps", f"{far + 2} steps").replace("eval_every: 30", "eval_every: 0")
    (toy.folder / "resume.yaml").write_text(recipe.replace("workers: 2", "workers: 0"))
    first = toy.start("resume.yaml", "--out", "run", "--set", f"data.asked={asked}")
    log = toy.folder / "run/log.jsonl"
    while first.poll() is None and not (log.is_file() and '"step": 3,' in log.read_text()):
        time.sleep(0.01)
    first.send_signal(signal.SIGTERM)
    assert first.wait() == 75
    move_to_step(toy.folder / "run/checkpoints/last", far)
    asked.unlink()
    code, out, err = toy.run("--resume", "run")
    assert (code, err) == (0, ""), out
    assert f"at step {far} of {far + 2}" in out
    sampler = TrainSampler(num_samples=26, batch_size=8, steps=far + 2, seed=0, start=far, accumulate=2)
    assert [int(index) for index in asked.read_text().split()] == [draw.index for batch in sampler for draw in batch]


def move_to_step(last: Path, step: int) -> None:
    """Pretend that a checkpoint was saved at another step."""
    trainer = checkpoint.read_trainer(last)
    weights = checkpoint.read_weights(last / "model.safetensors")
    folder = last.parent
    shutil.rmtree(last.resolve())
    written = checkpoint.write(
        folder,
        step,
        tensors=weights.tensors,
        recipe=weights.recipe,
        info=weights.info,
        trainer={**trainer, "step": step},
    )
    checkpoint.point(folder, "last", written)
