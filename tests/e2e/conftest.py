"""Run ``vf`` with the plugins that are installed, here or in processes of its own."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import attrs
import pytest

TOY = Path(__file__).parents[1] / "toy"


@pytest.fixture
def vf(typed: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., Any]:
    """Return a function that runs ``vf ARGUMENTS``; the working folder is empty."""
    monkeypatch.chdir(tmp_path)
    return typed


class Server:
    """tests/e2e/fork_server.py, in a process of its own."""

    def __init__(self) -> None:
        environment = {**os.environ, "PYTHONPATH": str(TOY), "OMP_NUM_THREADS": "1"}
        self._process = subprocess.Popen(
            [sys.executable, str(Path(__file__).with_name("fork_server.py"))],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=environment,
            text=True,
        )

    def ask(self, **request: Any) -> Any:
        """Send a request, return the answer."""
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.write(json.dumps(request) + "\n")
        self._process.stdin.flush()
        return json.loads(self._process.stdout.readline())

    def close(self) -> None:
        """End it."""
        self._process.communicate()


@pytest.fixture(scope="session")
def server() -> Iterator[Server]:
    """The process that all others are forked from."""
    server = Server()
    yield server
    server.close()


@attrs.define
class Process:
    """A ``vf`` that runs."""

    server: Server
    pid: int
    out: Path
    err: Path
    returncode: int | None = None

    def poll(self) -> int | None:
        """The exit code; None while it runs."""
        return self.wait(0)

    def wait(self, timeout: float = 120) -> int | None:
        """Return the exit code; None where it still runs after ``timeout`` seconds."""
        if self.returncode is None:
            self.returncode = self.server.ask(wait=self.pid, seconds=timeout)
        return self.returncode

    def send_signal(self, number: int) -> None:
        """Send a signal to the process, not to its children."""
        os.kill(self.pid, number)

    def kill_all(self) -> None:
        """Send SIGKILL to it and to all its children, as a machine does that dies."""
        os.killpg(self.pid, signal.SIGKILL)

    def communicate(self, timeout: float = 120) -> tuple[str, str]:
        """Wait; return stdout and stderr."""
        if self.wait(timeout) is None:
            self.kill_all()
            self.wait()
            pytest.fail(f"vf did not end in {timeout} s:\n{self.out.read_text()}\n{self.err.read_text()}")
        return self.out.read_text(), self.err.read_text()


@attrs.frozen
class Toy:
    """A folder in which ``vf`` knows the plugin tests/toy/vf_toy.py."""

    folder: Path
    server: Server

    def start(self, *arguments: str, command: tuple[str, ...] = ("run", "train"), **environment: str) -> Process:
        """Start ``vf run train ARGUMENTS`` in a session of its own."""
        number = len(list(self.folder.glob("*.out")))
        out, err = self.folder / f"{number}.out", self.folder / f"{number}.err"
        out.touch()
        site = self.folder / "site"
        path = os.pathsep.join([str(TOY), str(site)])  # for processes that it spawns
        pid = self.server.ask(
            folder=str(self.folder),
            site=str(site),
            arguments=[*command, *arguments],
            environment={"PYTHONPATH": path, **environment},
            out=str(out),
            err=str(err),
        )
        return Process(self.server, pid, out, err)

    def run(self, *arguments: str, **options: Any) -> tuple[int | None, str, str]:
        """Run ``vf run train ARGUMENTS``; return exit code, stdout and stderr."""
        process = self.start(*arguments, **options)
        out, err = process.communicate()
        return process.returncode, out, err


def make_toy(folder: Path, server: Server) -> Toy:
    """Make the plugin ``toy`` and the recipe toy.yaml."""
    info = folder / "site" / "vf_toy-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: vf-toy\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[vf]\ntoy = vf_toy\n")
    (folder / "toy.yaml").write_text(RECIPE)
    return Toy(folder, server)


@pytest.fixture
def toy(tmp_path: Path, server: Server) -> Toy:
    """A folder with the plugin ``toy`` and the recipe toy.yaml."""
    return make_toy(tmp_path, server)


@pytest.fixture(scope="module")
def lasting_toy(tmp_path_factory: pytest.TempPathFactory, server: Server) -> Toy:
    """The same for all tests of a file."""
    return make_toy(tmp_path_factory.mktemp("toy"), server)


RECIPE = """\
task: toy
model: {name: net, plain: true}
data: {name: squares, count: 26, val: 21}
augment: [{name: horizontal_flip}]
metrics: [{name: accuracy}]
train:
  length: 12 steps
  batch_size: 12
  optimizer: {name: sgd, lr: 0.05, momentum: 0.9, weight_decay: 0.01}
  schedule: {name: cosine, warmup: 2 steps}
  eval_every: 4 steps
  save_every: 3 steps
  log_every: 1
  clip_grad: 1.0
loader: {workers: 1, eval_batch_size: 4}
callbacks: [{name: ema, decay: 0.9, ramp: 3.0}]
"""
