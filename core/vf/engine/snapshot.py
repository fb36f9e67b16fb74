"""What a checkpoint holds of a training: taken from the live objects, copied, and put back."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from vf.data.seeding import mix, seed_everything
from vf.engine import checkpoint, sharded
from vf.engine.callbacks import Callback
from vf.engine.optim import load_optimizer_state, optimizer_state
from vf.engine.state import State


def model_state(model: nn.Module) -> dict[str, Tensor]:
    """Return the tensors that predict, by name; sharded ones are whole after :func:`snapshot`."""
    return dict(model.state_dict())


def snapshot(tree: Any) -> Any:
    """Copy plain data with its tensors to the CPU: whatever happens to the live ones afterwards, this stays."""
    if isinstance(tree, Tensor):
        return sharded.whole(tree).detach().to("cpu", copy=True).contiguous()
    if isinstance(tree, Mapping):
        return {key: snapshot(value) for key, value in tree.items()}
    if isinstance(tree, list | tuple):
        return type(tree)(snapshot(value) for value in tree)
    return tree


def trainer_state(state: State, callbacks: Sequence[Callback]) -> dict[str, Any]:
    """Return everything but the weights that predict, as tensors and plain data. Every process calls this."""
    return {
        "step": state.step,
        "owes_evaluation": state.owes_evaluation,
        "best_value": state.best_value,
        "best_step": state.best_step,
        "metrics": dict(state.metrics),
        "lr": state.lr,
        "optimizer": optimizer_state(state.optimizer, state.model),
        "scaler": state.precision.scaler.state_dict(),
        "rng": state.ranks.gather(_rng_state()),
        "callbacks": {c.name: c.state_dict(state) for c in callbacks if c.name},
    }


NEEDED = (
    *("step", "owes_evaluation", "best_value", "best_step", "metrics", "lr"),
    *("optimizer", "scaler", "rng", "callbacks"),
)
"""Keys of :func:`trainer_state`."""


def resume(state: State, callbacks: Sequence[Callback], saved: Path) -> list[str]:
    """Bring model, optimizer, counters, generators and callbacks to where ``saved`` left them.

    Returns:
        lines for the user: what is not as it was.

    Raises:
        CheckpointError: it is broken, or belongs to another model or optimizer.
    """
    checkpoint.verify(saved)
    weights = checkpoint.read_weights(saved / checkpoint.WEIGHTS)
    trainer = checkpoint.read_trainer(saved, NEEDED)
    checkpoint.load_into(state.model, weights.tensors, saved / checkpoint.WEIGHTS)
    for callback in callbacks:
        if callback.name in trainer["callbacks"]:
            callback.load_state_dict(state, trainer["callbacks"][callback.name])
    load_optimizer_state(state.optimizer, state.model, trainer["optimizer"])
    if state.precision.scaler.is_enabled():
        state.precision.scaler.load_state_dict(trainer["scaler"])
    state.step, state.owes_evaluation = trainer["step"], trainer["owes_evaluation"]
    state.best_value, state.best_step = trainer["best_value"], trainer["best_step"]
    state.metrics, state.lr = trainer["metrics"], trainer["lr"]
    return _restore_generators(state, trainer["rng"])


def _restore_generators(state: State, saved: list[dict[str, Any]]) -> list[str]:
    world = state.ranks.world
    if len(saved) == world.size:
        _set_rng_state(saved[world.rank])
        return []
    seed_everything(mix(state.resolved.recipe.train.seed, state.step, world.rank))
    batch = state.resolved.recipe.train.batch_size
    return [
        f"{world.size} process{'es' * (world.size > 1)} instead of {len(saved)}: the global batch stays {batch} images "
        "and every step sees the same ones; only random layers (dropout) draw other numbers from here on"
    ]


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
