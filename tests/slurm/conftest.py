"""A real Slurm inside this machine, and ``vf`` with the plugin tests/toy in a folder that jobs of it can use.

Tests that ask for `slurm` run with VF_TEST_SLURM=1 alone, which installs and starts one (root, Debian).
"""

from __future__ import annotations

import contextlib
import fcntl
import functools
import importlib.metadata
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import attrs
import pytest

import vf.plugins
from vf.plugins import Plugins

HERE = Path(__file__).parent
TOY = HERE.parent / "toy"
USERS = Path("/run/vf-slurm-tests")
"""A file for each process of pytest that uses the cluster, and one where they started it."""
PATIENCE = 240.0
"""Seconds that a job may take on a busy machine."""


@contextlib.contextmanager
def locked(name: str) -> Iterator[None]:
    """Let one process at a time in."""
    with Path(f"/run/vf-slurm-{name}.lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _why_not() -> str:
    if os.geteuid() != 0:
        return "a Slurm cluster inside this machine needs root"
    if os.environ.get("VF_TEST_SLURM") != "1":
        return "takes minutes and a Slurm of its own; VF_TEST_SLURM=1 installs one and runs it (root, Debian)"
    return ""


def _script(name: str) -> None:
    done = subprocess.run([HERE / "cluster" / name], capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.fixture(scope="session")
def running() -> Iterator[None]:
    """Start the cluster if nobody has; the last process of pytest that uses it stops it if one of them started it."""
    if reason := _why_not():
        pytest.skip(reason)
    USERS.mkdir(exist_ok=True)
    own, started = USERS / str(os.getpid()), USERS / "started"
    with locked("users"):
        if subprocess.run(["sinfo"], capture_output=True, check=False).returncode if shutil.which("sinfo") else 1:
            started.touch()
        _script("start")
        own.touch()
    yield
    with locked("users"):
        own.unlink()
        others = [p for p in USERS.iterdir() if p.name.isdecimal() and Path(f"/proc/{p.name}").exists()]
        if started.exists() and not others:
            started.unlink()
            _script("stop")


def command(*words: str) -> str:
    """Run one of Slurm's commands; return what it says."""
    done = subprocess.run(words, capture_output=True, text=True, check=False, timeout=60)
    return done.stdout + done.stderr


@attrs.frozen
class Said:
    """What a command left behind."""

    code: int
    out: str
    err: str


@attrs.frozen
class Slurm:
    """The cluster, with ``vf`` in a folder of its own."""

    folder: Path
    vf: Callable[..., Any]

    def submit(self, *arguments: str, action: str = "train") -> str:
        """Run ``vf run ACTION ARGUMENTS --launcher slurm``; return the id of the job."""
        said = self.vf("run", action, *arguments, "--launcher", "slurm")
        assert (said.code, said.err) == (0, ""), said
        found = re.search(r"^job   (\d+): ", said.out, re.MULTILINE)
        assert found
        return found[1]

    def facts(self, job: str) -> dict[str, str]:
        """Return what scontrol knows of a job."""
        return dict(re.findall(r"(\w+)=(\S+)", command("scontrol", "-o", "show", "job", job)))

    def wait(self, job: str, *states: str, restarts: int = 0) -> dict[str, str]:
        """Wait for one of these states, at a start of this number or a later one."""
        return self.until(
            lambda: (f := self.facts(job))["JobState"] in states and int(f["Restarts"]) >= restarts and f, job
        )

    def ended(self, job: str) -> dict[str, str]:
        """Wait for the end of a job."""
        return self.wait(job, "COMPLETED", "FAILED", "CANCELLED", "TIMEOUT", "NODE_FAIL", "PREEMPTED")

    def until(self, condition: Callable[[], Any], job: str) -> Any:
        """Return what the condition gives, once it is something."""
        limit = time.monotonic() + PATIENCE
        while not (value := condition()):
            assert time.monotonic() < limit, f"{self.facts(job)}\n{self.logs(job)}"
            time.sleep(0.5)
        return value

    def logs(self, job: str) -> str:
        """Return everything that a job wrote."""
        files = sorted(self.folder.glob(f"*/slurm/{job}*.*")) + sorted(self.folder.glob(f"runs/*/slurm/{job}*.*"))
        return "".join(
            f"--- {file.name}\n{file.read_text()}" for file in files if file.suffix in (".log", ".out", ".err")
        )

    def of(self, run: str, job: str, name: str) -> str:
        """Return one of the logs of a job: ``.log``, ``_0_log.out`` …"""
        return (self.folder / run / "slurm" / f"{job}{name}").read_text()

    def events(self, run: str) -> list[tuple[int, str, int]]:
        """Return start, event and exit code of what the batch script noted."""
        lines = (self.folder / run / "slurm" / "events.jsonl").read_text().splitlines()
        return [(e["start"], e["event"], e["code"]) for e in map(json.loads, lines)]

    def steps(self, run: str) -> int:
        """Return how many steps are logged."""
        log = self.folder / run / "log.jsonl"
        return log.read_text().count('"kind": "train"') if log.is_file() else 0

    def hurry(self, run: str) -> None:
        """Let later starts of a run not wait for images; what it computes stays the same."""
        for name in ("recipe.yaml", "job.json"):
            path = self.folder / run / name
            fresh = path.with_name(f".{name}.hurried")
            fresh.write_text(re.sub(r"\bseconds: [0-9.]+", "seconds: 0.0", path.read_text()))
            fresh.replace(path)

    def begun(self, run: str, job: str, steps: int = 3) -> None:
        """Wait until a job has trained some steps."""
        self.until(lambda: self.steps(run) >= steps or self.facts(job)["JobState"] == "FAILED", job)

    def requeues(self, job: str) -> int:
        """Return how often accounting saw a job requeued."""
        states = command("sacct", "-nXDP", "-j", job, "-o", "State").split()
        return sum(state in ("REQUEUED", "PREEMPTED", "NODE_FAIL") for state in states)

    def tasks(self, job: str, rank: int) -> list[int]:
        """Return the processes of one task: itself first, then what it started."""
        wanted = {f"SLURM_JOB_ID={job}".encode(), f"SLURM_PROCID={rank}".encode()}
        found = []
        for path in Path("/proc").glob("[0-9]*/environ"):
            with contextlib.suppress(OSError):
                is_task = wanted <= set(path.read_bytes().split(b"\0"))
                if is_task and b"vf_slurm.task" in path.with_name("cmdline").read_bytes():
                    found.append(int(path.parent.name))
        return sorted(found)

    def kill_slurmd(self, node: str) -> None:
        """Kill the daemon of a machine, whose tasks live on."""
        os.kill(int(Path(f"/run/slurm/slurmd-{node}.pid").read_text()), signal.SIGKILL)

    def repair(self) -> None:
        """Start what a test ended."""
        _script("start")


BOMB = '''
import json
import os
import time
import vf
from vf.engine.callbacks import Callback

VF_API = 1

class Bomb(Callback):
    def after_step(self, state):
        if state.step == 4 and os.environ.get("SLURM_PROCID") == "1":
            raise ValueError("planted")

@vf.config
class BombConfig:
    """Raises in one process."""
    def build(self):
        return Bomb()

class Dawdle(Callback):
    def on_end(self, state):
        (state.folder / "dawdles").touch()
        time.sleep(2)

@vf.config
class DawdleConfig:
    """Takes its time when all is done."""
    def build(self):
        return Dawdle()

class Witness(Callback):
    def on_start(self, state):
        path = state.folder / f"witness_{state.ranks.world.rank}.json"
        path.write_text(json.dumps(dict(os.environ)))

@vf.config
class WitnessConfig:
    """Writes down what a process sees."""
    def build(self):
        return Witness()

@vf.hookimpl
def vf_callbacks():
    return {"bomb": BombConfig, "dawdle": DawdleConfig, "witness": WitnessConfig}
'''
RECIPE = """\
task: toy
model: {name: net}
data: {name: squares, count: 26, val: 7}
augment: [{name: horizontal_flip}]
metrics: [{name: accuracy}]
train:
  length: 48 steps
  batch_size: 8
  accumulate: 2
  optimizer: {name: adamw, lr: 0.01}
  schedule: {name: cosine, warmup: 8 steps}
  eval_every: 20 steps
  save_every: 16 steps
  log_every: 1
  best: confidence
loader: {workers: 1, eval_batch_size: 4}
callbacks: [{name: ema, decay: 0.99, ramp: 50.0}]
"""


def install(site: Path) -> None:
    """Make the plugins ``toy`` and ``bomb``."""
    for name in ("toy", "bomb"):
        info = site / f"vf_{name}-1.0.dist-info"
        info.mkdir(parents=True)
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: vf-{name}\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text(f"[vf]\n{name} = vf_{name}\n")
    (site / "vf_bomb.py").write_text(BOMB)


@pytest.fixture
def folder(tmp_path: Path, typed: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder in which ``vf`` and its jobs know the plugins toy and bomb, and toy.yaml lies."""
    site, work = tmp_path / "site", tmp_path / "work"
    install(site)
    work.mkdir()
    (work / "toy.yaml").write_text(RECIPE)
    monkeypatch.chdir(work)
    for name in ("RANK", "WORLD_SIZE", "GPUS", "GPUS_PER_NODE", "CPUS_PER_TASK", "SRUN_ARGS", "MASTER_PORT"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(TOY), str(site)]))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    for path in (site, TOY):
        monkeypatch.syspath_prepend(path)
    monkeypatch.setattr(vf.plugins, "_discover", functools.cache(Plugins))
    for name in ("vf_bomb", "vf_toy"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    assert importlib.metadata.version("vf-bomb") == "1.0"
    return work


@pytest.fixture
def slurm(running: None, folder: Path, typed: Callable[..., Any]) -> Iterator[Slurm]:
    """The cluster, for one test at a time; what a test leaves is cancelled."""
    with locked("cluster"):
        yield Slurm(folder, typed)
        command("scancel", "--signal=KILL", "--full", "--user", "root")
        command("scancel", "--user", "root")


@pytest.fixture
def vf_here(folder: Path, typed: Callable[..., Any]) -> Callable[..., Any]:
    """``vf`` in that folder, with no cluster."""
    return typed
