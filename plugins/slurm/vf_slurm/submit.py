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
from vf_slurm.launcher_configs import Slurm
from vf_slurm.script import CODE, LOGS, Place, render
from vf_slurm.states import NEVER, ask, limits_of, state_of
from vf_slurm.surroundings import cleaned, refuse_here, with_defaults

JOBS = "jobs.jsonl"
"""In the folder LOGS: a line for each submission."""
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
        _write_job(job, place)
        code = snapshot.take(place.logs / CODE)
        handle = _sbatch(found.launcher, place)
        _refuse_never(handle)
        _note(found.launcher, job, place, handle, code)
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


def last_job(run: Path) -> str:
    """Return the id of the newest job of a run folder; empty where it has none."""
    path = run / LOGS / JOBS
    lines = path.read_text(encoding="utf-8").splitlines() if path.is_file() else []
    return str(json.loads(lines[-1])["job"]) if lines else ""


def _refuse_two(place: Place) -> None:
    """Two jobs that write into one run folder would spoil each other's checkpoints."""
    before = last_job(place.run)
    if before and (state := state_of(before)).alive:
        raise RunError(f"{place.run}: its job {before} is {state.name}; wait for it, or end it with 'scancel {before}'")


def _write_job(job: Job, place: Place) -> None:
    """Write the job so that every start of it goes on from the newest checkpoint."""
    if job.action == "train":
        _refuse_to_go_back(job, place)
        job = attrs.evolve(job, checkpoint=NEWEST)
    try:
        place.logs.mkdir(exist_ok=True)
        (place.run / JOB).write_text(attrs.evolve(job, folder=str(place.run)).text(), encoding="utf-8")
    except OSError as error:
        raise RunError(f"{place.run}: cannot be written: {error.strerror}") from None


def _refuse_to_go_back(job: Job, place: Place) -> None:
    if not job.checkpoint:
        return
    wanted = Path(job.checkpoint).resolve()
    later = [p.name for p in (place.run / CHECKPOINTS).glob("step_*") if p.name > wanted.name]
    if later:
        raise RunError(
            f"{job.checkpoint}: {max(later)} is newer, and a requeued job goes on from the newest; move what is newer "
            "away first"
        )


def _sbatch(launcher: Slurm, place: Place) -> submitit.SlurmJob[Any]:
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


def _refuse_never(handle: submitit.SlurmJob[Any]) -> None:
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


def _note(launcher: Slurm, job: Job, place: Place, handle: submitit.SlurmJob[Any], code: dict[str, Any]) -> None:
    """Add a line to RUN/slurm/jobs.jsonl."""
    keys: dict[str, Any] = attrs.asdict(launcher)  # type: ignore[arg-type]
    asked = {key: value for key, value in keys.items() if value not in (None, (), {})}
    line = {
        "job": handle.job_id,
        "submitted": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "action": job.action,
        "host": socket.gethostname(),
        "folder": os.getcwd(),
        "command": sys.argv,
        "script": f"{handle.job_id}_submission.sh",
        "launcher": asked,
        "code": code,
    }
    with (place.logs / JOBS).open("a", encoding="utf-8") as file:
        file.write(json.dumps(line, ensure_ascii=False) + "\n")


def _said(launcher: Slurm, job: Job, handle: submitit.SlurmJob[Any]) -> list[str]:
    machines = f"{launcher.nodes or 1} node{'s' * ((launcher.nodes or 1) > 1)}"
    tasks = f"{launcher.tasks} process{'es' * (launcher.tasks > 1)} on each"
    again = f"requeued at most {launcher.max_requeues} times" if launcher.max_requeues else "never requeued"
    logs = Path(job.folder) / LOGS
    return [
        f"job   {handle.job_id}: {machines}, {tasks}; {again}",
        f"run   {job.folder}",
        f"log   {logs / f'{handle.job_id}_0_log.out'}, of the job as a whole {logs / f'{handle.job_id}.log'}",
        f"next  squeue --job {handle.job_id}, scancel {handle.job_id}",
    ]
