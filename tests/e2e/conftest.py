"""Run ``vf`` with the plugins that are installed, here or in processes of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
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


@attrs.frozen
class Toy:
    """A folder in which ``vf`` knows the plugin tests/toy/vf_toy.py."""

    folder: Path

    def environment(self, **more: str) -> dict[str, str]:
        """What a ``vf`` of this folder needs."""
        path = os.pathsep.join([str(TOY), str(self.folder / "site")])
        return {**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1", **more}

    def start(self, *arguments: str, **environment: str) -> subprocess.Popen[str]:
        """Start ``vf run train ARGUMENTS`` in a session of its own."""
        return subprocess.Popen(
            [sys.executable, "-m", "vf_cli", "run", "train", *arguments],
            cwd=self.folder,
            env=self.environment(**environment),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def run(self, *arguments: str, **environment: str) -> tuple[int, str, str]:
        """Run ``vf run train ARGUMENTS``; return exit code, stdout and stderr."""
        process = self.start(*arguments, **environment)
        out, err = process.communicate(timeout=120)
        return process.returncode, out, err


@pytest.fixture
def toy(tmp_path: Path) -> Toy:
    """Make a folder with the plugin ``toy`` and the recipe toy.yaml."""
    info = tmp_path / "site" / "vf_toy-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: vf-toy\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[vf]\ntoy = vf_toy\n")
    (tmp_path / "toy.yaml").write_text(RECIPE)
    return Toy(tmp_path)


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
