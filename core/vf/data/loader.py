"""DataLoaders for training and evaluation; an error of the user's data leaves a worker as one line."""

from __future__ import annotations

import contextlib
import functools
import multiprocessing
import os
import re
import signal
import sys
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from multiprocessing.process import BaseProcess
from multiprocessing.synchronize import Semaphore
from multiprocessing.util import Finalize
from types import FrameType
from typing import Any

import cv2
import torch
from torch.utils.data import DataLoader

from vf.data.collate import Collate
from vf.data.pipeline import EvalView, Failure, TrainView
from vf.data.sample import Batch
from vf.data.sampler import TrainSampler
from vf.errors import RunError

WAITING = ("select", "wait")
"""Functions of the standard library in which a loader waits for its workers: safe to leave by an error."""
NO_ROOM = r"</torch_\S+: (?:No space left|Cannot allocate)"
"""What a worker's error says where /dev/shm is full."""

STARTUP = 20.0
"""Seconds in which every worker must have started.

In CPython 3.11, a fork for ever waits for a lock of the interpreter's that another thread held at that moment, and the
threads of gloo and nccl take it after each operation.
"""


RESTARTS = 3
"""New workers in one training or evaluation; what dies more often dies for a reason."""


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
        source, workers = _started(self._loader)
        try:
            while True:
                with _minding(workers), _one_thread(here=not workers):
                    item = next(source, None)
                if item is None:
                    return
                if isinstance(item, Failure):
                    raise item.kind(*item.problems)
                yield item
        finally:
            del source  # which ends its workers, unless a traceback still holds it
            _end(workers)


def _started(loader: Iterable[Batch | Failure]) -> tuple[Iterator[Batch | Failure], list[BaseProcess]]:
    """Start the workers, without the loader's own handler of SIGCHLD: it raises wherever the process stands."""
    if not (isinstance(loader, DataLoader) and loader.num_workers):
        return iter(loader), []
    others = set(multiprocessing.active_children())
    before = _without_torch(signal.getsignal(signal.SIGCHLD))
    ready = multiprocessing.get_context("fork" if sys.platform == "linux" else None).Semaphore(0)
    loader.worker_init_fn = functools.partial(_begin, ready)
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        time.sleep(0.01)  # lets those threads finish
    source = iter(loader)
    if _may_set_handlers():
        signal.signal(signal.SIGCHLD, before or signal.SIG_DFL)
    workers = [child for child in multiprocessing.active_children() if child not in others]
    # They ignore SIGTERM, with which Python ends its children before it waits for them at its own end.
    Finalize(source, _end, args=(workers,), exitpriority=0)
    _await(workers, ready)
    return source, workers


def _without_torch(handler: Any) -> Any:
    """Return a handler of SIGCHLD, or the default where it is one that another loader of this process left there."""
    return signal.SIG_DFL if str(getattr(handler, "__module__", "")).startswith("torch.utils.data") else handler


def _begin(ready: Semaphore, index: int) -> None:
    """Run first in each worker."""
    init_worker(index)
    ready.release()


def _await(workers: Sequence[BaseProcess], ready: Semaphore) -> None:
    """Wait until every worker runs or one has died; DeadWorkerError where one does neither."""
    limit = time.monotonic() + STARTUP
    for _ in workers:
        while not ready.acquire(timeout=0.1):
            if any(worker.exitcode for worker in workers):
                return
            if time.monotonic() > limit:
                _end(workers)
                raise DeadWorkerError(f"a data worker did not start in {STARTUP:.0f} s")


def _end(workers: Sequence[BaseProcess]) -> None:
    for worker in workers:
        worker.kill()


@contextlib.contextmanager
def _one_thread(*, here: bool) -> Iterator[None]:
    """Load batches ``here`` with one thread, as workers do: for images more of them burn more than they save."""
    before = torch.get_num_threads(), cv2.getNumThreads()
    if not here or before == (1, 1):
        yield
        return
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before[0])
        cv2.setNumThreads(before[1])


@contextlib.contextmanager
def _minding(workers: Sequence[BaseProcess]) -> Iterator[None]:
    """Raise where one of the workers dies or is dead; outside, in a forward pass or a save, a death interrupts nothing.

    Raises:
        DeadWorkerError: whatever the loader itself says of it.
    """

    def look(number: int, frame: FrameType | None) -> None:
        if frame is not None and frame.f_code.co_name in WAITING:
            _refuse_dead(workers)  # elsewhere the loader is busy, and finds it by itself within five seconds

    before = signal.signal(signal.SIGCHLD, look) if workers and _may_set_handlers() else None
    try:
        _refuse_dead(workers)
        yield
    except (RuntimeError, OSError, EOFError) as error:  # of a pipe or a file that a worker left half written
        for worker in workers:
            worker.join(0.1)
        text, codes = str(error), [worker.exitcode for worker in workers if worker.exitcode]
        if codes or re.search(rf"DataLoader worker \(pid|{NO_ROOM}", text):
            raise _death(codes, text) from None
        raise
    finally:
        if before is not None:
            signal.signal(signal.SIGCHLD, before)


def _refuse_dead(workers: Sequence[BaseProcess]) -> None:
    if codes := [worker.exitcode for worker in workers if worker.exitcode]:
        raise _death(codes)


def _may_set_handlers() -> bool:
    return threading.current_thread() is threading.main_thread()


def _death(codes: Sequence[int], text: str = "") -> DeadWorkerError:
    """Say why a worker died, by the exit codes of the dead and by what the loader says."""
    killed = re.search(r"killed by signal: (\w[\w ]*)", text)
    by = [signal.strsignal(-code) for code in codes if code < 0] or [killed and killed[1].strip()]
    if by[0] == "Bus error" or re.search(NO_ROOM, text):
        death = DeadWorkerError(
            "a data worker died (Bus error): shared memory is too small; enlarge /dev/shm (docker run --shm-size=8g) "
            "or set loader.workers=0"
        )
        death.hopeless = True
        return death
    return DeadWorkerError(
        f"a data worker died ({by[0] or 'it ended by itself'}); often memory runs out: try fewer loader.workers"
    )


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
    threading.Thread(target=_leave_after, args=(os.getppid(),), daemon=True).start()


def _leave_after(parent: int) -> None:
    """End this worker soon after a parent that was killed; its own look at that comes every five seconds or later."""
    while os.getppid() == parent:
        time.sleep(1.0)
    os._exit(1)
