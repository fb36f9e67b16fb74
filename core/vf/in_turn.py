"""The runs of a sweep on this machine, one after another, each in a process of its own. Free of torch."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

import attrs

from vf.console import Console
from vf.errors import listed
from vf.launch import Job
from vf.runs import JOB, has_begun
from vf.sweeps import Sweep, discard

STOPPED = 75
INTERRUPTED = 130
CODES = {
    signal.SIGTERM: STOPPED,
    signal.SIGUSR1: STOPPED,
    signal.SIGUSR2: STOPPED,
    signal.SIGINT: INTERRUPTED,
}
"""Exit codes as in vf.engine.signals."""


@attrs.define
class _Stop:
    """What was asked of this process, which it hands on to the one that works."""

    code: int = 0
    working: subprocess.Popen[bytes] | None = None

    def take(self, number: int, frame: FrameType | None) -> None:
        self.code = max(self.code, CODES[signal.Signals(number)])
        if self.working is not None and self.working.poll() is None:
            self.working.send_signal(number)


def launch(sweep: Sweep, local: Mapping[str, Any]) -> int:
    """Do the runs of a sweep; one that fails does not keep the others from being done.

    Args:
        sweep: its folders are made here.
        local: keys of the launcher ``local``.

    Returns:
        0; 1 where a run failed; 75 or 130 where a signal ended all.
    """
    sweep = sweep.made()
    jobs = sweep.jobs()
    failed: list[str] = []
    with Console(sys.stdout) as console, _listening() as stop:
        console.say(f"sweep {len(jobs)} runs, one after another, in {sweep.folder}")
        for number, job in enumerate(jobs, 1):
            console.say()
            console.say(f"[{number}/{len(jobs)}] {Path(job.folder).name}")
            if _one(job, local, stop) and not stop.code:
                failed.append(Path(job.folder).name)
            if stop.code:
                break
        _conclude(sweep, failed, stop.code, console)
    return stop.code or (1 if failed else 0)


def _conclude(sweep: Sweep, failed: Sequence[str], stopped: int, console: Console) -> None:
    assert sweep.folder is not None
    if not any(has_begun(Path(job.folder)) for job in sweep.jobs()):
        discard(sweep)
    console.say()
    left = len(sweep.left().members) if sweep.folder.is_dir() else len(sweep.members)
    if failed:
        console.say(f"failed {len(failed)} of {len(sweep.members)}: {listed(failed)}")
    if left < len(sweep.members):
        console.say(f"next  see which is best: vf runs compare {sweep.folder}")
    if (stopped or failed) and sweep.folder.is_dir():
        console.say(f"next  go on with what is left ({left}): vf run train --resume {sweep.folder}")


def _one(job: Job, local: Mapping[str, Any], stop: _Stop) -> int:
    command = [sys.executable, "-m", "vf.member", str(Path(job.folder) / JOB), json.dumps(dict(local))]
    stop.working = subprocess.Popen(command)
    if stop.code:  # came while it was being started
        stop.working.send_signal(signal.SIGTERM)
    code = stop.working.wait()
    stop.working = None
    return code


@contextmanager
def _listening() -> Iterator[_Stop]:
    stop = _Stop()
    before = {number: signal.signal(number, stop.take) for number in CODES}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
