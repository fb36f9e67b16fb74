"""``vf runs``: list runs, verify their checkpoints."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

from vf.console import Console, megabytes, metric
from vf.errors import CheckpointError, ConfigError, RunError
from vf.runs import CHECKPOINTS, LOG, RECIPE, ROOT, is_run, run_of
from vf.schema import Duration
from vf.yaml12 import parse_file

STEPS = "step_*"
LINKS = ("last", "best")
NOT_METRICS = ("kind", "step", "epoch")


@click.group()
def runs() -> None:
    """Look at runs: list them, verify their checkpoints."""


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
    found = sorted(path for path in root.iterdir() if is_run(path)) if root.is_dir() else []
    if not found:
        click.echo("none")
        return
    Console(sys.stdout).table([("run", "step", "best", "state"), *(_row(path) for path in found)])


def _row(run: Path) -> tuple[str, ...]:
    train = _train_keys(run)
    records = list(_records(run / LOG))
    last = records[-1] if records else {}
    return (run.name, str(last.get("step", "-")), _best(records, train.get("best")), _state(run, last, train))


def _train_keys(run: Path) -> dict[str, Any]:
    """Return what stands under ``train:``, as far as it can be read."""
    try:
        train = parse_file(run / RECIPE).plain().get("train")
    except ConfigError:
        return {}
    return train if isinstance(train, dict) else {}


def _records(log: Path) -> Iterator[dict[str, Any]]:
    """Yield the records that can be read: a list must not fail because one run of many is damaged."""
    try:
        lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return
    for line in lines:
        try:
            record = json.loads(line)
        except ValueError:
            continue
        if isinstance(record, dict) and isinstance(record.get("step"), int):
            yield record


def _best(records: list[dict[str, Any]], wanted: object) -> str:
    """Return the largest value of the metric that chooses the best checkpoint, with its name."""
    measured = [record for record in records if record.get("kind") == "val"]
    key = wanted or next((k for record in measured for k in record if k not in NOT_METRICS), "")
    values = [v for record in measured if isinstance(v := record.get(str(key)), int | float)]
    return f"{key} {metric(max(values))}" if values else "-"


def _state(run: Path, last: dict[str, Any], train: dict[str, Any]) -> str:
    if _is_over(last, train.get("length")):
        return "finished"
    return "can be resumed" if any((run / CHECKPOINTS).glob(STEPS)) else "no checkpoint"


def _is_over(last: dict[str, Any], length: object) -> bool:
    step, epoch = last.get("step"), last.get("epoch")
    if not isinstance(step, int) or not isinstance(epoch, int | float) or epoch <= 0:
        return False
    try:
        total = Duration.parse(str(length)).steps(step / epoch)
    except ValueError:
        return False
    # The log rounds epochs to four digits, and what is computed from them is off by as much.
    return step >= total * (1 - 5e-5 / epoch)
