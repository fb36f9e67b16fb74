"""How one model runs: in one process or many, sharded, compiled, with activations kept or computed again."""

from __future__ import annotations

import contextlib
import fnmatch
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from vf.engine.ranks import Ranks
from vf.errors import ConfigError, RunError, did_you_mean, listed
from vf.training import Train

BATCH_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)


def prepare(model: nn.Module, train: Train, ranks: Ranks, tell: Callable[[str], None]) -> nn.Module:
    """Change the model in place as the recipe asks, before optimizer and callbacks see it.

    Raises:
        ConfigError: a pattern of ``train.checkpoint_activations`` matches no module.
    """
    for pattern in train.checkpoint_activations:
        _checkpoint_activations(model, pattern)
    if train.sync_batchnorm:
        if ranks.many:
            model = nn.SyncBatchNorm.convert_sync_batchnorm(model)
        else:
            tell("model sync_batchnorm: one process, so plain batch norm")
    if train.strategy == "fsdp" and ranks.many:
        _shard(model, ranks)
    return model


def forward_of(model: nn.Module, train: Train, ranks: Ranks, device: torch.device) -> Callable[..., Any]:
    """Return what the loop calls: the model, wrapped for many processes and compiled where asked."""
    forward: Any = model
    if ranks.many and train.strategy == "ddp":
        forward = nn.parallel.DistributedDataParallel(
            model,
            device_ids=[device] if device.type == "cuda" else None,
            static_graph=bool(train.checkpoint_activations) and train.accumulate == 1,
            gradient_as_bucket_view=True,
        )
    return torch.compile(forward) if train.compile else forward


@contextlib.contextmanager
def gradients(forward: Callable[..., Any], *, reduced: bool) -> Iterator[None]:
    """Context of a pass: the gradients of the last pass of a step are reduced over the processes, with those before."""
    ddp = getattr(forward, "_orig_mod", forward)
    if isinstance(ddp, nn.parallel.DistributedDataParallel) and not reduced:
        with ddp.no_sync():
            yield
    else:
        yield


def refuse_unused(model: nn.Module, ranks: Ranks) -> None:
    """Raise RunError that names the parameters which got no gradient, where other processes would wait for them."""
    if ranks.many:
        ranks.together(lambda: _refuse_unused(model))


def _refuse_unused(model: nn.Module) -> None:
    unused = [name for name, p in model.named_parameters() if p.requires_grad and p.grad is None]
    if unused:
        raise RunError(
            f"step 1: {len(unused)} parameters got no gradient: {listed(unused, limit=6)}; use them in the loss, or "
            "freeze them with train.optimizer.rules"
        )


def _checkpoint_activations(model: nn.Module, pattern: str) -> None:
    names = [name for name, _ in model.named_modules() if name]
    chosen = fnmatch.filter(names, pattern)
    if not chosen:
        hint = did_you_mean(pattern, names) or f"; known: {listed(names, limit=8)}"
        raise ConfigError(f"train.checkpoint_activations: {pattern!r} matches no module of the model{hint}")
    for name in chosen:
        module = model.get_submodule(name)
        module.forward = _forgetful(module)


def _forgetful(module: nn.Module) -> Callable[..., Any]:
    """Return a forward that keeps no activations and computes them again for the gradient (arXiv 1604.06174)."""
    forward = module.forward

    def run(*args: Any, **kwargs: Any) -> Any:
        if not (module.training and torch.is_grad_enabled()):
            return forward(*args, **kwargs)
        return checkpoint(forward, *args, use_reentrant=False, context_fn=lambda: _contexts(module), **kwargs)

    return run


def _contexts(module: nn.Module) -> tuple[Any, Any]:
    return contextlib.nullcontext(), _statistics_held(module)


@contextlib.contextmanager
def _statistics_held(module: nn.Module) -> Iterator[None]:
    """Batch norm must not count a batch twice because its forward runs twice."""
    norms = [m for m in module.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]
    before: list[dict[str, Tensor]] = [{k: b.clone() for k, b in m.named_buffers(recurse=False)} for m in norms]
    try:
        yield
    finally:
        for norm, buffers in zip(norms, before, strict=True):
            for name, value in buffers.items():
                norm.get_buffer(name).copy_(value)


def _shard(model: nn.Module, ranks: Ranks) -> None:
    """FSDP2 (arXiv 2304.11277): every direct part of the model is gathered and freed by itself."""
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import fully_shard

    mesh = init_device_mesh(next(model.parameters()).device.type, (ranks.world.size,))
    for part in model.children():
        if any(True for _ in part.parameters()):
            fully_shard(part, mesh=mesh)
    fully_shard(model, mesh=mesh)
