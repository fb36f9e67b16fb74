"""Lines for people where there is no terminal."""

from __future__ import annotations

from io import StringIO

import pytest

from vf.console import Console, duration, metric


def test_a_table_is_aligned() -> None:
    stream = StringIO()
    Console(stream).table([("metric", "last"), ("AP", "0.5000"), ("AP of a long name", "1.0000")])
    assert (
        stream.getvalue() == "  metric               last\n  AP                 0.5000\n  AP of a long name  1.0000\n"
    )


def test_no_rows_are_no_table() -> None:
    stream = StringIO()
    Console(stream).table([])
    assert stream.getvalue() == ""


def test_a_bar_speaks_now_and_then(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    stream = StringIO()
    with Console(stream) as console:
        bar = console.bar("train", 100)
        for now[0], done in ((1.0, 10), (11.0, 20), (12.0, 30), (30.0, 40)):
            bar.update(done, f"loss {done}")
        bar.close()
    assert stream.getvalue() == "train 20/100  loss 20\ntrain 40/100  loss 40\n"


def test_what_is_tracked_comes_through() -> None:
    assert list(Console(StringIO()).track(iter("abc"), "x", 3)) == ["a", "b", "c"]


@pytest.mark.parametrize(
    ("seconds", "expected"), [(0, "0:00"), (59.6, "1:00"), (61, "1:01"), (3600, "1:00:00"), (86399, "23:59:59")]
)
def test_durations(seconds: float, expected: str) -> None:
    assert duration(seconds) == expected


def test_a_metric_without_objects_is_no_zero() -> None:
    assert metric(None) == "n/a (0 objects)"
    assert metric(0.0) == "0.0000"
