"""``vf config``: show, check and compare recipes, without torch."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import click

from vf.console import Console
from vf.errors import ConfigError
from vf.recipes import Resolved, leaves, resolve
from vf.runs import RECIPE, is_run

SET = click.option("--set", "overrides", multiple=True, metavar="KEY=VALUE", help="Override a key; may be repeated.")
TASK = click.option("--task", metavar="TASK", help="The task's default recipe: det, seg, cls, ocr …")
DATA = click.option("--data", metavar="PATH", help="Use this folder; its format is recognised.")


@click.group()
def config() -> None:
    """Show, check and compare recipes."""


def _reference(text: str) -> str:
    """Return the recipe file of a run folder; other references as they are."""
    return str(Path(text) / RECIPE) if is_run(Path(text)) else text


@config.command()
@click.argument("recipe", required=False)
@TASK
@DATA
@SET
@click.option("--origin", is_flag=True, help="Say for each value where it was set.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def show(
    recipe: str | None, task: str | None, data: str | None, overrides: tuple[str, ...], origin: bool, as_json: bool
) -> None:
    """Print RECIPE (a name, a file or a run folder) with every default written out."""
    resolved = resolve(recipe and _reference(recipe), task=task, data=data, overrides=overrides)
    if as_json:
        click.echo(json.dumps(_with_origins(resolved) if origin else resolved.plain(), indent=1, ensure_ascii=False))
    elif origin:
        rows = [(key, shown(value), where) for key, value, where in resolved.origins()]
        widths = [max(len(row[i]) for row in rows) for i in (0, 1)]
        for key, value, where in rows:
            click.echo(f"{key.ljust(widths[0])}  {value.ljust(widths[1])}  {where}")
    else:
        click.echo(resolved.yaml(), nl=False)


def _with_origins(resolved: Resolved) -> dict[str, Any]:
    return {key: {"value": value, "origin": where} for key, value, where in resolved.origins()}


@config.command()
@click.argument("recipes", metavar="RECIPE...", nargs=-1, required=True)
@SET
@click.option("--json", "as_json", is_flag=True, help="Print one JSON list.")
def check(recipes: tuple[str, ...], overrides: tuple[str, ...], as_json: bool) -> None:
    """Check recipes and print their fingerprints; all mistakes of all of them come at once."""
    problems: list[str] = []
    rows: list[dict[str, str]] = []
    for name in recipes:
        try:
            rows.append({"recipe": name, "fingerprint": resolve(_reference(name), overrides=overrides).fingerprint()})
        except ConfigError as error:
            problems += [p for p in error.problems if p not in problems]
    if as_json:
        click.echo(json.dumps(rows, ensure_ascii=False))
    else:
        width = max((len(row["recipe"]) for row in rows), default=0)
        for row in rows:
            click.echo(f"ok    {row['recipe'].ljust(width)}  {row['fingerprint']}")
    if problems:
        raise ConfigError(*problems)


@config.command()
@click.argument("left")
@click.argument("right")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object: key -> [left, right].")
def diff(left: str, right: str, as_json: bool) -> None:
    """Compare two recipes, each a name, a file or a run folder; defaults count as written."""
    sides = [dict(leaves(resolve(_reference(name)).plain())) for name in (left, right)]
    keys = dict.fromkeys([*sides[0], *sides[1]])
    changed = {key: [side.get(key) for side in sides] for key in keys if _differ(sides, key)}
    if as_json:
        click.echo(json.dumps(changed, indent=1, ensure_ascii=False))
    elif not changed:
        click.echo(f"{left} and {right} say the same")
    else:
        rows: list[tuple[str, ...]] = [("key", left, right)]
        rows += [(key, *(shown(side[key]) if key in side else "-" for side in sides)) for key in changed]
        Console(sys.stdout).table(rows)


def _differ(sides: list[dict[str, Any]], key: str) -> bool:
    return (key in sides[0]) != (key in sides[1]) or shown(sides[0].get(key)) != shown(sides[1].get(key))


def shown(value: Any) -> str:
    """Return a leaf as a recipe would write it on one line."""
    return json.dumps(value, ensure_ascii=False) if not isinstance(value, str) else value
