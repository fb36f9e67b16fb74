"""Sweeps: one recipe, several values of some keys, a run for each combination. Free of torch."""

from __future__ import annotations

import itertools
import json
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import attrs

from vf.errors import ConfigError, RunError, listed
from vf.launch import NEWEST, Job
from vf.recipes import Resolved, from_text, resolve
from vf.runs import FINISHED, JOB, RECIPE, ROOT, discard_unstarted, is_run, new_run

SWEEP = "sweep.json"
"""In the folder of a sweep, beside a run folder for each combination."""
SHORT = {"seed": "train.seed"}
"""Names that stand for keys, as the flags of ``vf run train`` do."""
LONGEST = 100
"""Letters of a folder's name."""
_KEY = re.compile(r"[A-Za-z_]\w*(\.\w+)*")
_OPEN, _CLOSE, _QUOTES = "[{", "]}", "'\""


@attrs.frozen
class Axis:
    """One key and the values that it takes, as they were typed."""

    key: str
    values: tuple[str, ...]

    @classmethod
    def parse(cls, item: str) -> Axis:
        """Read ``KEY=VALUE,VALUE``; a comma within brackets or quotes belongs to a value."""
        key, equals, text = item.partition("=")
        key = key.strip().replace("[", ".").replace("]", "")
        key = SHORT.get(key, key)
        said = f"--sweep {item}"
        if not equals or not _KEY.fullmatch(key):
            raise ConfigError(f"{said}: expected KEY=VALUE,VALUE like train.optimizer.lr=0.01,0.02")
        if key.partition(".")[0] == "launcher":
            raise ConfigError(f"{said}: all runs of a sweep have one launcher; say it once, without --sweep")
        values = _split(text)
        if "" in values:
            raise ConfigError(f"{said}: a value is missing; expected KEY=VALUE,VALUE")
        if twice := [value for value, count in Counter(values).items() if count > 1]:
            raise ConfigError(f"{said}: {twice[0]} is there twice; leave one out")
        return cls(key, tuple(values))


def _split(text: str) -> list[str]:
    parts, depth, quote = [""], 0, ""
    for letter in text:
        if quote:
            quote = "" if letter == quote else quote
        elif letter in _QUOTES:
            quote = letter
        depth += 0 if quote else (letter in _OPEN) - (letter in _CLOSE)
        if letter == "," and depth <= 0 and not quote:
            parts.append("")
        else:
            parts[-1] += letter
    return [part.strip() for part in parts]


@attrs.frozen(kw_only=True)
class Member:
    """One combination."""

    name: str
    """Of its run folder; says the values."""
    values: Mapping[str, str]
    """By key, as they were typed."""
    recipe: Resolved
    origins: Mapping[str, str] = attrs.field(factory=dict)
    """Where the keys of its recipe were set."""


@attrs.frozen(kw_only=True)
class Sweep:
    """The runs of a sweep."""

    members: tuple[Member, ...]
    source: str
    """Name or file of the recipe."""
    name: str = ""
    """For the folder."""
    out: str = ""
    """Where the user wants the folder; empty: runs/NAME-sweep-NUMBER."""
    folder: Path | None = None
    """Nothing: still to be made."""

    def made(self) -> Sweep:
        """Return the sweep with its run folders made and written down; RunError where something is in the way."""
        folder = self.folder or new_run(self.out or None, self.called)
        sweep = attrs.evolve(self, folder=folder)
        sweep._write(folder)
        return sweep

    @property
    def called(self) -> str:
        """What its folder is named after."""
        return f"{self.name}-sweep"

    def at(self, folder: Path) -> Sweep:
        """Return the sweep as it would be in this folder."""
        return attrs.evolve(self, folder=folder)

    def job(self, member: Member) -> Job:
        """Return the job of a run, which goes on where it stood."""
        assert self.folder is not None
        folder = str(self.folder / member.name)
        return Job(
            action="train",
            folder=folder,
            recipe=member.recipe.yaml(),
            source=self.source,
            origins=member.origins,
            checkpoint=NEWEST,
        )

    def jobs(self) -> tuple[Job, ...]:
        """Return the job of each run."""
        return tuple(self.job(member) for member in self.members)

    def _write(self, folder: Path) -> None:
        known = {**_read(folder)["members"]} if is_sweep(folder) else {}
        known |= {member.name: dict(member.values) for member in self.members}
        text = json.dumps({"source": self.source, "members": known}, indent=1, ensure_ascii=False)
        try:
            (folder / SWEEP).write_text(text + "\n", encoding="utf-8")
            for job in self.jobs():
                Path(job.folder).mkdir(exist_ok=True)
                job.write()
        except OSError as error:
            raise RunError(f"{folder}: cannot be written: {error.strerror}") from None

    def begun(self) -> list[tuple[Member, Resolved]]:
        """Return those whose folder is there already, with the recipe in it."""
        assert self.folder is not None
        return [(m, _saved(self.folder / m.name)) for m in self.members if is_run(self.folder / m.name)]

    def left(self) -> Sweep:
        """Return the sweep with the runs that have not come to their end."""
        return attrs.evolve(self, members=tuple(m for m in self.members if not self._is_finished(m)))

    def _is_finished(self, member: Member) -> bool:
        """Whether it came to its end, and the end was not moved since."""
        if self.folder is None:
            return False
        run = self.folder / member.name
        return (run / FINISHED).is_file() and _saved(run).recipe.train.length == member.recipe.recipe.train.length


def plan(
    items: Sequence[str],
    *,
    reference: str | None,
    task: str | None = None,
    data: str | None = None,
    overrides: Sequence[str] = (),
) -> Sweep:
    """Return the runs that ``--sweep`` items ask for; their folder is still to be chosen.

    Raises:
        ConfigError: with one line for each mistake in any of them.
    """
    axes = [Axis.parse(item) for item in items]
    _refuse_doubles(axes, overrides)
    members, problems = [], []
    combinations = list(itertools.product(*(axis.values for axis in axes)))
    names = _names([axis.key for axis in axes], combinations)
    for name, values in zip(names, combinations, strict=True):
        own = {axis.key: value for axis, value in zip(axes, values, strict=True)}
        typed = [f"{key}={value}" for key, value in own.items()]
        try:
            recipe = resolve(reference, task=task, data=data, overrides=(*overrides, *typed))
        except ConfigError as error:
            problems += [_as_typed(problem, typed) for problem in error.problems]
            continue
        origins = {key: _as_typed(where, typed) for key, _, where in recipe.origins() if where != "default"}
        members.append(Member(name=name, values=own, recipe=recipe, origins=origins))
    if problems:
        raise ConfigError(*dict.fromkeys(problems))
    return Sweep(members=tuple(members), source=members[0].recipe.source)


def _refuse_doubles(axes: Sequence[Axis], overrides: Sequence[str]) -> None:
    for key, count in Counter(axis.key for axis in axes).items():
        if count > 1:
            raise ConfigError(f"--sweep {key}: is there twice; put all its values behind one")
    fixed = {item.partition("=")[0].strip() for item in overrides}
    if both := [axis.key for axis in axes if axis.key in fixed]:
        raise ConfigError(f"--sweep {both[0]}: is set by --set or a flag too; leave one out")


def _as_typed(problem: str, typed: Sequence[str]) -> str:
    for item in typed:
        problem = problem.replace(f"--set {item}:", f"--sweep {item}:")
        if problem == f"--set {item}":
            return f"--sweep {item}"
    return problem


def _names(keys: Sequence[str], combinations: Sequence[Sequence[str]]) -> list[str]:
    """Return a folder's name for each combination: the shortest keys that differ, with their values."""
    short = [_short(key, keys) for key in keys]
    names = [
        ",".join(f"{k}={_slug(v)}" for k, v in zip(short, values, strict=True))[:LONGEST] for values in combinations
    ]
    counts = Counter(names)
    return [name if counts[name] == 1 else f"{name}~{number}" for number, name in enumerate(names)]


def _slug(value: str) -> str:
    words = re.findall(r"[A-Za-z0-9_.+-]+", value)
    return "-".join(words)


def _short(key: str, keys: Sequence[str]) -> str:
    steps = key.split(".")
    for count in range(1, len(steps)):
        short = ".".join(steps[-count:])
        if not short[0].isdigit() and sum(f".{k}".endswith(f".{short}") for k in keys) == 1:
            return short
    return key


def is_sweep(path: Path) -> bool:
    """Tell the folder of a sweep from other folders."""
    return (path / SWEEP).is_file()


def runs_of(folder: Path) -> list[Path]:
    """Return the run folders of a sweep, in its order."""
    return [folder / name for name in _read(folder)["members"] if is_run(folder / name)]


def load(folder: Path, overrides: Sequence[str] = ()) -> Sweep:
    """Return a sweep as its folder tells it."""
    told = _read(folder)
    members = []
    for name, values in told["members"].items():
        if not is_run(folder / name):
            raise RunError(f"{folder}: its run {name} is gone; type the whole command with --resume to begin it again")
        recipe, origins = _saved(folder / name, overrides), Job.read(folder / name / JOB).origins
        members.append(Member(name=name, values=values, recipe=recipe, origins=origins))
    return Sweep(members=tuple(members), source=told["source"], folder=folder)


def _saved(run: Path, overrides: Sequence[str] = ()) -> Resolved:
    return from_text((run / RECIPE).read_text(encoding="utf-8"), str(run / RECIPE), overrides=overrides)


def _read(folder: Path) -> dict[str, Any]:
    path = folder / SWEEP
    try:
        told = json.loads(path.read_text(encoding="utf-8"))
        return {"source": str(told["source"]), "members": dict(told["members"])}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise RunError(f"{path}: not what vf wrote: {type(error).__name__}: {error}") from None


def refuse_other_keys(sweep: Sweep, folder: Path) -> None:
    """Raise RunError where the sweep of this folder was begun over other keys; values may have been added."""
    keys = set(sweep.members[0].values)
    begun: dict[str, str] = next(iter(_read(folder)["members"].values()), {})
    if begun and set(begun) != keys:
        raise RunError(
            f"{folder}: is a sweep over {listed(begun)}, not over {listed(sorted(keys))}; choose another --out"
        )


def newest(name: str) -> Path | None:
    """Return the sweep of this name under ``runs/`` that was begun last."""
    stem = re.sub(r"[^\w.-]+", "-", f"{name}-sweep").strip("-")
    found = [path for path in ROOT.glob(f"{stem}-[0-9][0-9][0-9]*") if is_sweep(path)]
    return max(found, key=lambda path: int(path.name.rpartition("-")[2]), default=None)


def discard(sweep: Sweep) -> None:
    """Remove a sweep whose runs have logged nothing, so that the same command can be typed again."""
    assert sweep.folder is not None
    for run in runs_of(sweep.folder):
        discard_unstarted(run)
    if {path.name for path in sweep.folder.iterdir()} == {SWEEP}:
        (sweep.folder / SWEEP).unlink()
        sweep.folder.rmdir()
