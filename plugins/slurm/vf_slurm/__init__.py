"""Slurm jobs: what this plugin adds to vf. Free of torch and submitit; the launcher imports them when it submits."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from vf import hookimpl
from vf_slurm import launcher_configs as launchers

if TYPE_CHECKING:
    import click

VF_API = 1


@hookimpl
def vf_launchers() -> Mapping[str, type[Any]]:
    """A cluster that Slurm manages."""
    return {"slurm": launchers.Slurm}


@hookimpl
def vf_commands(cli: click.Group) -> None:
    """``vf slurm``: what became of jobs."""
    from vf_slurm.commands import slurm

    cli.add_command(slurm)
