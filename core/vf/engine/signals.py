"""Signals that ask a run to stop: they set a flag, and the loop leaves at the next step boundary."""

from __future__ import annotations

import signal
import threading
import time
from types import FrameType
from typing import Any

REQUEUE = 75
"""Exit code: saved, and to be started again (EX_TEMPFAIL of sysexits.h)."""
INTERRUPTED = 130
"""Exit code: Ctrl-C."""
CODES = {
    signal.SIGTERM: REQUEUE,
    signal.SIGUSR1: REQUEUE,
    signal.SIGUSR2: REQUEUE,
    signal.SIGINT: INTERRUPTED,
}


class StopRequest:
    """Context in which SIGTERM, SIGUSR1, SIGUSR2 and SIGINT only set :attr:`code`.

    A second SIGINT, at least a second after the first, interrupts at once.
    """

    def __init__(self) -> None:
        self.code = 0
        """The exit code that was asked for; 0: go on."""
        self.name = ""
        """Of the signal."""
        self._interrupted: float | None = None
        self._before: dict[signal.Signals, Any] = {}

    def __enter__(self) -> StopRequest:
        if threading.current_thread() is threading.main_thread():  # elsewhere Python allows no handlers
            self._before = {number: signal.signal(number, self._take) for number in CODES}
            signal.pthread_sigmask(signal.SIG_UNBLOCK, CODES)  # what a launcher held back comes through now
        return self

    def __exit__(self, *_: object) -> None:
        if self.code:
            return  # who has asked may ask again while this process ends: see :func:`ignore`
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _take(self, number: int, frame: FrameType | None) -> None:
        given = signal.Signals(number)
        if given is signal.SIGINT:
            # One Ctrl-C reaches a process twice: from the terminal, and from the process that started it.
            if self._interrupted is not None and time.monotonic() - self._interrupted > 1:
                raise KeyboardInterrupt
            self._interrupted = self._interrupted or time.monotonic()
        if CODES[given] >= self.code:
            self.code, self.name = CODES[given], given.name


def ignore() -> None:
    """Leave a process that has stopped as asked its exit code, whatever is sent to it on its way out."""
    if threading.current_thread() is threading.main_thread():
        for number in CODES:
            signal.signal(number, signal.SIG_IGN)
