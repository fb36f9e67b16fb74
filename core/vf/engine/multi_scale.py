"""Train at input sizes that change (YOLO9000: arXiv 1612.08242, section 3; YOLOX: arXiv 2107.08430)."""

from __future__ import annotations

from vf.data.seeding import mix
from vf.engine.callbacks import Callback
from vf.engine.state import State
from vf.errors import ConfigError
from vf.nn.preprocess import Letterbox
from vf.schema import Duration

TAG = 0x5CA1E
"""Keeps these draws apart from others of the same seed."""


class MultiScale(Callback):
    """Draws an input height every ``every`` steps; the width follows, so that the shape stays that of the model.

    The draw is a function of seed and step alone. It changes what the network eats in training, on the device;
    how samples are loaded, evaluation and prediction stay as they are. A model takes part that says so with the
    attribute ``input_stride``: its input sizes are multiples of that, its ``preprocess`` is a Letterbox, and it
    scales its targets with :meth:`vf.nn.preprocess.Letterbox.scaled_boxes`.

    Args:
        every: distance between draws.
        low: least height, px.
        high: largest height, px, if a whole number of ``stride`` leads there.
        stride: distance between heights, px.
    """

    name = "multi_scale"

    def __init__(self, *, every: Duration, low: int, high: int, stride: int) -> None:
        self._every = every
        self._heights = range(low, high + 1, stride)
        self._stride = stride

    def on_build(self, state: State) -> None:
        """Raise ConfigError where the model cannot."""
        stride, preprocess = getattr(state.model, "input_stride", None), getattr(state.model, "preprocess", None)
        if stride is None or not isinstance(preprocess, Letterbox):
            raise ConfigError(f"callbacks: multi_scale: {type(state.model).__name__} trains at one input size only")
        wrong = next((n for n in (self._heights[0], self._stride) if n % stride), None)
        if wrong is not None:
            raise ConfigError(
                f"callbacks: multi_scale.sizes: must be multiples of {stride} for this model, got {wrong}"
            )
        self._input_stride, self._preprocess = stride, preprocess

    def on_start(self, state: State) -> None:
        """Draw for the first step."""
        self._preprocess.train_size = self.size(state, state.step)

    def after_step(self, state: State) -> None:
        """Draw for the next step."""
        self._preprocess.train_size = self.size(state, state.step)

    def on_end(self, state: State) -> None:
        """Leave the model as it was."""
        self._preprocess.train_size = None

    def size(self, state: State, step: int) -> tuple[int, int]:
        """Return height and width in px of the training step with index ``step`` (from 0)."""
        turn = step // max(1, self._every.steps(state.steps_per_epoch))
        height = self._heights[mix(state.resolved.recipe.train.seed, TAG, turn) % len(self._heights)]
        whole = self._preprocess.size
        width = round(height * whole[1] / whole[0] / self._input_stride) * self._input_stride
        return height, max(width, self._input_stride)
