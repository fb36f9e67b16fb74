"""``vf``: the command line. Each command is a file beside this one, imported when it runs."""

from __future__ import annotations

import functools
import importlib
import importlib.metadata
import os
import sys
from collections.abc import Mapping
from typing import Any

import click

from vf import __version__
from vf.errors import PluginError, VFError, did_you_mean, listed
from vf_cli.lazy import GrowingGroup, LazyGroup

COMMANDS = {
    "run": ("vf_cli.run:run", "Train, test and use models."),
    "list": ("vf_cli.list:list_", "List models, data sets, recipes and the other components."),
    "convert": ("vf_cli.convert:convert", "Read the weights of other libraries."),
    "explain": ("vf_cli.explain:explain", "Say what a component is and what its keys mean."),
    "config": ("vf_cli.config:config", "Show, check and compare recipes."),
    "data": ("vf_cli.data:data", "Fetch, check, look at and rewrite data."),
    "runs": ("vf_cli.runs:runs", "Look at runs: list them, compare them, verify their checkpoints."),
    "demo": ("vf_cli.demo:demo", "Serve a page that shows what a model says about an image."),
    "report": ("vf_cli.report:report", "Write a page about a run."),
    "plugins": ("vf_cli.plugins:plugins", "List plugins, or start a new one."),
    "doctor": ("vf_cli.doctor:doctor", "Check this machine and this installation."),
}
INTERRUPTED = 130


class _Guarded(click.Group):
    """What plugins add their commands to; a name that is taken is refused.

    A group that is called like one of ours that plugins may add to (``vf data``) gives its commands to that one.
    """

    def __init__(self) -> None:
        super().__init__()
        self.within: dict[str, dict[str, click.Command]] = {}

    def add_command(self, cmd: click.Command, name: str | None = None) -> None:
        """Take a command under a free name."""
        name = name or cmd.name or ""
        ours = _our_group(name) if isinstance(cmd, click.Group) else None
        if ours is not None and isinstance(cmd, click.Group):
            taken = self.within.setdefault(name, {})
            for inner, command in cmd.commands.items():
                if inner in ours.lazy or inner in taken:
                    raise PluginError(f"the command '{name} {inner}' exists already")
                taken[inner] = command
            return
        if name in COMMANDS or name in self.commands:
            raise PluginError(f"the command {name!r} exists already")
        super().add_command(cmd, name)


def _our_group(name: str) -> GrowingGroup | None:
    """Return one of our groups that plugins may add to."""
    if name not in COMMANDS:
        return None
    module, _, attribute = COMMANDS[name][0].partition(":")
    found = getattr(importlib.import_module(module), attribute)
    return found if isinstance(found, GrowingGroup) else None


@functools.cache
def plugin_commands() -> _Guarded:
    """Return what plugins add: commands of their own, and those within groups of ours."""
    from vf.plugins import plugins

    group = _Guarded()
    plugins().add_commands(group)
    return group


class Root(LazyGroup):
    """The group ``vf``: our commands and those of plugins."""

    def more(self) -> Mapping[str, click.Command]:
        """Return the commands of plugins."""
        return plugin_commands().commands


def commands_within(name: str) -> Mapping[str, click.Command]:
    """Return what plugins add to one of our groups."""
    return plugin_commands().within.get(name, {})


def _block(ctx: click.Context, param: click.Parameter, names: tuple[str, ...]) -> None:
    """Act before anything asks for plugins."""
    from vf.plugins import GROUP

    if not names:
        return
    installed = {point.name for point in importlib.metadata.entry_points(group=GROUP)}
    for name in names:
        if name not in installed and name != "all":
            hint = did_you_mean(name, installed) or f"; installed: {listed(sorted(installed))}"
            raise click.BadParameter(f"no such plugin {name!r}{hint}", ctx, param)
    before = os.environ.get("VF_NO_PLUGINS", "")
    os.environ["VF_NO_PLUGINS"] = ",".join([*filter(None, [before]), *names])


@click.group(
    cls=Root, lazy=COMMANDS, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100}
)
@click.version_option(__version__, prog_name="vf", message="%(prog)s %(version)s")
@click.option(
    "--no-plugin",
    multiple=True,
    metavar="NAME",
    is_eager=True,
    expose_value=False,
    callback=_block,
    help="Do not load a plugin, or 'all'; may be repeated.",
)
def cli() -> None:
    """One command line for every vision task, where a task is a plugin."""


def _invoke() -> Any:
    try:
        return cli.main(prog_name="vf", standalone_mode=False)
    except VFError as error:
        for problem in error.problems:
            click.echo(f"error: {problem}", err=True)
        return error.exit_code
    except click.Abort:
        click.echo("interrupted", err=True)
        return INTERRUPTED
    except click.ClickException as error:
        error.show()
        return 2


def main() -> None:
    """Run ``vf`` and leave with its exit code."""
    try:
        result = _invoke()
        sys.stdout.flush()
    except BrokenPipeError:
        # The reader has gone (`vf list | head -1`). What is left in the buffer must not complain at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        result = 0
    sys.exit(result if isinstance(result, int) else 0)
