"""Turn recipe nodes into frozen config objects and back, with every mistake found in one pass."""

from __future__ import annotations

import types
import typing
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, Union

import attrs

from vf import protocols
from vf.errors import ConfigError, did_you_mean
from vf.plugins import Plugins
from vf.schema import Duration
from vf.yaml12 import Node

KIND_OF: dict[Any, str] = {
    protocols.ModelConfig: "model",
    protocols.BackboneConfig: "backbone",
    protocols.DatasetConfig: "dataset",
    protocols.TransformConfig: "transform",
    protocols.MetricConfig: "metric",
    protocols.CallbackConfig: "callback",
    protocols.LauncherConfig: "launcher",
}
"""A field annotated with one of these holds a component that plugins bring, chosen by its ``name``."""

_BAD = object()


class Structurer:
    """Builds config objects from nodes; ``problems`` collects one line for each mistake.

    Args:
        plugins: whose components can be named.
        task: of the recipe, whose names are meant; empty: those that only one task has.
    """

    def __init__(self, plugins: Plugins, task: str = "") -> None:
        self._plugins = plugins
        self._task = task
        self.problems: list[str] = []

    def build(self, node: Node, cls: type[Any], path: str = "") -> Any:
        """Build an attrs class from a mapping node; a bad part gives a placeholder and a problem."""
        if not isinstance(node.value, dict):
            return self._bad(node, path, f"expected a mapping of keys, got {_shown(node.value)}")
        fields = {f.name: f for f in attrs.fields(cls)}
        hints = field_types(cls)
        values: dict[str, Any] = {}
        for key, child in node.value.items():
            if key not in fields:
                self._bad(child, _join(path, key), f"unknown key{_key_hint(key, fields)}")
                continue
            values[key] = self._field(child, hints[key], fields[key], _join(path, key))
        for name, f in fields.items():
            if f.default is attrs.NOTHING and name not in node.value:
                help_ = f.metadata.get("help", "")
                values[name] = self._bad(node, _join(path, name), f"required, but not set{help_ and f' ({help_})'}")
        if any(v is _BAD for v in values.values()) or set(node.value) - set(fields):
            return _BAD
        try:
            return cls(**values)
        except ValueError as error:
            return self._bad(node, path or "recipe", str(error))

    def _field(self, node: Node, hint: Any, field: attrs.Attribute[Any], path: str) -> Any:
        value = self.value(node, hint, path)
        if value is _BAD or field.validator is None or value is None:
            return value
        try:
            field.validator(None, field, value)
        except ValueError as error:
            return self._bad(node, path, str(error))
        return value

    def value(self, node: Node, hint: Any, path: str) -> Any:
        """Build what the annotation ``hint`` says; Any: plain data, for keys that belong to another library."""
        if hint is Any:
            return node.plain()
        if hint in KIND_OF:
            return self._component(node, KIND_OF[hint], path)
        if choices := getattr(hint, "choices", None):
            return self._choice(node, choices(), hint.noun, path)
        if attrs.has(hint) and hint is not Duration:
            return self.build(node, hint, path)
        origin, args = typing.get_origin(hint), typing.get_args(hint)
        if origin in (Union, types.UnionType):
            if node.value is None:
                return None
            return self.value(node, next(a for a in args if a is not type(None)), path)
        if origin is tuple:
            return self._tuple(node, args, path)
        if origin is dict:
            return self._dict(node, args[1], path)
        return self._scalar(node, hint, path)

    def _component(self, node: Node, kind: str, path: str) -> Any:
        name = self._name(node, kind, path)
        if name is None:
            return _BAD
        try:
            cls = self._plugins.lookup(kind, name, self._task)
        except ConfigError as error:
            return self._bad(_child(node, "name"), _join(path, "name"), error.problems[0])
        return self.build(_without_name(node), cls, path)

    def _choice(self, node: Node, choices: Mapping[str, type[Any]], noun: str, path: str) -> Any:
        name = self._name(node, noun, path)
        if name is None:
            return _BAD
        if name not in choices:
            hint = did_you_mean(name, choices) or f"; expected one of {', '.join(choices)}"
            return self._bad(_child(node, "name"), _join(path, "name"), f"unknown {noun} {name!r}{hint}")
        return self.build(_without_name(node), choices[name], path)

    def _name(self, node: Node, noun: str, path: str) -> str | None:
        if not isinstance(node.value, dict):
            self._bad(node, path, f"expected a mapping with the key 'name' (which {noun}), got {_shown(node.value)}")
        elif "name" not in node.value:
            self._bad(node, _join(path, "name"), f"required, but not set (which {noun})")
        elif not isinstance(node.value["name"].value, str):
            self._bad(node.value["name"], _join(path, "name"), f"expected str, got {_shown(node.value['name'].value)}")
        else:
            return node.value["name"].value
        return None

    def _tuple(self, node: Node, args: tuple[Any, ...], path: str) -> Any:
        if not isinstance(node.value, list):
            return self._bad(node, path, f"expected a list, got {_shown(node.value)}")
        open_ended = args[-1] is Ellipsis
        if not open_ended and len(node.value) != len(args):
            return self._bad(node, path, f"expected {len(args)} items, got {len(node.value)}")
        hints = [args[0]] * len(node.value) if open_ended else list(args)
        items = [self.value(n, h, f"{path}[{i}]") for i, (n, h) in enumerate(zip(node.value, hints, strict=True))]
        return _BAD if any(i is _BAD for i in items) else tuple(items)

    def _dict(self, node: Node, hint: Any, path: str) -> Any:
        if not isinstance(node.value, dict):
            return self._bad(node, path, f"expected a mapping, got {_shown(node.value)}")
        items = {k: self.value(n, hint, _join(path, k)) for k, n in node.value.items()}
        return _BAD if any(i is _BAD for i in items.values()) else items

    def _scalar(self, node: Node, hint: Any, path: str) -> Any:
        value = node.value
        if hint is Duration and isinstance(value, str):
            try:
                return Duration.parse(value)
            except ValueError as error:
                return self._bad(node, path, str(error))
        if typing.get_origin(hint) is Literal:
            allowed = typing.get_args(hint)
            if value in allowed and any(type(value) is type(a) for a in allowed):
                return value
            return self._bad(node, path, f"expected {' or '.join(map(repr, allowed))}, got {_shown(value)}")
        if hint in (str, Path) and node.origin.startswith("--") and not isinstance(value, dict | list):
            return hint(node.text)
        if hint is Path and isinstance(value, str):
            return Path(value)
        if hint is float and type(value) is int:
            return float(value)
        if hint in (int, float, bool, str) and type(value) is hint:
            return value
        expected = "a length like '12 epochs' or '9000 steps'" if hint is Duration else hint.__name__
        return self._bad(node, path, f"expected {expected}, got {_shown(value)}")

    def _bad(self, node: Node, path: str, sentence: str) -> Any:
        self.problems.append(f"{node.origin}: {path}: {sentence}" if path else f"{node.origin}: {sentence}")
        return _BAD


def field_types(cls: type[Any]) -> dict[str, Any]:
    """Return field name -> evaluated annotation."""
    return typing.get_type_hints(cls)


def unstructure(value: Any, plugins: Plugins, hint: Any = None) -> Any:
    """Return plain data that :class:`Structurer` builds the same object from; every default is written out."""
    if isinstance(value, Duration | Path):
        return str(value)
    if attrs.has(type(value)):
        hints = field_types(type(value))
        fields = {
            f.name: unstructure(getattr(value, f.name), plugins, hints[f.name]) for f in attrs.fields(type(value))
        }
        return {**_named(value, plugins, hint), **fields}
    if isinstance(value, tuple | list):
        args = typing.get_args(hint)
        inner = args[0] if args else None
        return [unstructure(v, plugins, inner) for v in value]
    if isinstance(value, dict):
        args = typing.get_args(hint)
        return {k: unstructure(v, plugins, args[1] if args else None) for k, v in value.items()}
    return value


def _named(value: Any, plugins: Plugins, hint: Any) -> dict[str, str]:
    if typing.get_origin(hint) in (Union, types.UnionType):
        hint = next(a for a in typing.get_args(hint) if a is not type(None))
    if hint in KIND_OF:
        return {"name": plugins.name_of(KIND_OF[hint], type(value))}
    if choices := getattr(hint, "choices", None):
        return {"name": next(n for n, c in choices().items() if c is type(value))}
    return {}


def _key_hint(key: str, fields: Mapping[str, Any]) -> str:
    if key == "num_classes":
        return "; the class list comes from the data"  # what users of other suites try first
    return did_you_mean(key, fields) or (f"; known: {', '.join(fields)}" if fields else "; it has no keys")


def _join(path: str, key: str) -> str:
    return f"{path}.{key}" if path else key


def _child(node: Node, key: str) -> Node:
    return node.value[key] if isinstance(node.value, dict) else node


def _without_name(node: Node) -> Node:
    return attrs.evolve(node, value={k: v for k, v in node.value.items() if k != "name"})  # type: ignore[union-attr]


def _shown(value: Any) -> str:
    if value is None:
        return "nothing"
    if isinstance(value, dict):
        return "a mapping"
    if isinstance(value, list):
        return f"a list of {len(value)}"
    return f"{type(value).__name__} {value!r}"
