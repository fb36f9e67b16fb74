"""One task of a job, without a cluster."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from vf.errors import SetupError
from vf.launch import Job
from vf.world import World
from vf_slurm import task

TEST = Job(action="test", folder="", recipe="", measurement={"device": "auto"})
TWO = World(rank=0, size=2, local_rank=0, local_size=2, by="srun")


@pytest.mark.parametrize(
    ("device", "given", "seen", "sentence"),
    [
        ("cpu", "1", 0, ""),
        ("auto", "2", 2, ""),
        ("auto", "2", 1, ""),  # each task sees its own alone
        ("auto", "", 0, ""),
        ("auto", "", 2, ""),
        (
            "auto", "1", 1,
            "2 tasks on n7, where the job has 1 GPUs: each takes one of its own; submit with --tasks-per-node 1, or "
            "--gpus-per-node 2",
        ),
        (
            "cuda", "2", 0,
            "the job has 2 GPUs on n7, but torch sees none: see 'nvidia-smi' there and whether torch is built for "
            "CUDA; or submit with --gpus-per-node 0 --device cpu",
        ),
        ("auto", "", 1, "2 tasks on n7, where torch sees 1 GPUs: submit with --tasks-per-node 1"),
    ],
)  # fmt: skip
def test_tasks_are_compared_with_devices(
    device: str, given: str, seen: int, sentence: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch

    monkeypatch.setattr(torch.cuda, "device_count", lambda: seen)
    monkeypatch.setattr("socket.gethostname", lambda: "n7")
    job = Job(action="test", folder="", recipe="", measurement={"device": device})
    environment = {"SLURM_GPUS_ON_NODE": given} if given else {}
    if not sentence:
        task.refuse_misfit(job, TWO, environment)
        return
    with pytest.raises(SetupError) as caught:
        task.refuse_misfit(job, TWO, environment)
    assert caught.value.problems == (sentence,)


def test_the_device_is_that_of_what_is_asked_for() -> None:
    assert task._device_of(TEST) == "auto"
    assert task._device_of(Job(action="infer", folder="", recipe="", inference={"device": "cuda:1"})) == "cuda:1"
    assert task._device_of(Job(action="infer", folder="", recipe="")) == "auto"


def test_a_start_of_an_array_is_named_by_its_element(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("SLURM_ARRAY_JOB_ID", "SLURM_ARRAY_TASK_ID", "SLURM_RESTART_COUNT"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("SLURM_JOB_ID", "9")
    assert task.this_start() == "9.0"
    for name, value in {"ARRAY_JOB_ID": "7", "ARRAY_TASK_ID": "2", "RESTART_COUNT": "1"}.items():
        monkeypatch.setenv(f"SLURM_{name}", value)
    assert task.this_start() == "7_2.1"


def python(code: str, *arguments: str, **options: Any) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", code, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **options
    )


def test_a_signal_held_back_reaches_the_loop_and_one_after_the_loop_nobody() -> None:
    code = """
import os, signal
from vf.engine.signals import StopRequest
from vf_slurm.task import STOPS, _outlive_late_signals
signal.pthread_sigmask(signal.SIG_BLOCK, STOPS)  # as `env --block-signal` of the batch script
os.kill(os.getpid(), signal.SIGUSR2)
_outlive_late_signals()
with StopRequest() as asked:
    print(asked.code, asked.name)
with StopRequest() as asked:
    print(asked.code)
os.kill(os.getpid(), signal.SIGUSR2)
print("lives")
"""
    process = python(code)
    assert process.communicate(timeout=60) == ("75 SIGUSR2\n0\nlives\n", "")
    assert process.returncode == 0


def test_what_has_no_state_to_save_leaves_to_begin_anew_and_its_children_do_not() -> None:
    code = """
import os, signal, time
from vf_slurm.task import _start_again_when_stopped
_start_again_when_stopped()
child = os.fork()
if not child:
    os.kill(os.getpid(), signal.SIGUSR2)
    os._exit(3)
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
os.kill(os.getpid(), signal.SIGUSR2)
time.sleep(60)
"""
    process = python(code)
    assert process.communicate(timeout=60) == ("3\n", "")
    assert process.returncode == 75


def test_a_start_gives_way_to_a_later_one(tmp_path: Path) -> None:
    (tmp_path / "slurm").mkdir()
    code = """
import sys, time
from pathlib import Path
from vf_slurm import task
task.LOOK = 0.05
task.own(Path(sys.argv[1]), "7.0")
print("owns", flush=True)
time.sleep(60)
"""
    process = python(code, str(tmp_path))
    assert process.stdout
    assert process.stdout.readline() == "owns\n"
    assert (tmp_path / "slurm/owner").read_text() == "7.0\n"
    time.sleep(0.2)
    assert process.poll() is None
    (tmp_path / "slurm/owner").write_text("7.1\n")
    _, err = process.communicate(timeout=60)
    assert err == f"error: start 7.1 goes on with {tmp_path}; this one, 7.0, ends\n"
    assert process.returncode == task.SUPERSEDED


def test_the_error_shown_is_of_the_rank_that_failed_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The end of the batch script, with what three ranks left: 0 only saw another one go, 2 was before 1."""
    from vf_slurm.launcher_configs import Slurm
    from vf_slurm.script import Place, render

    (tmp_path / "slurm").mkdir()
    monkeypatch.setenv("SLURM_JOB_ID", "7")
    job = Job(action="train", folder=str(tmp_path), recipe="")
    for rank, problem, saw in ((0, "lost contact", True), (2, "ValueError: two", False), (1, "ValueError: one", False)):
        monkeypatch.setattr("socket.gethostname", lambda rank=rank: f"node{rank}")
        task._record(job, World(rank=rank, size=3, by="srun"), problem, saw=saw)
    script = render(Slurm(), Place(run=tmp_path, port=1))
    tools = tmp_path / "tools"
    tools.mkdir()
    (tools / "srun").write_text("#!/bin/sh\necho 'srun: error: node1: task 1: Exited with exit code 1' >&2\nexit 2\n")
    (tools / "srun").chmod(0o755)

    def ended() -> str:
        environment = {**os.environ, "PATH": f"{tools}:{os.environ['PATH']}"}
        done = subprocess.run(
            ["bash", "-c", script], env=environment, capture_output=True, text=True, check=False, timeout=60
        )
        assert done.returncode == 2
        assert (tmp_path / "slurm/7.0.error").read_text() == done.stdout
        return done.stdout

    assert ended() == "vf: failed first: rank 2 on node2: ValueError: two\n"
    for file in (tmp_path / "slurm/failed").glob("*.own.*"):
        file.unlink()
    assert ended() == "vf: failed first: node1: task 1: Exited with exit code 1\n"
    (tools / "srun").write_text("#!/bin/sh\nexit 2\n")
    assert ended() == "vf: failed first: rank 0 on node0: lost contact\n"


def test_the_hold_of_the_script_keeps_a_signal_for_later() -> None:
    code = "import signal as s; print(s.SIGUSR2 in s.sigpending()); print(s.SIGUSR2 in s.pthread_sigmask(0, []))"
    shell = f"kill -USR2 $$; exec {sys.executable} -c '{code}'"
    done = subprocess.run(
        ["env", "--block-signal=USR1,USR2,TERM", "bash", "-c", shell], capture_output=True, text=True, check=True
    )
    assert done.stdout == "True\nTrue\n"
