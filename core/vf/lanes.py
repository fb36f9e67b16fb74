"""Several predictions of a model at the same time: threads on the CPU, on a GPU each with a CUDA stream of its own."""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import AsyncGenerator, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import torch

from vf.errors import VFError
from vf.sources.feed import Feed

T = TypeVar("T")
R = TypeVar("R")
IN_FLIGHT = 3


class Lanes:
    """A fixed number of threads that predict; what is more waits its turn.

    Args:
        device: of the model. On a GPU each lane has a stream, so that one's copies run beside another's kernels; on the
            CPU the lanes share the threads that one model may use.
        count: of the lanes.
    """

    def __init__(self, device: torch.device, count: int = IN_FLIGHT) -> None:
        self.count = max(1, count)
        self._device = device
        self._own = threading.local()
        self._pool = ThreadPoolExecutor(self.count, "vf-lane")
        if device.type != "cuda":
            self._share_threads()

    def _share_threads(self) -> None:
        """Let all lanes together take as many threads as one model would: more than there are cores are slower."""
        before = torch.get_num_threads()
        share = max(1, before // self.count)
        if share == before:
            return
        begun = threading.Barrier(self.count + 1)

        def begin() -> None:
            torch.set_num_threads(share)  # of this thread, and of threads that begin from now on
            torch.get_num_threads()  # a thread takes over the number of new threads when it first asks: now, not later
            begun.wait()

        for _ in range(self.count):
            self._pool.submit(begin)
        begun.wait()
        torch.set_num_threads(before)

    async def run(self, work: Callable[..., R], *arguments: Any) -> R:
        """Do work on a lane. Cancelled, it is dropped where it has not begun, else its end is waited for."""
        future = self._pool.submit(self._within, work, arguments)
        try:
            return await asyncio.wrap_future(future)
        except asyncio.CancelledError:
            if not future.cancel():
                await _ended(future)
            raise

    def start(self, work: Callable[..., R], *arguments: Any) -> asyncio.Future[R]:
        """Begin work on a lane."""
        return asyncio.wrap_future(self._pool.submit(self._within, work, arguments))

    def close(self) -> None:
        """Drop what waits, and wait for what runs."""
        self._pool.shutdown(cancel_futures=True)

    def _within(self, work: Callable[..., R], arguments: tuple[Any, ...]) -> R:
        if self._device.type != "cuda":
            return work(*arguments)
        stream = getattr(self._own, "stream", None)
        if stream is None:
            stream = self._own.stream = torch.cuda.Stream(self._device)
            stream.wait_stream(torch.cuda.default_stream(self._device))  # which the weights were copied in
        with torch.cuda.stream(stream):
            return work(*arguments)


async def _ended(future: Any) -> None:
    """Wait until a thread is done with a future, whatever comes of it, and however often who waits is cancelled."""
    loop, done = asyncio.get_running_loop(), asyncio.Event()
    future.add_done_callback(lambda _: loop.call_soon_threadsafe(done.set))
    while not done.is_set():
        try:
            await done.wait()
        except asyncio.CancelledError:
            continue


async def streamed(
    feed: Feed[T], work: Callable[[list[T]], list[R]], lanes: Lanes, failed: Callable[[VFError], None] | None
) -> AsyncGenerator[R, None]:
    """Yield what ``work`` makes of the groups of a feed, in order, while later groups are worked on.

    Args:
        feed: is closed at the end.
        work: groups that are ready -> results.
        lanes: how many at the same time; closed at the end.
        failed: takes the errors of items that cannot be read; without it the first is raised.
    """
    reader = ThreadPoolExecutor(1, "vf-take")
    running: deque[asyncio.Future[list[R]] | VFError] = deque()
    coming: asyncio.Future[list[T | VFError] | None] | None = None
    more = True
    try:
        while more or running:
            if more and coming is None and len(running) < lanes.count:
                coming = asyncio.wrap_future(reader.submit(feed.take))
            head = running[0] if running else None
            waited = [one for one in (coming, head) if isinstance(one, asyncio.Future)]
            if waited and not isinstance(head, VFError):
                await asyncio.wait(waited, return_when=asyncio.FIRST_COMPLETED)
            if coming is not None and coming.done():
                group, coming = coming.result(), None
                more = group is not None
                running.extend(_begun(group or [], work, lanes))
            for result in _finished(running, failed):
                yield result
    finally:
        await asyncio.shield(asyncio.to_thread(_close, feed, reader, lanes))


def _begun(
    group: list[Any], work: Callable[[list[T]], list[R]], lanes: Lanes
) -> list[asyncio.Future[list[R]] | VFError]:
    good = [one for one in group if not isinstance(one, VFError)]
    bad: list[asyncio.Future[list[R]] | VFError] = [one for one in group if isinstance(one, VFError)]
    return [*([lanes.start(work, good)] if good else []), *bad]


def _finished(running: deque[Any], failed: Callable[[VFError], None] | None) -> list[Any]:
    """Take the results at the head that are there."""
    results: list[Any] = []
    if running and isinstance(running[0], VFError):
        error = running.popleft()
        if failed is None:
            raise error
        failed(error)
    elif running and running[0].done():
        results = running.popleft().result()
    return results


def _close(feed: Feed[Any], reader: ThreadPoolExecutor, lanes: Lanes) -> None:
    feed.close()
    reader.shutdown(cancel_futures=True)
    lanes.close()
