"""``vf slurm``: status, logs, cancel, requeue and doctor, with commands of Slurm that are a few lines of shell."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from vf_slurm import doctor, jobs
from vf_slurm.doctor import Cluster

Vf = Callable[..., Any]


class Tools:
    """Commands of Slurm, which note that they were called."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir()
        for name in ("squeue", "sacct", "scancel", "scontrol", "sbatch", "srun"):
            self.say(name)

    def say(self, name: str, text: str = "", *, error: str = "") -> None:
        """Let a command print this, or fail with it."""
        (self.folder / f"{name}.said").write_text(text or error)
        where = f"cat {self.folder}/{name}.said" + (" >&2; exit 1" if error else "")
        (self.folder / name).write_text(f'#!/bin/sh\necho {name} "$@" >>{self.folder}/calls\n{where}\n')
        (self.folder / name).chmod(0o755)

    def called(self) -> list[str]:
        """Return the calls since the last look."""
        calls = self.folder / "calls"
        lines = calls.read_text().splitlines() if calls.exists() else []
        calls.unlink(missing_ok=True)
        return lines


@pytest.fixture
def tools(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Tools:
    """In the place of what is installed."""
    tools = Tools(tmp_path / "tools")
    monkeypatch.setenv("PATH", f"{tools.folder}:{os.environ['PATH']}")
    return tools


def submitted(name: str, job: str, *events: tuple[str, int], step: int = 0) -> Path:
    """Make what a submission leaves in a run folder."""
    run = Path(name)
    (run / "slurm").mkdir(parents=True)
    (run / "recipe.yaml").write_text("task: toy\n")
    line = {"job": job, "action": "train", "launcher": {"time": "4h", "max_requeues": 100, "setup": ["a b"]}}
    (run / "slurm/jobs.jsonl").write_text(json.dumps(line) + "\n")
    told = [json.dumps({"job": job, "start": 0, "event": event, "code": code}) for event, code in events]
    (run / "slurm/events.jsonl").write_text("".join(f"{line}\n" for line in told))
    if step:
        (run / "log.jsonl").write_text(json.dumps({"kind": "train", "step": step}) + "\n")
    return run


def test_all_jobs_are_asked_about_at_once_and_not_again_for_30_s(
    vf_here: Vf, tools: Tools, monkeypatch: pytest.MonkeyPatch
) -> None:
    submitted("runs/a-001", "7", ("started", 0), ("requeued", 75), ("started", 0), step=12)
    submitted("runs/b-001", "8", ("started", 0), ("ended", 1), step=3)
    submitted("runs/c-001", "9")
    (Path("runs/b-001/slurm") / "8.0.error").write_text("vf: failed first: rank 3 on node2: ValueError: planted\n")
    tools.say("squeue", "7|RUNNING|None|1:02|4:00:00|node[1-2]\n9|PENDING|Resources|0:00|4:00:00|\n")
    tools.say("sacct", "8|FAILED|1:0|00:00:09|04:00:00|node2\n")
    now = [1000.0]
    monkeypatch.setattr(jobs.time, "time", lambda: now[0])
    said = vf_here("slurm", "status")
    assert (said.code, said.err) == (0, "")
    assert said.out == (
        "  run         job    state  step  starts                  time         on\n"
        "  runs/a-001    7  RUNNING    12       2       1:02 of 4:00:00  node[1-2]\n"
        "  runs/b-001    8   FAILED     3       1  00:00:09 of 04:00:00      node2\n"
        "  runs/c-001    9  PENDING     -       -       0:00 of 4:00:00          -\n"
        "note  runs/b-001: rank 3 on node2: ValueError: planted\n"
        "note  runs/c-001: Resources\n"
    )
    squeue, sacct = tools.called()
    assert (squeue.split()[-1], sacct.split()[-1]) == ("7,8,9", "8")
    now[0] += 29
    assert vf_here("slurm", "status", "runs/a-001", "7", "9").out.count("runs/a-001") == 1
    assert vf_here("slurm", "status").out.endswith("as of 29 s ago: Slurm is asked about a job at most every 30 s\n")
    assert tools.called() == []
    now[0] += 1
    tools.say("squeue", "")
    vf_here("slurm", "status", "runs/a-001")
    assert [call.split()[0] for call in tools.called()] == ["squeue", "sacct"]


def test_without_accounting_the_run_folder_tells_what_slurm_has_forgotten(vf_here: Vf, tools: Tools) -> None:
    for name, job, events in (
        ("runs/done", "7", [("started", 0), ("ended", 0)]),
        ("runs/dead", "8", [("started", 0), ("ended", 2)]),
        ("runs/lost", "9", [("started", 0)]),
    ):
        submitted(name, job, *events)
    tools.say("squeue", error="slurm_load_jobs error: Invalid job id specified")
    tools.say("sacct", error="Slurm accounting storage is disabled")
    said = vf_here("slurm", "status")
    assert (said.code, said.err) == (0, "")
    assert [line.split()[:3] for line in said.out.splitlines()[1:]] == [
        ["runs/dead", "8", "FAILED"], ["runs/done", "7", "COMPLETED"], ["runs/lost", "9", "UNKNOWN"]
    ]  # fmt: skip


def test_a_controller_that_does_not_answer(vf_here: Vf, tools: Tools) -> None:
    submitted("runs/dead", "8", ("started", 0), ("ended", 2))
    tools.say("squeue", error="slurm_load_jobs error: Unable to contact slurm controller (connect failure)")
    said = vf_here("slurm", "status")
    assert said.code == 3
    assert "runs/dead    8  FAILED" in said.out
    assert said.err == (
        "error: squeue: Unable to contact slurm controller (connect failure); the above is what the run folders tell\n"
    )
    said = vf_here("slurm", "cancel", "runs/dead")
    assert (said.code, said.out) == (3, "")
    assert said.err == "error: squeue: Unable to contact slurm controller (connect failure)\n"


@pytest.mark.parametrize(
    ("command", "code", "sentence"),
    [
        (("status",), 3, "vf slurm: no squeue on PATH; type it on a login node"),
        (("cancel", "run"), 3, "vf slurm: no squeue, scancel on PATH; type it on a login node"),
        (("requeue", "run"), 3, "vf slurm: no squeue, scancel, scontrol on PATH; type it on a login node"),
        (
            ("doctor",), 3,
            "vf slurm: no sbatch, srun, scontrol, squeue, scancel, sacct on PATH; type it on a login node",
        ),
        (("logs", "nope"), 2, "nope: no such run"),
    ],
)  # fmt: skip
def test_no_slurm_here_is_one_line(
    vf_here: Vf, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, command: tuple[str, ...], code: int, sentence: str
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    said = vf_here("slurm", *command)
    assert (said.code, said.out, said.err) == (code, "", f"error: {sentence}\n")


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("nope", "nope: no such run"),
        ("toy.yaml", "toy.yaml: no such run"),
        ("99", "99: no run under runs/ here has this job; name its run folder"),
        ("runs", "runs: has no job of Slurm; name a run that has one"),
        ("local", "local: has no job of Slurm; 'vf run train --resume local --launcher slurm' makes one"),
    ],
)
def test_a_wrong_run_is_one_line(vf_here: Vf, tools: Tools, name: str, sentence: str) -> None:
    for path in ("runs", "local"):
        Path(path).mkdir()
    Path("local/recipe.yaml").touch()
    for command in ("status", "logs", "cancel", "requeue"):
        said = vf_here("slurm", command, name)
        assert (said.code, said.out, said.err) == (2, "", f"error: {sentence}\n")
    assert tools.called() == []


def test_nothing_was_submitted(vf_here: Vf, tools: Tools) -> None:
    assert vf_here("slurm", "status").out == "none\n"
    assert tools.called() == []


def test_cancel_ends_what_lives_and_says_how_to_go_on(vf_here: Vf, tools: Tools) -> None:
    submitted("runs/a", "7", ("started", 0))
    submitted("runs/b", "8", ("started", 0), ("ended", 0))
    tools.say("squeue", "7|RUNNING|None|1:02|4:00:00|node1\n8|COMPLETED|None|1:02|4:00:00|node1\n")
    said = vf_here("slurm", "cancel", "runs/a", "runs/b")
    assert (said.code, said.err) == (0, "")
    assert said.out == (
        "cancelled job 7 of runs/a\n"
        "next  go on later: vf run train --resume runs/a --launcher slurm --time 4h --setup 'a b'\n"
    )
    assert tools.called()[1:] == ["scancel 7"]
    said = vf_here("slurm", "cancel", "runs/b")
    assert (said.code, said.err) == (2, "error: runs/b: its job 8 is COMPLETED; nothing to cancel\n")
    tools.say("scancel", error="scancel: error: Kill job error on job id 7: Access/permission denied")
    said = vf_here("slurm", "cancel", "runs/a")
    assert (said.code, said.err) == (2, "error: scancel: Kill job error on job id 7: Access/permission denied\n")


@pytest.mark.parametrize(
    ("state", "code", "said", "call"),
    [
        (
            "RUNNING", 0, "job   7 of run is told to save, to give its machines back and to wait again\n",
            "scancel --signal=USR2 7",
        ),
        ("PENDING", 0, "job   7 of run waits already\n", None),
        ("FAILED", 0, "job   7 of run was FAILED, and waits again\n", "scontrol requeue 7"),
        ("CANCELLED", 0, "job   7 of run was CANCELLED, and waits again\n", "scontrol requeue 7"),
        ("COMPLETING", 2, "error: run: its job 7 is COMPLETING; try again in a moment\n", None),
        ("COMPLETED", 2, "error: run: its job 7 is COMPLETED; nothing to go on with\n", None),
    ],
)  # fmt: skip
def test_requeue(vf_here: Vf, tools: Tools, state: str, code: int, said: str, call: str | None) -> None:
    submitted("run", "7", ("started", 0))
    tools.say("squeue", f"7|{state}|None|1:02|4:00:00|node1\n")
    found = vf_here("slurm", "requeue", "run")
    assert (found.code, found.out + found.err) == (code, said)
    assert tools.called()[1:] == ([call] if call else [])


def test_a_job_that_slurm_does_not_requeue_can_be_submitted_again(vf_here: Vf, tools: Tools) -> None:
    submitted("run", "7", ("started", 0), ("ended", 1))
    tools.say("squeue", error="slurm_load_jobs error: Invalid job id specified")
    tools.say("scontrol", error="Invalid job id specified for job 7")
    said = vf_here("slurm", "requeue", "run")
    assert (said.code, said.err) == (
        2,
        "error: run: Slurm does not requeue job 7: Invalid job id specified for job 7; submit: vf run train --resume "
        "run --launcher slurm --time 4h --setup 'a b'\n",
    )


def test_logs_are_of_the_job_of_rank_0_and_of_the_rank_that_failed_first(vf_here: Vf, tools: Tools) -> None:
    run = submitted("run", "7", ("started", 0), ("ended", 1))
    said = vf_here("slurm", "logs", "run")
    assert (said.code, said.out) == (0, "job   7 has written nothing yet\n")
    for name, text in {
        "7.log": "vf: failed first: rank 3 on node2: ValueError: planted\n",
        "7.0.error": "vf: failed first: rank 3 on node2: ValueError: planted\n",
        "7_0_log.out": "one\ntwo\nthr",
        "7_0_log.err": "",
        "7_3_log.err": "Traceback\n",
        "7_2_log.err": "lost contact\n",
    }.items():
        (run / "slurm" / name).write_text(text)
    everything = (
        "==> run/slurm/7.log <==\nvf: failed first: rank 3 on node2: ValueError: planted\n"
        "==> run/slurm/7_0_log.out <==\none\ntwo\n"
        "==> run/slurm/7_3_log.err <==\nTraceback\n"
    )
    assert vf_here("slurm", "logs", "run").out == everything
    assert vf_here("slurm", "logs", "run", "-f").out == everything  # it is over
    assert vf_here("slurm", "logs", "run", "-n", "1").out == everything.replace("one\n", "")
    assert vf_here("slurm", "logs", "run", "--rank", "2").out == "==> run/slurm/7_2_log.err <==\nlost contact\n"
    said = vf_here("slurm", "logs", "run", "--rank", "9")
    assert (said.code, said.err) == (2, "error: run: job 7 has no process 9\n")


def test_logs_of_what_waits(vf_here: Vf, tools: Tools) -> None:
    submitted("run", "7")
    tools.say("squeue", "7|PENDING|Resources|0:00|4:00:00|\n")
    assert vf_here("slurm", "logs", "run").out == "job   7 has written nothing yet: it is PENDING (Resources)\n"


def test_every_command_of_the_guide(vf_here: Vf, tools: Tools) -> None:
    page = (Path(__file__).parents[2] / "docs" / "slurm.md").read_text(encoding="utf-8")
    commands = [line.partition("  #")[0].split()[1:] for line in page.splitlines() if line.startswith("vf slurm ")]
    assert {words[1] for words in commands} == {"status", "logs", "cancel", "requeue", "doctor"}
    run = submitted("runs/det-quickstart-001", "4711", ("started", 0), ("ended", 0))
    (run / "slurm/4711.log").write_text("a line\n")
    tools.say("squeue", "4711|RUNNING|None|1:02|4:00:00|node1\n")
    tools.say("scontrol", "".join(f"{name} = {value}\n" for name, value in settings().items()))
    for words in commands:
        said = vf_here(*words)
        assert (said.code, said.err) == (0, ""), words
        assert said.out


def settings(**changed: str) -> dict[str, str]:
    """Return the settings of a cluster on which everything works."""
    plain = {
        "SLURM_VERSION": "23.11.4", "ClusterName": "big", "JobRequeue": "1", "RequeueExit": "(null)",
        "RequeueExitHold": "(null)", "AuthInfo": "cred_expire=5", "PreemptType": "preempt/none", "KillWait": "30 sec",
        "SlurmdTimeout": "300 sec", "GresTypes": "gpu", "MinJobAge": "300 sec", "MaxArraySize": "1001",
        "AccountingStorageType": "accounting_storage/slurmdbd",
    }  # fmt: skip
    return {**plain, **changed}


FINE = [
    "ok       Slurm 23.11.4, cluster big",
    "ok       jobs are requeued: after a save by themselves, after the loss of a machine by Slurm",
    "note     a requeued job waits 5 s at least (AuthInfo: cred_expire)",
    "ok       jobs are not pre-empted (PreemptType=preempt/none)",
    "ok       after 'vf slurm cancel' a job has 30 s to save (KillWait)",
    "note     a machine that falls silent is given up after 300 s (SlurmdTimeout)",
    "ok       sacct tells of jobs that are over",
    "ok       a sweep may have 1000 runs (MaxArraySize)",
]


@pytest.mark.parametrize(
    ("changed", "partition", "expected"),
    [
        ({}, {}, []),
        ({"JobRequeue": "0"}, {}, ["note     JobRequeue=0: jobs are not requeued unless they say so; those of vf do "
                                   "(--requeue)"]),
        ({"RequeueExitHold": "1,70-80"}, {}, [
            "warning  RequeueExitHold holds 75, with which vf ends a job that it has requeued: Slurm would hold it "
            "too; ask to take 75 out of RequeueExitHold"]),
        ({"AuthInfo": "(null)"}, {}, ["note     a requeued job waits 120 s at least (AuthInfo: cred_expire)"]),
        ({"PreemptType": "preempt/qos"}, {}, [
            "note     a pre-empted job is told by SIGTERM alone; vf saves on it too, and Slurm requeues the job; with "
            "SlurmctldParameters=preempt_send_user_signal the job is requeued as soon as it has saved"]),
        ({"PreemptType": "preempt/qos", "SlurmctldParameters": "preempt_send_user_signal", "KillWait": "10 sec"},
         {"PartitionName": "low", "PreemptMode": "REQUEUE", "GraceTime": "0"}, [
            "ok       a pre-empted job is told by the signal that it asked for (preempt_send_user_signal)",
            "warning  partition low: a pre-empted job has 10 s to save (GraceTime and KillWait); ask for GraceTime=60, "
            "or save often: train.save_minutes",
            "warning  after 'vf slurm cancel' a job has 10 s to save (KillWait); ask for KillWait=30, or save often: "
            "train.save_minutes"]),
        ({"PreemptType": "preempt/qos", "PreemptParameters": "send_user_signal"},
         {"PartitionName": "low", "PreemptMode": "CANCEL", "GraceTime": "60"}, [
            "ok       a pre-empted job is told by the signal that it asked for (preempt_send_user_signal)",
            "warning  partition low: what is pre-empted is cancelled (PreemptMode=CANCEL): what saves in time is lost "
            "to the queue, and must be submitted again with 'vf run train --resume RUN --launcher slurm'; ask for "
            "PreemptMode=REQUEUE"]),
        ({"SlurmdTimeout": "0 sec"}, {}, [
            "warning  SlurmdTimeout=0: Slurm never takes a silent machine for lost, and its jobs never go on "
            "elsewhere; ask for SlurmdTimeout=300"]),
        ({"GresTypes": "(null)"}, {}, ["note     Slurm knows of no GPUs (GresTypes): --gpus-per-node is refused"]),
        ({"AccountingStorageType": "(null)"}, {}, [
            "warning  no accounting (AccountingStorageType=accounting_storage/none): Slurm forgets a job 300 s after "
            "its end; 'vf slurm status' then tells what the run folder says; ask for slurmdbd"]),
        ({"MaxArraySize": "1"}, {}, ["warning  MaxArraySize=1: there are no arrays of jobs, so no --sweep; ask for "
                                     "1001"]),
    ],
)  # fmt: skip
def test_what_settings_mean(changed: dict[str, str], partition: dict[str, str], expected: list[str]) -> None:
    cluster = Cluster(settings(**changed), [partition] if partition else [])
    lines = [finding.line() for finding in doctor.findings(cluster)]
    assert [line for line in lines if line not in FINE] == expected
    if not changed:
        assert lines == FINE


def test_settings_are_read_as_scontrol_writes_them() -> None:
    text = "Configuration data as of 2026-01-01T00:00:00\nAuthInfo                = (null)\nKillWait   = 30 sec\n\n"
    assert doctor.settings_in(text) == {"AuthInfo": "(null)", "KillWait": "30 sec"}
