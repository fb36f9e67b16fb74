"""Activation checkpointing (arXiv 1604.06174): a module keeps no activations and computes them again."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils.checkpoint import checkpoint


def make_forgetful(module: nn.Module) -> None:
    """Let a module compute its activations again for the gradient; what it gives and its statistics are the same."""
    cls = type(module)
    if not hasattr(cls, "_forgets"):
        # The class and not the object: a copy of the model (an average of the weights) runs its own weights.
        module.__class__ = type(cls.__name__, (cls,), {"forward": _forgetful(cls.forward), "_forgets": True})


def _forgetful(forward: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(forward)
    def run(self: nn.Module, *args: Any, **kwargs: Any) -> Any:
        if not (self.training and torch.is_grad_enabled()):
            return forward(self, *args, **kwargs)
        again = functools.partial(forward, self)
        if torch.compiler.is_compiling():  # which takes no context, and moves statistics once by itself
            return checkpoint(again, *args, use_reentrant=False, **kwargs)
        return checkpoint(again, *args, use_reentrant=False, context_fn=lambda: _contexts(self), **kwargs)

    return run


def _contexts(module: nn.Module) -> tuple[Any, Any]:
    return contextlib.nullcontext(), _statistics_held(module)


@contextlib.contextmanager
def _statistics_held(module: nn.Module) -> Iterator[None]:
    """Batch norm must not count a batch twice because its forward runs twice."""
    norms = [m for m in module.modules() if isinstance(m, _BatchNorm)]
    before: list[dict[str, Tensor]] = [{k: b.clone() for k, b in m.named_buffers(recurse=False)} for m in norms]
    try:
        yield
    finally:
        for norm, buffers in zip(norms, before, strict=True):
            for name, value in buffers.items():
                norm.get_buffer(name).copy_(value)
