"""Commands whose work a launcher starts: ``--launcher``, a flag for each key of each launcher, ``--print``."""

from __future__ import annotations

import typing
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import attrs
import click

from vf.errors import ConfigError
from vf.plugins import plugins
from vf_cli.options import PLACES

if TYPE_CHECKING:
    from vf.sweeps import Sweep

LAUNCHER = "launcher"
PRINT = "print_"


class Launched(click.Command):
    """A command with its own options and those of the launchers that plugins bring."""

    def get_params(self, ctx: click.Context) -> list[click.Parameter]:
        """Return both; where a name is taken, the flag of the command sets the launcher's key too."""
        own = super().get_params(ctx)
        taken = {param.name for param in own}
        return [*own, *(option for option in options() if option.name not in taken)]

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the options of the launchers after those of the command."""
        own = {param.name for param in super().get_params(ctx)}
        rows: list[tuple[str, str]] = []
        more: list[tuple[str, str]] = []
        for param in self.get_params(ctx):
            if (record := param.get_help_record(ctx)) is not None:
                (rows if param.name in own else more).append(record)
        for title, records in (("Options", rows), ("Options of launchers", more)):
            if records:
                with formatter.section(title):
                    formatter.write_dl(records)


def options() -> Sequence[click.Option]:
    """Return ``--launcher``, ``--print`` and a flag for each key of each launcher that a plugin brings."""
    from vf.structuring import field_types

    launchers = plugins().components("launcher")
    names = ", ".join(component.name for component in launchers)
    out = {
        LAUNCHER: click.Option(
            ["--launcher"], metavar="NAME", help=f"What starts it: {names}.  [default: the recipe's, else local]"
        ),
        PRINT: click.Option(
            ["--print", PRINT], is_flag=True, help="Show what a launcher would submit; submit nothing."
        ),
    }
    for component in launchers:
        if component.plugin != "core":
            hints = field_types(component.cls)
            for field in attrs.fields(component.cls):
                out.setdefault(field.name, _option(field, hints[field.name], component.name))
    return tuple(out.values())


def _option(field: attrs.Attribute[Any], hint: Any, launcher: str) -> click.Option:
    from vf.launchers import flag, innermost

    unit = field.metadata.get("unit", "")
    text = f"{launcher}: {field.metadata.get('help', '')}" + (f" [{unit}]" if unit else "")
    hint = innermost(hint)
    if hint is bool:
        name = flag(field.name)
        return click.Option([f"{name}/--no-{name[2:]}", field.name], default=None, help=text)
    many = typing.get_origin(hint) in (tuple, dict)
    metavar = "KEY=VALUE" if typing.get_origin(hint) is dict else "N" if hint is int else "TEXT"
    return click.Option([flag(field.name), field.name], metavar=metavar, multiple=many, help=text)


def places_of(flags: dict[str, Any]) -> dict[str, Any]:
    """Take what says where the work runs out of a command's flags, and leave out what was not typed."""
    names = (*PLACES, *(str(option.name) for option in options()))
    taken = {name: flags.pop(name) for name in names if name in flags}
    if not taken.get(PRINT):
        taken.pop(PRINT, None)
    return {key: value for key, value in taken.items() if value not in (None, ())}


def launcher_of(places: Mapping[str, Any], own: Any = None) -> Any:
    """Return the launcher that these flags mean, for a recipe whose launcher is ``own``."""
    from vf.launchers import choose

    flags = {key: value for key, value in places.items() if key not in (LAUNCHER, PRINT)}
    return choose(places.get(LAUNCHER), own, flags)


def is_local(launcher: Any) -> bool:
    """Whether the work is done here."""
    from vf.launchers import LOCAL

    return isinstance(launcher, plugins().lookup("launcher", LOCAL))


def launch(launcher: Any, job: Any, places: Mapping[str, Any]) -> int:
    """Let the launcher start the job, or show what it would submit; return the exit code."""
    if not places.get(PRINT):
        code: int = launcher.launch(job)
        return code
    click.echo(_part(launcher, "script")(job))
    return 0


def launch_sweep(launcher: Any, sweep: Sweep, places: Mapping[str, Any]) -> int:
    """Let the launcher start all runs of a sweep, or show what it would submit; return the exit code."""
    if not places.get(PRINT):
        code: int = _part(launcher, "launch_sweep")(sweep)
        return code
    click.echo(_part(launcher, "script_sweep")(sweep))
    return 0


def _part(launcher: Any, method: str) -> Any:
    """Return a method that not every launcher has."""
    found = getattr(launcher, method, None)
    if found is None:
        name = plugins().name_of("launcher", type(launcher))
        cannot = {"launch_sweep": "--sweep: the launcher {} takes one run at a time; add --launcher local"}
        other = "--print: the launcher {} submits nothing; add --launcher slurm"
        raise ConfigError(cannot.get(method, other).format(name))
    return found
