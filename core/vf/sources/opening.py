"""Tell what is meant by a source, and open it: the one place that knows all kinds."""

from __future__ import annotations

import functools
import glob
import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from torchvision import tv_tensors

from vf.data.decode import IMAGE_SUFFIXES
from vf.errors import DataError, VFError
from vf.fetch import is_address
from vf.sources.files import LIST, ZIP, folder, listed_in, one_file, pattern, zipped
from vf.sources.memory import as_image, is_image
from vf.sources.source import Item, Source
from vf.sources.video import STREAMS, VIDEO_SUFFIXES, Decoder, camera, stream, video_file
from vf.sources.web import Fetched


def open_source(source: Any, *, every: int = 1, decoder: Decoder = "cpu") -> Source:
    """Open anything that holds images.

    Args:
        source: a path or text: an image, a folder (with the folders in it), a pattern as ``'*.jpg'``, a ``.zip``, a
            ``.txt`` that lists paths, a video, an http(s) address of one of these, an address of a stream
            (``rtsp://``); a whole number: a camera; an image in memory (see `vf.sources.memory.as_image`); or an
            iterable of all these.
        every: of the frames of a video or camera, each so many-th.
        decoder: of video files: ``cpu``, or ``gpu`` with torchcodec.

    Raises:
        DataError: there is no such thing, or no image in it. Images that cannot be read say so when it is their turn,
            and so do members of an iterable.
    """
    options: Any = {"every": every, "decoder": decoder}
    if is_image(source):
        return Source("image", [Item("", functools.partial(as_image, source))], 1, one=True)
    if isinstance(source, bool) or source is None:
        raise DataError(f"source: expected a path, an address, an image or several of them, got {source!r}")
    if isinstance(source, int):
        return camera(source, every=every)
    if isinstance(source, str | Path):
        return _named(source, **options)
    if isinstance(source, Iterable):
        return Source("images", _chained(source, options))
    raise DataError(f"source: expected a path, an address, an image or several of them, got {type(source).__name__}")


def open_all(sources: Sequence[str], *, every: int = 1, decoder: Decoder = "cpu") -> Source:
    """Open several at once, so that what is missing is said before the first is predicted."""
    opened: list[Source] = []
    try:
        for source in sources:
            opened.append(_named(source, every=every, decoder=decoder))
    except BaseException:
        for one in opened:
            one.close()
        raise
    if len(opened) == 1:
        return opened[0]
    counts = [one.count for one in opened]
    return Source(
        f"{len(opened)} sources",
        itertools.chain.from_iterable(opened),
        None if None in counts else sum(count or 0 for count in counts),
        closed=lambda: _each(one.close for one in opened),
        stop=lambda: _each(one.stop for one in opened),
    )


def _each(calls: Iterable[Callable[[], None]]) -> None:
    for call in calls:
        call()


def _chained(sources: Iterable[Any], options: Any) -> Iterator[Item]:
    for source in sources:
        try:
            opened = open_source(source, **options)
        except VFError as error:
            yield Item(str(source), functools.partial(_fail, error))
            continue
        with opened:
            yield from opened


def _fail(error: VFError) -> tv_tensors.Image:
    raise error


def _named(source: str | Path, *, every: int, decoder: Decoder) -> Source:
    text, path = str(source), Path(source)
    if isinstance(source, str) and is_address(text):
        return _fetched(text, every, decoder)
    if isinstance(source, str) and text.lower().startswith(STREAMS):
        return stream(text, every=every)
    if path.is_dir():
        return folder(path)
    if path.is_file():
        return _of_file(path, every, decoder, "")
    if glob.has_magic(text):
        return pattern(text)
    raise DataError(f"{source}: no such image, video or folder")


def _fetched(url: str, every: int, decoder: Decoder) -> Source:
    fetched = Fetched(url)
    try:
        source = _of_file(fetched.path, every, decoder, fetched.name)
    except BaseException:
        fetched.close()
        raise
    before = source.closed
    source.closed = _both(before, fetched.close)
    return source


def _both(first: Callable[[], None], second: Callable[[], None]) -> Callable[[], None]:
    def close() -> None:
        first()
        second()

    return close


def _of_file(path: Path, every: int, decoder: Decoder, name: str) -> Source:
    """Open a file by its suffix; ``name`` is that of one which was fetched."""
    suffix = path.suffix.lower()
    if suffix in VIDEO_SUFFIXES:
        return video_file(path, every=every, decoder=decoder, name=name)
    if suffix == ZIP:
        return zipped(path, name=name)
    if suffix == LIST and not name:
        return listed_in(path)
    if name and suffix not in IMAGE_SUFFIXES:
        with path.open("rb") as file:
            if file.read(4) == b"PK\3\4":
                return zipped(path, name=name)
    return one_file(path, id_=name)
