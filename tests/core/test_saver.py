"""Saving: a kill at any moment, a disk that refuses, weights that are bad — a good checkpoint is always there."""

from __future__ import annotations

import contextlib
import errno
import importlib.util
import os
import resource
import shutil
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from io import StringIO
from itertools import count
from pathlib import Path
from typing import Any

import pytest
import torch

from vf.console import Console
from vf.engine import checkpoint
from vf.engine.build import Training, build_training
from vf.engine.checkpoint import newest_good, read_trainer, read_weights
from vf.engine.saver import Saver
from vf.engine.state import State
from vf.errors import CheckpointError, RunError
from vf.recipes import from_text

_spec = importlib.util.spec_from_file_location("loop", Path(__file__).with_name("test_train.py"))
assert _spec is not None
assert _spec.loader is not None
loop = importlib.util.module_from_spec(_spec)  # its recipe of nine steps
_spec.loader.exec_module(loop)

TOUCHES = {"open", "os.mkdir", "os.rename", "os.symlink", "os.remove", "os.rmdir"}
"""Audit events of what changes a folder, and of the opening before each fsync."""


def built(folder: Path, keep: int = 2) -> Training:
    folder.mkdir(exist_ok=True)
    text = loop.recipe(train__keep=keep)
    (folder / "recipe.yaml").write_text(text)
    return build_training(from_text(text, "r.yaml"), folder, Console(StringIO()))


def save(saver: Saver, state: State, step: int, *, best: bool = False) -> None:
    """Save a step whose weights tell which one it is."""
    state.step = step
    if best:
        state.best_step = step
    torch.nn.init.constant_(state.eval_model.get_parameter("head.bias"), float(step))
    saver.save(state)


def mark(path: Path) -> float:
    return read_weights(path / "model.safetensors").tensors["head.bias"][0].item()


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Training:
    """A run with two checkpoints; the first is the best, the second owes its evaluation."""
    training = built(tmp_path_factory.mktemp("prepared") / "run")
    saver = Saver(training.callbacks, training.console)
    save(saver, training.state, 1, best=True)
    training.state.owes_evaluation = True
    save(saver, training.state, 2)
    saver.on_end(training.state)
    return training


def next_step(training: Training, console: Console) -> None:
    """Save a new best: everything that a save can do, and the first checkpoint goes."""
    saver = Saver(training.callbacks, console)
    training.state.owes_evaluation = False
    save(saver, training.state, 3, best=True)
    saver.on_end(training.state)


def same_step(training: Training, console: Console) -> None:
    """Save the newest step again, now with its evaluation."""
    saver = Saver(training.callbacks, console)
    training.state.owes_evaluation = False
    save(saver, training.state, 2)
    saver.on_end(training.state)


def in_child(action: Callable[[], None]) -> int:
    """Return the signal that ended a child which does ``action``; 0: none."""
    child = os.fork()
    if child == 0:
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        try:
            action()
        finally:
            os._exit(0 if sys.exception() is None else 1)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    assert code <= 0, "the child raised"
    return -code


def kill_at(number: int) -> None:
    """End this process as kill -9 does, before its n-th touch of the disk."""
    left = iter(range(number))
    next(left)

    def look(event: str, arguments: tuple[Any, ...]) -> None:
        if event in TOUCHES and next(left, None) is None:
            os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(look)


def assert_survived(folder: Path, typed: Callable[..., Any]) -> Path:
    """The newest checkpoint is whole, and nothing looks broken."""
    lines: list[str] = []
    found = newest_good(folder / "checkpoints", lines.append)
    assert found is not None
    assert lines == []
    assert mark(found) == read_trainer(found)["step"]
    said = typed("runs", "check", str(folder))
    assert f"newest good checkpoint: {found}\n" in said.out
    if found.name.startswith(".old_"):  # between two renames: links point to nothing, for a moment
        assert said.err.count("\n") == 1
    else:
        assert (said.code, said.err) == (0, "")
    return found


@pytest.mark.parametrize(
    ("action", "survivors", "left"),
    [
        (next_step, ["step_00000002", "step_00000003"], ["step_00000002", "step_00000003"]),
        (same_step, ["step_00000002", ".old_step_00000002", "step_00000002"], ["step_00000001", "step_00000002"]),
    ],
    ids=["next step", "same step"],
)
def test_killed_at_any_touch_of_the_disk_the_newest_good_one_is_found(
    tmp_path: Path,
    prepared: Training,
    typed: Callable[..., Any],
    action: Callable[[Training, Console], None],
    survivors: list[str],
    left: list[str],
) -> None:
    whole, seen = prepared.state.folder, []
    for number in count(1):
        folder = tmp_path / str(number)
        shutil.copytree(whole, folder, symlinks=True)

        def die(folder: Path = folder, number: int = number) -> None:
            prepared.state.folder = folder
            kill_at(number)
            action(prepared, prepared.console)

        ended_by = in_child(die)
        seen.append(assert_survived(folder, typed).name)
        # What was left behind is in nobody's way.
        assert in_child(lambda folder=folder: again(prepared, folder, action)) == 0  # type: ignore[misc]
        assert sorted(os.listdir(folder / "checkpoints")) == ["best", "last", *left]
        assert_survived(folder, typed)
        if not ended_by:
            break
    assert number > 20
    assert [name for i, name in enumerate(seen) if i == 0 or name != seen[i - 1]] == survivors


def again(training: Training, folder: Path, action: Callable[[Training, Console], None]) -> None:
    training.state.folder = folder
    action(training, training.console)


@pytest.mark.parametrize("file", ["model.safetensors", "trainer.pt"])
def test_killed_amid_a_write(tmp_path: Path, prepared: Training, typed: Callable[..., Any], file: str) -> None:
    folder = tmp_path / "run"
    shutil.copytree(prepared.state.folder, folder, symlinks=True)
    size = (folder / "checkpoints/step_00000002" / file).stat().st_size

    def die() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_DFL)  # the kernel ends who writes over the limit
        resource.setrlimit(resource.RLIMIT_FSIZE, (size - 100, size - 100))
        again(prepared, folder, next_step)

    assert in_child(die) == signal.SIGXFSZ
    assert (folder / "checkpoints/.writing_step_00000003").is_dir()
    assert assert_survived(folder, typed).name == "step_00000002"


@contextlib.contextmanager
def full_disk(limit: int = 1000) -> Iterator[None]:
    """Let no file grow over ``limit`` bytes."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@contextlib.contextmanager
def refusing(name: str, number: int) -> Iterator[None]:
    """Let a function of os fail with an error number."""

    def refuse(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, name, refuse)
        yield


DISKS = {
    "full amid the weights": (lambda: full_disk(), "File too large"),
    "full amid the optimizer": (lambda: full_disk(4000), "File too large"),
    "full at the end": (lambda: refusing("fsync", errno.ENOSPC), "No space left on device"),
    "broken": (lambda: refusing("fsync", errno.EIO), "Input/output error"),
    "read only": (lambda: refusing("rename", errno.EACCES), "Permission denied"),
    "without links": (lambda: refusing("symlink", errno.EPERM), "Operation not permitted"),
}


@pytest.mark.parametrize("kind", DISKS)
def test_a_disk_that_refuses_is_a_warning_amid_a_run_and_an_error_at_its_end(tmp_path: Path, kind: str) -> None:
    make, reason = DISKS[kind]
    training, out = built(tmp_path / "run"), StringIO()
    state, saver = training.state, Saver(training.callbacks, Console(out))
    folder = state.folder / "checkpoints"
    save(saver, state, 1)
    saver.settle(final=True)
    with make():
        save(saver, state, 2)
        saver.settle(final=False)
    sentence = f"{folder}: cannot save: {reason}; the last good checkpoint is untouched"
    assert out.getvalue() == f"warning: {sentence}; tried again at the next save\n"
    assert (folder / "last").resolve().name == "step_00000001"
    assert mark(folder / "step_00000001") == 1
    save(saver, state, 3)
    saver.settle(final=True)
    assert (folder / "last").resolve().name == "step_00000003"
    assert newest_good(folder, print) == folder / "step_00000003"
    with make():
        save(saver, state, 4)
        with pytest.raises(CheckpointError) as error:
            saver.on_end(state)
    assert error.value.problems == (sentence,)
    assert (folder / "last").resolve().name == "step_00000003"
    assert out.getvalue().count("\n") == 1


def test_a_last_save_that_fails_does_not_hide_why_the_run_ends(tmp_path: Path) -> None:
    make, _ = DISKS["full at the end"]
    training, out = built(tmp_path / "run"), StringIO()
    saver = Saver(training.callbacks, Console(out))

    def fail() -> None:
        with make():
            save(saver, training.state, 1)
            try:
                raise RunError("the loss is not finite")
            finally:
                saver.on_end(training.state)

    with pytest.raises(RunError, match="the loss is not finite"):
        fail()
    assert out.getvalue().startswith("warning: ")


def test_a_best_one_that_the_disk_refused_is_written_with_the_next(tmp_path: Path) -> None:
    training = built(tmp_path / "run", keep=1)
    state, saver = training.state, training.saver
    folder = state.folder / "checkpoints"
    save(saver, state, 1, best=True)
    saver.settle(final=True)
    with full_disk():
        save(saver, state, 2, best=True)
        saver.settle(final=False)
        save(saver, state, 3)
        saver.settle(final=False)
    assert (folder / "best").resolve().name == "step_00000001"
    save(saver, state, 4)
    saver.on_end(state)
    assert {link: (folder / link).resolve().name for link in ("last", "best")} == {
        "last": "step_00000004",
        "best": "step_00000002",
    }
    assert mark(folder / "best") == 2
    assert sorted(path.name for path in folder.glob("step_*")) == ["step_00000002", "step_00000004"]


@pytest.mark.parametrize("which", ["model", "averaged"])
@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_not_finite_never_become_a_checkpoint(tmp_path: Path, which: str, value: float) -> None:
    training = built(tmp_path / "run")
    state, saver = training.state, training.saver
    folder = state.folder / "checkpoints"
    save(saver, state, 1, best=True)
    getattr(state, which).get_parameter("conv.weight").data[0, 0, 0, 0] = value
    with pytest.raises(RunError) as error:
        save(saver, state, 2, best=True)
    assert error.value.problems == (
        "step 2: the weights are not finite; the last good checkpoint stays; lower train.optimizer.lr or set "
        "train.clip_grad",
    )
    saver.on_end(state)
    assert sorted(os.listdir(folder)) == ["best", "last", "step_00000001"]
    assert newest_good(folder, print) == folder / "step_00000001"


def test_a_save_is_a_copy(tmp_path: Path) -> None:
    training = built(tmp_path / "run")
    state, saver = training.state, training.saver
    trained = threading.Event()
    saver._writer.submit(trained.wait)  # the disk is slow: nothing is written yet
    save(saver, state, 1)
    expected, live = (
        {name: tensor.clone() for name, tensor in model.state_dict().items()}
        for model in (state.eval_model, state.model)
    )
    for model in (state.model, state.eval_model):
        for tensor in model.state_dict().values():
            tensor.fill_(7)
    state.step = 8
    trained.set()
    saver.on_end(state)
    saved = state.folder / "checkpoints/step_00000001"
    assert loop.same(read_weights(saved / "model.safetensors").tensors, expected)
    trainer = read_trainer(saved)
    assert loop.same(trainer["callbacks"]["ema"]["weights"], live)
    assert trainer["step"] == 1


def test_a_run_that_begins_again_before_its_end_keeps_what_it_saves(tmp_path: Path) -> None:
    training = built(tmp_path / "run")
    state = training.state
    for steps in ((2, 8, 9), (3,), (4, 5)):
        saver = Saver(training.callbacks, training.console)
        for step in steps:
            save(saver, state, step)
            saver.settle(final=True)
        saver.on_end(state)
        last = state.folder / "checkpoints/last"
        assert (last.resolve().name, mark(last)) == (f"step_{step:08d}", step)
    kept = sorted(path.name for path in (state.folder / "checkpoints").glob("step_*"))
    assert kept == [f"step_{step:08d}" for step in (4, 5, 8, 9)]


def test_what_is_saved_is_not_saved_twice(tmp_path: Path) -> None:
    training = built(tmp_path / "run")
    state, saver = training.state, training.saver
    written: list[Path] = []
    write = checkpoint.write
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(checkpoint, "write", lambda *a, **o: written.append(write(*a, **o)) or written[-1])
        for state.owes_evaluation in (True, True, False, False):
            save(saver, state, 1)
        saver.on_end(state)
    assert len(written) == 2
    assert not read_trainer(written[-1])["owes_evaluation"]
