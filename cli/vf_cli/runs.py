"""``vf runs``: list runs, compare them, verify their checkpoints."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from vf.console import Console, megabytes, metric
from vf.errors import CheckpointError, RunError
from vf.history import History
from vf.runs import CHECKPOINTS, ROOT, is_run, run_of
from vf.sweeps import is_sweep, runs_of
from vf_cli.lazy import LazyGroup

COMMANDS = {"compare": ("vf_cli.compare:compare", "Set runs side by side: recipes, metrics, time.")}
LINKS = ("last", "best")


@click.group(cls=LazyGroup, lazy=COMMANDS)
def runs() -> None:
    """Look at runs: list them, compare them, verify their checkpoints."""


@runs.command()
@click.argument("run")
def check(run: str) -> None:
    """Verify the checkpoints of RUN by their hashes."""
    from vf.engine.checkpoint import all_in

    folder = (Path(run) if is_run(Path(run)) else run_of(run)) / CHECKPOINTS
    saved = all_in(folder)
    if not saved:
        raise RunError(f"{run}: holds no checkpoint; nothing to verify")
    problems: list[str] = []
    good = [checkpoint for checkpoint in saved if _verified(checkpoint, problems)]
    for name in LINKS:
        _follow(folder / name, problems)
    click.echo(f"newest good checkpoint: {good[-1] if good else 'none'}")
    if problems:
        raise CheckpointError(*problems)


def _verified(checkpoint: Path, problems: list[str]) -> bool:
    from vf.engine.checkpoint import verify

    try:
        verify(checkpoint)
    except CheckpointError as error:
        problems += error.problems
        return False
    size = sum(file.stat().st_size for file in checkpoint.iterdir())
    click.echo(f"ok    {checkpoint.name}  {megabytes(size)}")
    return True


def _follow(link: Path, problems: list[str]) -> None:
    """Say where a link points; a run without metrics has no best one, which is well."""
    if link.exists():
        click.echo(f"{link.name}  {link.resolve().name}")
    elif link.is_symlink():
        problems.append(f"{link}: points to {link.readlink()}, which does not exist")


@runs.command("list")
@click.argument("folder", default=str(ROOT))
def list_(folder: str) -> None:
    """List runs: last step, best metric, state."""
    root = Path(folder)
    if not root.is_dir() and root != ROOT:
        raise RunError(f"{folder}: no such folder; expected one that holds runs")
    folders = sorted(root.iterdir()) if root.is_dir() else []
    found, sweeps = [p for p in folders if is_run(p)], [p for p in folders if is_sweep(p)]
    if not found and not sweeps:
        click.echo("none")
    if found:
        Console(sys.stdout).table([("run", "step", "best", "state"), *(_row(path) for path in found)])
    for sweep in sweeps:
        states = [History.read(run).state() for run in runs_of(sweep)]
        click.echo(f"sweep {sweep}: {states.count('finished')} of {len(states)} runs are finished")


def _row(run: Path) -> tuple[str, ...]:
    history = History.read(run)
    best = history.best()
    step = "-" if history.step is None else str(history.step)
    return (run.name, step, f"{best.metric} {metric(best.value)}" if best else "-", history.state())
