"""``vf run``: train, and the commands that use what was trained."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

from vf.errors import ConfigError
from vf_cli.bench import bench
from vf_cli.export import export
from vf_cli.infer import infer
from vf_cli.launching import Launched, is_local, launch, launcher_of, places_of
from vf_cli.options import DEVICE, SET, processes
from vf_cli.sweep import NEWEST, Asked, refuse_changes, refuse_overrides, run_name, train_sweep
from vf_cli.test import test


@click.group()
def run() -> None:
    """Train, test and use models."""


run.add_command(test)
run.add_command(infer)
run.add_command(export)
run.add_command(bench)


@run.command(cls=Launched)
@click.argument("recipe", required=False)
@click.option("--task", metavar="TASK", help="Run the task's default recipe: det, seg, cls, ocr …")
@click.option("--data", metavar="PATH", help="Train on this folder; its format is recognised.")
@SET
@click.option("--out", metavar="DIR", help="Run folder, must not exist.  [default: runs/NAME-NUMBER]")
@click.option(
    "--resume",
    metavar="[RUN]",
    is_flag=False,
    flag_value=NEWEST,
    help="Go on with a run, or from one of its checkpoints; without a value with --out DIR, else with the newest run.",
)
@click.option("--init-from", metavar="WEIGHTS", help="Start from the weights of a file, run or http(s) address.")
@click.option("--allow-partial", is_flag=True, help="Let --init-from fill less than half of the model.")
@click.option("--seed", type=click.IntRange(min=0), help="Of weights, order and augmentation.")
@click.option("--deterministic", is_flag=True, help="The same bits each time, on a GPU too.")
@click.option(
    "--auto-scale-lr", type=click.IntRange(min=1), metavar="N", help="The recipe's lr belongs to N images a step."
)
@click.option("--dry-run", type=click.IntRange(min=1), metavar="N", help="Try every stage on N batches, keep nothing.")
@click.option(
    "--sweep",
    "sweeps",
    multiple=True,
    metavar="KEY=VALUE,VALUE",
    help="A run for each value; may be repeated: for each combination.",
)
@DEVICE
@processes
def train(
    recipe: str | None,
    task: str | None,
    data: str | None,
    overrides: tuple[str, ...],
    out: str | None,
    resume: str | None,
    dry_run: int | None,
    sweeps: tuple[str, ...],
    **flags: Any,
) -> None:
    """Train RECIPE (see 'vf list recipes'), or the default of a task."""
    places = places_of(flags)
    overrides = (*overrides, *(f"train.{key}={_yaml(value)}" for key, value in flags.items() if value))
    if flags["seed"] == 0:
        overrides = (*overrides, "train.seed=0")
    asked = Asked(recipe, task, data, overrides, sweeps, out, resume, dry_run)
    if asked.is_sweep:
        sys.exit(train_sweep(asked, places))
    reference = _to_resume(resume, out)
    from vf.launch import Job
    from vf.recipes import resolve
    from vf.runs import discard_unstarted

    if reference is not None:
        given: dict[str, Any] = {"a recipe": recipe, "--task": task, "--data": data}
        if resume == NEWEST and out is not None:
            # The same command starts a run and goes on with it, so it must mean the same training.
            wanted = resolve(recipe, task=task, data=data, overrides=overrides) if any(given.values()) else None
            sys.exit(_resume(reference, () if wanted else overrides, places, wanted))
        given |= {"--out": out, "--dry-run": dry_run}
        _refuse_with_resume([name for name, value in given.items() if value])
        sys.exit(_resume(reference, overrides, places))

    resolved = resolve(recipe, task=task, data=data, overrides=overrides)
    if dry_run is not None:
        job = Job(action="dry_run", folder="", recipe=resolved.yaml(), source=resolved.source, batches=dry_run)
        sys.exit(_launch(resolved, job, places))
    job = Job(
        action="train",
        folder="",
        recipe=resolved.yaml(),
        source=resolved.source,
        origins={key: where for key, _, where in resolved.origins() if where != "default"},
        out=out or "",
        name=run_name(resolved.source),
    )
    launcher = launcher_of(places, resolved.recipe.launcher)
    if not is_local(launcher) or _one_of_many(places):
        sys.exit(launch(launcher, job, places))  # which makes the folder, or lets rank 0 make it
    job = job.made()
    try:
        sys.exit(launch(launcher, job, places))
    finally:
        discard_unstarted(Path(job.folder))


def _yaml(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _one_of_many(places: dict[str, Any]) -> bool:
    """Whether other processes, started elsewhere, take part in the run."""
    from vf.launch import Nodes
    from vf.world import find_world

    given = (places.get("node_rank"), places.get("master_addr", ""), places.get("master_port"))
    nodes = Nodes.of(places.get("nodes"), *given)
    return find_world().size > 1 or nodes.count > 1


def _to_resume(resume: str | None, out: str | None) -> str | None:
    """Return the run to go on with; None: there is none, start."""
    if resume != NEWEST:
        return resume
    from vf.errors import RunError
    from vf.runs import is_run, newest_run

    if out is not None:
        return out if is_run(Path(out)) else None
    run = newest_run()
    if run is None:
        raise RunError("--resume: no run in runs/ here; name one, or leave --resume out to start")
    return str(run)


def _refuse_with_resume(given: list[str]) -> None:
    if given:
        raise ConfigError(f"--resume: takes everything from the run; leave out {', '.join(given)}")


def _resume(reference: str, overrides: tuple[str, ...], places: dict[str, Any], wanted: Any = None) -> int:
    from vf.engine.checkpoint import all_in, newest_good
    from vf.errors import RunError
    from vf.launch import Job
    from vf.recipes import from_text
    from vf.runs import CHECKPOINTS, RECIPE, is_run, run_of

    refuse_overrides(overrides)
    folder = run_of(reference)
    path = Path(reference).resolve()
    path = path.parent if path.is_file() else path
    checkpoint = newest_good(folder / CHECKPOINTS, click.echo) if is_run(path) else path
    if checkpoint is None and all_in(folder / CHECKPOINTS):
        raise RunError(f"{reference}: has no good checkpoint to resume from; start again with another --out")
    if checkpoint is None:
        click.echo(f"{reference}: was ended before its first checkpoint; begins again")
    text = (folder / RECIPE).read_text(encoding="utf-8")
    resolved = from_text(text, str(folder / RECIPE), overrides=overrides)
    if wanted is not None:
        refuse_changes(resolved, wanted, folder)
        resolved = wanted
    job = Job(action="train", folder=_short(folder), recipe=resolved.yaml(), checkpoint=str(checkpoint or ""))
    return _launch(resolved, job, places)


def _short(folder: Path) -> str:
    return str(folder.relative_to(Path.cwd())) if folder.is_relative_to(Path.cwd()) else str(folder)


def _launch(resolved: Any, job: Any, places: dict[str, Any]) -> int:
    return launch(launcher_of(places, resolved.recipe.launcher), job, places)
