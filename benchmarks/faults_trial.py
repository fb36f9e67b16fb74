"""What benchmarks/faults.py does harm to: trainings of two seconds, how to start them, and what they end with."""

from __future__ import annotations

import contextlib
import hashlib
import importlib.util
import json
import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random
from typing import Any

import attrs
import torch

from vf.engine.checkpoint import read_trainer, read_weights
from vf.engine.signals import CODES

SCRIPT = Path(__file__).parents[1] / "tests" / "e2e" / "conftest.py"
spec = importlib.util.spec_from_file_location("faults_conftest", SCRIPT)
assert spec is not None
assert spec.loader is not None
e2e: Any = importlib.util.module_from_spec(spec)
spec.loader.exec_module(e2e)

STEPS = 64
RECIPE = f"""\
task: toy
model: {{name: net}}
data: {{name: squares, count: 26, val: 21, seconds: 0.002, val_seconds: 0.004}}
augment: [{{name: horizontal_flip}}]
metrics: [{{name: accuracy}}]
train:
  length: {STEPS} steps
  batch_size: 12
  accumulate: 2
  optimizer: {{name: adamw, lr: 0.05, weight_decay: 10.0}}
  schedule: {{name: cosine, warmup: 10 steps}}
  eval_every: 6 steps
  save_every: 5 steps
  log_every: 1
  clip_grad: 1.0
  best: confidence
loader: {{workers: 2, eval_batch_size: 4}}
callbacks: [{{name: ema, decay: 0.3, ramp: 5.0}}]
"""
PATIENCE = 90.0
"""Seconds after which a run counts as one that hangs."""
ORPHANS = 5.0
"""Seconds in which what a run has started must be gone after it."""
CLOCKS = ("images_per_s", "data_wait", "time")
"""Keys of log.jsonl that differ from run to run."""


class LostError(Exception):
    """A run did not come to its end as it should."""


def outcome(run: Path) -> dict[str, Any]:
    """Name everything that a finished run is measured by; tensors as hashes of their bytes."""
    found: dict[str, Any] = {}
    for link in ("last", "best"):
        checkpoint = run / "checkpoints" / link
        found[link] = checkpoint.resolve().name
        found |= flat(f"{link}.model", read_weights(checkpoint / "model.safetensors").tensors)
        found |= flat(f"{link}.trainer", read_trainer(checkpoint))
    records = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
    found |= flat("log", [{k: v for k, v in record.items() if k not in CLOCKS} for record in records])
    return found


def flat(name: str, tree: Any) -> dict[str, Any]:
    """Return the leaves of nested mappings and lists by dotted name."""
    if isinstance(tree, torch.Tensor):
        raw = tree.contiguous().flatten().view(torch.uint8).numpy().tobytes()
        return {name: (tree.dtype, tuple(tree.shape), hashlib.sha256(raw).hexdigest())}
    if not isinstance(tree, dict | list | tuple):
        return {name: repr(tree)}
    items = tree.items() if isinstance(tree, dict) else enumerate(tree)
    out = {f"{name}.size": len(tree)}
    for key, value in items:
        out |= flat(f"{name}.{key}", value)
    return out


def different(one: dict[str, Any], other: dict[str, Any]) -> list[str]:
    """Return the names of what is not bitwise the same."""
    return sorted(name for name in one.keys() | other.keys() if one.get(name) != other.get(name))


def family(session: int) -> list[int]:
    """Return the processes that live in a session, whoever their parents are by now."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            state, _, _, own = stat.read_text().rpartition(")")[2].split()[:4]
            if int(own) == session and state != "Z":
                found.append(int(stat.parent.name))
    return found


def children(pid: int) -> list[int]:
    """Return the processes that a process has started itself, the oldest first."""
    with contextlib.suppress(OSError):
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    return []


def lives(pid: int) -> bool:
    """Tell a process that runs from one that ended, waited for or not."""
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    return False


@attrs.define
class Trial:
    """One training that something happens to."""

    toy: Any
    random: Random
    nproc: int = 1
    seconds: float = 0.0
    """That the undisturbed training takes from its first line in the log on."""
    log_size: int = 0
    """Bytes of its log."""
    place: str = "run"
    """Of the run folder."""
    options: tuple[str, ...] = ()
    orphaned: bool = False
    """Whether the fault leaves data workers without their parent; they end with complaints of their own."""
    hit: bool = True
    """Whether the fault came where it was meant to, as far as it can be seen."""

    @property
    def run(self) -> Path:
        """The run folder."""
        return Path(self.toy.folder) / self.place

    @property
    def checkpoints(self) -> list[Path]:
        """Whole checkpoints, the oldest first."""
        return sorted((self.run / "checkpoints").glob("step_*"))

    @property
    def finished(self) -> bool:
        """Whether the last step is saved."""
        return (self.run / "checkpoints" / "last").resolve().name == f"step_{STEPS:08d}"

    def start(self, *options: str) -> Any:
        """Type the command that starts the run, and goes on with it when typed again."""
        many = ("--nproc", str(self.nproc)) if self.nproc > 1 else ()
        return self.toy.start("faults.yaml", "--out", self.place, "--resume", *many, *self.options, *options)

    def started(self) -> Any:
        """Start, and wait for the first step."""
        process = self.start()
        self.wait_for(process, lambda: bool(self._logged()))
        return process

    def _logged(self) -> int:
        log = self.run / "log.jsonl"
        return log.stat().st_size if log.is_file() else 0

    def resume(self, *options: str) -> str:
        """Go on to the end; return what was said. LostError where there is none."""
        short = self.nproc == 1 and bool(self.checkpoints) and (bool(options) or self.random.random() < 0.5)
        process = self.toy.start("--resume", self.place, *options) if short else self.start(*options)
        self.expect(process, 0)
        return str(process.out.read_text())

    def expect(self, process: Any, *codes: int) -> int:
        """Wait for the end, in which nothing may be left over; LostError where the exit code is another."""
        code = process.wait(PATIENCE)
        if code is None:
            kill_all(process)
            process.wait()
            raise LostError(f"still runs after {PATIENCE:.0f} s")
        self.expect_nobody(process.pid)
        complaint = process.err.read_text().strip()
        if code not in codes:
            raise LostError(f"exit code {code}: {complaint[-300:]}")
        if "Traceback" in complaint and not self.orphaned:
            raise LostError(f"a traceback beside exit code {code}: {complaint[-300:]}")
        return int(code)

    def expect_nobody(self, session: int) -> None:
        """LostError where a process of the run lives on for more than a few seconds."""
        limit = time.monotonic() + ORPHANS
        while left := family(session):
            if time.monotonic() > limit:
                for pid in left:
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(pid, signal.SIGKILL)
                raise LostError(f"{len(left)} processes live on {ORPHANS:.0f} s later")
            time.sleep(0.02)

    def expect_stop(self, process: Any, *numbers: int) -> None:
        """Wait for the exit code that these signals ask for; a run that was over before they came may say 0."""
        wanted = {CODES[signal.Signals(number)] for number in numbers}
        # What a process answers that has saved its last step is what any program answers.
        late = (0, *(-number for number in numbers)) if self.nproc == 1 else (0, 2)
        code = self.expect(process, *wanted, *late)
        self.hit = code in wanted
        if not self.hit and not self.finished:
            raise LostError(f"exit code {code}: {process.err.read_text()[-300:]}")

    def pause(self, process: Any, first: float = 0.0, last: float = 0.9) -> None:
        """Return at a random moment between two parts of the training, which its log tells."""
        size = self.random.uniform(first, last) * self.log_size
        self.wait_for(process, lambda: self._logged() >= size)
        time.sleep(self.random.uniform(0.0, 2.0 * self.seconds / STEPS))

    def wait_for(self, process: Any, condition: Callable[[], bool]) -> bool:
        """Return when the condition holds, and whether it came before the end of the process."""
        limit = time.monotonic() + PATIENCE
        while not condition():
            if not lives(process.pid) or time.monotonic() > limit:
                return condition()
            time.sleep(0.0005)
        return True

    def wait_for_validation(self, process: Any) -> bool:
        """Return when it has data workers of a second kind."""
        return self.wait_for(process, lambda: len(children(process.pid)) > 2)


def kill_all(process: Any) -> None:
    """Send SIGKILL to a run with all that it started."""
    with contextlib.suppress(ProcessLookupError):
        process.kill_all()


def make_trial(folder: Path, server: Any, random: Random, **facts: Any) -> Trial:
    """Make a folder with plugin and recipe; ``facts`` are fields of :class:`Trial`."""
    folder.mkdir(parents=True)
    toy = e2e.make_toy(folder, server)
    (folder / "faults.yaml").write_text(RECIPE)
    return Trial(toy, random, **facts)


@attrs.frozen
class Reference:
    """The undisturbed run."""

    outcome: dict[str, Any]
    seconds: float
    log_size: int


def undisturbed(folder: Path, server: Any, nproc: int) -> Reference:
    """Train without any fault."""
    trial = make_trial(folder, server, Random(0), nproc=nproc)
    process = trial.started()
    began = time.monotonic()
    trial.expect(process, 0)
    seconds = time.monotonic() - began
    return Reference(outcome(trial.run), seconds, (trial.run / "log.jsonl").stat().st_size)


@contextlib.contextmanager
def fork_server() -> Iterator[Any]:
    """Start the process that all runs of a thread are forked from."""
    server = e2e.Server()
    try:
        yield server
    finally:
        server.close()
