"""``vf run train --sweep``: several runs of one recipe, begun or gone on with."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs
import click

from vf.errors import ConfigError, RunError, listed
from vf_cli.launching import launch_sweep, launcher_of

if TYPE_CHECKING:
    from vf.recipes import Resolved
    from vf.sweeps import Sweep

NEWEST = "newest"
"""What --resume without a value stands for."""
FREE_IN_RESUME: tuple[str, ...] = (
    *("loader.", "launcher", "train.length", "train.device", "train.stall_timeout"),
    *("train.keep", "train.save_every", "train.save_minutes", "train.log_every"),
)
"""Keys that a resumed run may change: nothing that was trained depends on them."""


@attrs.frozen
class Asked:
    """What was typed after ``vf run train``."""

    recipe: str | None
    task: str | None
    data: str | None
    overrides: tuple[str, ...]
    sweeps: tuple[str, ...]
    out: str | None
    resume: str | None
    dry_run: int | None

    @property
    def is_sweep(self) -> bool:
        """Whether it means several runs; those of a sweep folder are gone on with by its name alone."""
        from vf.sweeps import is_sweep

        places = [self.resume] if self.resume != NEWEST else [self.out] if self.out else []
        return bool(self.sweeps) or any(place is not None and is_sweep(Path(place)) for place in places)


def train_sweep(asked: Asked, places: dict[str, Any]) -> int:
    """Start a sweep, or what is left of one; return the exit code."""
    if asked.dry_run is not None:
        raise ConfigError("--dry-run: tries one run; leave --sweep out, or --dry-run")
    sweep = _wanted(asked)
    if sweep.folder is not None:
        total, sweep = len(sweep.members), sweep.left()
        done = total - len(sweep.members)
        click.echo(f"sweep {sweep.folder}: {done} of {total} runs are finished")
        if not sweep.members:
            click.echo(f"next  see which is best: vf runs compare {sweep.folder}")
            return 0
    return launch_sweep(launcher_of(places, sweep.members[0].recipe.recipe.launcher), sweep, places)


def _wanted(asked: Asked) -> Sweep:
    """Return the sweep that is meant, with its folder where it has one."""
    from vf.sweeps import load, plan, refuse_other_keys

    if not asked.sweeps:
        given = {"a recipe": asked.recipe, "--task": asked.task, "--data": asked.data}
        if names := [name for name, value in given.items() if value]:
            raise ConfigError(f"--resume: takes everything from the sweep; leave out {listed(names)}, or add --sweep")
        refuse_overrides(asked.overrides)
        return load(Path((asked.resume if asked.resume != NEWEST else asked.out) or ""), asked.overrides)
    sweep = plan(asked.sweeps, reference=asked.recipe, task=asked.task, data=asked.data, overrides=asked.overrides)
    sweep = attrs.evolve(sweep, name=run_name(sweep.source), out=asked.out or "")
    folder = _to_resume(asked, sweep)
    if folder is None:
        return sweep
    refuse_other_keys(sweep, folder)
    sweep = sweep.at(folder)
    for member, run in sweep.begun():
        refuse_changes(run, member.recipe, folder / member.name)
    return sweep


def _to_resume(asked: Asked, sweep: Sweep) -> Path | None:
    """Return the folder of the sweep to go on with; None: there is none, start."""
    from vf.sweeps import is_sweep, newest

    if asked.resume is None:
        return None
    if asked.resume != NEWEST:
        if asked.out or not is_sweep(Path(asked.resume)):
            problem = "leave --out out" if asked.out else "not the folder of a sweep; leave --sweep out, or name one"
            raise RunError(f"--resume {asked.resume}: {problem}")
        return Path(asked.resume)
    if asked.out is not None:
        return Path(asked.out) if is_sweep(Path(asked.out)) else None
    folder = newest(sweep.name)
    if folder is None:
        raise RunError(f"--resume: no sweep of {sweep.source} in runs/ here; name one, or leave --resume out to start")
    return folder


def refuse_overrides(overrides: tuple[str, ...]) -> None:
    """Raise ConfigError where a resumed run would train something else."""
    bad = [item for item in overrides if not item.startswith(FREE_IN_RESUME)]
    if bad:
        raise ConfigError(
            f"--resume: --set {bad[0]} would change what was trained; start a new run with --init-from, or change only "
            "loader.*, launcher, train.length, train.device, and how often to log and save"
        )


def refuse_changes(saved: Resolved, wanted: Resolved, folder: Path) -> None:
    """Raise ConfigError where a command that was typed again means another training."""
    from vf.recipes import leaves

    before, after = dict(leaves(saved.plain())), dict(leaves(wanted.plain()))
    changed = [k for k in {**before, **after} if before.get(k) != after.get(k) and not k.startswith(FREE_IN_RESUME)]
    if changed:
        raise ConfigError(
            f"--resume: {folder} was trained with other values of {listed(changed)}; choose another --out, or leave "
            "the recipe out to go on with the run's own"
        )


def run_name(source: str) -> str:
    """Return what a run of this recipe is named after."""
    return Path(source).stem if source.endswith((".yaml", ".yml")) else source
