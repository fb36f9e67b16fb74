"""Faults that benchmarks/faults.py found to cost a run, or the place of its best checkpoint."""

from __future__ import annotations

import json
import signal
import time
from collections.abc import Iterator
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.utils.data import DataLoader, Dataset

from vf.console import Console
from vf.data import loader
from vf.data.loader import Batches, DeadWorkerError
from vf.engine import evaluate
from vf.engine.log import keep_until
from vf.engine.signals import CODES, StopRequest
from vf.errors import RunError


def test_a_run_that_was_killed_before_its_first_checkpoint_begins_again(toy: Any) -> None:
    late = ("--set", "train.save_every=0 steps", "--set", "train.eval_every=0 steps", "--set", "data.seconds=0.01")
    process = toy.start("toy.yaml", "--out", "run", *late)
    log = toy.folder / "run" / "log.jsonl"
    while process.poll() is None and not (log.is_file() and log.stat().st_size):
        time.sleep(0.01)
    process.kill_all()
    process.wait()
    code, out, err = toy.run("--resume", "run")
    assert (code, err) == (0, "")
    assert out.startswith("run: was ended before its first checkpoint; begins again\n")
    steps = [record["step"] for record in map(json.loads, log.read_text().splitlines()) if record["kind"] == "train"]
    assert steps == list(range(1, 13))


def test_links_that_a_killed_process_did_not_move_are_moved_on_resume(toy: Any) -> None:
    assert toy.run("toy.yaml", "--out", "run", "--set", "train.best=confidence")[0] == 0
    folder = toy.folder / "run" / "checkpoints"
    right = {name: (folder / name).readlink() for name in ("last", "best")}
    for name in right:
        (folder / name).unlink()
    (folder / "last").symlink_to("step_00000003")
    assert toy.run("--resume", "run")[0] == 0
    assert {name: (folder / name).readlink() for name in right} == right


def test_a_validation_that_was_left_undone_is_logged_once(tmp_path: Path) -> None:
    log = tmp_path / "log.jsonl"
    lines = [json.dumps({"kind": kind, "step": step}) for step, kind in ((5, "train"), (6, "train"), (6, "val"))]
    log.write_text("\n".join(lines) + "\n")
    keep_until(log, 6, evaluated=True)
    assert log.read_text().splitlines() == lines
    keep_until(log, 6, evaluated=False)
    assert log.read_text().splitlines() == lines[:2]


class Dying(Batches):
    """Three batches; a worker dies after the first, as often as it is told to."""

    def __init__(self, times: int) -> None:
        self.times = times

    def __iter__(self) -> Iterator[Any]:
        for number in range(3):
            if number == 1 and self.times:
                self.times -= 1
                raise DeadWorkerError("a data worker died (Killed)")
            yield number


def test_new_workers_go_on_with_a_validation() -> None:
    said = StringIO()
    assert list(evaluate._surviving(Dying(3), Console(said))) == [0, 1, 2]
    assert said.getvalue() == "warning: evaluating: a data worker died (Killed); started new ones\n" * 3
    with pytest.raises(RunError, match=r"^evaluating: a data worker died \(Killed\)$"):
        list(evaluate._surviving(Dying(4), Console(said)))


class Numbers(Dataset[int]):
    def __len__(self) -> int:
        return 6

    def __getitem__(self, index: int) -> int:
        return index


def test_a_worker_that_does_not_start_is_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mark = tmp_path / "slept"

    def begin(index: int) -> None:
        if index == 0 and not mark.exists():
            mark.touch()
            time.sleep(3600)

    monkeypatch.setattr(loader, "init_worker", begin)
    monkeypatch.setattr(loader, "STARTUP", 1.0)
    said = StringIO()
    batches = Batches(DataLoader(Numbers(), batch_size=3, num_workers=1), 2)
    found: list[Any] = list(evaluate._surviving(batches, Console(said)))
    assert torch.cat(found).tolist() == list(range(6))
    assert said.getvalue() == "warning: evaluating: a data worker did not start in 1 s; started new ones\n"


def test_a_second_signal_does_not_end_a_process_that_stops() -> None:
    before = {number: signal.getsignal(number) for number in CODES}
    try:
        with StopRequest() as asked:
            signal.raise_signal(signal.SIGUSR1)
        signal.raise_signal(signal.SIGTERM)
        assert asked.code == 75
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
