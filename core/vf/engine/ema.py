"""Exponential moving average of the weights (Polyak and Juditsky, 1992)."""

from __future__ import annotations

import copy
import math
from typing import Any

import torch
from torch import Tensor, nn

from vf.engine.callbacks import Callback
from vf.engine.state import State


class Ema(Callback):
    """Keeps a second set of weights; evaluation and prediction use it.

    Args:
        decay: of the average at each optimizer step.
        ramp: the decay of step t is ``decay * (1 - exp(-t / ramp))``, so that early weights are soon forgotten.
    """

    name = "ema"

    def __init__(self, *, decay: float, ramp: float) -> None:
        self._decay = decay
        self._ramp = ramp
        self._pairs: list[tuple[Tensor, Tensor]] = []
        self._copies: list[tuple[Tensor, Tensor]] = []

    def on_build(self, state: State) -> None:
        """Copy the model."""
        state.averaged = copy.deepcopy(state.model).eval().requires_grad_(False)
        self._connect(state.model, state.averaged)

    def _connect(self, model: nn.Module, averaged: nn.Module) -> None:
        source = {**dict(model.named_parameters()), **dict(model.named_buffers())}
        target = {**dict(averaged.named_parameters()), **dict(averaged.named_buffers())}
        pairs = [(target[name], tensor.detach()) for name, tensor in source.items()]
        self._pairs = [p for p in pairs if p[0].is_floating_point()]
        self._copies = [p for p in pairs if not p[0].is_floating_point()]

    @torch.no_grad()
    def after_step(self, state: State) -> None:
        """Move the average towards the weights."""
        decay = self._decay * (1 - math.exp(-state.step / self._ramp)) if self._ramp else self._decay
        torch._foreach_lerp_([a for a, _ in self._pairs], [w for _, w in self._pairs], 1 - decay)
        for a, w in self._copies:
            a.copy_(w)

    def state_dict(self, state: State) -> dict[str, Any]:
        """The weights in training: the averaged ones are the checkpoint's model."""
        return {"weights": {n: t.detach().clone() for n, t in state.model.state_dict().items()}}

    def load_state_dict(self, state: State, saved: dict[str, Any]) -> None:
        """What the checkpoint's model.safetensors held is the average; put the training weights back."""
        assert state.averaged is not None
        state.averaged.load_state_dict(state.model.state_dict())
        state.model.load_state_dict(saved["weights"])
