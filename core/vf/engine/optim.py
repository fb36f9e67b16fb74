"""Parameter groups, the learning rate of a step, and optimizer state by parameter name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from vf.errors import CheckpointError, listed
from vf.training import Train

NORMS = (nn.modules.batchnorm._NormBase, nn.LayerNorm, nn.GroupNorm, nn.LocalResponseNorm)


def build_optimizer(model: nn.Module, train: Train) -> torch.optim.Optimizer:
    """Make the optimizer over two groups: decayed weights, and norms and biases, which decay only on request."""
    decayed, plain = split_parameters(model)
    decay = train.optimizer.weight_decay
    groups = [
        {"params": list(decayed.values()), "weight_decay": decay},
        {"params": list(plain.values()), "weight_decay": decay if train.optimizer.decay_norm_and_bias else 0.0},
    ]
    return train.optimizer.build([g for g in groups if g["params"]])


def split_parameters(model: nn.Module) -> tuple[dict[str, nn.Parameter], dict[str, nn.Parameter]]:
    """Return trainable parameters by name: (weights of convolutions and the like, norms and biases)."""
    plain_ids = {id(p) for m in model.modules() if isinstance(m, NORMS) for p in m.parameters(recurse=False)}
    decayed: dict[str, nn.Parameter] = {}
    plain: dict[str, nn.Parameter] = {}
    for name, parameter in model.named_parameters():
        if not parameter.requires_grad:
            continue
        without = id(parameter) in plain_ids or name.endswith("bias")
        (plain if without else decayed)[name] = parameter
    return decayed, plain


def set_lr(optimizer: torch.optim.Optimizer, lr: float) -> None:
    """Set the learning rate of every group."""
    for group in optimizer.param_groups:
        group["lr"] = lr


def optimizer_state(optimizer: torch.optim.Optimizer, model: nn.Module) -> dict[str, dict[str, Any]]:
    """Return the state of each parameter under its name."""
    return {name: dict(optimizer.state[p]) for name, p in model.named_parameters() if p in optimizer.state}


def load_optimizer_state(
    optimizer: torch.optim.Optimizer, model: nn.Module, state: Mapping[str, Mapping[str, Any]]
) -> None:
    """Put state back by parameter name; CheckpointError lists the names that do not match."""
    trainable = {n: p for n, p in model.named_parameters() if p.requires_grad}
    unknown = sorted(set(state) - set(trainable))
    missing = sorted(set(trainable) - set(state)) if state else []
    if unknown or missing:
        raise CheckpointError(
            f"the optimizer state does not fit the model: parameters only in the checkpoint: "
            f"{listed(unknown, limit=4)}; only in the model: {listed(missing, limit=4)}"
        )
    for name, entry in state.items():
        parameter = trainable[name]
        optimizer.state[parameter] = {
            key: _like(value, parameter, key) if isinstance(value, torch.Tensor) else value
            for key, value in entry.items()
        }


def _like(value: torch.Tensor, parameter: nn.Parameter, key: str) -> torch.Tensor:
    if key == "step" or value.shape != parameter.shape:
        return value.clone()
    return torch.empty_like(parameter).copy_(value)  # in the parameter's own memory layout
