"""DataLoaders for training and evaluation; an error of the user's data leaves a worker as one line."""

from __future__ import annotations

import os
import re
import signal
import sys
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import cv2
import torch
from torch.utils.data import DataLoader

from vf.data.collate import Collate
from vf.data.pipeline import EvalView, Failure, TrainView
from vf.data.sample import Batch
from vf.data.sampler import TrainSampler
from vf.errors import RunError


class DeadWorkerError(RunError):
    """A data worker was killed."""

    hopeless = False
    """Whether new workers would die alike."""


class Batches:
    """Iterable over batches that raises what went wrong in a worker as the error that it was."""

    def __init__(self, loader: Iterable[Batch | Failure], length: int) -> None:
        self._loader = loader
        self._length = length

    def __len__(self) -> int:
        return self._length

    def __iter__(self) -> Iterator[Batch]:
        try:
            for item in self._loader:
                if isinstance(item, Failure):
                    raise item.kind(*item.problems)
                yield item
        except RuntimeError as error:
            raise _death(error) from None


def _death(error: RuntimeError) -> RuntimeError | DeadWorkerError:
    """Say of a worker's death what the loader's long message says; other errors stay what they are."""
    text = str(error)
    if "DataLoader worker" not in text:
        return error
    how = re.search(r"killed by signal: (\w[\w ]*)", text)
    death = DeadWorkerError(
        f"a data worker died ({how[1].strip() if how else 'it ended by itself'}); often memory runs out: "
        "try fewer loader.workers"
    )
    if "shared memory" in text or (how and "Bus error" in how[1]):
        death = DeadWorkerError(
            "a data worker died (Bus error): shared memory is too small; enlarge /dev/shm (docker run --shm-size=8g) "
            "or set loader.workers=0"
        )
        death.hopeless = True
    return death


def train_batches(
    view: TrainView, sampler: TrainSampler, *, fill: int, workers: int, prefetch: int, pin: bool
) -> Batches:
    """Batches of the whole training through one set of workers: no pause between epochs."""
    options = _options(fill, workers, prefetch, pin)
    return Batches(DataLoader(view, batch_sampler=sampler, **options), len(sampler))


def eval_batches(
    view: EvalView,
    indices: Sequence[int],
    *,
    batch_size: int,
    fill: int,
    workers: int,
    prefetch: int,
    pin: bool,
    skip_broken: bool = False,
) -> Batches:
    """Batches of the samples ``indices``, in order, the last one as short as it comes."""
    options = _options(fill, workers, prefetch, pin, skip_broken=skip_broken)
    groups = [list(indices[i : i + batch_size]) for i in range(0, len(indices), batch_size)]
    return Batches(DataLoader(view, batch_sampler=groups, **options), len(groups))


def usable_cores() -> int:
    """Return how many cores this process may run on."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _options(fill: int, workers: int, prefetch: int, pin: bool, *, skip_broken: bool = False) -> dict[str, Any]:
    workers = min(workers, usable_cores())
    return {
        "num_workers": workers,
        "collate_fn": Collate(fill=fill, skip_broken=skip_broken),
        "pin_memory": pin,
        "worker_init_fn": init_worker if workers else None,
        "prefetch_factor": prefetch if workers else None,
        # Forked, they share the annotations and start at once; a process of many would spawn them otherwise.
        "multiprocessing_context": "fork" if workers and sys.platform == "linux" else None,
        # Its own generator, or each new loader would draw from the global one and change the training.
        "generator": torch.Generator().manual_seed(0),
    }


def init_worker(index: int) -> None:
    """Leave signals to the training process, which needs its workers until it has saved, and the cores to others."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2):
        signal.signal(number, signal.SIG_IGN)
    cv2.setNumThreads(0)
