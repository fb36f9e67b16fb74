"""What the processes of one training say to each other; with one process, nothing."""

from __future__ import annotations

import datetime
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor, nn

from vf.errors import RunError, SetupError, VFError, listed
from vf.world import ALONE, OWN, TORCHRUN, World

T = TypeVar("T")


class LostContactError(RunError):
    """Another process is gone; why, only that one could say."""


class Ranks:
    """The processes of one training, as seen from one of them. Every method is called by all of them alike."""

    def __init__(self, world: World = ALONE) -> None:
        self.world = world

    @property
    def many(self) -> bool:
        """Whether there is more than one process."""
        return self.world.size > 1

    def agree(self, *codes: int) -> list[int]:
        """Return the largest value that any process has, for each of the codes."""
        if not self.many:
            return list(codes)
        together = torch.tensor(codes, dtype=torch.int64)
        dist.all_reduce(together, dist.ReduceOp.MAX)
        return [int(code) for code in together]

    def gather(self, own: T) -> list[T]:
        """Return what every process has, by rank."""
        if not self.many:
            return [own]
        out: list[Any] = [None] * self.world.size
        dist.all_gather_object(out, own)
        return out

    def gather_on_first(self, own: T) -> list[T]:
        """Return what every process has, by rank, on rank 0; an empty list on the others."""
        if not self.many:
            return [own]
        out: list[Any] | None = [None] * self.world.size if self.world.first else None
        dist.gather_object(own, out, dst=0)
        return out or []

    def from_first(self, make: Callable[[], T]) -> T:
        """Let rank 0 make something and give it to all; its error reaches all of them, and rank 0 says it."""
        found = self.gather(_attempt(make) if self.world.first else None)[0]
        out: T = _unpacked(found, speaks=self.world.first)
        return out

    def together(self, make: Callable[[], T]) -> T:
        """Make something in every process; the errors of any reach all, and rank 0 says each of them once."""
        own = _attempt(make)
        failed = [r for r in self.gather(None if own[0] == "ok" else own) if r is not None]
        if not failed:
            made: T = own[1]
            return made
        kind = failed[0][1]
        problems = dict.fromkeys(problem for _, _, problems in failed for problem in problems)
        raise kind(*(problems if self.world.first else ()))

    def mean(self, values: Tensor) -> Tensor:
        """Return the mean over the processes of a float tensor."""
        if not self.many:
            return values
        values = values.clone()
        dist.all_reduce(values)
        return values / self.world.size

    def broadcast_buffers(self, model: nn.Module) -> None:
        """Give every process the buffers (running statistics) of rank 0."""
        if self.many:
            for buffer in model.buffers():
                dist.broadcast(buffer, 0)

    def barrier(self) -> None:
        """Wait for the others."""
        self.agree(0)


def _attempt(make: Callable[[], T]) -> tuple[Any, ...]:
    try:
        return ("ok", make())
    except VFError as error:
        return ("failed", type(error), error.problems)


def _unpacked(found: Any, *, speaks: bool) -> Any:
    if found[0] == "ok":
        return found[1]
    raise found[1](*(found[2] if speaks else ()))


@contextmanager
def open_ranks(world: World, device: torch.device, *, timeout: float) -> Iterator[Ranks]:
    """Connect the processes of ``world``; gloo carries CPU tensors, nccl those of a GPU.

    Args:
        timeout: seconds after which a process that waits for another gives up.

    Raises:
        SetupError: rank 0 cannot be reached, or two processes would share one GPU.
    """
    if world.size == 1:
        yield Ranks()
        return
    backend = "cpu:gloo,cuda:nccl" if device.type == "cuda" else "gloo"
    try:
        dist.init_process_group(
            backend,
            init_method="env://" if world.by in (TORCHRUN, OWN) else f"tcp://{world.address}:{world.port}",
            rank=world.rank,
            world_size=world.size,
            timeout=datetime.timedelta(seconds=timeout),
        )
    except (dist.DistError, RuntimeError, ValueError) as error:
        raise SetupError(
            f"rank {world.rank} of {world.size} ({world.by}): cannot meet the others at {world.address}:{world.port}: "
            f"{_first_line(error)}"
        ) from None
    ranks = Ranks(world)
    try:
        _refuse_shared_gpus(ranks, device)
        yield ranks
    finally:
        dist.destroy_process_group()


def _refuse_shared_gpus(ranks: Ranks, device: torch.device) -> None:
    if device.type != "cuda":
        return
    owners = ranks.gather(str(torch.cuda.get_device_properties(device).uuid))
    shared = [rank for rank, owner in enumerate(owners) if owners.count(owner) > 1]
    if shared:
        raise SetupError(
            *(
                [f"ranks {listed(map(str, shared))} share a GPU; start one process a GPU, or use --device cpu"]
                if ranks.world.first
                else []
            )
        )


@contextmanager
def naming_lost_contact(ranks: Ranks, where: Callable[[], str]) -> Iterator[None]:
    """Turn the error of a broken connection into one line with rank, step and phase."""
    try:
        yield
    except RuntimeError as error:
        if not ranks.many or not _is_contact(error):
            raise
        raise LostContactError(
            f"rank {ranks.world.rank}: {where()}: lost contact with another process: {_first_line(error)}"
        ) from None


def _is_contact(error: RuntimeError) -> bool:
    text = str(error)
    signs: Sequence[str] = (
        "Connection closed",
        "Connection reset",
        "Broken pipe",
        "gloo",
        "NCCL",
        "Timed out",
        "Socket",
    )
    return isinstance(error, dist.DistError) or any(sign in text for sign in signs)


def _first_line(error: BaseException) -> str:
    """Return what a library says without the place in its source, and only its first sentence."""
    text = re.sub(r"^(\[[^\]]*\]\s*)+", "", str(error).strip())
    return re.split(r"\n|\. ", text)[0][:200] or type(error).__name__
