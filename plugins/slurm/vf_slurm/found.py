"""The jobs of run folders: which there are, and what the folder itself tells of them."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import attrs

from vf.errors import RunError
from vf.runs import LOG, ROOT, is_run
from vf.sweeps import is_sweep
from vf_slurm.script import EVENTS, LOGS

JOBS = "jobs.jsonl"
"""In the folder LOGS: a line for each submission."""
TAIL = 4096
"""Bytes in which the last line of a log is looked for."""


@attrs.frozen
class Submitted:
    """The newest job of a run."""

    run: Path
    job: str

    @property
    def logs(self) -> Path:
        """Where it writes."""
        return self.run / LOGS

    def events(self) -> list[dict[str, Any]]:
        """Return what the batch script noted of this job, oldest first."""
        return [event for event in _lines(self.logs / EVENTS) if event.get("job") == self.job]

    def last_event(self) -> dict[str, Any]:
        """Return the newest of :meth:`events`; empty where there is none."""
        events = self.events()
        return events[-1] if events else {}

    def told(self) -> str:
        """Return the state as the run folder tells it, in Slurm's words; empty where it does not."""
        last = self.last_event()
        if last.get("event") == "ended":
            return "FAILED" if last.get("code") else "COMPLETED"
        return ""

    def starts(self) -> int:
        """Return how often it was started."""
        return sum(event.get("event") == "started" for event in self.events())

    def error(self) -> str:
        """Return the error of the rank that failed first, at the newest start that failed."""
        found = sorted(self.logs.glob(f"{self.job}.*.error"), key=lambda path: path.stat().st_mtime)
        text = found[-1].read_text(encoding="utf-8", errors="replace").strip() if found else ""
        return text.removeprefix("vf: failed first: ")

    def step(self) -> int | None:
        """Return the last step that was logged."""
        records = [record for record in _lines(self.run / LOG, last=TAIL) if isinstance(record.get("step"), int)]
        return int(records[-1]["step"]) if records else None


def _lines(path: Path, last: int = 0) -> list[dict[str, Any]]:
    """Return the JSON lines that can be read: a line that is being written must not hide the others."""
    try:
        with path.open("rb") as file:
            if last:
                file.seek(max(0, path.stat().st_size - last))
            text = file.read().decode("utf-8", errors="replace")
    except OSError:
        return []
    out = []
    for line in text.splitlines():
        try:
            record = json.loads(line)
        except ValueError:
            continue
        if isinstance(record, dict):
            out.append(record)
    return out


def last_job(run: Path) -> str:
    """Return the id of the newest job of a run folder; empty where it has none."""
    lines = _lines(run / LOGS / JOBS)
    return str(lines[-1]["job"]) if lines else ""


def jobs_of(names: Sequence[str]) -> list[Submitted]:
    """Return the newest job of each run; of each under runs/ where none is named.

    Args:
        names: run folders, folders of sweeps, ids of jobs.

    Raises:
        RunError: one of them is none of these, or was never submitted.
    """
    if not names:
        return list(_all())
    return list(dict.fromkeys(found for name in names for found in _of(name)))


def _all() -> Iterator[Submitted]:
    for path in sorted(ROOT.glob("*")):
        yield from _within(path)


def _within(path: Path) -> Iterator[Submitted]:
    """Yield the job of a run, or those of the runs of a sweep."""
    if is_sweep(path):
        for run in sorted((p for p in path.iterdir() if (p / LOGS / JOBS).is_file()), key=_in_order):
            yield from _within(run)
    elif job := last_job(path):
        yield Submitted(path, job)


def _in_order(run: Path) -> tuple[Any, ...]:
    numbers = [int(part) for part in re.findall(r"\d+", last_job(run))]
    return (*numbers, run.name)


def _of(name: str) -> list[Submitted]:
    path = Path(name)
    if not path.exists() and re.fullmatch(r"\d+(_\d+)?", name):
        found = [each for each in _all() if name in (each.job, each.job.partition("_")[0])]
        if not found:
            raise RunError(f"{name}: no run under runs/ here has this job; name its run folder")
        return found
    if not path.is_dir():
        raise RunError(f"{name}: no such run")
    if not (found := list(_within(path))):
        cure = (
            f"'vf run train --resume {name} --launcher slurm' makes one" if is_run(path) else "name a run that has one"
        )
        raise RunError(f"{name}: has no job of Slurm; {cure}")
    return found


def one_of(name: str) -> Submitted:
    """Return the newest job of one run."""
    found = _of(name)
    if len(found) > 1:
        raise RunError(f"{name}: {len(found)} runs; name one of them, like {found[0].run}")
    return found[0]
