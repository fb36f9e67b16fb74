"""``vf slurm status``, ``cancel`` and ``requeue``."""

from __future__ import annotations

import json
import shlex
import shutil
import sys
from collections.abc import Sequence
from typing import Any

import attrs

from vf.console import Console
from vf.errors import RunError, SetupError
from vf.launchers import flag
from vf_slurm.found import JOBS, Submitted, jobs_of
from vf_slurm.jobs import Known, forget, look, words_of
from vf_slurm.launcher_configs import Slurm
from vf_slurm.states import ask


@attrs.frozen
class Row:
    """A job, as its run folder and Slurm tell it."""

    of: Submitted
    known: Known

    @property
    def state(self) -> str:
        """Slurm's word, else what the run folder tells."""
        return self.known.state or self.of.told() or "UNKNOWN"

    @property
    def note(self) -> str:
        """Why it waits, or what ended it."""
        if self.known.alive:
            return self.known.reason if self.state == "PENDING" else ""
        return "" if self.state == "COMPLETED" else self.of.error()

    def cells(self) -> tuple[str, ...]:
        """Return a row of the table."""
        step, known = self.of.step(), self.known
        time = f"{known.elapsed} of {known.limit}" if known.elapsed and known.limit else known.elapsed
        starts = str(self.of.starts() or "-")
        return (
            str(self.of.run), self.of.job, self.state, "-" if step is None else str(step), starts, time or "-",
            known.where or "-",
        )  # fmt: skip


def refuse_without(*tools: str) -> None:
    """Raise SetupError where there is no Slurm."""
    if missing := [tool for tool in tools if shutil.which(tool) is None]:
        raise SetupError(f"vf slurm: no {', '.join(missing)} on PATH; type it on a login node")


def rows_of(names: Sequence[str], *, at_once: bool = False) -> tuple[list[Row], float]:
    """Return the jobs of these runs, and how many seconds ago Slurm was asked about them."""
    found = jobs_of(names)
    answer = look((each.job for each in found), **({"at_most": 0.0} if at_once else {}))
    return [Row(each, answer.jobs[each.job]) for each in found], answer.age


def show(names: Sequence[str]) -> None:
    """Print the table of ``vf slurm status``."""
    refuse_without("squeue")
    silent: SetupError | None = None
    try:
        rows, age = rows_of(names)
    except SetupError as error:  # what the run folders tell is something
        rows, age, silent = [Row(each, Known(each.job)) for each in jobs_of(names)], 0.0, error
    with Console(sys.stdout) as console:
        if not rows and silent is None:
            console.say("none")
        head = ("run", "job", "state", "step", "starts", "time", "on")
        console.table([head, *(row.cells() for row in rows)] if rows else [])
        for row in rows:
            if row.note:
                console.say(f"note  {row.of.run}: {row.note}")
        if age >= 1:
            console.say(f"as of {age:.0f} s ago: Slurm is asked about a job at most every 30 s")
    if silent is not None:
        raise SetupError(*(f"{problem}; the above is what the run folders tell" for problem in silent.problems))


def cancel(names: Sequence[str]) -> None:
    """End jobs for good."""
    refuse_without("squeue", "scancel")
    rows, _ = rows_of(names, at_once=True)
    alive = [row for row in rows if row.known.alive]
    if not alive:
        raise RunError(*(f"{row.of.run}: its job {row.of.job} is {row.state}; nothing to cancel" for row in rows))
    _do("scancel", *(row.of.job for row in alive))
    for row in alive:
        print(f"cancelled job {row.of.job} of {row.of.run}")  # noqa: T201 - what a command says
    begun = [row for row in alive if row.of.starts()]
    if begun:
        print(f"next  go on later: {_again(begun[0])}")  # noqa: T201 - as above


def requeue(names: Sequence[str]) -> None:
    """Let jobs save and wait again, or start again what has failed."""
    refuse_without("squeue", "scancel", "scontrol")
    rows, _ = rows_of(names, at_once=True)
    problems: list[str] = []
    over = [row for row in rows if row.state == "COMPLETED"]
    if len(over) == len(rows):
        lines = (f"{r.of.run}: its job {r.of.job} is COMPLETED; nothing to go on with" for r in over)
        raise RunError(*lines)
    for row in rows:
        if row in over:  # of a sweep, say
            continue
        try:
            line = _requeued(row)
        except RunError as error:
            problems += error.problems
        else:
            print(line)  # noqa: T201 - what a command says
    if problems:
        raise RunError(*problems)


def _requeued(row: Row) -> str:
    job, run = row.of.job, row.of.run
    if row.state == "PENDING":
        return f"job   {job} of {run} waits already"
    if row.state == "RUNNING":
        _do("scancel", "--signal=USR2", job)
        return f"job   {job} of {run} is told to save, to give its machines back and to wait again"
    if row.known.alive:
        raise RunError(f"{run}: its job {job} is {row.state}; try again in a moment")
    forget()
    done = ask("scontrol", "requeue", job)
    if done.returncode:
        raise RunError(f"{run}: Slurm does not requeue job {job}: {words_of(done.stderr)}; submit: {_again(row)}")
    return f"job   {job} of {run} was {row.state}, and waits again"


def _do(*command: str) -> None:
    forget()
    done = ask(*command)
    if done.returncode:
        raise RunError(f"{command[0]}: {words_of(done.stderr)}")


def _again(row: Row) -> str:
    """Return the command that submits a run again, with the options that it had."""
    lines = (row.of.logs / JOBS).read_text(encoding="utf-8").splitlines()
    told = json.loads(lines[-1])
    if told["action"] != "train":
        return shlex.join(["vf", *told["command"][1:]])
    words = ["vf", "run", "train", "--resume", str(row.of.run), "--launcher", "slurm"]
    default: dict[str, Any] = attrs.asdict(Slurm())  # type: ignore[arg-type]
    for key, value in told["launcher"].items():
        if value == default[key] or key == "max_parallel":
            continue
        items = [f"{name}={one}" for name, one in value.items()] if isinstance(value, dict) else value
        words += [w for one in (items if isinstance(items, list) else [items]) for w in (flag(key), str(one))]
    return shlex.join(words)
