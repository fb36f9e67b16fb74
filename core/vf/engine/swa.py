"""Stochastic weight averaging (Izmailov et al. 2018, arXiv 1803.05407)."""

from __future__ import annotations

from typing import Any

from vf.engine.average import Average
from vf.engine.callbacks import Callback
from vf.engine.precise_bn import recalibrate
from vf.engine.state import State
from vf.schema import Duration


class Swa(Callback):
    """Averages the weights of moments that lie ``every`` apart, each counting the same; evaluation uses the average.

    Args:
        start: of the first moment, from the start of the training; until then the weights in training are evaluated.
        every: distance between moments.
        batches: of training data, from which norms get their statistics anew before an evaluation, because those
            of an average are not the average of those; 0: leave the averaged statistics as they are.
    """

    name = "swa"

    def __init__(self, *, start: Duration, every: Duration, batches: int) -> None:
        self._start = start
        self._every = every
        self._batches = batches
        self._count = 0

    def on_build(self, state: State) -> None:
        """Make room for the average."""
        state.claim_average(self.name)
        self._average = Average(state.model)

    def after_step(self, state: State) -> None:
        """Take the weights into the average, where it is time."""
        since = state.step - self._start.steps(state.steps_per_epoch)
        if since < 0 or not self._every.due(since, state.steps_per_epoch):
            return
        self._average.move(1 / (self._count + 1))
        self._count += 1
        state.averaged = self._average.module

    def before_evaluate(self, state: State) -> None:
        """Give the average statistics of its own."""
        if self._count and self._batches:
            recalibrate(state, self._average.module, self._batches)

    def state_dict(self, state: State) -> dict[str, Any]:
        """How many moments the average holds and, where it holds some, the weights in training."""
        return {"count": self._count, **(self._average.state_dict(state) if self._count else {})}

    def load_state_dict(self, state: State, saved: dict[str, Any]) -> None:
        """Put average and weights where they were."""
        self._count = saved["count"]
        if self._count:
            self._average.load_state_dict(state, saved)
            state.averaged = self._average.module
