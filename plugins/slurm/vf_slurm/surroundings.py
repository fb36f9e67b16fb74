"""What the shell that submits brings along: names that other suites taught users, and what must not travel."""

from __future__ import annotations

import os
import shlex
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import attrs

from vf.errors import ConfigError, SetupError
from vf_slurm.launcher_configs import Slurm

TOOLS = ("sbatch", "srun", "scontrol", "squeue")
STAYS = ("SLURM_CONF", "SLURM_CLUSTERS")
"""Say where Slurm is, not which job this is; submitit's clean_env takes them away, and SBATCH_* with them."""
OF_ANOTHER_TRAINING = (
    *("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE", "GROUP_RANK", "MASTER_ADDR", "MASTER_PORT"),
    *("NNODES", "NODE_RANK", "CUDA_VISIBLE_DEVICES"),
)


@attrs.frozen
class Defaults:
    """A launcher with what the environment fills in."""

    launcher: Slurm
    port: int | None
    """Of MASTER_PORT."""
    said: tuple[str, ...]
    """Lines for the user."""


def with_defaults(launcher: Slurm, environment: Mapping[str, str] = os.environ) -> Defaults:
    """Take GPUS, GPUS_PER_NODE, CPUS_PER_TASK, SRUN_ARGS and MASTER_PORT where the launcher says nothing.

    Raises:
        ConfigError: one of them is not a number, or the GPUs cannot be shared out evenly.
    """
    filled: dict[str, object] = {}
    used: list[str] = []

    def take(name: str) -> int:
        used.append(name)
        return _number(name, environment)

    if launcher.gpus_per_node is None and "GPUS_PER_NODE" in environment:
        filled["gpus_per_node"] = take("GPUS_PER_NODE")
    if launcher.nodes is None and "GPUS" in environment:
        gpus = take("GPUS")
        each = int(str(filled.get("gpus_per_node", launcher.gpus_per_node or gpus))) or 1
        if gpus > each and gpus % each:
            raise ConfigError(f"GPUS: {gpus} cannot be shared out to machines with {each} each; make it a multiple")
        filled["nodes"] = max(1, gpus // each)
        filled["gpus_per_node"] = min(gpus, each)
    if launcher.cpus_per_task is None and "CPUS_PER_TASK" in environment:
        filled["cpus_per_task"] = take("CPUS_PER_TASK")
    if not launcher.srun_args and environment.get("SRUN_ARGS"):
        used.append("SRUN_ARGS")
        filled["srun_args"] = tuple(shlex.split(environment["SRUN_ARGS"]))
    said = []
    if filled:
        names = ", ".join(f"{name}={environment[name]}" for name in used)
        keys = ", ".join(f"{key} {' '.join(v) if isinstance(v, tuple) else v}" for key, v in filled.items())
        said.append(f"note  {names} from the environment: {keys}")
    port = _number("MASTER_PORT", environment) if environment.get("MASTER_PORT") else None
    if port is not None:
        said.append(f"note  MASTER_PORT={port} from the environment, instead of a port that is free there")
    try:
        return Defaults(attrs.evolve(launcher, **filled), port, tuple(said))  # type: ignore[misc]
    except ValueError as error:
        raise ConfigError(f"launcher, with {', '.join(used)} from the environment: {error}") from None


def _number(name: str, environment: Mapping[str, str]) -> int:
    if not environment[name].isdecimal():
        raise ConfigError(f"{name}: expected a whole number, got {environment[name]!r}")
    return int(environment[name])


def refuse_here(environment: Mapping[str, str] = os.environ) -> None:
    """Raise SetupError inside a step of srun, where each task would submit, and where there is no Slurm."""
    if "SLURM_STEP_NUM_TASKS" in environment and "SLURM_PROCID" in environment:
        step = f"{environment.get('SLURM_JOB_ID', '?')}.{environment.get('SLURM_STEP_ID', '?')}"
        raise SetupError(
            f"--launcher slurm: this is a task of srun (step {step}) already; leave --launcher out to work in it, or "
            "submit from outside"
        )
    missing = [tool for tool in TOOLS if shutil.which(tool) is None]
    if missing:
        raise SetupError(
            f"--launcher slurm: no {', '.join(missing)} on PATH; submit from a login node of the cluster, or leave "
            "--launcher out to run here"
        )


@contextmanager
def cleaned() -> Iterator[None]:
    """Context in which the environment, which sbatch hands on, tells nothing of a job or training that it is in."""
    inside = "SLURM_JOB_ID" in os.environ
    taken = {
        name: os.environ.pop(name)
        for name in list(os.environ)
        if name in OF_ANOTHER_TRAINING
        or (inside and name.startswith(("SLURM_", "SLURMD_", "SRUN_")) and name not in STAYS)
    }
    try:
        yield
    finally:
        os.environ.update(taken)
