"""Stop a training that no longer gets better."""

from __future__ import annotations

from typing import Any, Literal

from vf.engine.callbacks import Callback
from vf.engine.state import State
from vf.errors import ConfigError, listed
from vf.schema import Duration


class EarlyStop(Callback):
    """Ask the loop to stop when a metric has not got better for ``patience`` evaluations.

    Args:
        patience: evaluations in a row.
        after: never stop before this length.
        metric: name of the one to watch; empty: the one that chooses the best checkpoint.
        mode: whether more or less of ``metric`` is better.
        min_delta: ``metric`` counts as better where it gains more than this on its best value so far.
    """

    def __init__(
        self,
        *,
        patience: int,
        after: Duration,
        metric: str = "",
        mode: Literal["max", "min"] = "max",
        min_delta: float = 0.0,
    ) -> None:
        self.name = f"early_stop {metric}".rstrip()  # two of them in one recipe keep their counts apart
        self._patience = patience
        self._after = after
        self._metric = metric
        self._sign = 1 if mode == "max" else -1
        self._min_delta = min_delta
        self._best: float | None = None
        self._seen: int | None = None
        self._stale = 0

    def after_evaluate(self, state: State) -> None:
        """Count evaluations since the best one."""
        better = self._gains(state) if self._metric else state.best_step != self._seen
        self._seen = state.best_step
        self._stale = 0 if better else self._stale + 1
        if self._stale >= self._patience and state.step >= self._after.steps(state.steps_per_epoch):
            state.stop = f"no better {self._metric or 'metric'} in {self._stale} evaluations"

    def _gains(self, state: State) -> bool:
        """Take the watched metric; True where it is better than ever. A metric without a value is not."""
        if self._metric not in state.metrics:
            raise ConfigError(
                f"callbacks: early_stop.metric: {self._metric!r} is not measured; "
                f"the recipe's metrics give {listed(state.metrics)}"
            )
        value = state.metrics[self._metric]
        if value is None or (self._best is not None and self._sign * (value - self._best) <= self._min_delta):
            return False
        self._best = value
        return True

    def state_dict(self, state: State) -> dict[str, Any]:
        """Counters."""
        return {"seen": self._seen, "stale": self._stale, "best": self._best}

    def load_state_dict(self, state: State, saved: dict[str, Any]) -> None:
        """Counters."""
        self._seen, self._stale, self._best = saved["seen"], saved["stale"], saved.get("best")
