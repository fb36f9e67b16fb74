"""What Slurm knows of jobs: asked for all of them at once, and not more often than it likes."""

from __future__ import annotations

import json
import os
import re
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import attrs

from vf.errors import SetupError
from vf_slurm.states import ENDED, ask

PAUSE = 30.0
"""Seconds between two questions about a job."""
FIELDS = ("job", "state", "reason", "elapsed", "limit", "where")
SQUEUE = ("squeue", "-h", "-r", "-t", "all", "-o", "%i|%T|%r|%M|%l|%N", "-j")
SACCT = ("sacct", "-n", "-X", "-P", "-o", "JobID,State,ExitCode,Elapsed,Timelimit,NodeList", "-j")
UNKNOWN_JOB = "Invalid job id"


@attrs.frozen
class Known:
    """What Slurm says of one job; an empty state: nothing."""

    job: str
    state: str = ""
    reason: str = ""
    """Why it waits."""
    elapsed: str = ""
    limit: str = ""
    where: str = ""
    """Names of its machines."""

    @property
    def alive(self) -> bool:
        """Whether it waits or runs, or will run again."""
        return bool(self.state) and self.state not in ENDED


@attrs.frozen
class Answer:
    """What was found out."""

    jobs: Mapping[str, Known]
    age: float = 0.0
    """Seconds since Slurm was asked, for the oldest of them."""


def look(jobs: Iterable[str], at_most: float = PAUSE) -> Answer:
    """Say what Slurm knows of these jobs: with one squeue for all, and one sacct for those that it has forgotten.

    Args:
        jobs: ids; ``4711_3`` of an element of an array.
        at_most: seconds that an answer may be old.

    Raises:
        SetupError: the controller does not answer, in its own words.
    """
    wanted = dict.fromkeys(jobs)
    now = time.time()
    kept = {job: told for job, told in _remembered().items() if 0 <= now - told["time"] < PAUSE}
    fresh = {job for job in wanted if job in kept and now - kept[job]["time"] < at_most}
    if missing := [job for job in wanted if job not in fresh]:
        found = _asked(missing)
        kept |= {job: {"time": now, **attrs.asdict(known)} for job, known in found.items()}
        _remember(kept)
    told = {job: kept[job] for job in wanted}
    age = max((now - entry["time"] for entry in told.values()), default=0.0)
    return Answer({job: Known(*(entry[name] for name in FIELDS)) for job, entry in told.items()}, age)


def forget() -> None:
    """Let the next question reach Slurm: something was changed."""
    _file().unlink(missing_ok=True)


def _asked(jobs: list[str]) -> dict[str, Known]:
    wanted = ",".join(dict.fromkeys(job.partition("_")[0] for job in jobs))
    queue = ask(*SQUEUE, wanted)
    if queue.returncode and UNKNOWN_JOB not in queue.stderr:
        raise SetupError(f"squeue: {words_of(queue.stderr)}")
    found = {known.job: known for known in map(_of_squeue, queue.stdout.splitlines()) if known}
    if gone := [job for job in jobs if job not in found]:
        # Without accounting, sacct fails: what the run folder tells must do.
        past = ask(*SACCT, ",".join(gone))
        found = {known.job: known for known in map(_of_sacct, past.stdout.splitlines()) if known} | found
    return {job: found.get(job, Known(job)) for job in jobs}


def _of_squeue(line: str) -> Known | None:
    cells = line.split("|")
    if len(cells) != len(FIELDS):
        return None
    job, state, reason, elapsed, limit, where = cells
    return Known(job, state, "" if reason == "None" else reason, elapsed, limit, where)


def _of_sacct(line: str) -> Known | None:
    cells = line.split("|")
    if len(cells) != len(FIELDS):
        return None
    job, state, _, elapsed, limit, where = cells
    return Known(job, state.partition(" ")[0], "", elapsed, limit, "" if where == "None assigned" else where)


def words_of(text: str) -> str:
    """Return what one of Slurm's commands said, without its name."""
    lines = [re.sub(r"^(\w+: )?(slurm_\w+ )?(error: )?", "", line).strip() for line in text.splitlines()]
    return "; ".join(dict.fromkeys(filter(None, lines))) or "failed and said nothing"


def _file() -> Path:
    root = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(root) / "vf" / "slurm_jobs.json"


def _remembered() -> dict[str, dict[str, Any]]:
    """Return what was answered a moment ago, by this cluster."""
    try:
        kept = json.loads(_file().read_text(encoding="utf-8"))
        jobs: dict[str, dict[str, Any]] = kept["jobs"] if kept["cluster"] == _cluster() else {}
        return {job: {name: told[name] for name in ("time", *FIELDS)} for job, told in jobs.items()}
    except (OSError, ValueError, KeyError, TypeError):
        return {}  # as if nobody had asked


def _remember(jobs: Mapping[str, Mapping[str, Any]]) -> None:
    path = _file()
    fresh = path.with_name(f"{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        fresh.write_text(json.dumps({"cluster": _cluster(), "jobs": jobs}), encoding="utf-8")
        fresh.replace(path)
    except OSError:
        return  # a home that cannot be written only makes the next question reach Slurm


def _cluster() -> str:
    return ":".join(os.environ.get(name, "") for name in ("SLURM_CONF", "SLURM_CLUSTERS"))
