"""Parameter groups, the learning rate of a step, and optimizer state by parameter name."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Any

import torch
from torch import nn

from vf.engine import sharded
from vf.errors import CheckpointError, ConfigError, PluginError, did_you_mean, listed
from vf.optimizers import Rule
from vf.training import Train

NORMS = (nn.modules.batchnorm._NormBase, nn.LayerNorm, nn.GroupNorm, nn.RMSNorm, nn.LocalResponseNorm)
HOSTED = ("step", "mu_product")
"""State that torch keeps on the CPU, because it reads it at each step; a fused optimizer keeps it on the device."""


def build_optimizer(model: nn.Module, train: Train) -> torch.optim.Optimizer:
    """Freeze what the rules freeze, then make the optimizer: one group for each factor on lr with each decay.

    Each group carries its ``lr_mult``. Norms and biases decay only on request.

    Raises:
        ConfigError: a rule has no effect, nothing is left to train, or the model does not number its layers.
    """
    config = train.optimizer
    rules = match_rules(config.rules, [name for name, _ in model.named_parameters()])
    for name, parameter in model.named_parameters():
        if name in rules and rules[name].frozen:
            parameter.requires_grad_(False)
    depth_mult = _depth_mult(model, config.layer_decay)
    plain = _norms_and_biases(model)
    groups: dict[tuple[float, float], dict[str, Any]] = {}
    for name, parameter in model.named_parameters():
        if not parameter.requires_grad:
            continue
        rule = rules.get(name)
        lr_mult, decay_mult = (rule.lr_mult, rule.decay_mult) if rule else (1.0, 1.0)
        decays = config.decay_norm_and_bias or name not in plain
        key = (lr_mult * depth_mult(name), config.weight_decay * decay_mult if decays else 0.0)
        group = groups.setdefault(key, {"params": [], "lr_mult": key[0], "weight_decay": key[1]})
        group["params"].append(parameter)
    if not groups:
        raise ConfigError("train.optimizer.rules: every parameter is frozen; leave some to train")
    return config.build(list(groups.values()))


def match_rules(rules: Sequence[Rule], names: Sequence[str]) -> dict[str, Rule]:
    """Return parameter name -> the first rule whose pattern matches it; ConfigError for rules without effect."""
    chosen: dict[str, Rule] = {}
    problems = []
    for index, rule in enumerate(rules):
        where = f"train.optimizer.rules[{index}].pattern: {rule.pattern!r}"
        matched = [name for name in names if fnmatchcase(name, rule.pattern)]
        fresh = [name for name in matched if name not in chosen]
        if not matched:
            hint = did_you_mean(rule.pattern, _patterns(names)) or f"; names are like {listed(names, limit=3)}"
            problems.append(f"{where} matches no parameter of the model{hint}")
        elif not fresh:
            earlier = dict.fromkeys(chosen[name].pattern for name in matched)
            problems.append(f"{where} comes too late: {listed(earlier)} took all that it matches; put it first")
        chosen.update(dict.fromkeys(fresh, rule))
    if problems:
        raise ConfigError(*problems)
    return chosen


def _patterns(names: Sequence[str]) -> list[str]:
    """Return what a user may have meant: each name, and each module with all below it."""
    modules = {
        f"{start}.*" for name in names for start in itertools.accumulate(name.split(".")[:-1], lambda a, b: f"{a}.{b}")
    }
    return [*sorted(modules), *names]


def _norms_and_biases(model: nn.Module) -> set[str]:
    ids = {id(p) for m in model.modules() if isinstance(m, NORMS) for p in m.parameters(recurse=False)}
    return {name for name, p in model.named_parameters() if id(p) in ids or name.endswith("bias")}


def _depth_mult(model: nn.Module, decay: float | None) -> Callable[[str], float]:
    """Return parameter name -> factor on its learning rate, from how far its layer is from the output."""
    if decay is None:
        return lambda name: 1.0
    layer_id: Any = getattr(model, "layer_id", None)
    last: Any = getattr(model, "num_layers", None)
    title = type(model).__name__
    if not callable(layer_id) or not isinstance(last, int):
        raise ConfigError(
            f"train.optimizer.layer_decay: the model {title} does not number its layers (layer_id and num_layers); "
            f"leave it out, or give train.optimizer.rules with lr_mult"
        )

    def factor(name: str) -> float:
        layer = int(layer_id(name))
        if not 0 <= layer <= last:
            raise PluginError(f"model {title}: layer_id({name!r}) must be from 0 to num_layers = {last}, got {layer}")
        return float(decay ** (last - layer))

    return factor


def hold_frozen_norms(model: nn.Module) -> None:
    """Put norms whose parameters are all frozen into eval mode, so that their running statistics stay too.

    ``model.train()`` undoes it: call this after each.
    """
    for module in model.modules():
        if isinstance(module, NORMS):
            own = list(module.parameters(recurse=False))
            if own and not any(p.requires_grad for p in own):
                module.eval()


def scaled_lr(train: Train) -> tuple[float, str]:
    """Return the peak learning rate by the linear rule (arXiv 1706.02677), and how to say it in a line."""
    lr, tuned = train.optimizer.lr, train.auto_scale_lr
    if tuned is None:
        return lr, f"lr {lr:g}"
    scaled = lr * train.batch_size / tuned
    return scaled, f"lr {lr:g} → {scaled:g}: {train.batch_size} images a step, tuned for {tuned}"


def set_rates(optimizer: torch.optim.Optimizer, train: Train, step: int, total: int, steps_per_epoch: float) -> float:
    """Set each group's learning rate, and the momentum where it is scheduled, for the step with index ``step``.

    A pure function of the step, so that a resumed run goes on exactly. Returns the rate of groups whose
    ``lr_mult`` is 1.
    """
    lr = scaled_lr(train)[0] * train.schedule.factor(step, total, steps_per_epoch)
    momentum = _momentum(train, step, total, steps_per_epoch)
    for group in optimizer.param_groups:
        group["lr"] = lr * group["lr_mult"]
        if momentum is not None:
            group.update(train.optimizer.momentum_options(momentum))
    return lr


def _momentum(train: Train, step: int, total: int, steps_per_epoch: float) -> float | None:
    base = train.optimizer.base_momentum()
    if base is None or train.momentum_schedule is None:
        return train.schedule.momentum_at(step, total)
    return base * train.momentum_schedule.factor(step, total, steps_per_epoch)


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
    fused = {id(p) for group in optimizer.param_groups if group.get("fused") for p in group["params"]}
    for name, entry in state.items():
        parameter = trainable[name]
        hosted = () if id(parameter) in fused else HOSTED
        optimizer.state[parameter] = {
            key: _like(value, parameter, hosted=key in hosted) if isinstance(value, torch.Tensor) else value
            for key, value in entry.items()
        }


def _like(value: torch.Tensor, parameter: nn.Parameter, *, hosted: bool) -> torch.Tensor:
    if hosted:
        return value.clone()
    if value.shape != parameter.shape:
        return value.to(parameter.device, copy=True)
    if hasattr(parameter, "device_mesh"):
        return sharded.like(value, parameter)
    return torch.empty_like(parameter).copy_(value)  # in the parameter's own memory layout
