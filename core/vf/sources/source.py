"""What every source of images is: items that are decoded when they are needed, in an order."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from types import TracebackType

import attrs
from torchvision import tv_tensors


@attrs.frozen
class Video:
    """A video or camera that frames come from."""

    name: str
    """The file, address or camera, for people."""
    fps: float
    """Frames of it in a second."""
    size: tuple[int, int]
    """Height and width of a frame."""
    live: bool = False
    """Whether it goes on without us: what is not taken in time is lost."""
    path: str = ""
    """The file, where there is one, for what is in it beside pictures."""
    every: int = 1
    """Of so many frames one is taken."""


@attrs.frozen
class Item:
    """One image, not decoded yet."""

    id: str
    load: Callable[[], tv_tensors.Image]
    """Decodes: uint8 [3,H,W] RGB. Called once, on any thread; VFError where it cannot be read."""
    name: str = ""
    """Path, relative to what was named, that a picture of it gets in a folder of results."""
    video: Video | None = None
    frame: int | None = None
    """Number in its video, from 0."""
    seconds: float | None = None
    """Since the beginning of its video."""


@attrs.define
class Source:
    """Items to predict. A context: what it opened is closed at its end."""

    name: str
    """For people."""
    items: Iterable[Item]
    count: int | None = None
    """Of the items, as far as it is known; of a video what its file says."""
    one: bool = False
    """Whether it is a single image, and not a collection that may hold one."""
    video: Video | None = None
    """Of a source that is a single video or camera."""
    closed: Callable[[], None] = lambda: None
    """What is to be done at the end, once."""
    stop: Callable[[], None] = lambda: None
    """Ends the wait of a thread for the next item of a live source."""

    def __iter__(self) -> Iterator[Item]:
        return iter(self.items)

    def close(self) -> None:
        """Close files, remove what was downloaded. Twice is as good as once."""
        closed, self.closed = self.closed, lambda: None
        closed()

    def __enter__(self) -> Source:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
