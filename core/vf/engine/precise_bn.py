"""Statistics of batch norms over many batches ("precise BN": Wu and Johnson 2021, arXiv 2105.07576, section 3)."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from vf.engine.callbacks import Callback
from vf.engine.ranks import Ranks
from vf.engine.state import State
from vf.engine.undisturbed import undisturbed


class PreciseBN(Callback):
    """Before each evaluation, gives the evaluated model statistics of ``batches`` batches of the training data.

    The running averages of training follow the weights with a delay and hold few batches. Norms that training
    holds still (see `vf.engine.freeze`) are left as they are.
    """

    name = "precise_bn"

    def __init__(self, *, batches: int) -> None:
        self._batches = batches

    def on_start(self, state: State) -> None:
        """Say it where there is nothing to do."""
        if not any(_keeps_statistics(module) for module in state.model.modules()):
            state.say("precise_bn: the model has no batch norm that keeps statistics; nothing to do")

    def before_evaluate(self, state: State) -> None:
        """Measure."""
        recalibrate(state, state.eval_model, self._batches)


def recalibrate(state: State, model: nn.Module, batches: int) -> None:
    """Set the statistics of ``model``'s batch norms to mean and variance of all that they meet in so many batches.

    The batches are those of ``state.train_batches``. All but the norms is in evaluation mode, so that the
    statistics are those of what an evaluation computes: without dropout and at the one size of the input.
    """
    moving = {name for name, module in state.model.named_modules() if module.training}
    norms = [m for name, m in model.named_modules() if _keeps_statistics(m) and name in moving]
    if not norms:
        return
    assert state.train_batches is not None
    with undisturbed(model, state.precision.device):
        model.eval()
        moments = [_Moments(norm) for norm in norms]
        try:
            for batch in state.train_batches(batches):
                with state.precision.autocast():
                    model(batch.to(state.precision.device))
        finally:
            for one in moments:
                one.restore()
        for one in moments:
            one.write(state.ranks)


def _keeps_statistics(module: nn.Module) -> bool:
    return isinstance(module, _BatchNorm) and module.running_mean is not None


class _Moments:
    """Sums over all values that one norm met, by channel."""

    def __init__(self, norm: Any) -> None:
        self._norm = norm
        self._before = {name: buffer.clone() for name, buffer in norm.named_buffers(recurse=False)}
        self._momentum = norm.momentum
        self._sums = torch.zeros(3, norm.num_features, dtype=torch.float64, device=norm.running_mean.device)
        norm.reset_running_stats()  # what is not finite would stay, even at a weight of 0
        norm.momentum = 1.0  # the running statistics become those of the last batch
        norm.train()
        self._handle = norm.register_forward_hook(self._add)

    def _add(self, norm: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        count = inputs[0].numel() / self._norm.num_features
        mean, var = self._norm.running_mean.double(), self._norm.running_var.double() * (count - 1) / count
        self._sums += count * torch.stack((torch.ones_like(mean), mean, var + mean**2))

    def restore(self) -> None:
        """Put everything back."""
        self._handle.remove()
        self._norm.momentum = self._momentum
        for name, buffer in self._norm.named_buffers(recurse=False):
            buffer.copy_(self._before[name])

    def write(self, ranks: Ranks) -> None:
        """Write mean and unbiased variance; a norm that met nothing keeps what it had."""
        count, total, squares = ranks.mean(self._sums)
        if count[0] > 1:
            mean = total / count
            self._norm.running_mean.copy_(mean)
            self._norm.running_var.copy_((squares / count - mean**2).clamp(min=0) * count / (count - 1))
