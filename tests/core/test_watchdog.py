"""A process that makes no progress ends and says where it stood."""

from __future__ import annotations

import importlib.util
import os
import signal
import time
from collections.abc import Callable
from io import StringIO
from pathlib import Path

import pytest

from vf.console import Console
from vf.engine.build import build_training
from vf.engine.ranks import Ranks
from vf.engine.state import State
from vf.engine.watchdog import Watchdog
from vf.recipes import from_text
from vf.world import World

_spec = importlib.util.spec_from_file_location("loop", Path(__file__).with_name("test_train.py"))
assert _spec is not None
assert _spec.loader is not None
loop = importlib.util.module_from_spec(_spec)  # its recipe of nine steps
_spec.loader.exec_module(loop)

FOREVER = 30


@pytest.fixture
def state(tmp_path: Path) -> State:
    """A state that stands in the optimizer of its eighth step, as rank 1."""
    (tmp_path / "run").mkdir()
    state = build_training(from_text(loop.recipe(), "r.yaml"), tmp_path / "run", Console(StringIO())).state
    state.ranks = Ranks(World(rank=1))
    state.step = 7
    state.enter("optimizer")
    return state


def forked(action: Callable[[], None], stderr: Path) -> int:
    """Return the exit code of a child that does ``action``."""
    child = os.fork()
    if child == 0:
        os.dup2(os.open(stderr, os.O_WRONLY | os.O_CREAT), 2)
        try:
            action()
        finally:
            os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def wait_for_nothing(state: State) -> None:
    with open(2, "w", closefd=False) as stderr, pytest.MonkeyPatch.context() as patch:
        patch.setattr("sys.stderr", stderr)
        with Watchdog(state, 0.2):
            time.sleep(FOREVER)


def test_it_says_rank_step_phase_and_stack(state: State, tmp_path: Path) -> None:
    assert forked(lambda: wait_for_nothing(state), tmp_path / "err") == 70
    file = state.folder / "stalled_rank_1.txt"
    line, *stack = file.read_text().splitlines()
    assert line == (
        "error: rank 1: no progress for 0 s at step 7, optimizer; ended (train.stall_timeout); go on with 'vf run "
        f"train --resume {state.folder}'"
    )
    assert any("in wait_for_nothing" in frame for frame in stack)
    said = (tmp_path / "err").read_text().splitlines()
    assert said[:2] == [line, f"stack of rank 1 in {file}:"]
    assert any("in wait_for_nothing" in frame for frame in said[2:])


def test_it_ends_the_process_also_where_nothing_can_be_written(state: State, tmp_path: Path) -> None:
    state.folder = tmp_path / "gone"
    assert forked(lambda: wait_for_nothing(state), tmp_path / "err") == 70
    assert (tmp_path / "err").read_text().startswith("error: rank 1: no progress for 0 s at step 7, optimizer; ended")


def test_one_of_many_does_not_outlive_the_process_that_started_it(state: State, tmp_path: Path) -> None:
    state.ranks = Ranks(World(rank=1, size=2))
    (read, write), (ready, watching) = os.pipe(), os.pipe()

    def start_and_end() -> None:
        if os.fork():
            os.read(ready, 1)
            return
        with Watchdog(state, 1000):
            os.write(watching, b"!")
            time.sleep(FOREVER)
        os.write(write, b"outlived it")

    assert forked(start_and_end, tmp_path / "err") == 0
    os.close(write)
    assert os.read(read, 100) == b"", "until the last writer is gone"
    for end in (read, ready, watching):
        os.close(end)


def test_it_ends_with_what_it_watches(state: State) -> None:
    with Watchdog(state, 1000) as watchdog:
        assert watchdog._thread.is_alive()
    assert not watchdog._thread.is_alive()


def test_a_process_that_was_suspended_goes_on(state: State, tmp_path: Path) -> None:
    child = os.fork()
    if child == 0:
        os.dup2(os.open(tmp_path / "err", os.O_WRONLY | os.O_CREAT), 2)
        with Watchdog(state, 1.0):
            os.kill(os.getpid(), signal.SIGSTOP)
            time.sleep(0.5)  # it looks twice
        os._exit(0)
    os.waitpid(child, os.WUNTRACED)
    time.sleep(1.5)
    os.kill(child, signal.SIGCONT)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert (tmp_path / "err").read_text() == ""
