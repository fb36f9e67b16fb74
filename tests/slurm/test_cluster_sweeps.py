"""Sweeps as arrays of jobs on a real cluster, and what ``vf slurm`` does with real jobs."""

from __future__ import annotations

import importlib.util
import re
import sys
from pathlib import Path
from typing import Any

SPEC = importlib.util.spec_from_file_location("sweep_ends", Path(__file__).parents[1] / "e2e" / "test_resume.py")
assert SPEC is not None
assert SPEC.loader is not None
ends: Any = importlib.util.module_from_spec(SPEC)
sys.modules["sweep_ends"] = ends
SPEC.loader.exec_module(ends)

SHORT = ("--set", "train.length=24 steps", "--set", "train.eval_every=8 steps")


def array(slurm: Any, *arguments: str) -> str:
    """Submit a sweep; return the id of the array."""
    said = slurm.vf("run", "train", "toy.yaml", *arguments, "--launcher", "slurm", "--time", "10min")
    assert (said.code, said.err) == (0, ""), said
    found = re.search(r"^job   (\d+): an array of ", said.out, re.MULTILINE)
    assert found
    return found[1]


def test_each_run_of_a_sweep_is_requeued_and_resumed_by_itself(slurm: Any) -> None:
    sweep = ("--sweep", "seed=3,4", *SHORT)
    job = array(slurm, *sweep, "--out", "many", "--set", "data.seconds=0.15")
    slurm.begun("many/seed=3", f"{job}_0")
    slurm.hurry("many/seed=3")
    assert slurm.vf("slurm", "requeue", "many/seed=3").code == 0
    slurm.wait(f"{job}_0", "PENDING", "RUNNING", "COMPLETED", restarts=1)
    for element in (f"{job}_0", f"{job}_1"):
        assert slurm.ended(element)["JobState"] == "COMPLETED", slurm.logs(job)
    assert [slurm.facts(f"{job}_{n}")["Restarts"] for n in (0, 1)] == ["1", "0"]
    assert slurm.of("many/seed=3", f"{job}_0", ".log").count("vf: saved and requeued (1 of") == 1
    assert slurm.vf("run", "train", "toy.yaml", *SHORT, "--seed", "3", "--out", "here").code == 0
    ends.assert_same_end(ends.end_of(slurm.folder / "many/seed=3"), ends.end_of(slurm.folder / "here"))
    told = slurm.vf("slurm", "status", "many").out
    assert re.findall(r"(\S+)  +\d+_\d  (\w+) +24 +(\d)", told) == [
        ("many/seed=3", "COMPLETED", "2"), ("many/seed=4", "COMPLETED", "1")
    ]  # fmt: skip
    again = slurm.vf("run", "train", "toy.yaml", *sweep, "--out", "many", "--resume", "--launcher", "slurm")
    assert again.code == 2
    assert again.err.startswith("error: --resume: many/seed=4 was trained with other values of data.seconds; choose")
    again = slurm.vf("run", "train", "--resume", "many", "--launcher", "slurm")
    assert again.out.startswith("sweep many: 2 of 2 runs are finished\n")


def test_a_sweep_is_one_array_of_which_so_many_run_at_a_time(slurm: Any) -> None:
    sweep = ("--sweep", "seed=0,1,2", "--max-parallel", "2", "--additional", "hold=true", "--out", "many")
    job = array(slurm, *sweep)
    assert slurm.facts(job)["ArrayTaskId"] == "0-2%2"
    said = slurm.vf("run", "train", "--resume", "many", "--launcher", "slurm")
    assert said.out == (
        "sweep many: 0 of 3 runs are finished\nnote  3 of them wait or run already\nnext  vf slurm status many\n"
    )
    said = slurm.vf("slurm", "cancel", "many/seed=1")
    assert (said.code, said.out) == (0, f"cancelled job {job}_1 of many/seed=1\n")
    said = slurm.vf("run", "train", "--resume", "many", "--launcher", "slurm", "--additional", "hold=true")
    assert "note  2 of them wait or run already\n" in said.out
    found = re.search(r"^job   (\d+): an array of 1 run, each on 1 node", said.out, re.MULTILINE)
    assert found, said
    assert (slurm.folder / "many/slurm/code-2/vf_toy.py").is_file()  # the others still run the first copy
    assert f"{found[1]}_0" in slurm.vf("slurm", "status", "many").out
    assert slurm.vf("slurm", "cancel", "many").code == 0


def test_what_slurm_refuses_of_a_sweep_leaves_nothing(slurm: Any) -> None:
    sweep = ("run", "train", "toy.yaml", "--sweep", "seed=0,1", "--launcher", "slurm", "--out", "many")
    said = slurm.vf(*sweep, "--partition", "nope")
    assert (said.code, said.out, said.err) == (
        2,
        "",
        "error: Slurm does not take the job: Invalid partition name specified; invalid partition specified: nope\n",
    )
    assert not Path("many").exists()


def test_the_doctor_reads_the_settings_of_this_cluster(slurm: Any) -> None:
    said = slurm.vf("slurm", "doctor")
    assert (said.code, said.err) == (0, "")
    assert re.sub(r"\d+\.\d+\.\d+", "V", said.out) == (
        "ok       Slurm V, cluster vftest\n"
        "ok       jobs are requeued: after a save by themselves, after the loss of a machine by Slurm\n"
        "note     a requeued job waits 5 s at least (AuthInfo: cred_expire)\n"
        "ok       a pre-empted job is told by the signal that it asked for (preempt_send_user_signal)\n"
        "warning  after 'vf slurm cancel' a job has 10 s to save (KillWait); ask for KillWait=30, or save often: "
        "train.save_minutes\n"
        "note     a machine that falls silent is given up after 30 s (SlurmdTimeout)\n"
        "ok       sacct tells of jobs that are over\n"
        "ok       a sweep may have 1000 runs (MaxArraySize)\n"
    )
