"""``python -m vf_slurm.task JOB.json``: do a job as one task of a step of Slurm.

Before it: the batch script holds signals back, so that none is lost while Python starts. After it: the batch script
requeues a job whose task 0 ends with 75, and says who failed first. See vf_slurm.script.
"""

from __future__ import annotations

import atexit
import os
import signal
import socket
import sys
import threading
import time
import traceback
from collections.abc import Mapping
from pathlib import Path
from types import FrameType
from typing import NoReturn

import attrs

from vf.errors import SetupError, VFError
from vf.launch import Job
from vf.world import World, find_world
from vf_slurm.script import FAILED, LOGS, REQUEUE

SUPERSEDED = 2
"""Exit code of a process whose run another job, or another start of this one, has taken over."""
LOOK = 2.0
"""Seconds between two looks at who owns the run."""
STOPS = (signal.SIGUSR1, signal.SIGUSR2, signal.SIGTERM)


def main() -> int:
    """Do the job of the only argument; return the exit code for Slurm."""
    job = Job.read(Path(sys.argv[1]))
    world = find_world()
    if world.first:
        own(Path(job.folder), this_start())
    try:
        code = _done(job, world)
    except VFError as error:
        for problem in error.problems:
            print(f"error: {problem}", file=sys.stderr, flush=True)  # noqa: T201 - the last word of a process
        if error.problems:
            _record(job, world, error.problems[0], saw=_is_victim(error))
        return error.exit_code
    except Exception as error:
        traceback.print_exc()
        _record(job, world, f"{type(error).__name__}: {error}", saw=False)
        return 1
    # srun gives the largest exit code, and ends the others at the first that is not 0: the one of rank 0, which saves.
    return code if world.first or code != REQUEUE else 0


def _done(job: Job, world: World) -> int:
    refuse_misfit(job, world)
    from vf.worker import work

    if job.action == "train":
        _outlive_late_signals()
    else:
        _start_again_when_stopped()
    return work(job)


def refuse_misfit(job: Job, world: World, environment: Mapping[str, str] = os.environ) -> None:
    """Compare the tasks of this machine with its devices, before they meet and one waits for another.

    Raises:
        SetupError: with the option that mends it.
    """
    if _device_of(job) == "cpu":
        return
    given = int(environment.get("SLURM_GPUS_ON_NODE", "0") or 0)
    host, tasks = socket.gethostname(), world.local_size
    if given and tasks > given:
        raise SetupError(
            f"{tasks} tasks on {host}, where the job has {given} GPUs: each takes one of its own; submit with "
            f"--tasks-per-node {given}, or --gpus-per-node {tasks}"
        )
    import torch

    seen = torch.cuda.device_count()
    if given and not seen:
        raise SetupError(
            f"the job has {given} GPUs on {host}, but torch sees none: see 'nvidia-smi' there and whether torch is "
            "built for CUDA; or submit with --gpus-per-node 0 --device cpu"
        )
    if not given and seen and tasks > seen:
        raise SetupError(f"{tasks} tasks on {host}, where torch sees {seen} GPUs: submit with --tasks-per-node {seen}")


def _device_of(job: Job) -> str:
    if not job.recipe:  # what is asked of a model says it
        asked = [value for value in attrs.asdict(job).values() if isinstance(value, dict)]
        return next((str(value["device"]) for value in asked if "device" in value), "auto")
    from vf.recipes import from_text

    device: str = from_text(job.recipe, f"{job.folder}/recipe.yaml").recipe.train.device
    return device


def _outlive_late_signals() -> None:
    """Let what comes after the last step, outside of the loop's own handlers, not end a process that is done."""
    for number in STOPS:
        signal.signal(number, _nothing)  # SIG_IGN would throw away what is held back for the loop


def _nothing(number: int, frame: FrameType | None) -> None:
    """Stand for a handler."""


def _start_again_when_stopped() -> None:
    """What holds no state to save leaves at once, to begin anew."""
    owner = os.getpid()

    def leave(number: int, frame: FrameType | None) -> None:
        if os.getpid() == owner:  # data workers are forked with this handler
            os._exit(REQUEUE)

    for number in STOPS:
        signal.signal(number, leave)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, STOPS)


def this_start() -> str:
    """Return which start of which job this is."""
    job = os.environ.get("SLURM_JOB_ID", "0")
    if "SLURM_ARRAY_JOB_ID" in os.environ:
        job = f"{os.environ['SLURM_ARRAY_JOB_ID']}_{os.environ['SLURM_ARRAY_TASK_ID']}"
    return f"{job}.{os.environ.get('SLURM_RESTART_COUNT', '0')}"


def own(run: Path, start: str) -> None:
    """Take the run over, and end this process when another start does.

    On a machine whose slurmd died, the tasks live on beside the job that Slurm has requeued elsewhere.
    """
    owner = run / LOGS / "owner"
    owner.write_text(start + "\n", encoding="utf-8")

    def watch() -> None:
        while True:
            time.sleep(LOOK)
            try:
                now = owner.read_text(encoding="utf-8").strip()
            except OSError:
                continue  # a file system that hiccups is not another start
            if now and now != start:
                print(  # noqa: T201 - the last word of a process
                    f"error: start {now} goes on with {run}; this one, {start}, ends", file=sys.stderr, flush=True
                )
                os._exit(SUPERSEDED)

    threading.Thread(target=watch, name="vf-owner", daemon=True).start()


def _is_victim(error: VFError) -> bool:
    ranks = sys.modules.get("vf.engine.ranks")
    return ranks is not None and isinstance(error, ranks.LostContactError)


def _record(job: Job, world: World, problem: str, *, saw: bool) -> None:
    """Leave a line for the batch script, whose name tells when; ``saw``: only that another one was gone."""
    folder = Path(job.folder) / LOGS / FAILED
    name = f"{this_start()}.{'saw' if saw else 'own'}.{time.time_ns():020d}.{world.rank}"
    try:
        folder.mkdir(exist_ok=True)
        (folder / name).write_text(f"rank {world.rank} on {socket.gethostname()}: {problem}\n", encoding="utf-8")
    except OSError as error:
        print(f"warning: {folder}: {error.strerror}", file=sys.stderr, flush=True)  # noqa: T201 - as above


def _leave(code: int) -> NoReturn:
    """End without taking C++ libraries down.

    Their threads have been seen to hold a finished process on a busy machine, and while one lives the job cannot be
    requeued: Slurm kills all that is left when KillWait is over.
    """
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


if __name__ == "__main__":
    _leave(main())
