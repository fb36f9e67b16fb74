"""When to save, what to keep, and how a run goes on from a checkpoint."""

from __future__ import annotations

import random
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from vf.console import Console
from vf.engine import checkpoint
from vf.engine.callbacks import Callback
from vf.engine.optim import load_optimizer_state, optimizer_state
from vf.engine.state import State

FOLDER = "checkpoints"


class Saver(Callback):
    """Saves at the interval, at each new best, and at the end; keeps the newest ``train.keep`` and the best."""

    def __init__(self, callbacks: Sequence[Callback], console: Console) -> None:
        self._callbacks = callbacks
        self._console = console

    def step_done(self, state: State) -> None:
        """Save where it is time; the step's evaluation is over."""
        due = state.resolved.recipe.train.save_every.due(state.step, state.steps_per_epoch)
        new_best = state.best_step == state.step
        if due or new_best or state.stop or state.step == state.total_steps:
            self.save(state)

    def save(self, state: State) -> Path:
        """Write a checkpoint of this step, move the links, drop the oldest."""
        folder = state.folder / FOLDER
        with checkpoint.naming_the_disk(folder):
            written = checkpoint.write(
                folder,
                state.step,
                model=state.eval_model,
                recipe=state.resolved.yaml(),
                info=state.info,
                trainer=trainer_state(state, self._callbacks),
            )
            checkpoint.point(folder, "last", written)
            if state.best_step == state.step:
                checkpoint.point(folder, "best", written)
            self._prune(folder, state.resolved.recipe.train.keep)
        return written

    def _prune(self, folder: Path, keep: int) -> None:
        best = (folder / "best").resolve()
        for old in sorted(folder.glob("step_*"))[:-keep]:
            if old.resolve() != best:
                shutil.rmtree(old)


def trainer_state(state: State, callbacks: Sequence[Callback]) -> dict[str, Any]:
    """Return everything but the weights that predict, as tensors and plain data."""
    return {
        "step": state.step,
        "best_value": state.best_value,
        "best_step": state.best_step,
        "metrics": dict(state.metrics),
        "optimizer": optimizer_state(state.optimizer, state.model),
        "scaler": state.precision.scaler.state_dict(),
        "rng": _rng_state(),
        "callbacks": {c.name: c.state_dict(state) for c in callbacks if c.name},
    }


def resume(state: State, callbacks: Sequence[Callback], saved: Path) -> None:
    """Bring model, optimizer, counters, generators and callbacks to where ``saved`` left them.

    Raises:
        CheckpointError: it is broken, or belongs to another model or optimizer.
    """
    checkpoint.verify(saved)
    weights = checkpoint.read_weights(saved / checkpoint.WEIGHTS)
    trainer = checkpoint.read_trainer(saved)
    checkpoint.load_into(state.model, weights.tensors, saved / checkpoint.WEIGHTS)
    for callback in callbacks:
        if callback.name in trainer["callbacks"]:
            callback.load_state_dict(state, trainer["callbacks"][callback.name])
    load_optimizer_state(state.optimizer, state.model, trainer["optimizer"])
    if state.precision.scaler.is_enabled():
        state.precision.scaler.load_state_dict(trainer["scaler"])
    state.step = trainer["step"]
    state.best_value, state.best_step = trainer["best_value"], trainer["best_step"]
    state.metrics = trainer["metrics"]
    _set_rng_state(trainer["rng"])


def _rng_state() -> dict[str, Any]:
    kind, keys, position, has_gauss, gauss = np.random.get_state(legacy=True)
    version, words, cached = random.getstate()
    return {
        "torch": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],
        "numpy": [kind, torch.tensor(np.asarray(keys, dtype=np.int64)), position, has_gauss, gauss],
        "random": [version, torch.tensor(words), cached],
    }


def _set_rng_state(saved: dict[str, Any]) -> None:
    torch.set_rng_state(saved["torch"])
    if saved["cuda"] and len(saved["cuda"]) == torch.cuda.device_count():
        torch.cuda.set_rng_state_all(saved["cuda"])
    kind, keys, position, has_gauss, gauss = saved["numpy"]
    np.random.set_state((kind, keys.numpy().astype(np.uint32), position, has_gauss, gauss))
    version, words, cached = saved["random"]
    random.setstate((version, tuple(words.tolist()), cached))
