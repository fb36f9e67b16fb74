"""Named points of the loop, and the callbacks that recipes may add."""

from __future__ import annotations

from typing import Any

from vf.engine.state import State


class Callback:
    """Override what you need. ``name`` keys the callback's state in a checkpoint."""

    name = ""

    def on_build(self, state: State) -> None:
        """When model and optimizer stand, before a checkpoint is loaded into them."""

    def on_start(self, state: State) -> None:
        """Before the first step, after a checkpoint is loaded."""

    def after_step(self, state: State) -> None:
        """After each optimizer step; ``state.step`` counts it already."""

    def before_evaluate(self, state: State) -> None:
        """Before each evaluation of ``state.eval_model``."""

    def after_evaluate(self, state: State) -> None:
        """After each evaluation; ``state.metrics`` holds it."""

    def step_done(self, state: State) -> None:
        """After everything of a step, its evaluation included: the place to save."""

    def on_end(self, state: State) -> None:
        """When the loop is left: at the end, when a callback stopped it, or by an error."""

    def state_dict(self, state: State) -> dict[str, Any]:
        """Tensors and plain data that :meth:`load_state_dict` needs to go on as if nothing had happened."""
        return {}

    def load_state_dict(self, state: State, saved: dict[str, Any]) -> None:
        """Take back what :meth:`state_dict` gave."""
