"""``vf explain``: what a component is, and what its keys mean."""

from __future__ import annotations

import inspect
import json
import sys
import types
import typing
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

import attrs
import click

from vf.console import Console
from vf.errors import ConfigError, did_you_mean, listed
from vf.necks import Neck
from vf.plugins import KINDS, Plugins, plugins
from vf.recipes import Recipe, locate
from vf.schema import Duration
from vf.structuring import KIND_OF, field_types, unstructure
from vf.training import Loader, Optimizer, Sampler, Schedule, Train

PARTS: Mapping[str, type[Any]] = {"train": Train, "loader": Loader}
"""Parts of a recipe that are always the same class."""
CHOICES: Mapping[str, Any] = {"optimizer": Optimizer, "schedule": Schedule, "sampler": Sampler, "neck": Neck}
"""Parts of a recipe that choose one of core's own classes by ``name``."""
NAMED = (*KINDS, *CHOICES, "recipe")


@click.command()
@click.argument("kind", metavar="KIND")
@click.argument("name", metavar="[NAME]", required=False)
@click.option("--task", metavar="TASK", default="", help="Whose component, where several tasks have one of that name.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def explain(kind: str, name: str | None, task: str, as_json: bool) -> None:
    """Say what a component is and what its keys mean.

    \b
    vf explain model yolox        a component: model, backbone, dataset, transform, metric, callback, launcher, writer,
                                 download
    vf explain optimizer sgd      an optimizer; likewise: schedule cosine, sampler shuffle, neck fpn
    vf explain train              the keys under 'train'; likewise: loader
    vf explain recipe             the keys of every recipe; with a NAME: what one recipe says
    """
    found = plugins()
    found.check()
    found.check_task(task)
    if kind == "recipe" and name is not None:
        _explain_recipe(name, found, as_json=as_json)
        return
    cls, plugin = _find(kind, name, found, task)
    title = " ".join(part for part in (kind, name) if part)
    keys = list(_keys(cls, found))
    text = inspect.cleandoc(cls.__doc__ or "")
    if as_json:
        told = {"kind": kind, "name": name, "plugin": plugin, "help": text, "keys": keys}
        click.echo(json.dumps(told, indent=1, ensure_ascii=False))
        return
    console = Console(sys.stdout)
    console.say(f"{title}  (plugin {plugin}, {cls.__module__}.{cls.__qualname__})")
    console.say()
    console.say(text)
    console.say()
    _table(keys, console)


def _find(kind: str, name: str | None, found: Plugins, task: str) -> tuple[type[Any], str]:
    """Return the class that KIND NAME means, and its plugin."""
    if kind in PARTS or kind == "recipe":
        if name is not None:
            raise ConfigError(f"vf explain {kind}: takes no name, got {name!r}")
        return PARTS.get(kind, Recipe), "core"
    if kind not in NAMED:
        known = (*NAMED, *PARTS)
        hint = did_you_mean(kind, known) or f"; expected one of {', '.join(known)}"
        raise ConfigError(f"unknown kind {kind!r}{hint}")
    if name is None:
        names = CHOICES[kind].choices() if kind in CHOICES else found.names(kind, task)
        raise ConfigError(f"vf explain {kind}: say which: {listed(names)}")
    if kind in KINDS:
        component = found.find(kind, name, task)
        return component.cls, component.plugin
    choices: Mapping[str, type[Any]] = CHOICES[kind].choices()
    if name not in choices:
        hint = did_you_mean(name, choices) or f"; expected one of {listed(choices)}"
        raise ConfigError(f"unknown {kind} {name!r}{hint}")
    return choices[name], "core"


def _keys(cls: type[Any], found: Plugins) -> Iterator[dict[str, Any]]:
    hints = field_types(cls)
    for f in attrs.fields(cls):
        required = f.default is attrs.NOTHING
        yield {
            "key": f.name,
            "type": type_name(hints[f.name]),
            "required": required,
            "default": None if required else unstructure(f.default, found, hints[f.name]),
            "unit": f.metadata.get("unit", ""),
            "help": f.metadata.get("help", ""),
        }


def type_name(hint: Any) -> str:
    """Return how a key's type is said to people."""
    if hint in KIND_OF or hasattr(hint, "choices"):
        return KIND_OF.get(hint) or str(hint.noun)
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    if origin is Literal:
        return " or ".join(map(str, args))
    if origin in (typing.Union, types.UnionType):
        return " or ".join("nothing" if a is type(None) else type_name(a) for a in args)
    if origin is tuple:
        inner = dict.fromkeys(type_name(a) for a in args if a is not Ellipsis)
        return f"list of {'' if args[-1] is Ellipsis else f'{len(args)} '}{' or '.join(inner)}"
    if origin is dict:
        return f"mapping of {type_name(args[1])}"
    name = str(getattr(hint, "__name__", hint))
    return {Duration: "length", Path: "path"}.get(hint) or (name.lower() if attrs.has(hint) else name)


def _table(keys: list[dict[str, Any]], console: Console) -> None:
    if not keys:
        console.say("it has no keys")
        return
    rows = [("key", "type", "default", "unit", "meaning")]
    rows += [(k["key"], k["type"], _default(k), k["unit"], k["help"]) for k in keys]
    widths = [max(len(row[i]) for row in rows) for i in range(4)]
    for row in rows:
        cells = [cell.ljust(width) for cell, width in zip(row, widths, strict=False)]
        console.say("  " + "  ".join([*cells, row[4]]).rstrip())


def _default(key: Mapping[str, Any]) -> str:
    if key["required"]:
        return "(required)"
    value = key["default"]
    if value is None or value in ("", [], {}):
        return "nothing"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, dict):
        return str(value.get("name", "its defaults"))
    return f"{value:g}" if isinstance(value, float) else str(value)


def _explain_recipe(name: str, found: Plugins, *, as_json: bool) -> None:
    path = locate(name, found)
    text = path.read_text(encoding="utf-8")
    plugin = found.recipe_owner(name) if name in found.recipes else ""
    if as_json:
        click.echo(json.dumps({"kind": "recipe", "name": name, "plugin": plugin, "file": str(path), "text": text}))
        return
    click.echo(f"recipe {name}{f'  (plugin {plugin})' if plugin else ''}: {path}\n")
    click.echo(text.rstrip())
    click.echo(f"\nevery key with its default: vf config show {name}")
