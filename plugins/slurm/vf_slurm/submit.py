"""Write a job as text, give it to sbatch, and note what was given.

submitit hands the script over and makes the handle. Its pickles, its script and its signal handler are not used: they
would run user code from a pickle, say more to Slurm than was set, and save in one process, between two bytecodes.
"""

from __future__ import annotations

import contextlib
import datetime
import io
import json
import os
import re
import shutil
import socket
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import attrs
import submitit
from submitit.core.utils import FailedJobError, FailedSubmissionError

from vf.console import Console
from vf.errors import ConfigError, RunError, SetupError
from vf.launch import NEWEST, ONE_PROCESS, Job
from vf.runs import CHECKPOINTS, JOB, discard_unstarted, next_run
from vf.schema import changed
from vf_slurm import snapshot
from vf_slurm.found import JOBS, last_job
from vf_slurm.launcher_configs import Slurm
from vf_slurm.script import LOGS, Place, render
from vf_slurm.states import NEVER, ask, limits_of, state_of
from vf_slurm.surroundings import cleaned, refuse_here, with_defaults

UNREACHABLE = ("Unable to contact slurm controller", "Socket timed out", "Zero Bytes were transmitted", "Connection")


class Sbatch(submitit.SlurmExecutor):
    """Gives a text of ours to sbatch."""

    def __init__(self, folder: Path, text: str) -> None:
        super().__init__(folder=folder)
        self._text = text

    def _make_submission_file_text(self, command: str, uid: str) -> str:
        return self._text

    def submit_text(self) -> submitit.SlurmJob[Any]:
        """Return the handle of the job; FailedJobError with what sbatch said."""
        job: Any = self._submit_command("")
        return job  # type: ignore[no-any-return]


def preview(launcher: Slurm, job: Job) -> str:
    """Return the script that :func:`submit` would give to sbatch."""
    found = with_defaults(_fitted(launcher, job))
    run = Path(job.folder or job.out or next_run(job.name or job.action))
    return render(found.launcher, Place(run=run.resolve(), port=found.port))


def submit(launcher: Slurm, job: Job) -> submitit.SlurmJob[Any]:
    """Submit a job and say where to look.

    Raises:
        SetupError: there is no Slurm here, this is a task of it, or its controller does not answer.
        ConfigError: Slurm refuses what is asked for, or would never start it.
        RunError: the run folder cannot be used.
    """
    refuse_here()
    found = with_defaults(_fitted(launcher, job))
    fresh = not job.folder
    job = attrs.evolve(job, name=job.name or job.action).made() if fresh else job
    place = Place(run=Path(job.folder).resolve(), port=found.port)
    handle: submitit.SlurmJob[Any] | None = None
    try:
        _refuse_two(place)
        write_job(job, place.run)
        code = snapshot.take(place.logs / place.code)
        handle = sbatch(found.launcher, place)
        refuse_never(handle)
        note(place.run, {**told(found.launcher, handle), "action": job.action, "code": code})
    except BaseException:
        if handle is not None:
            ask("scancel", handle.job_id)  # nobody would know of it
        if fresh:
            shutil.rmtree(place.logs, ignore_errors=True)
            discard_unstarted(place.run)
        raise
    with Console(sys.stdout) as console:
        for line in (*found.said, *_said(found.launcher, job, handle)):
            console.say(line)
    return handle


def _fitted(launcher: Slurm, job: Job) -> Slurm:
    """Return the launcher with one process where the action takes no more."""
    if job.action not in ONE_PROCESS:
        return launcher
    if (launcher.nodes or 1) > 1 or (launcher.tasks_per_node or 1) > 1:
        raise ConfigError(f"{job.action}: takes one process; leave --nodes and --tasks-per-node out")
    return changed(launcher, nodes=1, tasks_per_node=1)


def _refuse_two(place: Place) -> None:
    """Two jobs that write into one run folder would spoil each other's checkpoints."""
    before = last_job(place.run)
    if before and (state := state_of(before)).alive:
        raise RunError(
            f"{place.run}: its job {before} is {state.name}; wait for it, or end it with 'vf slurm cancel {place.run}'"
        )


def write_job(job: Job, run: Path) -> None:
    """Write the job so that every start of it goes on from the newest checkpoint."""
    if job.action == "train":
        _refuse_to_go_back(job, run)
        job = attrs.evolve(job, checkpoint=NEWEST)
    try:
        (run / LOGS).mkdir(exist_ok=True)
        (run / JOB).write_text(attrs.evolve(job, folder=str(run)).text(), encoding="utf-8")
    except OSError as error:
        raise RunError(f"{run}: cannot be written: {error.strerror}") from None


def _refuse_to_go_back(job: Job, run: Path) -> None:
    if job.checkpoint in ("", NEWEST):
        return
    wanted = Path(job.checkpoint).resolve()
    later = [p.name for p in (run / CHECKPOINTS).glob("step_*") if p.name > wanted.name]
    if later:
        raise RunError(
            f"{job.checkpoint}: {max(later)} is newer, and a requeued job goes on from the newest; move what is newer "
            "away first"
        )


def sbatch(launcher: Slurm, place: Place) -> submitit.SlurmJob[Any]:
    """Submit a script; ConfigError or SetupError with what Slurm says."""
    executor = Sbatch(place.logs, render(launcher, place))
    executor.update_parameters(nodes=launcher.nodes or 1, ntasks_per_node=launcher.tasks)
    try:
        with cleaned(), contextlib.redirect_stderr(io.StringIO()):  # submitit prints what it raises
            handle = executor.submit_text()
    except (FailedJobError, FailedSubmissionError) as error:
        said = _slurms_words(str(error))
        kind = SetupError if any(sign in said for sign in UNREACHABLE) else ConfigError
        raise kind(f"Slurm does not take the job: {said}") from None
    finally:
        for left in place.logs.glob(".submission_file_*.sh"):
            left.unlink()
    return handle


def refuse_never(handle: submitit.SlurmJob[Any]) -> None:
    """Slurm takes jobs that it will never start, and lets them wait."""
    state = state_of(handle.job_id)
    if state.reason in NEVER:
        limits = f" (partition {state.partition}: {limits_of(state.partition)})"
        raise ConfigError(f"Slurm would never start the job: {state.reason}{limits}; cancelled it")


def _slurms_words(text: str) -> str:
    """Join what sbatch said into one line, its conclusion first."""
    lines = [re.sub(r"^sbatch: (error: )?", "", line).strip() for line in text.splitlines() if line.strip()]
    lines = [re.sub(r"^Batch job submission failed: ", "", line) for line in reversed(lines)]
    return "; ".join(dict.fromkeys(lines)) or "sbatch failed and said nothing"


def told(launcher: Slurm, handle: submitit.SlurmJob[Any]) -> dict[str, Any]:
    """Return what is written down of a submission."""
    keys: dict[str, Any] = attrs.asdict(launcher)  # type: ignore[arg-type]
    return {
        "job": handle.job_id,
        "submitted": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "host": socket.gethostname(),
        "folder": os.getcwd(),
        "command": sys.argv,
        "script": f"{handle.job_id}_submission.sh",
        "launcher": {key: value for key, value in keys.items() if value not in (None, (), {})},
    }


def note(run: Path, line: Mapping[str, Any]) -> None:
    """Add a line to RUN/slurm/jobs.jsonl."""
    with (run / LOGS / JOBS).open("a", encoding="utf-8") as file:
        file.write(json.dumps(line, ensure_ascii=False) + "\n")


def shape_of(launcher: Slurm) -> str:
    """Return what each start of a job takes, in words."""
    machines = f"{launcher.nodes or 1} node{'s' * ((launcher.nodes or 1) > 1)}"
    tasks = f"{launcher.tasks} process{'es' * (launcher.tasks > 1)} on each"
    again = f"requeued at most {launcher.max_requeues} times" if launcher.max_requeues else "never requeued"
    return f"{machines}, {tasks}; {again}"


def _said(launcher: Slurm, job: Job, handle: submitit.SlurmJob[Any]) -> list[str]:
    logs = Path(job.folder) / LOGS
    return [
        f"job   {handle.job_id}: {shape_of(launcher)}",
        f"run   {job.folder}",
        f"log   {logs / f'{handle.job_id}_0_log.out'}, of the job as a whole {logs / f'{handle.job_id}.log'}",
        f"next  vf slurm status {job.folder}, vf slurm logs -f {job.folder}, vf slurm cancel {job.folder}",
    ]
