"""What benchmarks/faults.py does to a training: each function is a fault, and what must happen after it."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import attrs
from faults_trial import LostError, Trial, children, kill_all

from vf.engine.checkpoint import read_trainer, read_weights
from vf.engine.signals import CODES


def kill_any_time(trial: Trial) -> None:
    """From the first import on, before there is a run folder, to after the end."""
    process = trial.start()
    if trial.random.random() < 0.3:
        time.sleep(trial.random.uniform(0.01, 2.0))
    else:
        trial.pause(process, 0.0, 1.0)
    kill_all(process)
    trial.hit = process.wait() == -signal.SIGKILL
    trial.resume()


def kill_often(trial: Trial) -> None:
    """Three times, the second and the third while it resumes or soon after."""
    for last in (0.9, 0.4, 0.4):
        process = trial.start()
        time.sleep(trial.random.uniform(0.2, 1.0) + trial.random.uniform(0.0, last) * trial.seconds)
        kill_all(process)
        process.wait()
    trial.resume()


def kill_in_save(trial: Trial) -> None:
    """While a checkpoint is written, or while the links move to it."""
    process = trial.started()
    trial.pause(process)
    folder = trial.run / "checkpoints"
    before = link_target(folder / "last")
    if trial.random.random() < 0.5:
        trial.wait_for(process, lambda: any(folder.glob(".writing_*")))
        time.sleep(trial.random.uniform(0.0, 0.02))
    else:
        trial.wait_for(process, lambda: link_target(folder / "last") != before)
        time.sleep(trial.random.uniform(0.0, 0.003))
    kill_all(process)
    trial.hit = process.wait() == -signal.SIGKILL
    trial.resume()


def link_target(link: Path) -> str:
    """Return where a link points, whether or not anything is there."""
    return os.readlink(link) if link.is_symlink() else ""


def kill_parent(trial: Trial) -> None:
    """Its data workers stay, and must notice."""
    process = trial.started()
    trial.pause(process)
    process.send_signal(signal.SIGKILL)
    trial.orphaned = True
    trial.hit = trial.expect(process, -signal.SIGKILL, 0) != 0
    trial.resume()


def stop(number: int) -> Callable[[Trial], None]:
    """Send a signal, to the process or to all of them as schedulers do."""

    def fault(trial: Trial) -> None:
        process = trial.started()
        trial.pause(process)
        send(trial, process, number)
        trial.expect_stop(process, number)
        trial.resume()

    return fault


def send(trial: Trial, process: Any, number: int) -> None:
    """Send a signal to the process or, as often, to all that it started too."""
    with contextlib.suppress(ProcessLookupError):
        if trial.random.random() < 0.5:
            os.killpg(process.pid, number)
        else:
            process.send_signal(number)


def stop_in_validation(trial: Trial) -> None:
    """SIGTERM comes between the last step and its metrics."""
    process = trial.started()
    trial.pause(process)
    trial.wait_for_validation(process)
    time.sleep(trial.random.uniform(0.0, 0.03))
    send(trial, process, signal.SIGTERM)
    trial.expect_stop(process, signal.SIGTERM)
    trial.hit &= owes_evaluation(trial)


def owes_evaluation(trial: Trial) -> bool:
    """Whether the newest checkpoint was saved without its validation."""
    return bool(trial.checkpoints) and bool(read_trainer(trial.checkpoints[-1])["owes_evaluation"])


def stop_in_validation_and_resume(trial: Trial) -> None:
    """The validation is done after resuming."""
    stop_in_validation(trial)
    trial.resume()


def stop_in_validation_and_kill(trial: Trial) -> None:
    """The second life is killed in or soon after the validation that the first one left undone."""
    stop_in_validation(trial)
    process = trial.start()
    trial.wait_for_validation(process)
    time.sleep(trial.random.uniform(0.0, 0.4))
    kill_all(process)
    process.wait()
    trial.resume()


def stop_twice(trial: Trial) -> None:
    """Two signals, equal or not, in less than half a second."""
    process = trial.started()
    trial.pause(process)
    numbers = [trial.random.choice(list(CODES)) for _ in range(2)]
    send(trial, process, numbers[0])
    time.sleep(trial.random.choice([0.0, trial.random.uniform(0.0, 0.5)]))
    send(trial, process, numbers[1])
    trial.expect_stop(process, *numbers)
    trial.resume()


def kill_worker(trial: Trial) -> None:
    """One data worker, of training or validation; the run must go on by itself."""
    process = trial.started()
    trial.pause(process)
    workers = children(process.pid)
    trial.hit = bool(workers)
    with contextlib.suppress(ProcessLookupError):
        if workers:
            os.kill(trial.random.choice(workers), signal.SIGKILL)
    trial.expect(process, 0)


def fill_disk(trial: Trial) -> None:
    """The disk is full for a while, or until the run ends, or when it is resumed."""
    process = trial.started()
    trial.pause(process)
    ballast = trial.run.parent / "ballast"
    how = trial.random.choice(["for a while", "to the end", "at resume"])
    if how == "at resume":
        kill_all(process)
        process.wait()
    fill(ballast)
    if how == "for a while":
        time.sleep(trial.random.uniform(0.05, 1.0))
        ballast.unlink()
    again = trial.start() if how == "at resume" else process
    trial.expect(again, 0, 2, 3)  # 3: vf sees before the first step that there is no room
    ballast.unlink(missing_ok=True)
    trial.resume()


def fill(ballast: Path) -> None:
    """Write until nothing more fits."""
    with ballast.open("wb", buffering=0) as file:
        for size in (1 << 16, 1 << 12, 1):
            with contextlib.suppress(OSError):
                while file.write(bytes(size)) == size:
                    pass


def corrupt(trial: Trial) -> None:
    """A file of the newest checkpoint is cut or has other bytes; the one before must be taken, and that be said."""
    process = trial.started()
    trial.wait_for(process, lambda: len(trial.checkpoints) >= 2)
    trial.pause(process)
    kill_all(process)
    process.wait()
    path = trial.checkpoints[-1] / trial.random.choice(["model.safetensors", "trainer.pt", "manifest.json"])
    content = bytearray(path.read_bytes())
    if trial.random.random() < 0.5:
        del content[trial.random.randrange(len(content)) :]
    else:
        for _ in range(3):
            content[trial.random.randrange(len(content))] ^= 0x80
    path.write_bytes(content)
    said = trial.resume()
    if not any("skipped a broken checkpoint" in line and path.parent.name in line for line in said.splitlines()):
        raise LostError(f"did not say that {path.name} is broken: {said[:200]}")


def spoil_link(trial: Trial) -> None:
    """``last`` is gone, or points to nothing."""
    process = trial.started()
    trial.pause(process, 0.2)
    kill_all(process)
    process.wait()
    last = trial.run / "checkpoints" / "last"
    last.unlink(missing_ok=True)
    if trial.random.random() < 0.5 and last.parent.is_dir():
        last.symlink_to("step_00000999")
    trial.resume()


def cut_log(trial: Trial) -> None:
    """The last line of log.jsonl was written by half."""
    process = trial.started()
    trial.pause(process)
    kill_all(process)
    process.wait()
    log = trial.run / "log.jsonl"
    line = json.dumps({**json.loads(log.read_text().splitlines()[-1]), "step": 1000})
    with log.open("a") as file:
        file.write(line[: trial.random.randrange(1, len(line))])
    trial.resume()


def change_workers(trial: Trial) -> None:
    """The rest is trained with other data workers."""
    process = trial.started()
    trial.wait_for(process, lambda: bool(trial.checkpoints))
    trial.pause(process)
    kill_all(process)
    process.wait()
    trial.resume("--set", f"loader.workers={trial.random.randrange(3)}")


def blow_up(trial: Trial) -> None:
    """The loss overflows; the last good checkpoint must stay good."""
    rate = 10 ** trial.random.uniform(2.0, 3.0)
    trial.options = ("--set", f"train.optimizer={{name: sgd, lr: {rate:.1f}, weight_decay: 0.1}}")
    process = trial.start()
    trial.expect(process, 2)
    complaint = process.err.read_text()
    if "not finite" not in complaint or complaint.count("\n") != 1:
        raise LostError(f"the loss is not finite, and it says: {complaint[:200]}")
    checked = trial.toy.start(trial.place, command=("runs", "check"))
    trial.expect(checked, 0)
    tensors = read_weights(trial.checkpoints[-1] / "model.safetensors").tensors
    if not all(tensor.isfinite().all() for tensor in tensors.values() if tensor.is_floating_point()):
        raise LostError("the last checkpoint holds weights that are not finite")


def kill_rank(trial: Trial) -> None:
    """One of two processes."""
    process = trial.started()
    trial.pause(process)
    family = children(process.pid)
    own = set(family) - {pid for child in family for pid in children(child)}
    ranks = sorted(pid for pid in own if b"resource_tracker" not in command_line(pid))
    with contextlib.suppress(ProcessLookupError):
        if ranks:
            os.kill(trial.random.choice(ranks), signal.SIGKILL)
    trial.orphaned = True
    trial.hit = trial.expect(process, 2, 0) == 2
    trial.resume()


def command_line(pid: int) -> bytes:
    """Return how a process was started; nothing where it is gone."""
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    return b""


@attrs.frozen
class Kind:
    """One row of the table."""

    title: str
    tries: int
    fault: Callable[[Trial], None]
    nproc: int = 1
    on_disk: bool = False
    """Whether its run folder lies on a small disk of its own."""
    ends: bool = True
    """Whether there is a result to compare."""


KINDS = [
    Kind("SIGKILL of one of 2 processes", 6, kill_rank, nproc=2),
    Kind("SIGTERM to 2 processes", 6, stop(signal.SIGTERM), nproc=2),
    Kind("SIGKILL of all at any moment", 64, kill_any_time),
    Kind("SIGKILL of all, three times", 8, kill_often),
    Kind("SIGKILL of all during a save", 30, kill_in_save),
    Kind("SIGKILL of the training process alone", 12, kill_parent),
    *(Kind(n.name, 7, stop(n)) for n in CODES),
    Kind("SIGTERM in validation", 10, stop_in_validation_and_resume),
    Kind("SIGTERM in validation, then SIGKILL", 8, stop_in_validation_and_kill),
    Kind("two signals in a row", 12, stop_twice),
    Kind("SIGKILL of a data worker", 16, kill_worker),
    Kind("disk full", 12, fill_disk, on_disk=True),
    Kind("newest checkpoint corrupted", 15, corrupt),
    Kind("link `last` gone or dangling", 6, spoil_link),
    Kind("last line of the log cut", 6, cut_log),
    Kind("SIGKILL, then 0, 1 or 2 data workers", 9, change_workers),
    Kind("loss not finite (must stop)", 6, blow_up, ends=False),
]
