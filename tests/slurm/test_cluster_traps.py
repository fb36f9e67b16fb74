"""What goes wrong with Slurm and submitit elsewhere: each with what happens here, on a real cluster."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest

WITNESS = ("--set", "callbacks=[{name: witness}]")
SHORT = ("--set", "train.length=12 steps", "--time", "5min")
SLOW = ("--set", "data.seconds=0.15", "--time", "10min")


def witness(slurm: Any, run: str, rank: int = 0) -> dict[str, str]:
    """Return the environment that a process saw."""
    seen: dict[str, str] = json.loads((slurm.folder / run / f"witness_{rank}.json").read_text())
    return seen


def signal_all(job: str, name: str) -> None:
    """Send a signal to every process of every step, data workers included."""
    subprocess.run(["scancel", f"--signal={name}", job], check=True)


def test_a_signal_to_data_workers_too_and_one_that_is_no_notice(slurm: Any) -> None:
    # submitit's handler would run in each data worker, and would bypass SIGTERM.
    job = slurm.submit("toy.yaml", *SLOW, "--nodes", "2", "--out", "run", "--set", "loader.workers=2")
    for start, name in enumerate(("USR2", "TERM")):
        slurm.wait(job, "RUNNING", restarts=start)
        slurm.begun("run", job, steps=slurm.steps("run") + 3)
        if name == "TERM":
            slurm.hurry("run")
        signal_all(job, name)
        slurm.wait(job, "PENDING", "RUNNING", restarts=start + 1)
    assert slurm.ended(job)["JobState"] == "COMPLETED", slurm.logs(job)
    out = slurm.of("run", job, "_0_log.out")
    assert "SIGUSR2\n" in out
    assert "SIGTERM\n" in out
    assert [e for _, e, _ in slurm.events("run")] == ["started", "requeued", "started", "requeued", "started", "ended"]
    steps = [json.loads(line)["step"] for line in (slurm.folder / "run/log.jsonl").read_text().splitlines()]
    assert sorted(set(steps)) == list(range(1, 49))
    assert "DataLoader" not in slurm.logs(job)
    assert not list(slurm.folder.rglob("*.pkl"))  # nothing stale to take for a result, nothing to unpickle


def test_a_signal_that_comes_before_python_listens_is_not_lost(slurm: Any) -> None:
    job = slurm.submit("toy.yaml", *SHORT, "--out", "run")
    owner = slurm.folder / "run" / "slurm" / "owner"
    slurm.until(owner.exists, job)  # its first act; torch is imported later
    signal_all(job, "USR2")
    slurm.wait(job, "PENDING", "RUNNING", restarts=1)
    assert slurm.ended(job)["JobState"] == "COMPLETED", slurm.logs(job)
    assert slurm.facts(job)["Restarts"] == "1"


def test_a_signal_that_comes_after_the_last_step_does_not_start_a_finished_run_again(slurm: Any) -> None:
    job = slurm.submit("toy.yaml", "--set", "callbacks=[{name: dawdle}]", *SHORT, "--out", "run")
    slurm.until((slurm.folder / "run" / "dawdles").exists, job)
    signal_all(job, "USR2")
    assert slurm.ended(job)["JobState"] == "COMPLETED", slurm.logs(job)
    assert slurm.facts(job)["Restarts"] == "0"
    assert slurm.events("run") == [(0, "started", 0), (0, "ended", 0)]


def test_the_devices_and_cores_that_slurm_gives_stay_as_they_are(slurm: Any) -> None:
    gpus = ("--gpus-per-node", "1", "--tasks-per-node", "1", "--cpus-per-task", "2", "--device", "cpu")
    job = slurm.submit("toy.yaml", *WITNESS, *SHORT, *gpus, "--out", "run")
    assert slurm.ended(job)["JobState"] == "COMPLETED", slurm.logs(job)
    seen = witness(slurm, "run")
    assert seen["CUDA_VISIBLE_DEVICES"] == "0"
    assert seen["SLURM_CPUS_PER_TASK"] == "2"
    assert seen["PYTHONPATH"].startswith(str(slurm.folder / "run" / "slurm" / "code"))


def test_two_jobs_on_one_machine_meet_on_ports_of_their_own(slurm: Any) -> None:
    options = ("--nodelist", "node1", "--additional", "ntasks=1", "--mem", "1000M")
    two = ("--tasks-per-node", "1", "--srun-args", "--ntasks=2", "--srun-args", "--overcommit")
    jobs = [
        slurm.submit("toy.yaml", *WITNESS, *SHORT, *options, *two, "--out", name, "--set", "train.accumulate=1")
        for name in ("one", "other")
    ]
    for job in jobs:
        assert slurm.ended(job)["JobState"] == "COMPLETED", slurm.logs(job)
    ports = [{witness(slurm, name, rank)["MASTER_PORT"] for rank in (0, 1)} for name in ("one", "other")]
    assert [len(p) for p in ports] == [1, 1]
    assert ports[0] != ports[1]


def test_an_edit_after_the_submission_does_not_change_the_run(slurm: Any) -> None:
    job = slurm.submit("toy.yaml", *WITNESS, *SHORT, "--additional", "hold=true", "--out", "run")
    module = slurm.folder.parent / "site" / "vf_bomb.py"
    module.write_text("raise RuntimeError('edited')\n")
    subprocess.run(["scontrol", "release", job], check=True)
    assert slurm.ended(job)["JobState"] == "COMPLETED", slurm.logs(job)
    noted = json.loads((slurm.folder / "run" / "slurm" / "jobs.jsonl").read_text())
    assert noted["job"] == job
    assert noted["launcher"]["additional"] == {"hold": True}
    assert {"vf_bomb", "vf_toy"} <= set(noted["code"]["copied"])
    assert noted["code"]["versions"]["torch"]


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (
            ("--gpus-per-node", "2"),
            "rank {rank} on node1: the job has 2 GPUs on node1, but torch sees none: see 'nvidia-smi' there and "
            "whether torch is built for CUDA; or submit with --gpus-per-node 0 --device cpu",
        ),
        (
            ("--tasks-per-node", "2", "--additional", "gpus-per-node=1"),
            "rank {rank} on node1: 2 tasks on node1, where the job has 1 GPUs: each takes one of its own; submit with "
            "--tasks-per-node 1, or --gpus-per-node 2",
        ),
    ],
    ids=["no CUDA", "too many tasks"],
)
def test_tasks_and_devices_are_compared_before_the_tasks_meet(
    slurm: Any, options: tuple[str, ...], sentence: str
) -> None:
    job = slurm.submit("toy.yaml", *SHORT, *options, "--out", "run")
    assert slurm.ended(job)["JobState"] == "FAILED"
    log = slurm.of("run", job, ".log")
    assert any(f"vf: failed first: {sentence.format(rank=rank)}\n" in log for rank in (0, 1)), slurm.logs(job)


def test_what_slurm_refuses_or_would_never_start_is_one_line(slurm: Any) -> None:
    def refused(*options: str) -> str:
        said = slurm.vf("run", "train", "toy.yaml", "--launcher", "slurm", "--out", "run", *options)
        assert (said.code, said.out) == (2, "")
        assert not Path("run").exists()  # the same command can be typed again
        return str(said.err)

    assert refused("--partition", "nope") == (
        "error: Slurm does not take the job: Invalid partition name specified; invalid partition specified: nope\n"
    )
    never = (  # Slurm first says the one, a moment later the other
        r"error: Slurm would never start the job: Partition(Config|TimeLimit|NodeLimit) "
        r"\(partition %s: MaxNodes=UNLIMITED, MaxTime=%s, TotalNodes=2\); cancelled it\n"
    )
    assert re.fullmatch(never % ("short", "00:05:00"), refused("--partition", "short", "--time", "1h"))
    assert re.fullmatch(never % ("dev", "UNLIMITED"), refused("--nodes", "3"))
    assert refused("--additional", "frobnicate=1").startswith("error: Slurm does not take the job: ")
    assert subprocess.run(["squeue", "-h"], capture_output=True, text=True, check=True).stdout == ""


def test_a_second_job_for_one_run_is_refused_while_the_first_lives(slurm: Any) -> None:
    job = slurm.submit("toy.yaml", *SHORT, "--additional", "hold=true", "--out", "run")
    said = slurm.vf("run", "train", "--resume", "run", "--launcher", "slurm")
    run = slurm.folder / "run"
    assert (said.code, said.err) == (
        2,
        f"error: {run}: its job {job} is PENDING; wait for it, or end it with 'vf slurm cancel {run}'\n",
    )
