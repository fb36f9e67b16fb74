"""Choose a launcher and fill in its keys from what was typed. Free of torch."""

from __future__ import annotations

import types
import typing
from collections.abc import Mapping, Sequence
from typing import Any, Union

import attrs

from vf import protocols
from vf.errors import ConfigError, listed
from vf.plugins import Plugins, plugins
from vf.structuring import Structurer, field_types, unstructure
from vf.yaml12 import Node, parse

LOCAL = "local"


def choose(
    name: str | None, own: protocols.LauncherConfig | None, flags: Mapping[str, Any]
) -> protocols.LauncherConfig:
    """Return the launcher ``name``, else that of a recipe, else the local one, with the keys that ``flags`` set.

    Args:
        name: what was typed.
        own: the recipe's.
        flags: values by key: text, a number or a truth value; a list of text for a list, of KEY=VALUE for a mapping.

    Raises:
        ConfigError: there is no such launcher, it has no such key, or a value does not fit.
    """
    found = plugins()
    cls: type[Any] = found.lookup("launcher", name) if name else type(own) if own else found.lookup("launcher", LOCAL)
    hints = field_types(cls)
    chosen = found.name_of("launcher", cls)
    if strangers := [key for key in flags if key not in hints]:
        raise ConfigError(_not_its_own(strangers, chosen, found))
    if own is not None and type(own) is cls:
        before = unstructure(own, found, protocols.LauncherConfig)
    else:
        before = {"name": chosen}
    origin = "the launcher"
    tree: dict[str, Node] = {key: _node(value, origin) for key, value in before.items()}
    tree |= {key: _typed(key, value, hints[key]) for key, value in flags.items()}
    structurer = Structurer(found)
    launcher: protocols.LauncherConfig = structurer.value(Node(tree, origin), protocols.LauncherConfig, "launcher")
    if structurer.problems:
        raise ConfigError(*structurer.problems)
    return launcher


def flag(key: str) -> str:
    """Return the option that sets a key."""
    return "--" + key.replace("_", "-")


def innermost(hint: Any) -> Any:
    """Return the type of a key without ``None``."""
    if typing.get_origin(hint) in (Union, types.UnionType):
        return next(a for a in typing.get_args(hint) if a is not type(None))
    return hint


def _not_its_own(keys: Sequence[str], chosen: str, found: Plugins) -> str:
    names = ", ".join(flag(key) for key in keys)
    fitting = [c.name for c in found.components("launcher") if all(key in attrs.fields_dict(c.cls) for key in keys)]
    cure = f"; add --launcher {fitting[0]}" if fitting else f"; see 'vf explain launcher {chosen}'"
    others = f"the launcher {listed(fitting)}" if fitting else "another launcher"
    return f"{names}: belongs to {others}, and this run's is {chosen}{cure}"


def _typed(key: str, value: Any, hint: Any) -> Node:
    """Return the node of a flag, whose origin is the flag as it was typed."""
    hint = innermost(hint)
    if isinstance(value, list | tuple):
        if typing.get_origin(hint) is dict:
            return Node(dict(_pair(key, item) for item in value), flag(key))
        return Node([Node(item, f"{flag(key)} {item}", item) for item in value], flag(key))
    origin = f"{flag(key)} {value}"
    if hint is str or isinstance(value, bool):
        return Node(value, flag(key) if isinstance(value, bool) else origin, str(value))
    return Node(parse(str(value), origin).value, origin, str(value))


def _pair(key: str, item: str) -> tuple[str, Node]:
    name, equals, text = item.partition("=")
    origin = f"{flag(key)} {item}"
    if not equals or not name:
        raise ConfigError(f"{origin}: expected KEY=VALUE")
    value = parse(text, origin).value
    return name, Node(text if isinstance(value, dict | list) else value, origin, text)


def _node(value: Any, origin: str) -> Node:
    if isinstance(value, Mapping):
        return Node({k: _node(v, origin) for k, v in value.items()}, origin)
    if isinstance(value, list | tuple):
        return Node([_node(v, origin) for v in value], origin)
    return Node(value, origin, str(value))
