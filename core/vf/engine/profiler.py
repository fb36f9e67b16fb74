"""Where the time of a few steps goes."""

from __future__ import annotations

import torch
from torch.profiler import ProfilerActivity, profile

from vf.engine.callbacks import Callback
from vf.engine.state import State

FOLDER = "profile"
TRACE = "trace.json"
TABLE = "top_ops.txt"
ROWS = 30
"""Of the table."""


class Profiler(Callback):
    """Writes a trace of ``steps`` steps after the first ``start`` ones into ``RUN/profile``.

    ``trace.json`` opens in chrome://tracing and Perfetto, ``top_ops.txt`` lists the costliest operations. A run
    that goes on from a checkpoint after ``start`` traces nothing. All other steps run without the profiler.
    """

    name = "profiler"

    def __init__(self, *, start: int, steps: int) -> None:
        self._start = start
        self._steps = steps
        self._running: profile | None = None

    def on_start(self, state: State) -> None:
        """Begin, where the first step is wanted."""
        self._begin_if_due(state)

    def step_done(self, state: State) -> None:
        """Begin between two steps."""
        self._begin_if_due(state)

    def after_step(self, state: State) -> None:
        """End after the last of the steps, before its evaluation."""
        if self._running is not None and state.step >= self._start + self._steps:
            self._finish(state)

    def on_end(self, state: State) -> None:
        """Write what there is, where the training is shorter."""
        if self._running is not None and state.step > self._start:
            self._finish(state)
        elif self._running is not None:
            self._running.stop()  # an error in the first of the steps: nothing to show

    def _begin_if_due(self, state: State) -> None:
        if state.step != self._start or state.step == state.total_steps or not state.ranks.world.first:
            return
        activities = [ProfilerActivity.CPU]
        if state.precision.device.type == "cuda":
            activities.append(ProfilerActivity.CUDA)
        self._running = profile(activities=activities)
        self._running.start()

    def _finish(self, state: State) -> None:
        running, self._running = self._running, None
        assert running is not None
        on_gpu = state.precision.device.type == "cuda"
        if on_gpu:
            torch.cuda.synchronize(state.precision.device)
        running.stop()
        folder = state.folder / FOLDER
        folder.mkdir(exist_ok=True)
        running.export_chrome_trace(str(folder / TRACE))
        key = "self_device_time_total" if on_gpu else "self_cpu_time_total"
        table = running.key_averages().table(sort_by=key, row_limit=ROWS)
        (folder / TABLE).write_text(table + "\n", encoding="utf-8")
        state.say(f"profile of {state.step - self._start} steps in {folder}")
