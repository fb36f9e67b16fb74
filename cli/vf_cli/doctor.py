"""``vf doctor``: what this machine and this installation can do, and whether a training works at all."""

from __future__ import annotations

import importlib.metadata
import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from vf import __version__
from vf.console import Console
from vf.errors import SetupError
from vf.plugins import plugins

PACKAGES = ("torch", "torchvision", "opencv-python-headless", "numpy")
TRIAL = (sys.executable, "-m", "vf_cli", "run", "train", "--dry-run", "2", "--task")
"""Without the task: the first that is installed."""
QUICKSTART = "/quickstart"
TRIAL_SECONDS = 600


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def doctor(as_json: bool) -> None:
    """Say what is installed and what the machine has, then try a training of two batches."""
    facts = {**_versions(), **_machine(), **_plugins()}
    trial = (*TRIAL, _task())
    command = f"vf {' '.join(trial[3:])}"
    if not as_json:
        console = Console(sys.stdout)
        width = max(map(len, facts))
        for name, value in facts.items():
            console.say(f"{name.ljust(width)}  {value}")
        console.say(f"{'trial'.ljust(width)}  running '{command}' …")
    code, output = _trial(trial)
    if as_json:
        click.echo(json.dumps({**facts, "trial": "ok" if code == 0 else "failed", "output": output}, indent=1))
    elif code == 0:
        click.echo("ok    the trial went through: training, resuming, testing and predicting work")
    else:
        click.echo(output.rstrip(), err=True)
    if code != 0:
        raise SetupError(f"the trial '{command}' failed with exit code {code}; its output is above")


def _versions() -> dict[str, str]:
    found = {"vf": __version__, "python": platform.python_version()}
    for name in PACKAGES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            found[name] = "missing"
    return found


def _machine() -> dict[str, Any]:
    shared = Path("/dev/shm")
    return {
        "system": platform.platform(),
        **_torch(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "free /dev/shm": _free(shared) if shared.exists() else "none",
        "free disk": _free(Path.cwd()),
    }


def _torch() -> dict[str, Any]:
    """Ask torch; an installation that cannot be imported is a finding too."""
    try:
        import torch
    except (ImportError, OSError) as error:
        return {"device": f"torch cannot be imported: {error}", "threads": 0}
    names = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
    return {"device": ", ".join(names) or "cpu", "threads": torch.get_num_threads()}


def _free(path: Path) -> str:
    return f"{shutil.disk_usage(path).free / 2**30:.1f} GiB"


def _plugins() -> dict[str, str]:
    return {
        f"plugin {p.name}": " ".join(filter(None, [p.version, p.status, p.problem and f"({p.problem})"]))
        for p in plugins().found
    }


def _task() -> str:
    tasks = [name.removesuffix(QUICKSTART) for name in plugins().recipes if name.endswith(QUICKSTART)]
    if not tasks:
        raise SetupError("no plugin brings a recipe to try; install one: pip install vf-plugin-det")
    return tasks[0]


def _trial(trial: Sequence[str]) -> tuple[int, str]:
    """Run the trial in a folder that is thrown away; return its exit code and what it said."""
    with tempfile.TemporaryDirectory(prefix="vf-doctor-") as folder:
        try:
            done = subprocess.run(trial, cwd=folder, capture_output=True, text=True, timeout=TRIAL_SECONDS, check=False)
        except subprocess.TimeoutExpired:
            return 1, f"not done after {TRIAL_SECONDS} seconds"
    return done.returncode, done.stdout + done.stderr
