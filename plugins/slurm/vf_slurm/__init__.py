"""Slurm jobs: what this plugin adds to vf. Free of torch and submitit; the launcher imports them when it submits."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from vf import hookimpl
from vf_slurm import launcher_configs as launchers

VF_API = 1


@hookimpl
def vf_launchers() -> Mapping[str, type[Any]]:
    """A cluster that Slurm manages."""
    return {"slurm": launchers.Slurm}
