"""The last layer of a net: where it is, and what it eats."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from torch import Tensor, nn


def find_head(net: nn.Module, num_classes: int) -> nn.Module:
    """Return the last linear layer or convolution that gives one number for each class."""
    last = [m for m in net.modules() if isinstance(m, nn.Linear | nn.Conv2d) and m.weight.shape[0] == num_classes]
    assert last, f"{type(net).__name__} has no layer with {num_classes} outputs"
    return last[-1]


@contextlib.contextmanager
def input_of(head: nn.Module) -> Iterator[list[Tensor]]:
    """Collect what a head eats inside the block: [B,D], the mean over the image where it eats maps."""
    seen: list[Tensor] = []

    def keep(module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        seen.append(inputs[0].detach().flatten(2).mean(2) if inputs[0].ndim == 4 else inputs[0].detach())

    handle = head.register_forward_pre_hook(keep)
    try:
        yield seen
    finally:
        handle.remove()
