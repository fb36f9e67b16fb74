"""Runs side by side: the keys of their recipes that differ, and what came out. Free of torch."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import attrs

from vf.console import duration
from vf.errors import ConfigError, RunError
from vf.history import History
from vf.recipes import from_text, leaves
from vf.runs import RECIPE, is_run
from vf.yaml12 import parse_file

FEW_KEYS = 6
"""Up to so many keys that differ, each run is a row; with more of them than runs, each key is one."""


@attrs.frozen(kw_only=True)
class Compared:
    """One run of a comparison."""

    name: str
    """For people: its folder, as short as tells it from the others."""
    history: History
    recipe: Mapping[str, Any]
    """All leaves of its recipe by dotted key."""

    def plain(self, keys: Sequence[str]) -> dict[str, Any]:
        """Return plain data; ``keys`` are those of the recipe that are told, absent ones are left out."""
        history, best = self.history, self.history.best()
        return {
            "run": str(history.folder),
            "name": self.name,
            "state": history.state(),
            "recipe": {key: self.recipe[key] for key in keys if key in self.recipe},
            "step": history.step,
            "best": attrs.asdict(best) if best else None,
            "metrics": {
                "best": history.at(best.step) if best else {},
                "last": history.at(history.val[-1]["step"]) if history.val else {},
            },
            "seconds": history.seconds(),
            "images_per_s": history.images_per_s(),
        }


@attrs.frozen
class Comparison:
    """Runs in the order in which they were named, and the dotted keys whose values differ between their recipes."""

    runs: tuple[Compared, ...]
    keys: tuple[str, ...]

    def plain(self) -> dict[str, Any]:
        """Return plain data for a script: ``keys``, and for each of ``runs`` its values, metrics and times."""
        return {"keys": list(self.keys), "runs": [run.plain(self.keys) for run in self.runs]}

    def table(self) -> list[tuple[str, ...]]:
        """Return rows of text, a heading first: a row for each run, or a column where many keys differ."""
        columns = [("run", *(run.name for run in self.runs)), *self._keys(), *self._outcome()]
        if len(self.keys) > max(FEW_KEYS, len(self.runs)):
            return columns
        return [tuple(row) for row in zip(*columns, strict=True)]

    def _keys(self) -> list[tuple[str, ...]]:
        return [(key, *(_shown(run.recipe, key) for run in self.runs)) for key in self.keys]

    def _outcome(self) -> list[tuple[str, ...]]:
        histories = [run.history for run in self.runs]
        bests = [history.best() for history in histories]
        metrics = list(dict.fromkeys(best.metric for best in bests if best))
        columns: list[tuple[str, ...]] = [
            ("state", *(history.state() for history in histories)),
            ("step", *(_cell(history.step) for history in histories)),
        ]
        for metric in metrics:
            own = [best if best and best.metric == metric else None for best in bests]
            columns.append((f"best {metric}", *(f"{best.value:.4f}" if best else "-" for best in own)))
            columns.append(("at step", *(_cell(best.step if best else None) for best in own)))
            last = [history.at(history.val[-1]["step"]).get(metric) if history.val else None for history in histories]
            columns.append((f"last {metric}", *("-" if value is None else f"{value:.4f}" for value in last)))
        seconds = [history.seconds() for history in histories]
        rates = [history.images_per_s() for history in histories]
        columns.append(("time", *("-" if value is None else duration(value) for value in seconds)))
        columns.append(("images/s", *("-" if rate is None else f"{rate:.1f}" for rate in rates)))
        return columns


def compare(folders: Sequence[Path]) -> Comparison:
    """Compare runs.

    Args:
        folders: of runs; a folder that is no run stands for the runs in it, by name.

    Raises:
        RunError: a folder does not exist, or is no run and holds none.
        ConfigError: the recipe of a run cannot be read.
    """
    runs = list(dict.fromkeys(run for folder in folders for run in _runs(folder)))
    names = _names(runs)
    recipes = _recipes(runs)
    keys = dict.fromkeys(key for recipe in recipes for key in recipe)
    differing = tuple(key for key in keys if len({_shown(recipe, key) for recipe in recipes}) > 1)
    compared = (
        Compared(name=name, history=History.read(run), recipe=recipe)
        for name, run, recipe in zip(names, runs, recipes, strict=True)
    )
    return Comparison(tuple(compared), differing)


def _runs(folder: Path) -> list[Path]:
    if not folder.exists():
        raise RunError(f"{folder}: no such run or folder of runs")
    if is_run(folder):
        return [folder]
    found = sorted(path for path in folder.iterdir() if is_run(path)) if folder.is_dir() else []
    if not found:
        raise RunError(f"{folder}: neither a run nor a folder that holds runs: no {RECIPE} in it or one below")
    return found


def _names(runs: Sequence[Path]) -> list[str]:
    """Return the last part of each path, or as many as tell them apart."""
    parts = [run.resolve().parts for run in runs]
    for count in range(1, max(map(len, parts), default=1) + 1):
        names = ["/".join(own[-count:]) for own in parts]
        if len(set(names)) == len(names):
            return names
    return [str(run) for run in runs]


def _recipes(runs: Sequence[Path]) -> list[dict[str, Any]]:
    """Return the leaves of all recipes: with today's defaults written out where all can be read so, else as written."""
    try:
        return [
            dict(leaves(from_text((run / RECIPE).read_text(encoding="utf-8"), str(run / RECIPE)).plain()))
            for run in runs
        ]
    except (ConfigError, UnicodeDecodeError):
        return [dict(leaves(parse_file(run / RECIPE).plain())) for run in runs]


def _shown(recipe: Mapping[str, Any], key: str) -> str:
    if key not in recipe:
        return "-"
    value = recipe[key]
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _cell(value: object) -> str:
    return "-" if value is None else str(value)
