"""How one model runs: in one process or many, sharded, compiled, with activations kept or computed again."""

from __future__ import annotations

import contextlib
import fnmatch
import os
import shutil
import sys
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from vf.engine.ranks import Ranks
from vf.errors import ConfigError, RunError, SetupError, did_you_mean, listed
from vf.nn.forgetful import make_forgetful
from vf.nn.sync_batchnorm import synchronised
from vf.training import Train


def prepare(model: nn.Module, train: Train, ranks: Ranks, tell: Callable[[str], None]) -> nn.Module:
    """Change the model in place as the recipe asks, before optimizer and callbacks see it.

    Raises:
        ConfigError: a pattern of ``train.checkpoint_activations`` matches no module, or a norm cannot be shared.
    """
    if train.sync_batchnorm:
        if ranks.many:
            model = _share_norms(model)
        else:
            tell("model sync_batchnorm: one process, so plain batch norm")
    for pattern in train.checkpoint_activations:
        _checkpoint_activations(model, pattern)
    if train.strategy == "fsdp" and ranks.many:
        _shard(model, ranks)
    return model


def forward_of(model: nn.Module, train: Train, ranks: Ranks, device: torch.device) -> Callable[..., Any]:
    """Return what the loop calls: the model, wrapped for many processes and compiled where asked.

    Raises:
        SetupError: there is no compiler.
    """
    if train.compile and device.type == "cpu":
        _find_compiler()
    forward: Any = model
    if ranks.many and train.strategy == "ddp":
        forward = nn.parallel.DistributedDataParallel(
            model,
            device_ids=[device] if device.type == "cuda" else None,
            static_graph=bool(train.checkpoint_activations) and train.accumulate == 1,
            gradient_as_bucket_view=True,
        )
    return torch.compile(forward) if train.compile else forward


def _find_compiler() -> None:
    name = os.environ.get("CXX", "clang++" if sys.platform == "darwin" else "g++")  # as torch.compile chooses it
    if shutil.which(name) is None:
        raise SetupError(
            f"train.compile: needs a C++ compiler on the CPU, found no {name!r}; install one, name it in CXX, or leave "
            "train.compile out"
        )


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


def _share_norms(model: nn.Module) -> nn.Module:
    for name, norm in model.named_modules():
        if isinstance(norm, _BatchNorm) and type(norm).forward not in (_BatchNorm.forward, nn.SyncBatchNorm.forward):
            raise ConfigError(
                f"train.sync_batchnorm: {name} is a {type(norm).__name__}, which does more than a batch norm; "
                "leave train.sync_batchnorm out"
            )
    if next(model.parameters()).device.type == "cpu":
        return synchronised(model)  # torch's own refuses the CPU
    shared: nn.Module = nn.SyncBatchNorm.convert_sync_batchnorm(model)
    return shared


def _checkpoint_activations(model: nn.Module, pattern: str) -> None:
    names = [name for name, _ in model.named_modules() if name]
    chosen = fnmatch.filter(names, pattern)
    if not chosen:
        hint = did_you_mean(pattern, names) or f"; known: {listed(names, limit=8)}"
        raise ConfigError(f"train.checkpoint_activations: {pattern!r} matches no module of the model{hint}")
    for module in {model.get_submodule(name) for name in chosen}:
        make_forgetful(module)


def _shard(model: nn.Module, ranks: Ranks) -> None:
    """FSDP2 (arXiv 2304.11277): every direct part of the model is gathered and freed by itself."""
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import fully_shard

    mesh = init_device_mesh(next(model.parameters()).device.type, (ranks.world.size,))
    for part in model.children():
        if any(True for _ in part.parameters()):
            fully_shard(part, mesh=mesh)
    fully_shard(model, mesh=mesh)
