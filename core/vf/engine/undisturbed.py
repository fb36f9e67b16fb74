"""Run a model between two steps of a training without leaving a trace in it."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import torch
from torch import nn

from vf.data.seeding import seeded


@contextlib.contextmanager
def undisturbed(model: nn.Module, device: torch.device) -> Iterator[None]:
    """Put every module's mode and every generator of random numbers back afterwards; inside there are no gradients."""
    modes = [(module, module.training) for module in model.modules()]
    with seeded(0), torch.random.fork_rng([device] if device.type == "cuda" else []), torch.no_grad():
        try:
            yield
        finally:
            for module, mode in modes:
                module.training = mode
