"""Which norm a network has: chosen by key, put in the place of the batch norms that it was written with."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm
from torchvision.ops import FrozenBatchNorm2d

from vf.errors import ConfigError
from vf.nn.sync_batchnorm import synchronised

GROUPS = 32
"""Of group norm (arXiv 1803.08494), where so many divide the channels."""


def group_norm(channels: int) -> nn.GroupNorm:
    """Return a group norm of 32 groups, or of as many as divide both 32 and the channels."""
    return nn.GroupNorm(math.gcd(GROUPS, channels), channels)


def _frozen(norm: _BatchNorm) -> nn.Module:
    out: nn.Module = FrozenBatchNorm2d(norm.num_features, eps=norm.eps)
    return out


def _shared(norm: _BatchNorm) -> nn.Module:
    return nn.SyncBatchNorm(norm.num_features, eps=norm.eps, momentum=norm.momentum, affine=norm.affine)


REPLACEMENTS: dict[str, Callable[[_BatchNorm], nn.Module]] = {
    "sync_bn": _shared,
    "frozen_bn": _frozen,
    "gn": lambda norm: group_norm(norm.num_features),
}


def change_norms(module: nn.Module, norm: str) -> int:
    """Put ``norm`` (bn, sync_bn, frozen_bn, gn) in the place of every batch norm; return how many there were.

    Weights, biases and statistics that are no longer at their start are taken over, except by group norm, whose mean
    another. Call it before an optimizer or a list of frozen parameters exists.

    Raises:
        ConfigError: a batch norm does more, as timm's that have the activation in them.
    """
    count = 0
    for name, child in module.named_children():
        if not isinstance(child, _BatchNorm):
            count += change_norms(child, norm)
            continue
        count += 1
        if norm in REPLACEMENTS:
            if type(child).forward is not _BatchNorm.forward:
                raise ConfigError(
                    f"backbone.norm: {name} is a {type(child).__name__}, which does more than a batch norm, so {norm} "
                    "cannot take its place; leave norm out"
                )
            other = REPLACEMENTS[norm](child)
            if norm != "gn":
                other.load_state_dict(child.state_dict())
            setattr(module, name, other.train(child.training))
    return count


def conv_norm(
    inputs: int, outputs: int, kernel: int, *, stride: int = 1, norm: str = "none", groups: int = 1
) -> list[nn.Module]:
    """Return a padded convolution and its norm (none, bn, sync_bn, gn); without one the convolution has a bias."""
    conv = nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=norm == "none")
    return [conv] if norm == "none" else [conv, make_norm(norm, outputs)]


def make_norm(norm: str, channels: int) -> nn.Module:
    """Return a norm by its key: bn, sync_bn, frozen_bn, gn."""
    made = nn.BatchNorm2d(channels)
    return made if norm == "bn" else REPLACEMENTS[norm](made)


def able_on(model: nn.Module, device: torch.device) -> nn.Module:
    """Return the model with norms that run on ``device``: torch's SyncBatchNorm refuses the CPU, ours does not."""
    if device.type != "cpu":
        return model
    if isinstance(model, nn.SyncBatchNorm):
        return synchronised(model)
    for name, child in model.named_children():
        setattr(model, name, able_on(child, device))
    return model
