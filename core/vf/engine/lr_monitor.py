"""Learning rate and momentum of each parameter group, in TensorBoard."""

from __future__ import annotations

from typing import Any

from vf.engine.board import Board
from vf.engine.callbacks import Callback
from vf.engine.state import State

FOLDER = "lr_monitor"


class LrMonitor(Callback):
    """Writes ``lr/GROUP`` and ``momentum/GROUP`` every ``train.log_every`` steps, the values of the step just done.

    A group goes by its ``name``, where the optimizer has one, else by its number. Momentum is Adam's first beta.
    """

    name = "lr_monitor"

    def __init__(self) -> None:
        self._board = Board(FOLDER)

    def after_step(self, state: State) -> None:
        """Write at each interval, and at the last step."""
        due = state.step % state.resolved.recipe.train.log_every == 0 or state.step == state.total_steps
        if not due or not state.ranks.world.first:
            return
        points = {
            f"{key}/{group.get('name', index)}": value
            for index, group in enumerate(state.optimizer.param_groups)
            for key, value in _watched(group).items()
        }
        self._board.add(points, state)


def _watched(group: dict[str, Any]) -> dict[str, float]:
    values = {"lr": group["lr"], "momentum": group.get("momentum", group.get("betas", (None,))[0])}
    return {key: float(value) for key, value in values.items() if value is not None}
