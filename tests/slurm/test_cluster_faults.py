"""What ends a job on a real cluster, and that the run which goes on equals the one that nobody touched, bit by bit."""

from __future__ import annotations

import importlib.util
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

SPEC = importlib.util.spec_from_file_location("slurm_ends", Path(__file__).parents[1] / "e2e" / "test_resume.py")
assert SPEC is not None
assert SPEC.loader is not None
ends: Any = importlib.util.module_from_spec(SPEC)
sys.modules["slurm_ends"] = ends
SPEC.loader.exec_module(ends)

TWO = ("--nodes", "2", "--time", "10min")
"""Two machines with a process each."""
SLOW = ("--set", "data.seconds=0.15")
"""Tensors do not depend on how long an image takes."""


@pytest.fixture(scope="module")
def untouched(running: None, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What the undisturbed run of two processes ends with; filled in by the first test that needs it."""
    return {}


def assert_same(slurm: Any, untouched: dict[str, Any], run: str, job: str) -> None:
    """Compare a run with one that nobody touched, tensor by tensor."""
    if not untouched:
        calm = slurm.submit("toy.yaml", *TWO, "--out", "calm")
        assert slurm.ended(calm)["JobState"] == "COMPLETED", slurm.logs(calm)
        untouched["end"] = ends.end_of(slurm.folder / "calm")
    end = ends.end_of(slurm.folder / run)
    assert len([r for r in end.records if r["kind"] == "train"]) == 48
    ends.assert_same_end(end, untouched["end"])


def test_the_limit_of_time_saves_requeues_once_and_goes_on(slurm: Any, untouched: Any) -> None:
    # Told between 10 and 40 s after its start, of which importing torch takes a part; it would take two minutes.
    slow = ("--set", "data.seconds=0.6", "--nodes", "2", "--time", "1min", "--notice", "20s")
    job = slurm.submit("toy.yaml", *slow, "--out", "run")
    slurm.begun("run", job, steps=1)
    slurm.hurry("run")
    slurm.wait(job, "PENDING", restarts=1)
    assert slurm.ended(job)["JobState"] == "COMPLETED", slurm.logs(job)
    restarts = int(slurm.facts(job)["Restarts"])
    told = [event for event in slurm.events("run") if event[1] == "requeued"]
    assert len(told) == restarts == slurm.requeues(job)
    assert "stopped at step" in slurm.of("run", job, "_0_log.out")
    assert f"vf: saved and requeued ({restarts} of at most 100 times)" in slurm.of("run", job, ".log")
    assert_same(slurm, untouched, "run", job)


def test_a_job_that_is_pre_empted_saves_makes_room_and_goes_on(slurm: Any, untouched: Any) -> None:
    job = slurm.submit("toy.yaml", *SLOW, *TWO, "--partition", "preempt", "--out", "run")
    slurm.begun("run", job)
    slurm.hurry("run")
    urgent = subprocess.run(
        ["sbatch", "--parsable", "-p", "urgent", "-N2", "--exclusive", "-o", "/dev/null", "--wrap", "sleep 2"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout.strip()
    assert slurm.ended(urgent)["JobState"] == "COMPLETED"
    assert slurm.ended(job)["JobState"] == "COMPLETED", slurm.logs(job)
    assert int(slurm.facts(job)["Restarts"]) == 1 == slurm.requeues(job)
    assert [(s, e) for s, e, _ in slurm.events("run")] == [
        (0, "started"), (0, "requeued"), (1, "started"), (1, "ended")
    ]  # fmt: skip
    assert re.search(r"^stopped at step \d+: SIGUSR2$", slurm.of("run", job, "_0_log.out"), re.MULTILINE)
    assert_same(slurm, untouched, "run", job)


def test_scancel_ends_a_job_for_good(slurm: Any) -> None:
    job = slurm.submit("toy.yaml", *SLOW, *TWO, "--out", "run")
    slurm.begun("run", job)
    subprocess.run(["scancel", job], check=True)
    assert slurm.ended(job)["JobState"] == "CANCELLED"
    time.sleep(8)  # in which a requeued job would wait
    assert slurm.facts(job)["JobState"] == "CANCELLED"
    assert slurm.facts(job)["Restarts"] == "0"
    assert all(event != "requeued" for _, event, _ in slurm.events("run"))


def test_a_killed_rank_ends_all_is_named_and_what_it_left_goes_on(slurm: Any, untouched: Any) -> None:
    job = slurm.submit("toy.yaml", *SLOW, *TWO, "--out", "run", "--set", "train.save_every=2 steps")
    slurm.begun("run", job, steps=6)
    slurm.hurry("run")
    os.kill(slurm.tasks(job, 1)[0], signal.SIGKILL)
    facts = slurm.ended(job)
    assert (facts["JobState"], facts["Restarts"]) == ("FAILED", "0")
    assert re.search(r"^vf: failed first: node2: task 1: Killed$", slurm.of("run", job, ".log"), re.MULTILINE)
    resumed = slurm.vf("run", "train", "--resume", "run", "--launcher", "slurm", "--nodes", "2", "--time", "10min")
    assert resumed.code == 0, resumed
    again = re.search(r"^job   (\d+):", resumed.out, re.MULTILINE)
    assert again
    assert slurm.ended(again[1])["JobState"] == "COMPLETED", slurm.logs(again[1])
    assert_same(slurm, untouched, "run", again[1])


def test_an_exception_does_not_requeue_and_the_rank_that_raised_is_named(slurm: Any) -> None:
    bomb = ("--set", "callbacks=[{name: bomb}]")
    job = slurm.submit("toy.yaml", *bomb, "--nodes", "2", "--tasks-per-node", "2", "--time", "5min", "--out", "run")
    facts = slurm.ended(job)
    assert (facts["JobState"], facts["Restarts"]) == ("FAILED", "0")
    log = slurm.of("run", job, ".log")
    assert re.search(r"^vf: failed first: rank 1 on node1: ValueError: planted$", log, re.MULTILINE), slurm.logs(job)
    assert (slurm.folder / "run" / "slurm" / f"{job}.0.error").read_text() == log.splitlines()[-1] + "\n"
    told = slurm.vf("slurm", "status", "run")
    assert "note  run: rank 1 on node1: ValueError: planted\n" in told.out, told
    logs = slurm.vf("slurm", "logs", "-f", "run").out
    assert f"==> run/slurm/{job}_1_log.err <==\nTraceback" in logs
    assert f"==> run/slurm/{job}_2_log.err <==" not in logs
    assert slurm.events("run")[-1][1:] in (("ended", 1), ("ended", 2), ("ended", 143), ("ended", 137))


def test_a_slurmd_that_dies_requeues_and_the_ranks_that_live_on_give_way(slurm: Any, untouched: Any) -> None:
    slow = ("--set", "data.seconds=0.6", "--set", "train.save_every=2 steps")
    job = slurm.submit("toy.yaml", *slow, *TWO, "--out", "run")
    slurm.begun("run", job)
    left = [*slurm.tasks(job, 0), *slurm.tasks(job, 1)]
    slurm.hurry("run")
    slurm.kill_slurmd("node1")  # the machine of rank 0
    try:
        slurm.until(lambda: int(slurm.facts(job)["Restarts"]) == 1, job)
    finally:
        slurm.repair()
    assert slurm.ended(job)["JobState"] == "COMPLETED", slurm.logs(job)
    assert not [pid for pid in left if Path(f"/proc/{pid}").exists() and b"vf_slurm" in _cmdline(pid)]
    assert_same(slurm, untouched, "run", job)


def _cmdline(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""


def test_at_most_so_many_requeues(slurm: Any) -> None:
    job = slurm.submit("toy.yaml", *SLOW, "--time", "10min", "--max-requeues", "1", "--out", "run")
    for restarts in (0, 1):
        slurm.wait(job, "RUNNING", restarts=restarts)
        slurm.begun("run", job, steps=3 if restarts == 0 else slurm.steps("run") + 2)
        subprocess.run(["scancel", "--signal=USR2", job], check=True)
        if restarts == 0:
            slurm.until(lambda: int(slurm.facts(job)["Restarts"]) == 1, job)
    facts = slurm.ended(job)
    assert (facts["JobState"], facts["Restarts"]) == ("FAILED", "1"), slurm.logs(job)
    assert "vf: not requeued: this was start 2, and max_requeues is 1\n" in slurm.of("run", job, ".log")
