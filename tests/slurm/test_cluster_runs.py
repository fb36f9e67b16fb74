"""What a job on a real cluster trains, measures and predicts."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest


def losses(run: Path) -> list[float]:
    records = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
    return [r["loss"] for r in records if r["kind"] == "train"]


PLAIN = ("--set", "model.plain=true", "--set", "train.length=12 steps", "--set", "train.batch_size=12")
"""Without what draws numbers in each process."""


def test_two_nodes_of_two_tasks_train_to_the_losses_of_one_process(slurm: Any) -> None:
    plain = (*PLAIN, "--set", "train.accumulate=1")
    job = slurm.submit("toy.yaml", *plain, "--out", "many", "--nodes", "2", "--tasks-per-node", "2", "--time", "5min")
    assert slurm.vf("run", "train", "toy.yaml", *plain, "--out", "one").code == 0
    assert slurm.ended(job)["JobState"] == "COMPLETED", slurm.logs(job)
    out = slurm.of("many", job, "_0_log.out")
    assert "ranks 4 processes, started by srun; 3 images a step each, ddp" in out
    assert losses(slurm.folder / "many") == pytest.approx(losses(slurm.folder / "one"), abs=1e-5)
    assert slurm.events("many") == [(0, "started", 0), (0, "ended", 0)]
    assert [slurm.of("many", job, f"_{rank}_log.err") for rank in range(4)] == [""] * 4


def test_a_job_measures_and_predicts_too(slurm: Any) -> None:
    assert slurm.vf("run", "train", "toy.yaml", *PLAIN, "--out", "one").code == 0
    job = slurm.submit("one", "--json", "--out", "found.json", "--nodes", "2", action="test")
    here = slurm.vf("run", "test", "one", "--json")
    assert slurm.ended(job)["JobState"] == "COMPLETED", slurm.logs(job)
    assert json.loads(slurm.of("runs/test-001", job, "_0_log.out")) == json.loads(here.out)
    assert (slurm.folder / "found.json").is_file()
    assert not (slurm.folder / "runs/test-001/recipe.yaml").exists()  # no training


def test_a_job_predicts_where_a_command_would(slurm: Any) -> None:
    assert slurm.vf("run", "train", "toy.yaml", *PLAIN, "--out", "one").code == 0
    Path("images").mkdir()
    cv2.imwrite("images/a.png", np.full((12, 12, 3), 200, np.uint8))
    job = slurm.submit("one", "images", "--out", "cluster", "--gpus-per-node", "2", "--device", "cpu", action="infer")
    assert slurm.vf("run", "infer", "one", "images", "--out", "here").code == 0
    assert slurm.ended(job)["JobState"] == "COMPLETED", slurm.logs(job)
    for name in ("predictions.json", "a.png.jpg"):
        assert Path("cluster", name).read_bytes() == Path("here", name).read_bytes()
