"""Which samples make up which step: a pure function of the step, so that resume reads nothing that it skips."""

from __future__ import annotations

from collections.abc import Iterator

import attrs

from vf.data.orders import Order, Shuffled
from vf.errors import ConfigError


@attrs.frozen
class Draw:
    """One sample that the loop asks for."""

    epoch: int
    """What the augmentation is drawn for, with the index; not an epoch where samples come more than once in it."""
    index: int
    final: bool
    """Whether the final phase has begun: transforms that mix images are off."""


def pass_size(batch_size: int, accumulate: int, world: int) -> int:
    """Return how many images a process takes in one pass; ConfigError where the batch cannot be cut so."""
    parts = accumulate * world
    if batch_size % parts:
        raise ConfigError(
            f"train.batch_size: {batch_size} images cannot be cut into {world} process{'es' * (world > 1)} × "
            f"{accumulate} pass{'es' * (accumulate > 1)} (train.accumulate); make it a multiple of {parts}"
        )
    return batch_size // parts


class TrainSampler:
    """Batches of an endless order of the data set: by default epochs, each a permutation drawn from (seed, epoch).

    Epochs follow each other without a gap: every batch is full, every sample comes once in each epoch, nothing
    is padded or repeated. The part of one process is a slice of the global batch.

    Args:
        num_samples: of the data set.
        batch_size: global batch size.
        steps: where the stream ends, counted from 0.
        start: the first step to yield.
        final_from: first step of the final phase.
        accumulate: passes that one step is cut into; each is yielded by itself.
        rank: of this process.
        world: number of processes.
        order: another order than the shuffled one.
    """

    def __init__(
        self,
        *,
        num_samples: int,
        batch_size: int,
        steps: int,
        seed: int,
        start: int = 0,
        final_from: int | None = None,
        accumulate: int = 1,
        rank: int = 0,
        world: int = 1,
        order: Order | None = None,
    ) -> None:
        self._part = pass_size(batch_size, accumulate, world)
        self._num_samples = num_samples
        self._batch_size = batch_size
        self._steps = steps
        self._order = order or Shuffled(num_samples, seed=seed)
        self._start = start
        self._final_from = steps if final_from is None else final_from
        self._accumulate = accumulate
        self._rank, self._world = rank, world

    @property
    def steps_per_epoch(self) -> float:
        """Optimizer steps in which every sample is seen once; not a whole number in general."""
        return self._num_samples / self._batch_size

    def __len__(self) -> int:
        return (self._steps - self._start) * self._accumulate

    def __iter__(self) -> Iterator[list[Draw]]:
        for step in range(self._start, self._steps):
            for turn in range(self._accumulate):
                first = step * self._batch_size + (turn * self._world + self._rank) * self._part
                yield [self._draw(position, step) for position in range(first, first + self._part)]

    def _draw(self, position: int, step: int) -> Draw:
        epoch, index = self._order(position)
        return Draw(epoch, index, step >= self._final_from)
