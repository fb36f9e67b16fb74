"""``vf plugins``: what is installed, what is broken and how to mend it."""

from __future__ import annotations

import importlib.util
import json
import sys
from typing import Any

import attrs
import click

from vf.console import Console
from vf.plugins import KINDS, Plugin, Plugins
from vf.plugins import plugins as discover
from vf_cli.lazy import LazyGroup
from vf_cli.main import plugin_commands

COMMANDS = {"list": ("vf_cli.plugins:list_", "List plugins with their status.")}
if importlib.util.find_spec("vf_cli.new_plugin") is not None:
    COMMANDS["new"] = ("vf_cli.new_plugin:new", "Write a new plugin that works, with its test.")


@click.group(cls=LazyGroup, lazy=COMMANDS)
def plugins() -> None:
    """List plugins, or start a new one."""


@click.command("list")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def list_(as_json: bool) -> None:
    """List plugins with their status; works when plugins are broken or claim one name."""
    found = discover()
    plugin_commands()  # a plugin whose commands fail shows as broken only after this
    rows = [_row(plugin, found) for plugin in found.found]
    if as_json:
        click.echo(json.dumps({"plugins": rows, "clashes": found.clashes}, indent=1, ensure_ascii=False))
        return
    console = Console(sys.stdout)
    head = ("plugin", "distribution", "version", "status", "components")
    lines = [head, *(tuple(str(row[key] if row[key] != "" else "-") for key in head) for row in rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    for line in lines:
        console.say("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip())
    for plugin in found.found:
        for remark in _remarks(plugin):
            console.say(remark)
    for clash in found.clashes:
        console.say(f"clash: {clash}")


def _row(plugin: Plugin, found: Plugins) -> dict[str, Any]:
    told = attrs.asdict(plugin)
    bad = plugin.status in ("broken", "incompatible")
    return {
        "plugin": told.pop("name"),
        "distribution": told.pop("dist"),
        **told,
        "components": _count(plugin, found),
        "cure": plugin.cure if bad else "",
    }


def _count(plugin: Plugin, found: Plugins) -> int:
    """Count what a plugin brings, recipes included."""
    if plugin.status != "loaded":
        return 0
    owners = [component.plugin for kind in KINDS for component in found.components(kind)]
    owners += [found.recipe_owner(name) for name in found.recipes]
    return owners.count(plugin.name)


def _remarks(plugin: Plugin) -> list[str]:
    remarks = []
    if plugin.problem:
        remarks.append(f"{plugin.name}: {plugin.problem}; to remove it: {plugin.cure}")
    if plugin.imports_torch:
        remarks.append(f"{plugin.name}: imports torch when vf starts, which makes every command slow")
    return remarks
