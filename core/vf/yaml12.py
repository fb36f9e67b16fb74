"""Read YAML 1.2 into nodes that know where they came from: `1e-3` is a float, `no` is a string."""

from __future__ import annotations

import re
from collections.abc import Hashable, Mapping
from pathlib import Path
from typing import Any

import attrs
import yaml

from vf.errors import ConfigError

Scalar = str | int | float | bool | None


@attrs.frozen
class Node:
    """A value of a recipe with its origin: ``FILE:LINE``, or the command-line option that set it."""

    value: dict[str, Node] | list[Node] | Scalar
    origin: str
    text: str = ""
    """A scalar as it was written."""

    def plain(self) -> Any:
        """Return the value without its origins."""
        if isinstance(self.value, dict):
            return {k: n.plain() for k, n in self.value.items()}
        if isinstance(self.value, list):
            return [n.plain() for n in self.value]
        return self.value


class _Loader(yaml.SafeLoader):
    """SafeLoader with the core schema of YAML 1.2 (section 10.3), used only to compose nodes."""

    yaml_implicit_resolvers: dict[str, Any] = {}  # noqa: RUF012 - PyYAML's own attribute

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        if self.check_event(yaml.AliasEvent):
            mark = self.peek_event().start_mark
            raise yaml.MarkedYAMLError(
                problem="anchors and aliases are not read; write the value out", problem_mark=mark
            )
        return super().compose_node(parent, index)


_SCHEMA = {
    "null": (r"~|null|Null|NULL|", [*"~nN", ""]),
    "bool": (r"true|True|TRUE|false|False|FALSE", [*"tTfF"]),
    "int": (r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+", [*"-+0123456789"]),
    "float": (
        r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)",
        [*"-+.0123456789"],
    ),
}
for _tag, (_pattern, _first) in _SCHEMA.items():
    _Loader.add_implicit_resolver(f"tag:yaml.org,2002:{_tag}", re.compile(rf"^(?:{_pattern})$"), _first)


def _scalar(node: yaml.ScalarNode) -> Scalar:
    text: str = node.value
    match node.tag.rpartition(":")[2]:
        case "null":
            return None
        case "bool":
            return text.lower() == "true"
        case "int":
            return int(text, 0) if text[:2] in ("0o", "0x") else int(text)
        case "float":
            return float(text.lower().replace(".inf", "inf").replace(".nan", "nan"))
    return text


_PLAIN_TAGS = {f"tag:yaml.org,2002:{t}" for t in ("null", "bool", "int", "float", "str", "map", "seq")}


def _convert(node: yaml.Node, name: str, problems: list[str]) -> Node:
    origin = f"{name}:{node.start_mark.line + 1}"
    if node.tag not in _PLAIN_TAGS:
        problems.append(f"{origin}: the tag {node.tag!r} is not read; a recipe is plain data")
        return Node(None, origin)
    if isinstance(node, yaml.SequenceNode):
        return Node([_convert(n, name, problems) for n in node.value], origin)
    if isinstance(node, yaml.ScalarNode):
        kind = node.tag.rpartition(":")[2]
        if kind in _SCHEMA and not re.fullmatch(_SCHEMA[kind][0], node.value):
            problems.append(f"{origin}: {node.value!r} is tagged !!{kind} and is none")
            return Node(None, origin)
        return Node(_scalar(node), origin, node.value)
    mapping: dict[str, Node] = {}
    for key, value in node.value:
        where = f"{name}:{key.start_mark.line + 1}"
        if not isinstance(key.value, Hashable) or not isinstance(key.value, str):
            problems.append(f"{where}: a key must be a word, got a list or mapping")
        elif key.value in mapping:
            problems.append(f"{where}: {key.value}: given twice, first at {mapping[key.value].origin}")
        else:
            child = _convert(value, name, problems)
            mapping[key.value] = attrs.evolve(child, origin=where)
    return Node(mapping, origin)


def parse(text: str, name: str) -> Node:
    """Parse one document. ``name`` stands for the file in messages.

    Raises:
        ConfigError: what is not YAML, or uses tags, anchors, or a key twice; one line each.
    """
    try:
        root = yaml.compose(text, Loader=_Loader)
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        what = " ".join(part for part in (error.context, error.problem) if part)
        raise ConfigError(f"{name}:{line}: not valid YAML: {what}") from None
    except yaml.YAMLError as error:
        raise ConfigError(f"{name}:1: not valid YAML: {str(error).splitlines()[0]}") from None
    if root is None:
        return Node({}, f"{name}:1")
    problems: list[str] = []
    node = _convert(root, name, problems)
    if problems:
        raise ConfigError(*problems)
    return node


def parse_file(path: Path, name: str | None = None) -> Node:
    """Parse a recipe file, which must hold a mapping."""
    name = name or str(path)
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise ConfigError(f"{name}: no such file") from None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{name}: cannot be read: {error}") from None
    node = parse(text, name)
    if not isinstance(node.value, dict):
        raise ConfigError(f"{node.origin}: a recipe is a mapping of keys, got {type(node.value).__name__}")
    return node


class _Dumper(yaml.SafeDumper):
    """Writes what :func:`parse` reads back unchanged; short lists of numbers stay on one line."""

    yaml_implicit_resolvers = _Loader.yaml_implicit_resolvers


def _represent_list(dumper: _Dumper, data: list[Any]) -> yaml.Node:
    flow = all(not isinstance(item, dict | list) for item in data)
    return dumper.represent_sequence("tag:yaml.org,2002:seq", data, flow_style=flow)


_Dumper.add_representer(list, _represent_list)


def dump(data: Mapping[str, Any]) -> str:
    """Write plain data as YAML 1.2, keys in the given order."""
    text: str = yaml.dump(dict(data), Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=100)
    return text
