"""Many processes train and measure what one does, stop together, and say which of them failed."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from vf.elastic import Meeting, how_to_start

TOY = Path(__file__).resolve().parents[1] / "toy"


@pytest.fixture
def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def losses(run: Path) -> list[float]:
    records = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
    return [r["loss"] for r in records if r["kind"] == "train"]


def metrics(run: Path) -> list[Any]:
    records = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
    return [r["accuracy"] for r in records if r["kind"] == "val"]


def weights(checkpoint: Path) -> Any:
    return load_file(checkpoint / "model.safetensors")


def assert_alike(one: Any, other: Any) -> None:
    assert one.keys() == other.keys()
    assert all(torch.allclose(other[name], tensor, atol=1e-5) for name, tensor in one.items())


def test_one_two_and_three_processes_train_and_measure_alike(toy: Any) -> None:
    for n in (1, 2, 3):
        code, out, err = toy.run("toy.yaml", "--nproc", str(n), "--out", f"run{n}", "--set", "train.keep=9")
        assert (code, err) == (0, ""), out
        if n > 1:
            assert f"ranks {n} processes, started by vf; {12 // n} images a step each, ddp" in out
    one = losses(toy.folder / "run1")
    assert len(one) == 12
    whole = weights(toy.folder / "run1/checkpoints/last")
    for n in (2, 3):
        assert losses(toy.folder / f"run{n}") == pytest.approx(one, abs=1e-5)
        assert metrics(toy.folder / f"run{n}") == metrics(toy.folder / "run1")  # 21 images: no share is even
        assert_alike(whole, weights(toy.folder / f"run{n}/checkpoints/last"))
    # What three processes began, one ends; what one began, two end.
    for before, after in ((3, 1), (1, 2)):
        run = f"run{before}"
        code, out, err = toy.run("--resume", f"{run}/checkpoints/step_00000006", "--nproc", str(after))
        assert (code, err) == (0, "")
        many = {1: "1 process", 2: "2 processes"}[after]
        assert f"note: {many} instead of {before}: the global batch stays 12 images" in out
        assert_alike(whole, weights(toy.folder / run / "checkpoints/last"))


SRUN = {
    "SLURM_STEP_NUM_TASKS": "2",
    "SLURM_STEP_TASKS_PER_NODE": "2",
    "SLURM_STEP_NODELIST": "localhost",
    "SLURM_JOB_ID": "77",
}
MPIRUN = {"OMPI_COMM_WORLD_SIZE": "2", "OMPI_COMM_WORLD_LOCAL_SIZE": "2"}


@pytest.mark.parametrize(
    ("by", "variables", "names"),
    [
        ("torchrun", {"WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2"}, ("RANK", "LOCAL_RANK")),
        ("srun", SRUN, ("SLURM_PROCID", "SLURM_LOCALID")),
        ("mpirun", MPIRUN, ("OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_LOCAL_RANK")),
    ],
)
def test_processes_that_others_start_meet(
    toy: Any, by: str, variables: dict[str, str], names: tuple[str, str], free_port: int
) -> None:
    meeting = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free_port)}
    ranks = [
        toy.start("toy.yaml", "--out", "run", **variables, **meeting, **dict.fromkeys(names, str(rank)))
        for rank in range(2)
    ]
    said = [process.communicate() for process in ranks]
    assert [process.returncode for process in ranks] == [0, 0], said
    assert f"ranks 2 processes, started by {by}; 6 images a step each, ddp" in said[0][0]
    assert said[1] == ("", "")


def test_two_machines_meet(toy: Any, free_port: int) -> None:
    meeting = ("--nodes", "2", "--master-addr", "127.0.0.1", "--master-port", str(free_port))
    nodes = [toy.start("toy.yaml", "--out", "run", *meeting, "--node-rank", str(rank)) for rank in range(2)]
    said = [process.communicate() for process in nodes]
    assert [process.returncode for process in nodes] == [0, 0], said
    assert "ranks 2 processes, started by vf; 6 images a step each, ddp" in said[0][0]
    assert said[1] == ("", "")


def test_forked_and_spawned_processes_train_alike(toy: Any) -> None:
    assert torch.cuda.is_available() or how_to_start() == "fork"
    code, out, err = toy.run("toy.yaml", "--nproc", "2", "--out", "forked")
    assert (code, err) == (0, ""), out
    spawned = """
from pathlib import Path
import attrs
from vf.elastic import launch
from vf.launch import Job, Nodes
job = attrs.evolve(Job.read(Path("forked/job.json")), folder="", out="spawned")
raise SystemExit(launch(job, nproc=2, nodes=Nodes(), start="spawn"))
"""
    path = os.pathsep.join([str(TOY), str(toy.folder / "site")])
    subprocess.run(
        [sys.executable, "-c", spawned], cwd=toy.folder, env={**os.environ, "PYTHONPATH": path}, check=True, timeout=120
    )
    assert losses(toy.folder / "spawned") == losses(toy.folder / "forked")
    one, other = (weights(toy.folder / f"{name}/checkpoints/last") for name in ("forked", "spawned"))
    assert all(torch.equal(tensor, other[name]) for name, tensor in one.items())


def test_the_machine_where_all_meet_is_the_last_to_leave(free_port: int) -> None:
    def meet(rank: int, timeout: int = 20) -> Meeting:
        return Meeting("127.0.0.1", free_port, rank, 2, "vf", timeout)

    first, second = meet(0), meet(1)
    assert first.shutdown()  # they have not met: nothing to wait for
    with ThreadPoolExecutor() as threads:
        list(threads.map(Meeting.next_rendezvous, (first, second)))
        leaving = threads.submit(first.shutdown)
        with pytest.raises(TimeoutError):
            leaving.result(timeout=0.3)
        assert second.shutdown()
        assert leaving.result(timeout=5)


def test_sharded_training_gives_what_plain_training_gives(toy: Any) -> None:
    plain = ("--set", "callbacks=[]", "--set", "data.val=20")
    assert toy.run("toy.yaml", *plain, "--out", "run1")[0] == 0
    fsdp = (*plain, "--set", "train.strategy=fsdp", "--set", "train.keep=9")
    code, out, err = toy.run("toy.yaml", *fsdp, "--nproc", "2", "--out", "run2")
    assert (code, err) == (0, ""), out
    assert losses(toy.folder / "run2") == pytest.approx(losses(toy.folder / "run1"), abs=1e-5)
    whole = weights(toy.folder / "run1/checkpoints/last")
    assert_alike(whole, weights(toy.folder / "run2/checkpoints/last"))
    # Its checkpoint is whole, so one process can go on with it.
    code, out, err = toy.run("--resume", "run2/checkpoints/step_00000006")
    assert (code, err) == (0, ""), out
    assert_alike(whole, weights(toy.folder / "run2/checkpoints/last"))


def test_a_parameter_that_nothing_uses_is_named(toy: Any) -> None:
    code, _, err = toy.run("toy.yaml", "--set", "model.unused=true", "--nproc", "2", "--out", "run")
    assert code == 2
    assert err.splitlines()[0] == (
        "error: step 1: 2 parameters got no gradient: spare.weight, spare.bias; use them in the loss, or freeze them "
        "with train.optimizer.rules"
    )


def test_a_mistake_is_said_once(toy: Any) -> None:
    code, _, err = toy.run("toy.yaml", "--set", "train.batch_size=7", "--nproc", "2", "--out", "run")
    assert (code, err) == (
        2,
        "error: train.batch_size: 7 images cannot be cut into 2 processes × 1 pass (train.accumulate); make it a "
        "multiple of 2\n",
    )


def test_a_broken_image_of_any_process_is_said(toy: Any) -> None:
    code, _, err = toy.run("toy.yaml", "--set", "data.broken=3", "--nproc", "2", "--out", "run")
    assert (code, err) == (2, "error: square 3: is broken\n")


def children(pid: int) -> list[int]:
    found = []
    for status in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = status.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[1]) == pid and fields[0] != "Z":
            child = int(status.parent.name)
            found += [child, *children(child)]
    return found


def wait_for_log(run: Path, process: Any, lines: int = 2) -> None:
    log = run / "log.jsonl"
    while process.poll() is None and not (log.is_file() and log.read_text().count("\n") >= lines):
        time.sleep(0.02)


@pytest.mark.parametrize(
    ("number", "code", "processes"),
    [
        (signal.SIGTERM, 75, 1),
        (signal.SIGUSR1, 75, 1),
        (signal.SIGUSR2, 75, 1),
        (signal.SIGINT, 130, 1),
        (signal.SIGTERM, 75, 2),
        (signal.SIGINT, 130, 2),
    ],
    ids=["TERM", "USR1", "USR2", "INT", "TERM of two", "INT of two"],
)
def test_a_signal_saves_and_ends_all(toy: Any, number: signal.Signals, code: int, processes: int) -> None:
    slow = ("--set", "data.seconds=0.02", "--set", "train.length=1000 steps", "--set", "train.eval_every=0 steps")
    run = toy.folder / "run"
    process = toy.start("toy.yaml", *slow, "--nproc", str(processes), "--out", "run")
    wait_for_log(run, process)
    family = children(process.pid)
    assert family
    process.send_signal(number)
    out, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (code, ""), out
    lines = out.splitlines()
    step = int((run / "checkpoints/last").resolve().name.removeprefix("step_"))
    assert lines[-2] == f"stopped at step {step}: {number.name}"
    assert lines[-1] == "next  go on from there: vf run train --resume run"
    limit = time.monotonic() + 5
    while any(Path(f"/proc/{pid}").exists() for pid in family) and time.monotonic() < limit:
        time.sleep(0.05)
    assert not [pid for pid in family if Path(f"/proc/{pid}").exists()]


def test_a_process_that_is_killed_ends_the_others(toy: Any) -> None:
    slow = ("--set", "data.seconds=0.02", "--set", "train.length=1000 steps", "--set", "loader.workers=0")
    process = toy.start("toy.yaml", *slow, "--nproc", "2", "--out", "run")
    wait_for_log(toy.folder / "run", process, lines=8)
    family = children(process.pid)
    victim = [pid for pid in family if b"resource_tracker" not in Path(f"/proc/{pid}/cmdline").read_bytes()][-1]
    os.kill(victim, signal.SIGKILL)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 2
    last = err.splitlines()[-1]
    assert "was killed by SIGKILL; the other processes were ended; go on with 'vf run train --resume run'" in last
    assert "Traceback" not in err
    assert "lost contact with another process: Read error" in err or "Connection" in err
    assert toy.run("--resume", "run", "--set", "train.length=20 steps")[0] == 0


def test_a_process_that_stalls_says_where(toy: Any) -> None:
    stall = ("--set", "data.asleep=3", "--set", "train.stall_timeout=4.0", "--set", "loader.workers=0")
    code, _, err = toy.run("toy.yaml", *stall, "--nproc", "2", "--out", "run")
    assert code != 0
    assert "no progress for" in err
    assert "waiting for data; ended (train.stall_timeout); go on with 'vf run train --resume run'" in err
    assert "time.sleep(3600)" in err or "_play" in err  # the stack of the one that sleeps
    assert list((toy.folder / "run").glob("stalled_rank_*.txt"))
