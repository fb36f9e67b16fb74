"""A recipe is one complete run: find it by name or file, extend, override, check, resolve."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import attrs

from vf import protocols
from vf.errors import ConfigError, did_you_mean, listed
from vf.plugins import OURS, Component, Plugins, plugins
from vf.schema import config, field
from vf.structuring import Structurer, unstructure
from vf.training import Loader, Train
from vf.yaml12 import Node, dump, parse, parse_file


@config
class Recipe:
    """One complete run."""

    task: str = field(help="det, seg, cls, ocr or a plugin's own")
    model: protocols.ModelConfig = field(help="see 'vf list models'")
    data: protocols.DatasetConfig = field(help="see 'vf list datasets'")
    augment: tuple[protocols.TransformConfig, ...] = field(default=(), help="in this order, on training samples only")
    metrics: tuple[protocols.MetricConfig, ...] = field(default=(), help="see 'vf list metrics'")
    train: Train = field(help="the loop")
    loader: Loader = field(default=Loader(), help="how samples reach the loop")
    callbacks: tuple[protocols.CallbackConfig, ...] = field(default=(), help="see 'vf list callbacks'")
    launcher: protocols.LauncherConfig | None = field(default=None, help="nothing: local")


@attrs.frozen
class Resolved:
    """A checked recipe with where it came from."""

    recipe: Recipe
    tree: Node
    source: str

    def plain(self) -> dict[str, Any]:
        """Return the whole recipe as plain data, defaults written out."""
        data: dict[str, Any] = unstructure(self.recipe, plugins())
        return data

    def yaml(self) -> str:
        """Return the whole recipe as text; loading it gives the same recipe."""
        return dump(self.plain())

    def fingerprint(self) -> str:
        """Return 16 hex digits that are equal for recipes that say the same."""
        return hashlib.sha256(self.yaml().encode()).hexdigest()[:16]

    def origins(self) -> list[tuple[str, Any, str]]:
        """Return (dotted key, value, where it was set) for every leaf; ``default`` where nobody set it."""
        return [(path, value, _origin(self.tree, path)) for path, value in leaves(self.plain())]


def resolve(
    reference: str | None,
    *,
    task: str | None = None,
    data: str | None = None,
    overrides: Sequence[str] = (),
) -> Resolved:
    """Find a recipe and apply what the command line says.

    Args:
        reference: recipe name, recipe file, or None for the default of ``task``.
        task: with no reference, runs ``<task>/quickstart``, or ``<task>/custom`` where ``data`` is given.
        data: a folder whose format is recognised; it replaces the recipe's ``data``, of which stays what a model needs.
        overrides: ``key.sub.0=value`` items, applied in order.

    Raises:
        ConfigError: with one line for each mistake.
    """
    found = plugins()
    found.check()
    source = reference or _default(task, data, found)
    return structure(_changed(_load(source, found, ()), found, data, overrides), source, task=task)


def resolve_data(
    path: str, overrides: Sequence[str] = (), *, name: str = "", said: str = "--data ", task: str = ""
) -> protocols.DatasetConfig:
    """Return the data set that recognises ``path``, with the overrides ``data.key=value`` applied.

    Args:
        path: a folder or zip.
        overrides: ``data.key=value`` items.
        name: of the data set, where the user says it.
        said: what stands before the path in messages.
        task: whose data sets are asked; empty: all.
    """
    found = plugins()
    found.check()
    origin = f"{said}{path}"
    if name:
        data, task = _named(path, name, found, origin, task), found.find("dataset", name, task).task
    else:
        data, task = _sniffed(path, found, task, said=said)
    tree = _changed(_with(Node({}, origin), "data", data), found, None, overrides)
    assert isinstance(tree.value, dict)
    structurer = Structurer(found, task)
    strange = [key for key in tree.value if key != "data"]
    structurer.problems += [f"{tree.value[key].origin}: {key}: only keys of data count here" for key in strange]
    built: protocols.DatasetConfig = structurer.value(tree.value["data"], protocols.DatasetConfig, "data")
    if structurer.problems:
        raise ConfigError(*structurer.problems)
    return built


def _changed(tree: Node, found: Plugins, data: str | None, overrides: Sequence[str]) -> Node:
    if data is not None:
        tree = _with(tree, "data", _with_switches(sniff(data, found, _task_of(tree)), tree, found))
    for item in overrides:
        tree = _override(tree, item)
    return tree


def _with_switches(recognised: Node, tree: Node, found: Plugins) -> Node:
    """Keep what a model needs of any data: what is true or false, as ``masks``, and keys that say so (`vf.field`)."""
    new, old = _children(recognised), _children(_children(tree).get("data", recognised))
    fields = attrs.fields_dict(found.lookup("dataset", str(new["name"].value), _task_of(tree)))
    kept = {
        key: node
        for key, node in old.items()
        if key in fields and (isinstance(node.value, bool) or fields[key].metadata.get("stays"))
    }
    return Node({**kept, **new}, recognised.origin)


def _task_of(tree: Node) -> str:
    task = _children(tree).get("task")
    return task.value if task is not None and isinstance(task.value, str) else ""


def _children(node: Node) -> dict[str, Node]:
    return node.value if isinstance(node.value, dict) else {}


def structure(tree: Node, source: str, *, task: str | None = None) -> Resolved:
    """Check a tree and build the recipe."""
    structurer = Structurer(plugins(), _task_of(tree))
    recipe = structurer.build(tree, Recipe)
    if structurer.problems:
        raise ConfigError(*structurer.problems)
    if task is not None and recipe.task != task:
        raise ConfigError(f"--task {task}: {source} is a recipe for task {recipe.task!r}; leave --task out")
    return Resolved(recipe, tree, source)


def from_text(text: str, name: str, *, data: str | None = None, overrides: Sequence[str] = ()) -> Resolved:
    """Build a resolved recipe from the text that :meth:`Resolved.yaml` wrote, with changes as in :func:`resolve`."""
    found = plugins()
    found.check()
    return structure(_changed(parse(text, name), found, data, overrides), name)


def _default(task: str | None, data: str | None, found: Plugins) -> str:
    tasks = sorted({name.split("/")[0] for name in found.recipes})
    if task is None:
        raise ConfigError(f"say what to run: a recipe (see 'vf list recipes') or --task with one of {listed(tasks)}")
    name = f"{task}/custom" if data is not None and f"{task}/custom" in found.recipes else f"{task}/quickstart"
    if name in found.recipes:
        return name
    hint = did_you_mean(task, tasks)
    cure = _install(task, found) or f"; installed: {listed(tasks)}"
    raise ConfigError(f"--task {task}: no plugin brings the recipe {name!r}{hint or cure}{found.excuse()}")


def locate(reference: str, found: Plugins) -> Path:
    """Return the file of a recipe name or path."""
    if reference in found.recipes:
        return found.recipes[reference]
    path = Path(reference)
    if path.suffix in (".yaml", ".yml"):
        if path.is_file():
            return path
        raise ConfigError(f"{reference}: no such file")
    task = reference.split("/")[0]
    hint = did_you_mean(reference, found.recipes) or _install(task, found) or "; see 'vf list recipes'"
    raise ConfigError(f"unknown recipe {reference!r}{hint}{found.excuse()}")


def _install(task: str, found: Plugins) -> str:
    """Return what to install for one of our own tasks; empty where its plugin is there, broken or not."""
    installed = any(plugin.name == task for plugin in found.found)
    return f"; pip install {OURS[task]}" if task in OURS and not installed else ""


def _load(reference: str, found: Plugins, seen: tuple[Path, ...]) -> Node:
    path = locate(reference, found)
    if path.resolve() in seen:
        raise ConfigError(f"{_display(path)}: extends itself by way of {listed(_display(p) for p in seen)}")
    tree = parse_file(path, _display(path))
    if not isinstance(tree.value, dict) or "extends" not in tree.value:
        return tree
    parent = tree.value["extends"]
    if not isinstance(parent.value, str):
        raise ConfigError(f"{parent.origin}: extends: expected the name of one recipe, got {parent.plain()!r}")
    name = parent.value
    if name not in found.recipes and (path.parent / name).is_file():
        name = str(path.parent / name)
    try:
        base = _load(name, found, (*seen, path.resolve()))
    except ConfigError as error:
        raise ConfigError(
            *(p if p.count(":") > 1 else f"{parent.origin}: extends: {p}" for p in error.problems)
        ) from None
    child = attrs.evolve(tree, value={k: v for k, v in tree.value.items() if k != "extends"})
    return merge(base, child)


def _display(path: Path) -> str:
    try:
        return str(path.resolve().relative_to(Path.cwd()))
    except ValueError:
        return str(path)


def merge(base: Node, over: Node) -> Node:
    """Lay ``over`` on ``base``: mappings merge, everything else replaces.

    A mapping that names another component (``name``) replaces the whole mapping: the keys of one component mean
    nothing to another.
    """
    if not isinstance(base.value, dict) or not isinstance(over.value, dict):
        return over
    if "name" in over.value and over.value["name"].value != base.value.get("name", over.value["name"]).value:
        return over
    merged = dict(base.value)
    for key, child in over.value.items():
        merged[key] = merge(merged[key], child) if key in merged else child
    return Node(merged, over.origin)


def _with(tree: Node, key: str, child: Node) -> Node:
    assert isinstance(tree.value, dict)
    return attrs.evolve(tree, value={**tree.value, key: child})


_STEP = re.compile(r"[A-Za-z_]\w*|\d+")


def _override(tree: Node, item: str) -> Node:
    key, equals, text = item.partition("=")
    origin = f"--set {item}"
    steps = key.strip().replace("[", ".").replace("]", "").split(".")
    if not equals or not all(_STEP.fullmatch(s) for s in steps):
        raise ConfigError(f"{origin}: expected KEY=VALUE like train.optimizer.lr=0.02")
    value = _relabel(parse(text, origin), origin)
    if not text.strip():
        value = Node("", origin, "")
    return _put(tree, steps, value, origin)


def _put(tree: Node, steps: list[str], value: Node, origin: str) -> Node:
    if not steps:
        return value
    head, rest = steps[0], steps[1:]
    if isinstance(tree.value, list):
        if not head.isdigit() or int(head) >= len(tree.value):
            raise ConfigError(f"{origin}: {head!r} is not an index of a list with {len(tree.value)} items")
        items = list(tree.value)
        items[int(head)] = _put(items[int(head)], rest, value, origin)
        return attrs.evolve(tree, value=items)
    if not isinstance(tree.value, dict):
        return _put(Node({}, origin), steps, value, origin)
    if head.isdigit() and not tree.value:
        raise ConfigError(f"{origin}: the recipe sets no list here that {head!r} could index; give the whole list")
    child = _put(tree.value.get(head, Node({}, origin)), rest, value, origin)
    if head == "name" and not rest and tree.value.get("name", value).value != value.value:
        return Node({"name": value}, origin)
    return _with(tree, head, child)


def _relabel(node: Node, origin: str) -> Node:
    value: Any = node.value
    if isinstance(value, dict):
        value = {k: _relabel(n, origin) for k, n in value.items()}
    elif isinstance(value, list):
        value = [_relabel(n, origin) for n in value]
    return Node(value, origin, node.text)


def _named(path: str, name: str, found: Plugins, origin: str, task: str) -> Node:
    """Return the ``data`` mapping of a data set that is named."""
    if "path" not in attrs.fields_dict(found.lookup("dataset", name, task)):
        raise ConfigError(f"dataset {name!r} is read from no folder; name another")
    if not Path(path).exists():
        raise ConfigError(f"{origin}: no such file or folder")
    return _from_plain({"name": name, "path": path}, origin)


def sniff(path: str, found: Plugins, task: str = "") -> Node:
    """Return the ``data`` mapping for a folder, from the one data set class of ``task`` that recognises it."""
    return _sniffed(path, found, task, said="--data ")[0]


def _sniffed(path: str, found: Plugins, task: str, *, said: str) -> tuple[Node, str]:
    """Return the ``data`` mapping for a folder, and the task of the data set that recognises it."""
    origin = f"{said}{path}"
    if not Path(path).exists():
        raise ConfigError(f"{origin}: no such file or folder")
    known = [c for c in found.components("dataset", task) if "path" in attrs.fields_dict(c.cls)]
    hits = [(c, keys) for c in known if (keys := c.cls.sniff(path)) is not None]
    if not hits:
        names = listed(dict.fromkeys(c.name for c in known))
        raise ConfigError(f"{origin}: not recognised as any of {names}; see 'vf explain dataset NAME' for each layout")
    if len(hits) > 1:
        raise ConfigError(f"{origin}: could be {_which([c for c, _ in hits], path, said)}")
    component, keys = hits[0]
    return _from_plain({"name": component.name, **keys}, origin), component.task


def _which(hits: Sequence[Component], path: str, said: str) -> str:
    """Say what a folder could be, and how to say which."""
    first = hits[0]
    if len({c.task for c in hits}) > 1:
        return f"{' or '.join(f'{c.name} ({c.task})' for c in hits)}; say which: --task {first.task}"
    which = f"--set data.name={first.name} --set data.path={path}" if said else f"--from {first.name}"
    return f"{' or '.join(c.name for c in hits)}; say which: {which}"


def _from_plain(value: Any, origin: str) -> Node:
    if isinstance(value, Mapping):
        return Node({k: _from_plain(v, origin) for k, v in value.items()}, origin)
    if isinstance(value, list | tuple):
        return Node([_from_plain(v, origin) for v in value], origin)
    return Node(value, origin, str(value))


def leaves(data: Any, path: str = "") -> list[tuple[str, Any]]:
    """Return (dotted key, value) for every leaf of plain data; lists of scalars are leaves."""
    if isinstance(data, dict) and data:
        return [leaf for k, v in data.items() for leaf in leaves(v, f"{path}.{k}" if path else k)]
    if isinstance(data, list) and any(isinstance(v, dict | list) for v in data):
        return [leaf for i, v in enumerate(data) for leaf in leaves(v, f"{path}.{i}")]
    return [(path, data)]


def _origin(node: Node, path: str) -> str:
    for step in path.split("."):
        if isinstance(node.value, dict) and step in node.value:
            node = node.value[step]
        elif isinstance(node.value, list) and step.isdigit() and int(step) < len(node.value):
            node = node.value[int(step)]
        else:
            return "default"
    return node.origin
