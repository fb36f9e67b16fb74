"""Numbers over all processes of a training, for losses and norms; with one process, the number itself."""

from __future__ import annotations

from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor


def num_processes() -> int:
    """Return how many processes train together."""
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


@torch.no_grad()
def mean_over_processes(value: Tensor, *, least_sum: float | None = None) -> Tensor:
    """Return the mean of a float tensor over the processes, without a gradient.

    A loss that is a sum over something counted (objects, pixels) divides by this mean of the counts. DDP then
    averages the gradients of N processes, which gives the sum of all over the count of all: what one process
    gets that sees the whole batch. Every process calls it in the same forward pass.

    Args:
        least_sum: what the sum over the processes is taken for where it is smaller, so that no count is 0.
    """
    total, num = _summed(value) if num_processes() > 1 else value, num_processes()
    return (total if least_sum is None else total.clamp(min=least_sum)) / num


def sum_over_processes(value: Tensor) -> Tensor:
    """Return the sum of a float tensor over the processes; its gradient is that of the sum of all their losses."""
    if num_processes() == 1:
        return value
    out: Tensor = _Sum.apply(value)
    return out


def _summed(value: Tensor) -> Tensor:
    total = value.detach().clone(memory_format=torch.contiguous_format)
    dist.all_reduce(total)
    return total


class _Sum(torch.autograd.Function):
    """Each process's value enters every process's sum, so its gradient is the sum of theirs."""

    @staticmethod
    def forward(ctx: Any, value: Tensor) -> Tensor:
        return _summed(value)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        return _summed(gradient)
