"""Exponential moving average of the weights (Polyak and Juditsky, 1992)."""

from __future__ import annotations

import math
from typing import Any

from vf.engine.average import Average
from vf.engine.callbacks import Callback
from vf.engine.state import State


class Ema(Callback):
    """Keeps a second set of weights; evaluation and prediction use it.

    Args:
        decay: of the average at each update.
        ramp: the decay at step t is ``decay * (1 - exp(-t / ramp))``, so that early weights are soon forgotten;
            0: constant.
        every: optimizer steps from one update to the next.
    """

    name = "ema"

    def __init__(self, *, decay: float, ramp: float, every: int = 1) -> None:
        self._decay = decay
        self._ramp = ramp
        self._every = every

    def on_build(self, state: State) -> None:
        """Copy the model."""
        state.claim_average(self.name)
        self._average = Average(state.model)
        state.averaged = self._average.module

    def after_step(self, state: State) -> None:
        """Move the average towards the weights."""
        if state.step % self._every:
            return
        decay = self._decay * (1 - math.exp(-state.step / self._ramp)) if self._ramp else self._decay
        self._average.move(1 - decay)

    def state_dict(self, state: State) -> dict[str, Any]:
        """The weights in training."""
        return self._average.state_dict(state)

    def load_state_dict(self, state: State, saved: dict[str, Any]) -> None:
        """The weights in training."""
        self._average.load_state_dict(state, saved)
