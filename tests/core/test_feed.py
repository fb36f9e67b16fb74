"""Reading ahead: the order is kept, what waits is bounded, and an error comes after what was good."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import pytest

from vf.errors import DataError
from vf.sources.feed import AHEAD, Feed
from vf.sources.source import Item, Source


def numbered(count: int, started: list[int], slow: float = 0.0) -> Source:
    def items() -> Iterator[Item]:
        for number in range(count):
            started.append(number)
            yield Item(str(number), lambda: None)  # type: ignore[arg-type, return-value]

    return Source("numbers", items(), count)


@pytest.mark.parametrize("threads", [0, 1, 3])
def test_groups_keep_the_order_whatever_takes_longest(threads: int) -> None:
    def prepare(item: Item) -> int:
        time.sleep(0.002 * (int(item.id) % 3))
        if item.id == "4":
            raise DataError("4: is broken")
        return int(item.id)

    with Feed(numbered(8, []), prepare, group=3, threads=threads) as feed:
        groups = list(feed)
    assert [[one if isinstance(one, int) else one.problems for one in group] for group in groups] == [
        [0, 1, 2],
        [3, ("4: is broken",), 5],
        [6, 7],
    ]


def test_what_is_read_ahead_is_bounded() -> None:
    started: list[int] = []
    with Feed(numbered(1000, started), lambda item: item.id, group=4, threads=2) as feed:
        groups = iter(feed)
        next(groups)
        time.sleep(0.3)
        assert len(started) <= 4 * (AHEAD + 2)
    assert len(started) < 1000
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("vf-")]


def test_an_error_of_the_source_comes_after_what_was_good() -> None:
    def items() -> Iterator[Item]:
        yield Item("0", lambda: None)  # type: ignore[arg-type, return-value]
        raise DataError("the rest is gone")

    with Feed(Source("s", items()), lambda item: item.id, group=4, threads=1) as feed:
        groups = iter(feed)
        assert next(groups) == ["0"]
        with pytest.raises(DataError, match=r"^the rest is gone$"):
            next(groups)
