"""A sweep as one array of jobs: each element has its run folder, and is requeued and resumed by itself."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

import attrs
import submitit

from vf.console import Console
from vf.errors import ConfigError, RunError
from vf.runs import next_run
from vf.sweeps import Sweep
from vf_slurm import snapshot
from vf_slurm.found import last_job
from vf_slurm.jobs import forget, look
from vf_slurm.launcher_configs import Slurm
from vf_slurm.script import CODE, LOGS, Place, render
from vf_slurm.states import ask
from vf_slurm.submit import note, refuse_never, sbatch, shape_of, told, write_job
from vf_slurm.surroundings import Defaults, refuse_here, with_defaults

Handle = submitit.SlurmJob[object]


def preview_sweep(launcher: Slurm, sweep: Sweep) -> str:
    """Return the script that :func:`submit_sweep` would give to sbatch."""
    found = _defaults(launcher)
    folder = sweep.folder or (Path(sweep.out) if sweep.out else next_run(sweep.called))
    return render(found.launcher, _place(sweep.at(folder)))


def submit_sweep(launcher: Slurm, sweep: Sweep) -> None:
    """Submit the runs of a sweep, but for those whose jobs live, and say where to look.

    Raises:
        SetupError: there is no Slurm here, this is a task of it, or its controller does not answer.
        ConfigError: Slurm refuses what is asked for, or would never start it.
        RunError: a folder cannot be used.
    """
    refuse_here()
    found = _defaults(launcher)
    is_fresh = sweep.folder is None
    alive = _alive(sweep)
    sweep = attrs.evolve(sweep, members=tuple(m for m in sweep.members if m.name not in alive))
    with Console(sys.stdout) as console:
        if alive:
            console.say(
                f"note  {len(alive)} of them wait{'s' * (len(alive) == 1)} or run{'s' * (len(alive) == 1)} already"
            )
        if not sweep.members:
            console.say(f"next  vf slurm status {sweep.folder}")
            return
        sweep = sweep.made()
        handle = _submitted(found.launcher, sweep, is_fresh=is_fresh, keep_code=bool(alive))
        for line in (*found.said, *_said(found.launcher, sweep, handle)):
            console.say(line)


def _defaults(launcher: Slurm) -> Defaults:
    found = with_defaults(launcher)
    if found.port is not None:
        raise ConfigError(f"MASTER_PORT={found.port}: every run of the sweep would have this port; unset it")
    return found


def _alive(sweep: Sweep) -> set[str]:
    """Return the names of the runs whose newest job waits or runs."""
    if sweep.folder is None:
        return set()
    jobs = {m.name: job for m in sweep.members if (job := last_job(sweep.folder / m.name))}
    states = look(jobs.values(), at_most=0.0).jobs
    return {name for name, job in jobs.items() if states[job].alive}


def _place(sweep: Sweep, code: str = CODE) -> Place:
    assert sweep.folder is not None
    folder = sweep.folder.resolve()
    return Place(run=folder, elements=tuple(folder / m.name for m in sweep.members), code=code)


def _submitted(launcher: Slurm, sweep: Sweep, *, is_fresh: bool, keep_code: bool) -> Handle:
    assert sweep.folder is not None
    logs = sweep.folder / LOGS
    place = _place(sweep, _free(logs) if keep_code else CODE)
    handle: Handle | None = None
    try:
        _make(logs)
        for job, run in zip(sweep.jobs(), place.elements, strict=True):
            write_job(job, run)
        code = snapshot.take(logs / place.code)
        handle = sbatch(launcher, place)
        refuse_never(handle)
        _note(launcher, place, handle, code)
        return handle
    except BaseException:
        if handle is not None:
            ask("scancel", handle.job_id)  # nobody would know of it
        if is_fresh:
            shutil.rmtree(sweep.folder, ignore_errors=True)  # made a moment ago
        raise
    finally:
        forget()


def _make(folder: Path) -> None:
    try:
        folder.mkdir(exist_ok=True)
    except OSError as error:
        raise RunError(f"{folder}: cannot be written: {error.strerror}") from None


def _free(logs: Path) -> str:
    """Return a name for the code beside that which jobs still use."""
    number = 2
    while (logs / f"{CODE}-{number}").exists():
        number += 1
    return f"{CODE}-{number}"


def _note(launcher: Slurm, place: Place, handle: Handle, code: object) -> None:
    line = {**told(launcher, handle), "action": "train", "runs": [run.name for run in place.elements]}
    note(place.run, {**line, "code": code})
    script = os.path.join("..", "..", LOGS, str(line["script"]))
    for number, run in enumerate(place.elements):
        element = f"{handle.job_id}_{number}"
        note(run, {**line, "job": element, "script": script})
        log = run / LOGS / f"{element}.log"
        log.unlink(missing_ok=True)
        log.symlink_to(os.path.join("..", "..", LOGS, log.name))


def _said(launcher: Slurm, sweep: Sweep, handle: Handle) -> Sequence[str]:
    count = len(sweep.members)
    most = f", at most {launcher.max_parallel} at a time" if launcher.max_parallel else ""
    return [
        f"job   {handle.job_id}: an array of {count} run{'s' * (count > 1)}{most}, each on {shape_of(launcher)}",
        f"sweep {sweep.folder}",
        f"next  vf slurm status {sweep.folder}, vf runs compare {sweep.folder}, vf slurm cancel {sweep.folder}",
    ]
