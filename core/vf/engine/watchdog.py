"""Ends a process that makes no progress, and says where it stood."""

from __future__ import annotations

import faulthandler
import os
import sys
import threading
import time
from pathlib import Path

from vf.engine.state import State

STALLED = 70
"""Exit code of a process that made no progress."""


class Watchdog:
    """Context with a thread that watches ``state.beat``; after ``timeout`` seconds without one the process ends.

    Seconds in which the process was suspended do not count.

    What it writes to stderr and to RUN/stalled_rank_N.txt: rank, step, phase, and the stack of every thread.
    """

    def __init__(self, state: State, timeout: float) -> None:
        self._state = state
        self._timeout = timeout
        self._parent = os.getppid()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="vf-watchdog", daemon=True)

    def __enter__(self) -> Watchdog:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _watch(self) -> None:
        tick = min(1.0, self._timeout / 4)
        idle, beat, looked = 0.0, self._state.beat, time.monotonic()
        while not self._over.wait(tick):
            if self._state.ranks.many and os.getppid() != self._parent:
                os._exit(STALLED)  # whoever started the processes is gone: nobody would ever end this one
            now = time.monotonic()
            # Where this thread did not run either, the process was stopped as a whole (Ctrl-Z, a suspended job or
            # machine): that is no stall.
            idle = idle + min(now - looked, 2 * tick) if self._state.beat == beat else 0.0
            beat, looked = self._state.beat, now
            if idle > self._timeout:
                self._end(idle)

    def _end(self, idle: float) -> None:
        state = self._state
        rank = state.ranks.world.rank
        line = (
            f"error: rank {rank}: no progress for {idle:.0f} s at step {state.step}, {state.phase}; ended "
            f"(train.stall_timeout); go on with 'vf run train --resume {state.folder}'"
        )
        path = Path(state.folder) / f"stalled_rank_{rank}.txt"
        try:
            print(line, f"stack of rank {rank} in {path}:", sep="\n", file=sys.stderr, flush=True)  # noqa: T201
            faulthandler.dump_traceback(sys.stderr, all_threads=True)
            with path.open("w", encoding="utf-8") as file:
                print(line, file=file, flush=True)
                faulthandler.dump_traceback(file, all_threads=True)
        finally:
            os._exit(STALLED)  # also where the disk is full or nobody reads
