"""``vf slurm logs``: what a job wrote, as files of its run folder. Works without Slurm."""

from __future__ import annotations

import re
import shutil
import time
from collections.abc import Sequence
from pathlib import Path
from typing import IO

import attrs

from vf.errors import RunError, SetupError
from vf_slurm.found import Submitted, one_of
from vf_slurm.jobs import look

PAUSE = 0.5
"""Seconds between two looks at the files."""


def tail(name: str, *, follow: bool, rank: int | None, lines: int | None, out: IO[str]) -> None:
    """Print the logs of the newest job of a run.

    Args:
        name: of the run.
        follow: go on until the job ends.
        rank: only what this process wrote.
        lines: begin with so many of the last lines of each file; nothing: with all.
        out: where to.
    """
    found = one_of(name)
    printer = _Printer(out, lines)
    printed = printer.pull(_files(found, rank))
    if follow:
        _follow(found, rank, printer)
    elif not printed:
        files = _files(found, rank)
        if rank is not None and not any(file.exists() for file in files) and found.starts():
            raise RunError(f"{found.run}: job {found.job} has no process {rank}")
        out.write(f"job   {found.job} has written nothing yet{_why(found)}\n")


def _follow(found: Submitted, rank: int | None, printer: _Printer) -> None:
    over = False
    while True:
        printer.pull(_files(found, rank))
        if over:
            return
        over = _is_over(found)  # what it wrote last is printed once more
        time.sleep(PAUSE)


def _files(found: Submitted, rank: int | None) -> list[Path]:
    """Return the logs that matter: of the job, of the first process, and of the one that failed first."""
    ranks = [rank] if rank is not None else [0]
    first = re.match(r"rank (\d+) ", found.error())
    if rank is None and first and first[1] != "0":
        ranks.append(int(first[1]))
    whole = [found.logs / f"{found.job}.log"] if rank is None else []
    return [*whole, *(found.logs / f"{found.job}_{each}_log.{end}" for each in ranks for end in ("out", "err"))]


def _is_over(found: Submitted) -> bool:
    """Whether the job has ended: by the run folder at once, by Slurm where it could write nothing any more."""
    last = found.last_event()
    if shutil.which("squeue") is None:
        return last.get("event") == "ended"
    try:
        known = look([found.job]).jobs[found.job]
    except SetupError:
        return last.get("event") == "ended"
    if last.get("event") == "ended":
        return known.state != "PENDING"  # it was requeued by hand
    return bool(known.state) and not known.alive


def _why(found: Submitted) -> str:
    if shutil.which("squeue") is None:
        return ""
    try:
        known = look([found.job]).jobs[found.job]
    except SetupError as error:
        return f"; {error.problems[0]}"
    reason = f" ({known.reason})" if known.reason else ""
    return f": it is {known.state}{reason}" if known.state else ""


@attrs.define
class _Printer:
    """Prints what is new in files, under a heading wherever the file changes."""

    out: IO[str]
    lines: int | None
    places: dict[Path, int] = attrs.field(factory=dict)
    last: Path | None = None

    def pull(self, files: Sequence[Path]) -> bool:
        """Print what was added; False where there is nothing."""
        printed = False
        for file in files:
            text = self._new(file)
            if not text:
                continue
            if file != self.last:
                self.out.write(f"==> {file} <==\n")
                self.last = file
            self.out.write(text)
            printed = True
        self.out.flush()
        return printed

    def _new(self, file: Path) -> str:
        """Return the whole lines that a file has gained."""
        try:
            with file.open("rb") as stream:
                stream.seek(self.places.get(file, 0))
                data = stream.read()
        except OSError:
            return ""
        data = data[: data.rfind(b"\n") + 1]
        is_first = file not in self.places
        self.places[file] = self.places.get(file, 0) + len(data)
        text = data.decode("utf-8", errors="replace")
        if is_first and self.lines is not None:
            text = "".join(text.splitlines(keepends=True)[-self.lines or len(text) :])
        return text
