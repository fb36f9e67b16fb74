"""``vf list``: what is installed."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path

import attrs
import click

from vf.console import Console
from vf.plugins import KINDS, Plugins, plugins

RECIPES = "recipes"


@attrs.frozen
class Row:
    """One component or recipe."""

    kind: str
    name: str
    plugin: str
    summary: str


@click.command("list")
@click.argument("kind", required=False, type=click.Choice([*(f"{kind}s" for kind in KINDS), RECIPES]))
@click.option("--task", metavar="TASK", default="", help="Only what recipes of this task see: det, seg, cls, ocr …")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON list.")
def list_(kind: str | None, task: str, as_json: bool) -> None:
    """List models, data sets, recipes and all the other components, or one KIND of them."""
    found = plugins()
    found.check()
    found.check_task(task)
    rows = [row for row in _rows(found, task) if kind in (None, f"{row.kind}s")]
    if as_json:
        click.echo(json.dumps([attrs.asdict(row) for row in rows], indent=1, ensure_ascii=False))
        return
    _print(rows, titles=kind is None)
    if found.broken:
        click.echo(f"note:{found.excuse().replace('(', '').replace(')', '')}", err=True)


def _rows(found: Plugins, task: str) -> Iterator[Row]:
    for kind in KINDS:
        for component in found.components(kind, task):
            yield Row(kind, component.name, component.plugin, first_line(component.cls))
    for name, path in found.recipes.items():
        if task and not name.startswith(f"{task}/"):
            continue
        yield Row("recipe", name, found.recipe_owner(name), first_comment(path))


def _print(rows: list[Row], *, titles: bool) -> None:
    if not rows:
        click.echo("none")
        return
    console = Console(sys.stdout)
    widths = [max(len(row.name) for row in rows), max(len(row.plugin) for row in rows)]
    title = ""
    for row in rows:
        if titles and row.kind != title:
            console.say(f"{chr(10) if title else ''}{row.kind}s")
            title = row.kind
        console.say(f"  {row.name.ljust(widths[0])}  {row.plugin.ljust(widths[1])}  {row.summary}".rstrip())


def first_line(cls: type[object]) -> str:
    """Return the first sentence of a class's docstring; attrs and its bases bring none of their own."""
    return (cls.__doc__ or "").strip().partition("\n")[0]


def first_comment(path: Path) -> str:
    """Return the comment that a recipe begins with; empty where there is none or the file cannot be read."""
    try:
        with path.open(encoding="utf-8") as file:
            line = file.readline().strip()
    except (OSError, UnicodeDecodeError):
        return ""
    return line.lstrip("# ") if line.startswith("#") else ""
