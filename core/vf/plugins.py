"""Find plugins, keep the broken ones apart, and look components up by kind and name."""

from __future__ import annotations

import functools
import importlib.metadata
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any, Literal

import attrs
import pluggy

from vf import builtin, hookspecs
from vf.errors import ConfigError, PluginError, did_you_mean, listed

GROUP = "vf"
OURS = {name: f"vf-plugin-{name}" for name in ("det", "seg", "cls", "ocr", "slurm")}
KINDS = {
    "model": "vf_models",
    "backbone": "vf_backbones",
    "dataset": "vf_datasets",
    "transform": "vf_transforms",
    "metric": "vf_metrics",
    "callback": "vf_callbacks",
    "launcher": "vf_launchers",
    "writer": "vf_writers",
    "download": "vf_downloads",
}
"""Kind of component -> the hook that returns its classes."""


@attrs.define
class Plugin:
    """One entry point of the group ``vf`` and what became of it."""

    name: str
    dist: str
    version: str
    module: str
    status: Literal["loaded", "broken", "incompatible", "disabled"] = "loaded"
    problem: str = ""
    path: str = ""
    task: str = ""
    """Whose recipes see its names; empty: every recipe does."""
    imports_torch: bool = False

    @property
    def cure(self) -> str:
        """The command that takes a plugin out of the way."""
        return f"pip uninstall {self.dist}" if self.dist else f"--no-plugin {self.name}"


@attrs.frozen
class Component:
    """A class that a plugin brings, under a name that the recipes of its task see."""

    name: str
    cls: type[Any]
    plugin: str
    task: str = ""
    """Empty: the recipes of every task see it."""

    def seen_by(self, task: str) -> bool:
        """Whether a recipe of ``task`` sees it; an empty ``task`` sees all."""
        return not task or self.task in ("", task)


class Plugins:
    """Everything that discovery found; order is sorted by name, core first."""

    def __init__(self, blocked: frozenset[str] = frozenset()) -> None:
        self._manager = pluggy.PluginManager(hookspecs.PROJECT)
        self._manager.add_hookspecs(hookspecs)
        self.found: list[Plugin] = []
        self.clashes: list[str] = []
        self._components: dict[str, list[Component]] = {kind: [] for kind in KINDS}
        self._recipes: dict[str, tuple[Path, str]] = {}
        core = Plugin("core", "vf-core", _core_version(), "vf.builtin", path=str(Path(builtin.__file__).parent))
        self._take(core, lambda: builtin)
        for plugin, load in _entry_points(self.clashes):
            if plugin.name in blocked or "all" in blocked:
                plugin.status = "disabled"
                self.found.append(plugin)
            else:
                self._take(plugin, load)

    def _take(self, plugin: Plugin, load: Callable[[], Any]) -> None:
        """Import one plugin and collect what its hooks return; whatever goes wrong stays inside it."""
        self.found.append(plugin)
        had_torch = "torch" in sys.modules
        try:
            module = load()
            plugin.path = plugin.path or str(getattr(module, "__file__", ""))
            api = getattr(module, "VF_API", hookspecs.API_VERSION)
            if api not in (hookspecs.API_VERSION, hookspecs.API_VERSION - 1):
                plugin.status = "incompatible"
                plugin.problem = f"needs plugin API {api}, this vf has {hookspecs.API_VERSION}"
                return
            plugin.task = str(getattr(module, "VF_TASK", ""))
            _check_hooks(self._manager, module)
            self._manager.register(module, plugin.name)
            components, recipes = self._collect(module)
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # SystemExit too: a plugin must not end vf
            plugin.status = "broken"
            plugin.problem = " ".join(f"{type(error).__name__}: {error}".split())
            if self._manager.has_plugin(plugin.name):
                self._manager.unregister(name=plugin.name)
            return
        plugin.imports_torch = "torch" in sys.modules and not had_torch
        self._merge(plugin, components, recipes)

    def _collect(self, module: ModuleType) -> tuple[dict[str, dict[str, type[Any]]], Mapping[str, Path]]:
        components = {}
        for kind, hook in KINDS.items():
            found = getattr(module, hook)() if hasattr(module, hook) else {}
            for name, cls in found.items():
                if not (isinstance(cls, type) and attrs.has(cls)):
                    raise TypeError(f"{hook}() gives {cls!r} for {name!r}, expected a class made with @vf.config")
            components[kind] = dict(found)
        return components, module.vf_recipes() if hasattr(module, "vf_recipes") else {}

    def _merge(self, plugin: Plugin, components: dict[str, dict[str, type[Any]]], recipes: Mapping[str, Path]) -> None:
        for kind, classes in components.items():
            for name, cls in classes.items():
                self._claim(kind, Component(name, cls, plugin.name, plugin.task))
        for name, path in recipes.items():
            if name in self._recipes:
                self.clashes.append(
                    f"recipe {name!r} is claimed twice: by plugin {self._recipes[name][1]!r} and by plugin "
                    f"{plugin.name!r}; uninstall one or pass --no-plugin NAME"
                )
                continue
            self._recipes[name] = (path, plugin.name)

    def _claim(self, kind: str, new: Component) -> None:
        """Take a component in, unless a recipe that sees it would see another one of its name."""
        for other in self._components[kind]:
            if other.name == new.name and (other.seen_by(new.task) or new.seen_by(other.task)):
                claims = " and ".join(f"by {_qualified(c.cls)} of plugin {c.plugin!r}" for c in (other, new))
                cure = "uninstall one or pass --no-plugin NAME"
                self.clashes.append(f"{kind} {new.name!r} is claimed twice: {claims}; {cure}")
                return
        self._components[kind].append(new)

    def check(self) -> None:
        """Raise PluginError where two plugins claim one name: nothing is composed while that is open."""
        if self.clashes:
            raise PluginError(*self.clashes)

    @property
    def broken(self) -> list[Plugin]:
        """Plugins that are installed but cannot be used."""
        return [p for p in self.found if p.status in ("broken", "incompatible")]

    @property
    def recipes(self) -> Mapping[str, Path]:
        """Recipe name -> file."""
        return {name: path for name, (path, _) in sorted(self._recipes.items())}

    def components(self, kind: str, task: str = "") -> list[Component]:
        """Return the components of one kind that recipes of ``task`` see, of all tasks where it is empty, sorted."""
        return sorted((c for c in self._components[kind] if c.seen_by(task)), key=lambda c: (c.name, c.task))

    def names(self, kind: str, task: str = "") -> list[str]:
        """Return the names of :meth:`components`, each once."""
        return list(dict.fromkeys(c.name for c in self.components(kind, task)))

    def find(self, kind: str, name: str, task: str = "") -> Component:
        """Return the component of a name that recipes of ``task`` see.

        Raises:
            ConfigError: there is none, with the near and the installed names; or, without a ``task``, several tasks
                have one.
        """
        named = [c for c in self.components(kind) if c.name == name]
        fitting = [c for c in named if c.seen_by(task)]
        if len(fitting) == 1:
            return fitting[0]
        if fitting:
            tasks = listed(c.task for c in fitting)
            raise ConfigError(f"{kind} {name!r}: there is one for each of {tasks}; say which: --task {fitting[0].task}")
        installed = self.names(kind, task)
        if named:
            raise ConfigError(f"{kind} {name!r} belongs to task {named[0].task}, not {task}; here: {listed(installed)}")
        hint = did_you_mean(name, installed) or f"; installed: {listed(installed)}"
        raise ConfigError(f"unknown {kind} {name!r}{hint}{self.excuse()}")

    def check_task(self, task: str) -> None:
        """Raise ConfigError for a task, unless it is empty, that no plugin knows."""
        tasks = sorted({p.task for p in self.found if p.task} | {name.split("/")[0] for name in self.recipes})
        if task and task not in tasks:
            hint = did_you_mean(task, tasks) or f"; installed: {listed(tasks)}"
            raise ConfigError(f"--task {task}: no such task{hint}{self.excuse()}")

    def recipe_owner(self, name: str) -> str:
        """Return the name of the plugin that brings a recipe."""
        return self._recipes[name][1]

    def lookup(self, kind: str, name: str, task: str = "") -> type[Any]:
        """Return the class of :meth:`find`."""
        return self.find(kind, name, task).cls

    def name_of(self, kind: str, cls: type[Any]) -> str:
        """Return the name under which a class was found."""
        return next(c.name for c in self._components[kind] if c.cls is cls)

    def excuse(self) -> str:
        """Return a remark on plugins that failed to load, for messages about names that are missing."""
        if not self.broken:
            return ""
        return f" (plugins that failed to load: {listed(p.name for p in self.broken)}; see 'vf plugins list')"

    def add_commands(self, cli: Any) -> None:
        """Let plugins add Click commands; one that raises becomes broken."""
        for plugin in self.found:
            module = self._manager.get_plugin(plugin.name)
            if module is None or plugin.status != "loaded" or not hasattr(module, "vf_commands"):
                continue
            try:
                module.vf_commands(cli)
            except Exception as error:
                plugin.status, plugin.problem = "broken", f"vf_commands: {type(error).__name__}: {error}"


def _qualified(cls: type[Any]) -> str:
    return f"{cls.__module__}.{cls.__qualname__}"


def _core_version() -> str:
    import vf

    return vf.__version__


def _entry_points(clashes: list[str]) -> Iterator[tuple[Plugin, Callable[[], Any]]]:
    """Yield one plugin for each entry point, sorted; the same name twice is a clash and neither is loaded."""
    points: dict[str, list[importlib.metadata.EntryPoint]] = {}
    for point in importlib.metadata.entry_points(group=GROUP):
        same = points.setdefault(point.name, [])
        if not any(_dist(p) == _dist(point) and p.value == point.value for p in same):
            same.append(point)
    for name, claims in sorted(points.items()):
        if len(claims) > 1 or name == "core":
            owners = " and ".join(sorted(f"{_dist(p)[0]} ({p.value})" for p in claims))
            clashes.append(f"plugin {name!r} is claimed by {owners}: two plugins with one name; uninstall one")
            for point in claims:
                yield Plugin(name, *_dist(point), point.value), functools.partial(_refuse, "name claimed twice")
            continue
        yield Plugin(name, *_dist(claims[0]), claims[0].value), claims[0].load


def _refuse(why: str) -> Any:
    raise PluginError(why)


def _dist(point: importlib.metadata.EntryPoint) -> tuple[str, str]:
    return (point.dist.name, point.dist.version) if point.dist else ("", "")


def _check_hooks(manager: pluggy.PluginManager, module: ModuleType) -> None:
    """Refuse a misspelt hook, and a hook without its mark: both would be silent."""
    specs = {name for name in vars(hookspecs) if name.startswith("vf_")}
    for name in dir(module):
        marked = manager.parse_hookimpl_opts(module, name) is not None
        if marked and name not in specs:
            raise PluginError(f"unknown hook {name!r}{did_you_mean(name, specs)}")
        if name in specs and not marked:
            raise PluginError(f"hook {name!r} lacks @vf.hookimpl")


@functools.cache
def _discover(blocked: frozenset[str]) -> Plugins:
    return Plugins(blocked)


def plugins() -> Plugins:
    """Return the installed plugins, found once for each value of ``VF_NO_PLUGINS`` (names, commas, or ``all``)."""
    return _discover(frozenset(filter(None, os.environ.get("VF_NO_PLUGINS", "").replace(" ", "").split(","))))
