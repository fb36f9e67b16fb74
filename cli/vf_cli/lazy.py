"""A Click group whose commands are imported when they run, so that help and start-up stay fast."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import Any

import click

from vf.errors import did_you_mean


class LazyGroup(click.Group):
    """A group that knows its commands by name, place and short help."""

    def __init__(self, *args: Any, lazy: Mapping[str, tuple[str, str]] | None = None, **options: Any) -> None:
        """Take ``lazy``: name -> (``module:attribute``, short help)."""
        super().__init__(*args, **options)
        self.lazy = dict(lazy or {})

    def more(self) -> Mapping[str, click.Command]:
        """Return commands that are only known after some work, like those of plugins."""
        return {}

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Ours in the given order, then the others."""
        return [*self.lazy, *sorted({*self.commands, *self.more()} - set(self.lazy))]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import one command."""
        if cmd_name in self.lazy:
            module, _, attribute = self.lazy[cmd_name][0].partition(":")
            command: click.Command = getattr(importlib.import_module(module), attribute)
            return command
        return super().get_command(ctx, cmd_name) or self.more().get(cmd_name)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command of the first argument; an unknown one is answered with the near names."""
        name = args[0]
        if self.get_command(ctx, name) is None and not name.startswith("-"):
            hint = did_you_mean(name, self.list_commands(ctx)) or f"; see '{ctx.command_path} --help'"
            ctx.fail(f"no such command {name!r}{hint}")
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the list of commands without importing ours."""
        more = {**self.commands, **self.more()}
        rows = [(name, help_) for name, (_, help_) in self.lazy.items()]
        rows += [(n, more[n].get_short_help_str(80)) for n in sorted(set(more) - set(self.lazy)) if not more[n].hidden]
        if rows:
            with formatter.section("Commands"):
                formatter.write_dl(rows)


class GrowingGroup(LazyGroup):
    """A group of ours that plugins may add to: their hook ``vf_commands`` adds a group of the same name."""

    def more(self) -> Mapping[str, click.Command]:
        """Return what plugins add."""
        from vf_cli.main import commands_within

        return commands_within(self.name or "")
