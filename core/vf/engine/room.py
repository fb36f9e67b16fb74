"""What a training will take of the disk and of shared memory, against what there is."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from vf.data.loader import usable_cores
from vf.data.sampler import pass_size
from vf.engine.state import State
from vf.errors import SetupError
from vf.optimizers import Optimizer
from vf.preflight import disk_room, shared_memory_room
from vf.protocols import Preprocess
from vf.runs import CHECKPOINTS
from vf.schema import Duration

SHARED_MEMORY = Path("/dev/shm")


def check_room(state: State, preprocess: Preprocess) -> None:
    """Look before the first step; every process calls this, and rank 0, which saves and speaks, looks.

    Raises:
        SetupError: the checkpoints that the run keeps cannot fit on its disk.
    """
    state.ranks.from_first(lambda: _check(state, preprocess))


def _check(state: State, preprocess: Preprocess) -> None:
    checkpoints = state.folder / CHECKPOINTS
    taken = sum(f.stat().st_size for f in checkpoints.glob("step_*/*"))  # a resumed run puts others in their place
    sure, most = checkpoints_at_once(state)
    free = shutil.disk_usage(state.folder).free + taken
    findings = [disk_room(state.folder, size=checkpoint_bytes(state), sure=sure, most=most, free=free)]
    workers, need = prefetched_bytes(state, preprocess)
    if need and SHARED_MEMORY.is_dir():
        prefetch = state.resolved.recipe.loader.prefetch
        free = shutil.disk_usage(SHARED_MEMORY).free
        findings.append(shared_memory_room(workers=workers, prefetch=prefetch, need=need, free=free))
    for finding in filter(None, findings):
        if finding.level == "error":
            raise SetupError(finding.text)
        state.say(f"warning: {finding.text}")


def checkpoints_at_once(state: State) -> tuple[int, int]:
    """Return how many checkpoints will lie on the disk at one time in any case, and how many may."""
    train = state.resolved.recipe.train
    saves, evaluations = _times(train.save_every, state), _times(train.eval_every, state)
    # One is written before another is removed; a new best one may come between any two.
    return min(saves, train.keep + 1), min(saves + evaluations, train.keep + 2)


def _times(every: Duration, state: State) -> int:
    """How often something is done that is also done at the end."""
    distance = every.steps(state.steps_per_epoch)
    return -(-state.total_steps // distance) if distance else 1


def checkpoint_bytes(state: State) -> int:
    """Return about how large a checkpoint is: the weights, those in training beside an average, the optimizer."""
    weights = sum(map(_bytes, state.model.state_dict().values()))
    trained = sum(_bytes(p) for group in state.optimizer.param_groups for p in group["params"])
    moments = trained * _state_share(state.resolved.recipe.train.optimizer)
    return weights * (2 if state.averager else 1) + round(moments)


def _state_share(config: Optimizer) -> float:
    """Return the bytes of state for each byte of a weight, by a step of the same optimizer on a small one."""
    weight = torch.nn.Parameter(torch.zeros(64, 64))
    optimizer = config.build([{"params": [weight], "weight_decay": 0.0}])
    weight.grad = torch.zeros_like(weight)
    optimizer.step()
    state: dict[str, Any] = optimizer.state[weight]
    return sum(_bytes(v) for v in state.values() if isinstance(v, Tensor)) / _bytes(weight)


def _bytes(tensor: Tensor) -> int:
    return tensor.numel() * tensor.element_size()


def prefetched_bytes(state: State, preprocess: Preprocess) -> tuple[int, int]:
    """Return the data workers of this machine, and what their batches of images take; 0 where it is not known.

    Those of an evaluation come on top: the workers of the training go on meanwhile.
    """
    loader, train, world = state.resolved.recipe.loader, state.resolved.recipe.train, state.ranks.world
    workers = min(loader.workers, usable_cores()) * world.local_size
    size: tuple[int, int] | None = getattr(preprocess, "size", None)
    if size is None:
        return workers, 0
    images = pass_size(train.batch_size, train.accumulate, world.size) + loader.eval_batch_size
    return workers, workers * loader.prefetch * images * 3 * size[0] * size[1]
