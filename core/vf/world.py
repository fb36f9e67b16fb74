"""Which of how many processes this one is, as told by whoever started it. Free of torch."""

from __future__ import annotations

import os
import re
import zlib
from collections.abc import Callable, Mapping

import attrs

from vf.errors import SetupError

TORCHRUN = "torchrun"
OWN = "vf"
"""Names the processes that vf itself starts."""


@attrs.frozen(kw_only=True)
class World:
    """The processes of one training."""

    rank: int = 0
    """Of this process, from 0."""
    size: int = 1
    """Number of processes on all nodes."""
    local_rank: int = 0
    """Of this process on its node."""
    local_size: int = 1
    """Number of processes on this node."""
    by: str = ""
    """Who started them; empty: nobody, this process is alone."""
    address: str = "127.0.0.1"
    """Where rank 0 listens."""
    port: int = 0

    @property
    def first(self) -> bool:
        """Whether this process speaks, writes and saves."""
        return self.rank == 0

    def __str__(self) -> str:
        return f"{self.size} processes, started by {self.by}" if self.size > 1 else "1 process"


ALONE = World()


def find_world(environment: Mapping[str, str] = os.environ) -> World:
    """Read torchrun's, srun's or mpirun's variables; ALONE where there are none.

    Raises:
        SetupError: the variables contradict each other, or something is missing to find rank 0.
    """
    for find in (_torchrun, _srun, _open_mpi, _mpich):
        world = find(environment)
        if world is not None:
            return _checked(world) if world.size != 1 or world.rank else ALONE
    return ALONE


def _checked(world: World) -> World:
    if not (0 <= world.rank < world.size and 0 <= world.local_rank < world.local_size):
        raise SetupError(
            f"{world.by}: rank {world.rank} of {world.size}, local rank {world.local_rank} of {world.local_size}: "
            "these contradict each other; start all processes with one launcher"
        )
    return world


def _torchrun(env: Mapping[str, str]) -> World | None:
    if "RANK" not in env or "WORLD_SIZE" not in env:
        return None
    numbers = _numbers(env, TORCHRUN, "RANK", "WORLD_SIZE")
    local = _numbers(env, TORCHRUN, "LOCAL_RANK", "LOCAL_WORLD_SIZE", optional=True)
    size = numbers["WORLD_SIZE"]
    if size > 1 and ("MASTER_ADDR" not in env or "MASTER_PORT" not in env):
        raise SetupError(
            "RANK and WORLD_SIZE are set, but not MASTER_ADDR and MASTER_PORT; set all four, or use --nproc"
        )
    return World(
        rank=numbers["RANK"],
        size=size,
        local_rank=local.get("LOCAL_RANK", numbers["RANK"]),
        local_size=local.get("LOCAL_WORLD_SIZE", size),
        by=OWN if env.get("TORCHELASTIC_RUN_ID") == OWN else TORCHRUN,
        address=env.get("MASTER_ADDR", ALONE.address),
        port=_port(env, TORCHRUN, lambda: 0),
    )


def _srun(env: Mapping[str, str]) -> World | None:
    # A batch script and salloc's shell have SLURM_PROCID too, but are no step of many tasks.
    if "SLURM_PROCID" not in env or "SLURM_STEP_NUM_TASKS" not in env:
        return None
    numbers = _numbers(env, "srun", "SLURM_PROCID", "SLURM_STEP_NUM_TASKS", "SLURM_LOCALID")
    per_node = _tasks_per_node(env.get("SLURM_STEP_TASKS_PER_NODE", env.get("SLURM_TASKS_PER_NODE", "1")))
    node = _numbers(env, "srun", "SLURM_NODEID", optional=True).get("SLURM_NODEID", 0)
    job = env.get("SLURM_JOB_ID", "0") + "." + env.get("SLURM_STEP_ID", "0")
    return World(
        rank=numbers["SLURM_PROCID"],
        size=numbers["SLURM_STEP_NUM_TASKS"],
        local_rank=numbers["SLURM_LOCALID"],
        local_size=per_node[min(node, len(per_node) - 1)],
        by="srun",
        address=env.get("MASTER_ADDR") or first_host(env.get("SLURM_STEP_NODELIST", ALONE.address)),
        port=_port(env, "srun", lambda: _derived_port(job)),
    )


def _open_mpi(env: Mapping[str, str]) -> World | None:
    if "OMPI_COMM_WORLD_RANK" not in env:
        return None
    names = ("RANK", "SIZE", "LOCAL_RANK", "LOCAL_SIZE")
    numbers = _numbers(env, "mpirun", *(f"OMPI_COMM_WORLD_{n}" for n in names))
    return _mpi(env, *(numbers[f"OMPI_COMM_WORLD_{n}"] for n in names), job=env.get("PMIX_NAMESPACE", ""))


def _mpich(env: Mapping[str, str]) -> World | None:
    if "PMI_RANK" not in env or "PMI_SIZE" not in env:
        return None
    numbers = _numbers(env, "mpirun", "PMI_RANK", "PMI_SIZE")
    local = _numbers(env, "mpirun", "MPI_LOCALRANKID", "MPI_LOCALNRANKS", optional=True)
    rank, size = numbers["PMI_RANK"], numbers["PMI_SIZE"]
    return _mpi(env, rank, size, local.get("MPI_LOCALRANKID", rank), local.get("MPI_LOCALNRANKS", size), job="")


def _mpi(env: Mapping[str, str], rank: int, size: int, local_rank: int, local_size: int, *, job: str) -> World:
    if "MASTER_ADDR" not in env and local_size < size:
        raise SetupError("mpirun on several nodes: set MASTER_ADDR to the host of rank 0 (mpirun -x MASTER_ADDR=HOST)")
    if "MASTER_PORT" not in env and not job and size > 1:
        raise SetupError("mpirun: set MASTER_PORT to a free port of rank 0 (mpirun -env MASTER_PORT PORT)")
    return World(
        rank=rank,
        size=size,
        local_rank=local_rank,
        local_size=local_size,
        by="mpirun",
        address=env.get("MASTER_ADDR", ALONE.address),
        port=_port(env, "mpirun", lambda: _derived_port(job)),
    )


def _numbers(env: Mapping[str, str], by: str, *names: str, optional: bool = False) -> dict[str, int]:
    out = {}
    for name in names:
        if name not in env and optional:
            continue
        try:
            out[name] = int(env[name])
        except KeyError:
            raise SetupError(f"{by}: {name} is not set, though others of its variables are") from None
        except ValueError:
            raise SetupError(f"{by}: expected a whole number in {name}, got {env[name]!r}") from None
    return out


def _port(env: Mapping[str, str], by: str, otherwise: Callable[[], int]) -> int:
    return _numbers(env, by, "MASTER_PORT")["MASTER_PORT"] if "MASTER_PORT" in env else otherwise()


def _derived_port(job: str) -> int:
    """Return a port that all processes of a job compute alike, and other jobs of a node most likely not."""
    return 20000 + zlib.crc32(job.encode()) % 20000


def _tasks_per_node(text: str) -> list[int]:
    """Read Slurm's ``2(x3),1`` as [2, 2, 2, 1]."""
    out: list[int] = []
    for part in text.split(","):
        match = re.fullmatch(r"(\d+)(?:\(x(\d+)\))?", part.strip())
        if match is None:
            raise SetupError(f"srun: expected tasks per node like '2(x3),1', got {text!r}")
        out += [int(match[1])] * int(match[2] or 1)
    return out


def first_host(nodes: str) -> str:
    """Return the first name of a Slurm host list: ``gpu[07-09,12],cpu1`` -> ``gpu07``."""
    first = re.match(r"(?:[^,\[\]]|\[\w[^\[\]]*\])+(?=,|$)", nodes)
    if first is None:
        raise SetupError(f"srun: expected a host list, got {nodes!r}; set MASTER_ADDR")
    return re.sub(r"\[(\w+)[^\]]*\]", r"\1", first[0])
