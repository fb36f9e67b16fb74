"""What an inference writes of each image: pictures, a video, lists of predictions; on a thread beside the model."""

from __future__ import annotations

import json
import os
import sys
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path, PurePosixPath
from types import TracebackType
from typing import IO, Any

import numpy as np

from vf import shown
from vf.errors import ConfigError, RunError, did_you_mean, listed
from vf.launch import Inference
from vf.results import Result, class_indices
from vf.sources.source import Item, Source
from vf.videos import VideoOut, check_video_name, open_video

WINDOW = "vf run infer (q: no more)"
BEHIND = 16
"""Images that may wait to be drawn and written."""
PREDICTIONS = "predictions.json"
ALWAYS = ("image", "frame")
FIELDS = (
    *("width", "height", "seconds", "objects", "texts", "text", "score", "classes", "pixels", "segments"),
    *("class", "label", "box", "mask", "keypoints", "polygon", "text_score", "id", "share"),
)
"""What ``--fields`` takes: keys of an image, and of its objects, texts, classes and segments."""


def check(asked: Inference, source: Source) -> None:
    """Refuse what could not be written in the end, before a model is loaded.

    Raises:
        RunError: a name is not right, or one file is to hold several videos.
        ConfigError: there is no such field.
        SetupError: there is no display.
    """
    for field in asked.fields:
        if field not in (*FIELDS, *ALWAYS):
            hint = did_you_mean(field, FIELDS)
            raise ConfigError(f"--fields {field}: no such field{hint}; there are {listed(FIELDS, limit=30)}")
    if asked.out_video:
        check_video_name(asked.out_video, "--out-video")
        if source.video is None:
            raise RunError(f"--out-video {asked.out_video}: takes one video, stream or camera, got {source.name}")
    if asked.show:
        shown.need_windows("--out DIR")


class Written:
    """A context that takes results one by one; what it wrote is whole at its end, also where that comes early.

    Args:
        asked: what to write.
        make_folder: returns where pictures and predictions.json go; called once, with the first result.
    """

    def __init__(self, asked: Inference, make_folder: Callable[[], Path]) -> None:
        self._asked, self._make_folder = asked, make_folder
        self._thread = ThreadPoolExecutor(1, "vf-write")
        self._waiting: deque[Future[None]] = deque()
        self._lists: list[_List] = []
        self._videos: dict[str, tuple[Path, VideoOut]] = {}
        self._names: set[PurePosixPath] = set()
        self._classes: frozenset[int] | None = None
        self._show = asked.show
        self.folder: Path | None = None
        self.objects: int | None = None
        """That score enough; None where the model finds none."""
        self.notes: list[str] = []
        """Lines about the videos that were written."""
        self.pictures = 0

    def __enter__(self) -> Written:
        if self._asked.json:
            self._lists.append(_JsonFile(Path(self._asked.json)))
        if self._asked.jsonl:
            self._lists.append(_JsonLines(self._asked.jsonl))
        return self

    def begin(self) -> None:
        """Make the folder, where one is wanted, once there is something to write."""
        if self._asked.folder and self.folder is None:
            self.folder = self._make_folder()
            self._lists.append(_JsonFile(self.folder / PREDICTIONS))

    def take(self, item: Item, result: Result) -> bool:
        """Write a result; return whether to go on: a user may close the window. Raises what writing others raised."""
        self.begin()
        while self._waiting and (len(self._waiting) >= BEHIND or self._waiting[0].done()):
            self._waiting.popleft().result()
        if self._asked.classes:
            if self._classes is None:
                self._classes = class_indices(self._asked.classes, result.info)
            result = result.only(self._classes)
        self._waiting.append(self._thread.submit(self._write, item, result))
        if self._show:
            wait = self._asked.wait_time if self._asked.wait_time is not None else 0.001 if item.video else 0
            picture = result.draw(threshold=self._asked.score_thr)
            return shown.in_window(picture, WINDOW, wait)
        return True

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._thread.shutdown()
        for _, video in self._videos.values():
            video.close()
        for one in self._lists:
            one.close()
        if error is None:
            for future in self._waiting:
                future.result()

    def _write(self, item: Item, result: Result) -> None:
        plain = result.to_dict(threshold=self._asked.score_thr)
        if "objects" in plain:
            self.objects = (self.objects or 0) + len(plain["objects"])
        text = json.dumps(_trimmed(plain, self._asked.fields), ensure_ascii=False)
        for one in self._lists:
            one.add(text)
        if self.folder is None and not self._asked.out_video:
            return
        picture = result.draw(threshold=self._asked.score_thr, enlarge=item.video is None)
        if item.video is not None:
            assert result.seconds is not None
            for video in self._video_of(item, picture.size):
                video.write(np.asarray(picture), result.seconds)
            return
        assert self.folder is not None
        path = self.folder / self._free(shown.safe_name(item.name or "image.jpg"))
        shown.save(picture, path)
        self.pictures += 1
        if result.semantic is not None:
            result.label_map().save(path.with_name(f"{path.stem}.labels.png"))
        if result.panoptic is not None:
            result.segment_map().save(path.with_name(f"{path.stem}.segments.png"))

    def _free(self, name: PurePosixPath) -> PurePosixPath:
        """Return a name that no picture has yet: images of several folders may be called alike."""
        free, number = name, 1
        while free in self._names:
            number += 1
            free = name.with_name(f"{name.stem}-{number}{name.suffix}")
        self._names.add(free)
        return free

    def _video_of(self, item: Item, size: tuple[int, int]) -> Sequence[VideoOut]:
        """Return the videos that a frame goes into; those of another video are finished first."""
        assert item.video is not None
        wanted = [Path(self._asked.out_video)] if self._asked.out_video else []
        key = item.video.name
        if key not in self._videos:
            for _, before in self._videos.values():
                before.close()
            self._videos = {}
            if self.folder is not None:
                stem = shown.safe_name(Path(item.name).stem.replace(" ", "-")).name
                wanted.append(self.folder / self._free(PurePosixPath(f"{stem}.mp4")))
            for number, path in enumerate(wanted):
                video = open_video(path, item.video, (size[1], size[0]))
                self._videos[f"{key}{'' if number == 0 else number}"] = path, video
                speed = f"{item.video.fps / item.video.every:g} frames/s"
                said = [f"video {path}", f"{size[0]}×{size[1]} px", speed, *filter(None, [video.note])]
                self.notes.append(", ".join(said))
        return [video for _, video in self._videos.values()]


def _trimmed(plain: dict[str, Any], fields: Sequence[str]) -> dict[str, Any]:
    """Keep the fields that are wanted; a list that is named is kept whole, else its rows keep those that are."""
    if not fields:
        return plain
    kept: dict[str, Any] = {}
    for key, value in plain.items():
        if key in (*ALWAYS, *fields):
            kept[key] = value
        elif isinstance(value, list):
            rows = [{name: row[name] for name in row if name in fields} for row in value]
            if not rows or any(rows):
                kept[key] = rows
    return kept


class _List:
    """A file of predictions, written one by one."""

    def add(self, text: str) -> None:
        """Write one, as JSON."""
        raise NotImplementedError

    def close(self) -> None:
        """Make the file whole."""


class _JsonFile(_List):
    """One list; it takes its place when it is whole."""

    def __init__(self, path: Path) -> None:
        self._path, self._fresh, self._count = path, path.with_name(f".writing_{path.name}"), 0
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._file: IO[str] = self._fresh.open("w", encoding="utf-8")
        except OSError as error:
            raise RunError(f"{path}: cannot be written: {error.strerror}") from None
        self._file.write("[")

    def add(self, text: str) -> None:
        self._file.write(f"{',' if self._count else ''}\n{text}")
        self._count += 1

    def close(self) -> None:
        self._file.write("\n]\n")
        self._file.close()
        os.replace(self._fresh, self._path)


class _JsonLines(_List):
    """A line for each, to be read while more come."""

    def __init__(self, name: str) -> None:
        self._own = name != "-"
        try:
            self._file: IO[str] = open(name, "w", encoding="utf-8") if self._own else sys.stdout  # noqa: SIM115
        except OSError as error:
            raise RunError(f"--jsonl {name}: cannot be written: {error.strerror}") from None

    def add(self, text: str) -> None:
        self._file.write(f"{text}\n")
        self._file.flush()

    def close(self) -> None:
        if self._own:
            self._file.close()
