"""Batch norm over the images of all processes, on the CPU, where torch's ``SyncBatchNorm`` refuses to run."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from vf.nn.reduce import sum_over_processes


class SyncBatchNorm(_BatchNorm):
    """Normalises by mean and variance of what all processes hold; the same numbers as one with the whole batch.

    Evaluation is that of plain batch norm, and so are names and shapes of what is saved.
    """

    def forward(self, x: Tensor) -> Tensor:
        """Normalise [B,C,…]; in training every process calls it alike."""
        if not self.training:
            return super().forward(x)
        values = x.float()  # bf16 cannot hold the sums
        axes = [axis for axis in range(x.ndim) if axis != 1]
        shape = [-1 if axis == 1 else 1 for axis in range(x.ndim)]
        count = values.new_full((1,), x.numel() / self.num_features)
        sums = sum_over_processes(torch.cat((values.sum(axes), count)))
        total, mean = sums[-1].detach(), sums[:-1] / sums[-1]
        centred = values - mean.view(shape)
        var = sum_over_processes(centred.square().sum(axes)) / total
        self._track(mean.detach(), var.detach(), total)
        out = centred * (var + self.eps).rsqrt().view(shape)
        if self.affine:
            out = out * self.weight.view(shape) + self.bias.view(shape)
        return out.to(x.dtype)

    @torch.no_grad()
    def _track(self, mean: Tensor, var: Tensor, total: Tensor) -> None:
        """Move the running statistics, as plain batch norm does."""
        if self.running_mean is None or self.running_var is None or self.num_batches_tracked is None:
            return
        self.num_batches_tracked.add_(1)
        share = 1 / float(self.num_batches_tracked) if self.momentum is None else self.momentum
        unbiased = var * total / (total - 1).clamp(min=1)
        self.running_mean.lerp_(mean.to(self.running_mean.dtype), share)
        self.running_var.lerp_(unbiased.to(self.running_var.dtype), share)

    def _check_input_dim(self, input: Tensor) -> None:
        """Any number of dimensions."""


def synchronised(module: nn.Module) -> nn.Module:
    """Return the model with its batch norms turned into these, parameters and statistics taken over."""
    if isinstance(module, _BatchNorm):
        return _converted(module)
    for name, child in module.named_children():
        setattr(module, name, synchronised(child))
    return module


def _converted(norm: _BatchNorm) -> SyncBatchNorm:
    out = SyncBatchNorm(
        norm.num_features,
        eps=norm.eps,
        momentum=norm.momentum,
        affine=norm.affine,
        track_running_stats=norm.track_running_stats,
    )
    for name, parameter in norm.named_parameters(recurse=False):
        out.register_parameter(name, parameter)
    for name, buffer in norm.named_buffers(recurse=False):
        out.register_buffer(name, buffer)
    return out.train(norm.training)
