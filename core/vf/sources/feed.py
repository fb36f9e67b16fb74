"""Read ahead: images are decoded and made ready on threads while who asks is busy with those before, in order."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import Generic, TypeVar

import attrs

from vf.errors import VFError
from vf.sources.source import Item, Source

T = TypeVar("T")
AHEAD = 2
"""Groups that are made ready beside the one in use: memory is bounded by them, however long the source."""
TICK = 0.1
"""Seconds after which a thread that waits looks whether it is still wanted."""


@attrs.frozen
class _End:
    """What comes after the last group: nothing, or what went wrong in the source itself."""

    error: BaseException | None = None


class Feed(Generic[T]):
    """A context, and an iterator of groups of items that are ready; an item that cannot be read is its error.

    Args:
        source: is closed with it.
        prepare: makes an item ready; called on threads.
        group: items of a group; the last may have fewer.
        threads: that prepare; 0: who asks prepares.
    """

    def __init__(self, source: Source, prepare: Callable[[Item], T], *, group: int, threads: int) -> None:
        self._source, self._prepare, self._group = source, prepare, group
        self._stop = threading.Event()
        self._ready: queue.Queue[list[Future[T | VFError]] | _End] = queue.Queue(AHEAD)
        self._pool = ThreadPoolExecutor(threads, "vf-decode") if threads else None
        self._reader: threading.Thread | None = None

    def __enter__(self) -> Feed[T]:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __iter__(self) -> Iterator[list[T | VFError]]:
        if self._pool is None:
            for items in _grouped(self._source, self._group):
                yield [self._made(item) for item in items]
            return
        while (group := self.take()) is not None:
            yield group

    def take(self) -> list[T | VFError] | None:
        """Wait for the next group; None at the end. Not for ``threads=0``."""
        if self._reader is None:
            self._reader = threading.Thread(target=self._read, daemon=True, name="vf-read")
            self._reader.start()
        while not self._stop.is_set():
            try:
                got = self._ready.get(timeout=TICK)
            except queue.Empty:
                continue
            if isinstance(got, _End):
                self._stop.set()
                if got.error is not None:
                    raise got.error
                return None
            return [future.result() for future in got]
        return None

    def close(self) -> None:
        """End the threads, and close the source."""
        self._stop.set()
        self._source.stop()
        if self._reader is not None:
            self._reader.join()
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=True)
        self._source.close()

    def _made(self, item: Item) -> T | VFError:
        try:
            return self._prepare(item)
        except VFError as error:
            return error

    def _read(self) -> None:
        """Hand the items of the source to the pool, group by group; runs on a thread of its own."""
        assert self._pool is not None
        end = _End()
        try:
            for items in _grouped(self._source, self._group):
                if self._stop.is_set():
                    return
                self._put([self._pool.submit(self._made, item) for item in items])
        except BaseException as error:  # it is raised again where the groups are asked for
            end = _End(error)
        self._put(end)

    def _put(self, what: list[Future[T | VFError]] | _End) -> None:
        while not self._stop.is_set():
            try:
                self._ready.put(what, timeout=TICK)
            except queue.Full:
                continue
            return


def _grouped(source: Source, size: int) -> Iterator[list[Item]]:
    held: list[Item] = []
    try:
        for item in source:
            held.append(item)
            if len(held) == size:
                yield held
                held = []
    except VFError:
        if held:  # what came before it is good
            yield held
        raise
    if held:
        yield held
