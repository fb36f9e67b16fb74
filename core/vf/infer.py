"""``vf run infer``: predict images, videos and cameras, and write what was asked for."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from vf.console import Console
from vf.errors import VFError
from vf.launch import Inference
from vf.predict import Predictor
from vf.results import Result
from vf.sources.opening import open_all
from vf.sources.source import Item, Source
from vf.sources.video import camera
from vf.written import Written, check

SPAN = 2.0
"""Seconds over which the speed beside the bar is measured."""


def infer(asked: Inference, console: Console, make_folder: Callable[[], Path]) -> None:
    """Predict as asked.

    Args:
        make_folder: returns where pictures and predictions.json go; called once there is something to predict.

    Raises:
        VFError: the weights or the source cannot be used; at the end, with a line for each image that was not read.
        KeyboardInterrupt: the user stopped it; what was written until then is whole.
    """
    with _opened(asked) as source:
        check(asked, source)
        predictor = _loaded(asked)
        problems: list[str] = []
        began, done = time.monotonic(), 0
        written = Written(asked, make_folder)
        pairs = predictor.predict_items(
            source,
            batch_size=asked.batch_size,
            threads=asked.workers,
            failed=lambda error: problems.extend(error.problems),
        )
        try:
            with written, contextlib.closing(pairs):
                for item, result in _tracked(pairs, source, console):
                    done += 1
                    if not written.take(item, result):
                        break
                written.begin()  # of images of which none could be read, too
        except KeyboardInterrupt:
            console.say(f"interrupted after {_counted(done, source)}; what was written until then is whole")
            _conclude(asked, written, console, "")
            raise
    seconds = time.monotonic() - began
    of = f" of {source.count}" if source.count is not None and source.video is None else ""
    speed = f", {done / seconds:.1f} a second" if seconds > SPAN else ""
    _conclude(asked, written, console, f"{done}{of} {_noun(source)}{speed}")
    if problems:
        raise VFError(*problems)


def _opened(asked: Inference) -> Source:
    if asked.camera is not None:
        return camera(asked.camera, every=asked.every)
    return open_all(asked.sources, every=asked.every, decoder=asked.decode)


def _loaded(asked: Inference) -> Predictor:
    predictor = Predictor.load(
        asked.checkpoint, device=asked.device, precision=asked.precision, overrides=asked.overrides
    )
    if asked.tile:
        return predictor.with_tiles(asked.tile, overlap=asked.overlap, merge=asked.tile_merge)
    return predictor


def _tracked(pairs: Iterator[tuple[Item, Result]], source: Source, console: Console) -> Iterator[tuple[Item, Result]]:
    """Yield the pairs under a bar with the speed of the last seconds beside it."""
    bar = console.bar("infer", source.count)
    since, seen, text = time.monotonic(), 0, None
    for done, pair in enumerate(pairs, 1):
        yield pair
        if (passed := time.monotonic() - since) > SPAN:
            text, since, seen = f"{(done - seen) / passed:.1f} {_noun(source)}/s", time.monotonic(), done
        bar.update(done, text)
    bar.close()


def _noun(source: Source) -> str:
    return "images" if source.video is None else "frames"


def _counted(done: int, source: Source) -> str:
    return f"{done} {_noun(source)}"


def _conclude(asked: Inference, written: Written, console: Console, what: str) -> None:
    """Say what was written where."""
    for note in written.notes:
        console.say(note)
    if not what:
        return
    found = f"{written.objects} objects on " if written.objects is not None else ""
    kinds = ["pictures"] * bool(written.pictures or not written.notes) + ["videos"] * bool(written.notes)
    places = [f"{', '.join(kinds)} and predictions.json in {written.folder}"] if written.folder else []
    places += [f"predictions in {name}" for name in (asked.json, asked.jsonl) if name not in ("", "-")]
    if places or written.notes:  # who reads lines from stdout has seen it all
        console.say(f"{found}{what}" + "".join(f"; {place}" for place in places))
