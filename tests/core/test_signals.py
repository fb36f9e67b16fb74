"""Signals only set a flag; a second Ctrl-C that is meant interrupts at once."""

from __future__ import annotations

import signal
import threading

import pytest

from vf.engine import signals
from vf.engine.signals import StopRequest

TERM, USR1, USR2, INT = signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2, signal.SIGINT


@pytest.mark.parametrize(
    ("given", "code", "name"),
    [
        ([], 0, ""),
        ([TERM], 75, "SIGTERM"),
        ([USR1], 75, "SIGUSR1"),
        ([USR2], 75, "SIGUSR2"),
        ([INT], 130, "SIGINT"),
        ([USR1, TERM], 75, "SIGTERM"),
        ([TERM, INT], 130, "SIGINT"),
        ([INT, TERM], 130, "SIGINT"),
        ([INT, INT], 130, "SIGINT"),  # from the terminal, and from the process that started this one
    ],
    ids=lambda value: "+".join(s.name for s in value) or "none" if isinstance(value, list) else "",
)
def test_a_signal_sets_a_flag(given: list[signal.Signals], code: int, name: str) -> None:
    with StopRequest() as asked:
        for number in given:
            signal.raise_signal(number)
    assert (asked.code, asked.name) == (code, name)


def test_a_second_interrupt_a_second_later_interrupts(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 100.0
    monkeypatch.setattr(signals.time, "monotonic", lambda: now)
    with StopRequest() as asked:
        signal.raise_signal(INT)
        now += 0.9
        signal.raise_signal(INT)
        now += 0.2  # after the first, not after the second
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(INT)
    assert asked.code == 130


def test_handlers_are_put_back() -> None:
    before = {number: signal.getsignal(number) for number in signals.CODES}
    with StopRequest():
        assert all(signal.getsignal(number) != handler for number, handler in before.items())
    assert {number: signal.getsignal(number) for number in signals.CODES} == before


def test_a_thread_that_may_not_take_signals_goes_without() -> None:
    asked: list[StopRequest] = []

    def enter() -> None:
        with StopRequest() as request:
            asked.append(request)

    before = signal.getsignal(TERM)
    thread = threading.Thread(target=enter)
    thread.start()
    thread.join()
    assert (asked[0].code, signal.getsignal(TERM)) == (0, before)
