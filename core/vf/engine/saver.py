"""When to save and what to keep. A step pays for a copy of the tensors; a thread writes it to the disk."""

from __future__ import annotations

import functools
import os
import sys
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import torch

from vf.console import Console
from vf.engine import checkpoint, sharded
from vf.engine.callbacks import Callback
from vf.engine.snapshot import model_state, snapshot, trainer_state
from vf.engine.state import State
from vf.errors import CheckpointError, RunError, VFError
from vf.runs import CHECKPOINTS


class Saver(Callback):
    """Saves at the interval, at each new best, and at the end; keeps the newest ``train.keep`` and the best.

    A save that fails is said and tried again at the next one; the last save of a run raises.
    """

    def __init__(self, callbacks: Sequence[Callback], console: Console) -> None:
        self._callbacks = callbacks
        self._console = console
        self._writer = ThreadPoolExecutor(1, thread_name_prefix="vf-saver", initializer=_give_way)
        self._writing: Future[None] | None = None
        self._saved: tuple[int, bool] | None = None
        self._owed: list[Callable[[], None]] = []
        """Writes the best checkpoint, while it is not on the disk."""
        self._time = time.monotonic()

    def overdue(self, state: State) -> bool:
        """Whether more than ``train.save_minutes`` have passed since the last save."""
        minutes = state.resolved.recipe.train.save_minutes
        return minutes is not None and time.monotonic() - self._time > 60 * minutes

    def on_start(self, state: State) -> None:
        """Move the links to where the process that saved this step would have, had it not been killed meanwhile."""
        if not state.ranks.world.first:
            return
        folder = state.folder / CHECKPOINTS
        with checkpoint.naming_the_disk(folder):
            for name, step in (("last", state.step), ("best", state.best_step)):
                target = folder / f"step_{step or 0:08d}"
                if target.is_dir() and (folder / name).resolve() != target.resolve():
                    checkpoint.point(folder, name, target)

    def step_done(self, state: State) -> None:
        """Save where it is time; the step's evaluation is over."""
        due = state.resolved.recipe.train.save_every.due(state.step, state.steps_per_epoch)
        new_best = state.best_step == state.step
        if due or new_best or state.stop or state.step == state.total_steps:
            self.save(state)

    def save(self, state: State) -> None:
        """Copy what a checkpoint of this step needs, and begin to write it; every process calls this.

        Raises:
            RunError: the weights are not finite: they never become a checkpoint.
        """
        if self._saved == (state.step, state.owes_evaluation):
            return
        state.enter("saving")
        self.settle(final=False)
        _refuse_bad_weights(state)
        tensors = snapshot(model_state(state.eval_model))
        trainer = snapshot(trainer_state(state, self._callbacks))
        self._saved, self._time = (state.step, state.owes_evaluation), time.monotonic()
        if state.ranks.world.first:
            best = state.best_step == state.step
            write = functools.partial(self._write, state, state.step, tensors, trainer, best)
            first = [] if best else self._owed
            self._owed = [write] if best else first
            self._writing = self._writer.submit(_in_turn, [*first, write])

    def settle(self, *, final: bool) -> None:
        """Wait until what was copied is on the disk. A failure is said, or raised where it is the ``final`` save."""
        writing, self._writing = self._writing, None
        if writing is None:
            return
        try:
            writing.result()
        except CheckpointError as error:
            if final:
                raise
            self._console.say(f"warning: {error}; tried again at the next save")

    def on_end(self, state: State) -> None:
        """Wait for the last save; where an error ends the run, that one is told, not what the disk said."""
        try:
            self.settle(final=sys.exception() is None)
        finally:
            self._writer.shutdown()

    def _write(self, state: State, step: int, tensors: dict[str, Any], trainer: dict[str, Any], best: bool) -> None:
        folder = state.folder / CHECKPOINTS
        with checkpoint.naming_the_disk(folder):
            written = checkpoint.write(
                folder, step, tensors=tensors, recipe=state.resolved.yaml(), info=state.info, trainer=trainer
            )
            checkpoint.point(folder, "last", written)
            if best:
                checkpoint.point(folder, "best", written)
                self._owed = []
            _prune(written, state.resolved.recipe.train.keep)


def _give_way() -> None:
    """Let the training's threads go first where cores are few. Only Linux has a priority for each thread."""
    if sys.platform == "linux":
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), 10)


def _in_turn(writes: Sequence[Callable[[], None]]) -> None:
    for write in writes:
        write()


def _prune(newest: Path, keep: int) -> None:
    """Remove what is older than the ``keep`` newest; where a run began again before its end, the later ones stay."""
    best = (newest.parent / "best").resolve()
    known = [path for path in sorted(newest.parent.glob("step_*")) if path.name <= newest.name]
    for old in known[:-keep]:
        if old.resolve() != best:
            checkpoint.remove(old)


def _refuse_bad_weights(state: State) -> None:
    models = [state.model] if state.averaged is None else [state.model, state.averaged]
    tensors = [t for m in models for t in m.state_dict().values() if t.is_floating_point() and t.numel()]
    sums = torch.stack([sharded.local(t).detach().float().sum() for t in tensors])
    [bad] = state.ranks.agree(int(not bool(sums.isfinite().all())))
    if bad:
        error: VFError = RunError(
            f"step {state.step}: the weights are not finite; the last good checkpoint stays; lower "
            "train.optimizer.lr or set train.clip_grad"
        )
        raise error
