"""A job that is started again and again as it was written goes on from the newest good checkpoint."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import attrs

from vf.launch import NEWEST, Job

TOY = Path(__file__).parents[1] / "toy"


def work(folder: Path, job: Path) -> subprocess.CompletedProcess[str]:
    path = os.pathsep.join([str(TOY), str(folder / "site")])
    environment = {**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "vf.worker", str(job)]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)


def test_a_job_goes_on_from_the_newest_good_checkpoint(toy: Any) -> None:
    code, out, _ = toy.run("toy.yaml", "--out", "run", "--set", "train.keep=9")
    assert code == 0, out
    run = toy.folder / "run"
    (run / "job.json").write_text(attrs.evolve(Job.read(run / "job.json"), checkpoint=NEWEST).text())
    (run / "checkpoints/step_00000012/trainer.pt").write_bytes(b"")
    done = work(toy.folder, run / "job.json")
    assert (done.returncode, done.stderr) == (0, "")
    assert (
        "skipped a broken checkpoint: run/checkpoints/step_00000012/trainer.pt: has 0 bytes, expected " in done.stdout
    )
    assert "at step 9 of 12" in done.stdout


def test_a_job_without_any_checkpoint_begins(toy: Any) -> None:
    run = toy.folder / "run"
    run.mkdir()
    code, out, _ = toy.run("toy.yaml", "--out", "other")
    assert code == 0, out
    job = attrs.evolve(Job.read(toy.folder / "other/job.json"), folder=str(run), checkpoint=NEWEST)
    done = work(toy.folder, job.write())
    assert (done.returncode, done.stderr) == (0, "")
    assert "resumed" not in done.stdout
    assert (run / "checkpoints/last").resolve().name == "step_00000012"
