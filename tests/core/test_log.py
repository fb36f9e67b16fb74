"""What a run writes down: nothing twice, nothing lost where a disk was full for a while."""

from __future__ import annotations

import contextlib
import importlib.util
import json
import math
import resource
from collections.abc import Iterator
from io import StringIO
from pathlib import Path
from typing import Any

import attrs
import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from vf.console import Console
from vf.engine.build import Training, build_training
from vf.engine.callbacks import Callback
from vf.engine.growing import Growing, line
from vf.engine.log import read_log
from vf.engine.state import State
from vf.engine.train import train
from vf.errors import CheckpointError
from vf.recipes import from_text

_spec = importlib.util.spec_from_file_location("loop", Path(__file__).with_name("test_train.py"))
assert _spec is not None
assert _spec.loader is not None
loop = importlib.util.module_from_spec(_spec)  # its recipe of nine steps, and how it runs one
_spec.loader.exec_module(loop)

FULL = "File too large"
"""What the system says of a file that may not grow."""


@contextlib.contextmanager
def full_disk(limit: int = 0) -> Iterator[None]:
    """Let no file grow over ``limit`` bytes."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


class FullFor(Callback):
    """The disk is full from one step on, and has room again before the end, or not."""

    def __init__(self, begin: int, end: int) -> None:
        self._begin, self._end = begin, end
        self._stack = contextlib.ExitStack()

    def after_step(self, state: State) -> None:
        if state.step == self._begin:
            self._stack.enter_context(full_disk())
        if state.step == self._end:
            self._stack.close()

    def free(self) -> None:
        self._stack.close()


def built(folder: Path, out: StringIO) -> Training:
    """Return a training that saves at its end only."""
    folder.mkdir(exist_ok=True)
    text = loop.recipe(train__save_every="0 steps", train__eval_every="0 steps", callbacks=[])
    return build_training(from_text(text, "r.yaml"), folder, Console(out))


def points(folder: Path, tag: str = "train/loss") -> list[tuple[int, float]]:
    """Return what TensorBoard shows of a run."""
    board = EventAccumulator(str(folder)).Reload()
    return [(point.step, point.value) for point in board.Scalars(tag)]


def logged(folder: Path, kind: str = "train", key: str = "loss") -> list[tuple[int, float]]:
    return [(record["step"], record[key]) for record in read_log(folder) if record["kind"] == kind]


def close(values: list[tuple[int, float]]) -> Any:
    """TensorBoard holds single precision."""
    return [(step, pytest.approx(value, rel=1e-6)) for step, value in values]


def test_tensorboard_shows_what_the_log_holds(tmp_path: Path) -> None:
    loop.run(tmp_path, loop.recipe())
    assert [step for step, _ in logged(tmp_path)] == list(range(1, 10))
    assert points(tmp_path) == close(logged(tmp_path))
    assert points(tmp_path, "train/lr") == close(logged(tmp_path, key="lr"))
    assert points(tmp_path, "val/accuracy") == close(logged(tmp_path, "val", "accuracy"))


@pytest.mark.parametrize("at", [2, 3, 8])
def test_a_resumed_run_has_each_step_once(tmp_path: Path, at: int) -> None:
    loop.run(tmp_path, loop.recipe())
    with (tmp_path / "log.jsonl").open("a") as file:
        file.write('{"kind": "train", "step": 10, "lo')  # by a process that was killed
    loop.run(tmp_path, loop.recipe(), checkpoint=tmp_path / "checkpoints" / f"step_{at:08d}")
    assert [step for step, _ in logged(tmp_path)] == list(range(1, 10))
    assert [step for step, _ in logged(tmp_path, "val", "accuracy")] == [3, 6, 9]
    for text in (tmp_path / "log.jsonl").read_text().splitlines():
        json.loads(text)
    assert points(tmp_path) == close(logged(tmp_path))


@pytest.mark.parametrize("begin", [1, 3])
def test_a_disk_that_is_full_for_a_while_costs_one_line(tmp_path: Path, begin: int) -> None:
    calm, out = tmp_path / "calm", StringIO()
    train(built(calm, StringIO()))
    training = built(tmp_path / "run", out)
    train(attrs.evolve(training, callbacks=(FullFor(begin, 7), *training.callbacks)))
    warnings = [line for line in out.getvalue().splitlines() if line.startswith("warning")]
    assert warnings == [f"warning: {tmp_path}/run/log.jsonl: {FULL}; what is logged waits until there is room"]
    assert logged(tmp_path / "run") == logged(calm)
    assert points(tmp_path / "run") == close(logged(calm))
    assert points(tmp_path / "run", "val/accuracy") == close(logged(calm, "val", "accuracy"))


def test_a_disk_that_stays_full_is_said_at_the_end(tmp_path: Path) -> None:
    out = StringIO()
    training = built(tmp_path, out)
    full = FullFor(6, 100)
    try:
        with pytest.raises(CheckpointError) as error:
            train(attrs.evolve(training, callbacks=(full, *training.callbacks)))
    finally:
        full.free()
    assert error.value.problems == (
        f"{tmp_path}/checkpoints: cannot save: {FULL}; the last good checkpoint is untouched",
    )
    assert [line for line in out.getvalue().splitlines() if line.startswith("warning")] == [
        f"warning: {tmp_path}/log.jsonl: {FULL}; what is logged waits until there is room",
        f"warning: {tmp_path}/log.jsonl: the last 5 lines could not be written",
    ]
    assert [step for step, _ in logged(tmp_path)] == [1, 2, 3, 4, 5]


def test_a_run_goes_on_from_a_checkpoint_on_a_full_disk(tmp_path: Path) -> None:
    out = StringIO()
    loop.run(tmp_path, loop.recipe())
    size = (tmp_path / "log.jsonl").stat().st_size
    with full_disk(), pytest.raises(CheckpointError):
        loop.run(tmp_path, loop.recipe(), checkpoint=tmp_path / "checkpoints/step_00000004", out=out)
    assert [step for step, _ in logged(tmp_path)] == [1, 2, 3, 4]
    assert 0 < (tmp_path / "log.jsonl").stat().st_size < size
    assert "lines could not be written" in out.getvalue()


def test_numbers_that_json_has_not_are_text() -> None:
    record = {"step": 1, "loss": math.nan, "grad_norm": math.inf, "low": -math.inf, "ap": None}
    assert line(record) == b'{"step": 1, "loss": "nan", "grad_norm": "inf", "low": "-inf", "ap": null}\n'


def test_what_a_file_refuses_waits(tmp_path: Path) -> None:
    file = Growing(tmp_path / "file")
    file.add(b"one\n")
    with full_disk(6):
        file.add(b"two\n")  # of which two bytes have room
        file.add(b"three\n")
    assert (file.path.read_bytes(), file.said, file.lost) == (b"one\n", "No space left on device", 2)
    file.add(b"four\n")
    assert (file.path.read_bytes(), file.said, file.lost) == (b"one\ntwo\nthree\nfour\n", "", 0)


@pytest.mark.parametrize(
    ("text", "steps"),
    [
        ("", []),
        ('{"step": 1}\n{"step": 2}\n', [1, 2]),
        ('{"step": 1}\n{"st', [1]),
    ],
)
def test_a_log_that_was_cut_off_is_read(tmp_path: Path, text: str, steps: list[int]) -> None:
    assert read_log(tmp_path) == []
    (tmp_path / "log.jsonl").write_text(text)
    assert [record["step"] for record in read_log(tmp_path)] == steps
