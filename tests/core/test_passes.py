"""Data workers that die are replaced, images that cannot be read are skipped or named; neither changes the rest."""

from __future__ import annotations

import importlib.util
import json
import multiprocessing
import os
import re
import signal
from collections.abc import Iterator
from io import StringIO
from pathlib import Path
from typing import Any

import attrs
import pytest
import torch

from vf.console import Console
from vf.data.loader import Batches, DeadWorkerError
from vf.data.sample import Batch
from vf.data.sampler import TrainSampler
from vf.engine.build import Training, build_training
from vf.engine.log import read_log
from vf.engine.train import train
from vf.errors import DataError, RunError
from vf.plugins import plugins
from vf.recipes import from_text

_spec = importlib.util.spec_from_file_location("loop", Path(__file__).with_name("test_train.py"))
assert _spec is not None
assert _spec.loader is not None
loop = importlib.util.module_from_spec(_spec)  # its recipe of nine steps, and how it runs one
_spec.loader.exec_module(loop)

KILLED = "a data worker died (Killed); often memory runs out: try fewer loader.workers"
ITSELF = "a data worker died (it ended by itself); often memory runs out: try fewer loader.workers"
TOO_SMALL = (
    "a data worker died (Bus error): shared memory is too small; enlarge /dev/shm (docker run --shm-size=8g) or set "
    "loader.workers=0"
)


def drawn() -> list[list[int]]:
    """Return the images of each step."""
    sampler = TrainSampler(num_samples=10, batch_size=4, steps=9, seed=0)
    return [[draw.index for draw in draws] for draws in sampler]


def built(folder: Path, **changes: Any) -> Training:
    folder.mkdir(exist_ok=True)
    return build_training(from_text(loop.recipe(**changes), "r.yaml"), folder, Console(StringIO()))


def losses(folder: Path) -> list[float]:
    return [record["loss"] for record in read_log(folder) if record["kind"] == "train"]


@pytest.mark.parametrize(("accumulate", "at"), [(1, 0), (1, 4), (2, 3)])
def test_new_workers_go_on_where_dead_ones_stopped(tmp_path: Path, accumulate: int, at: int) -> None:
    changes = {"train__accumulate": accumulate, "loader__workers": 1}
    loop.run(tmp_path / "calm", loop.recipe(**changes))
    deadly = {"data__deadly": drawn()[at][3], "data__once": str(tmp_path / "died")}
    out = StringIO()
    state = loop.run(tmp_path / "disturbed", loop.recipe(**changes, **deadly), out=out)
    assert (state.step, (tmp_path / "died").exists()) == (9, True)
    warnings = [line for line in out.getvalue().splitlines() if line.startswith("warning")]
    (said,) = warnings
    assert re.fullmatch(rf"warning: step \d: {re.escape(KILLED)}; started new ones", said)
    assert losses(tmp_path / "disturbed") == losses(tmp_path / "calm")


def test_workers_that_die_again_and_again_end_the_run(tmp_path: Path) -> None:
    out = StringIO()
    with pytest.raises(RunError) as error:
        loop.run(tmp_path, loop.recipe(loader__workers=1, data__deadly=drawn()[0][0]), out=out)
    assert error.value.problems == (f"step 1: {KILLED}",)
    assert out.getvalue().splitlines()[-3:] == [f"warning: step 1: {KILLED}; started new ones"] * 3


def test_a_death_interrupts_nothing_but_the_wait_for_a_batch(tmp_path: Path) -> None:
    next(iter(torch.utils.data.DataLoader([0], num_workers=1)))  # leaves a handler of its own
    others = set(multiprocessing.active_children())
    batches = iter(built(tmp_path, loader__workers=1).batches(start=0, final_from=9))
    next(batches)
    (worker,) = set(multiprocessing.active_children()) - others
    assert worker.pid is not None
    os.kill(worker.pid, signal.SIGKILL)
    os.waitid(os.P_PID, worker.pid, os.WEXITED | os.WNOWAIT)
    # Here, where a forward pass or a save would be, nothing is raised.
    with pytest.raises(DeadWorkerError) as error:
        list(batches)
    assert error.value.problems == (KILLED,)
    assert signal.getsignal(signal.SIGCHLD) == signal.SIG_DFL


def refusing(text: str) -> Batches:
    """Batches of a loader that says ``text``."""

    def items() -> Iterator[Batch]:
        raise RuntimeError(text)
        yield

    return Batches(items(), 1)


@pytest.mark.parametrize(
    ("text", "sentence", "hopeless"),
    [
        ("DataLoader worker (pid 7) is killed by signal: Killed. ", KILLED, False),
        ("DataLoader worker (pid(s) 7, 8) exited unexpectedly", ITSELF, False),
        ("DataLoader worker (pid 7) exited unexpectedly with exit code 1. Details are lost", ITSELF, False),
        (
            "DataLoader worker (pid 7) is killed by signal: Bus error. It is possible that dataloader's workers are "
            "out of shared memory. Please try to raise your shared memory limit.",
            TOO_SMALL,
            True,
        ),
        (
            "Caught RuntimeError in DataLoader worker process 0.\nOriginal Traceback (most recent call last):\n"
            "RuntimeError: unable to allocate shared memory(shm) for file </torch_9_1_0>: No space left on device (28)",
            TOO_SMALL,
            True,
        ),
        ("unable to write to file </torch_9_1_0>: No space left on device (28)", TOO_SMALL, True),
        ("unable to mmap 64 bytes from file </torch_9_1_0>: Cannot allocate memory (12)", TOO_SMALL, True),
    ],
)
def test_what_the_loader_says_of_a_death_is_one_line(text: str, sentence: str, hopeless: bool) -> None:
    with pytest.raises(DeadWorkerError) as error:
        next(iter(refusing(text)))
    assert (error.value.problems, error.value.hopeless) == ((sentence,), hopeless)


def test_shared_memory_that_is_too_small_is_not_tried_again(tmp_path: Path) -> None:
    training, asked = built(tmp_path), []

    def batches(**options: int) -> Batches:
        asked.append(options)
        return refusing("unable to write to file </torch_9_1_0>: No space left on device (28)")

    with pytest.raises(RunError) as error:
        train(attrs.evolve(training, batches=batches))
    assert error.value.problems == (f"step 1: {TOO_SMALL}",)
    assert asked == [{"start": 0, "final_from": 7}]


@pytest.mark.parametrize("workers", [0, 1])
def test_a_mistake_in_the_code_of_a_data_set_is_no_death(
    tmp_path: Path, workers: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(self: Any, index: int) -> None:
        raise RuntimeError("shapes do not match")

    squares = type(plugins().lookup("dataset", "squares")().build("train"))
    training = built(tmp_path, loader__workers=workers)
    monkeypatch.setattr(squares, "__getitem__", broken)
    with pytest.raises(RuntimeError, match="shapes do not match"):
        train(training)


@pytest.mark.parametrize("workers", [0, 1])
def test_a_broken_image_is_skipped_and_listed(tmp_path: Path, workers: int) -> None:
    out = StringIO()
    changes = {"data__broken": 7, "loader__on_error": "skip", "loader__workers": workers}
    state = loop.run(tmp_path, loop.recipe(**changes), out=out)
    assert state.step == 9
    steps = [step for step, images in enumerate(drawn(), 1) for image in images if image == 7]
    records = [json.loads(line) for line in (tmp_path / "skipped.jsonl").read_text().splitlines()]
    assert records == [{"step": step, "problem": "square 7: is broken"} for step in steps]
    said = [line for line in out.getvalue().splitlines() if line.startswith("warning")]
    assert said == [f"warning: step {step}: skipped square 7: is broken" for step in steps]
    assert len(steps) > 2
    count = f"{len(steps)} samples were skipped because they could not be read; see {tmp_path / 'skipped.jsonl'}"
    assert count in out.getvalue().splitlines()


def test_a_resumed_run_lists_what_it_skipped_once(tmp_path: Path) -> None:
    changes = {"data__broken": 7, "loader__on_error": "skip"}
    loop.run(tmp_path, loop.recipe(**changes, train__save_every="2 steps"))
    whole = (tmp_path / "skipped.jsonl").read_text()
    loop.run(tmp_path, loop.recipe(**changes), tmp_path / "checkpoints/step_00000004")
    assert (tmp_path / "skipped.jsonl").read_text() == whole


def test_a_run_without_a_broken_image_lists_nothing(tmp_path: Path) -> None:
    loop.run(tmp_path / "stop", loop.recipe())
    loop.run(tmp_path / "skip", loop.recipe(loader__on_error="skip"))
    assert losses(tmp_path / "skip") == losses(tmp_path / "stop")
    assert not (tmp_path / "skip/skipped.jsonl").exists()


@pytest.mark.parametrize("workers", [0, 1])
def test_data_without_a_good_image_ends_the_run(tmp_path: Path, workers: int) -> None:
    only_one = {"data__count": 1, "data__broken": 0, "loader__on_error": "skip", "loader__workers": workers}
    with pytest.raises(DataError) as error:
        loop.run(tmp_path, loop.recipe(**only_one))
    assert error.value.problems == ("square 0: is broken",)


@pytest.mark.parametrize("workers", [0, 1])
def test_a_broken_image_stops_a_run_that_skips_none(tmp_path: Path, workers: int) -> None:
    with pytest.raises(DataError) as error:
        loop.run(tmp_path, loop.recipe(data__broken=7, loader__workers=workers))
    assert error.value.problems == ("square 7: is broken",)
    assert not (tmp_path / "skipped.jsonl").exists()
