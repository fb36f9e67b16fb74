"""Frames of video files, cameras and network streams, read by OpenCV, one after another: memory does not grow."""

from __future__ import annotations

import functools
import importlib
import os
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Literal

import attrs
import cv2
import torch
from torchvision import tv_tensors

from vf.errors import DataError, SetupError
from vf.fetch import shown
from vf.sources.source import Item, Source, Video

VIDEO_SUFFIXES = frozenset({".mp4", ".avi", ".mov", ".mkv", ".webm", ".m4v", ".mpg", ".mpeg", ".wmv", ".flv", ".ts"})
STREAMS = ("rtsp://", "rtsps://", "rtmp://", "udp://", "tcp://", "srt://")
USUAL_FPS = 25.0
"""Of what does not tell its own."""
PATIENCE = 15.0
"""Seconds that a camera or stream may give nothing."""
Decoder = Literal["cpu", "gpu"]


def video_file(path: Path, *, every: int = 1, decoder: Decoder = "cpu", name: str = "") -> Source:
    """Return the frames of a video file: the first, and of those after it each ``every``-th.

    Raises:
        DataError: it cannot be opened, or has no frame.
        SetupError: ``decoder`` is ``gpu``, and there is none.
    """
    name = name or str(path)
    if decoder == "gpu":
        return _on_gpu(path, every, name)
    capture = _opened(str(path))
    if capture is None:
        raise DataError(f"{name}: is not a video that can be read")
    fps, size, count = _facts(capture)
    video = Video(name, fps, size, path=str(path), every=every)

    def items() -> Iterator[Item]:
        number = 0
        while capture.grab():
            if number % every == 0:
                there, bgr = capture.retrieve()
                if not there:
                    break
                yield _item(video, number, number / fps, functools.partial(_as_rgb, bgr))
            number += 1
        if not number:
            raise DataError(f"{name}: no frame of it can be read")

    return Source(name, items(), -(-count // every) if count > 0 else None, video=video, closed=capture.release)


def camera(number: int, *, every: int = 1) -> Source:
    """Return what a camera of this machine sees, as it comes, without an end.

    Raises:
        DataError: there is no such camera, or another program has it.
    """
    return _live(number, f"camera {number}", every, f"camera {number}: cannot be opened; is it there, and free?")


def stream(url: str, *, every: int = 1) -> Source:
    """Return the frames of a network stream, as they come.

    Raises:
        DataError: nobody sends it.
    """
    name = shown(url)
    return _live(url, name, every, f"{name}: cannot be opened; is it sent, and can this machine reach it?")


def _opened(what: str | int) -> Any:
    """Return what OpenCV reads from; None where it cannot."""
    os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")  # they would print what the caller says
    level = cv2.utils.logging.setLogLevel(0)
    try:
        patience = [cv2.CAP_PROP_OPEN_TIMEOUT_MSEC, int(PATIENCE * 1e3), cv2.CAP_PROP_READ_TIMEOUT_MSEC]
        live = isinstance(what, str) and what.lower().startswith(STREAMS)
        if live:
            capture = cv2.VideoCapture(what, cv2.CAP_FFMPEG, [*patience, int(PATIENCE * 1e3)])
        else:
            capture = cv2.VideoCapture(what)
    except cv2.error:
        return None
    finally:
        cv2.utils.logging.setLogLevel(level)
    return capture if capture.isOpened() else None


def _facts(capture: Any) -> tuple[float, tuple[int, int], int]:
    """Return frames a second, height and width, and the number of frames (0 where it is not known)."""
    fps = float(capture.get(cv2.CAP_PROP_FPS))
    size = int(capture.get(cv2.CAP_PROP_FRAME_HEIGHT)), int(capture.get(cv2.CAP_PROP_FRAME_WIDTH))
    return fps if 0 < fps < 1000 else USUAL_FPS, size, int(capture.get(cv2.CAP_PROP_FRAME_COUNT))


def _item(video: Video, number: int, seconds: float, load: Callable[[], tv_tensors.Image]) -> Item:
    return Item(f"{video.name}#{number}", load, Path(video.name).name, video, number, round(seconds, 6))


def _as_rgb(bgr: Any) -> tv_tensors.Image:
    if bgr.ndim == 2:
        bgr = cv2.cvtColor(bgr, cv2.COLOR_GRAY2BGR)
    rgb = torch.from_numpy(cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB))
    image: tv_tensors.Image = rgb.permute(2, 0, 1).as_subclass(tv_tensors.Image)
    return image


@attrs.define
class _Newest:
    """The newest frame of a live source: a thread reads all, so that none is older than it must be."""

    capture: Any
    every: int
    _frame: tuple[int, float, Any] | None = None
    _ended: bool = False
    _changed: threading.Condition = attrs.field(factory=threading.Condition)
    _stop: threading.Event = attrs.field(factory=threading.Event)
    _thread: threading.Thread | None = None

    def start(self) -> None:
        """Begin to read."""
        self._thread = threading.Thread(target=self._read, daemon=True, name="vf-camera")
        self._thread.start()

    def _read(self) -> None:
        number, began = 0, time.monotonic()
        while not self._stop.is_set():
            there, bgr = self.capture.read()
            if not there:
                break
            if number % self.every == 0:
                with self._changed:
                    self._frame = number, time.monotonic() - began, bgr
                    self._changed.notify()
            number += 1
        with self._changed:
            self._ended = True
            self._changed.notify()

    def take(self) -> tuple[int, float, Any] | None:
        """Wait for a frame that was not taken yet; None at the end."""
        with self._changed:
            self._changed.wait_for(lambda: self._frame is not None or self._ended, timeout=PATIENCE)
            frame, self._frame = self._frame, None
            return frame

    def stop(self) -> None:
        """Let who waits for a frame go on, at the end."""
        self._stop.set()
        with self._changed:
            self._ended = True
            self._changed.notify()

    def close(self) -> None:
        """End the thread and give the camera back."""
        self.stop()
        if self._thread is not None:
            self._thread.join(PATIENCE)
        self.capture.release()


def _live(what: str | int, name: str, every: int, problem: str) -> Source:
    capture = _opened(what)
    if capture is None:
        raise DataError(problem)
    fps, size, _ = _facts(capture)
    video = Video(name, fps, size, live=True, every=every)
    newest = _Newest(capture, every)

    def items() -> Iterator[Item]:
        newest.start()
        while (frame := newest.take()) is not None:
            number, seconds, bgr = frame
            yield _item(video, number, seconds, functools.partial(_as_rgb, bgr))

    return Source(name, items(), video=video, closed=newest.close, stop=newest.stop)


def _on_gpu(path: Path, every: int, name: str) -> Source:
    """Decode on the GPU; frames are brought to the CPU, where every source's images are."""
    try:
        decoders: Any = importlib.import_module("torchcodec.decoders")
    except (ImportError, RuntimeError, OSError) as error:
        why = "is not installed" if isinstance(error, ModuleNotFoundError) else "finds no FFmpeg that it can load"
        raise SetupError(
            f"--decode gpu: torchcodec {why}; pip install a torchcodec for this torch, with FFmpeg beside it, or leave "
            "--decode out"
        ) from None
    if not torch.cuda.is_available():
        raise SetupError("--decode gpu: torch sees no GPU; leave --decode out")
    try:
        decoder = decoders.VideoDecoder(str(path), device="cuda", dimension_order="NHWC")
    except (RuntimeError, ValueError) as error:
        raise DataError(f"{name}: cannot be decoded on the GPU: {str(error).splitlines()[0]}") from None
    facts = decoder.metadata
    video = Video(name, float(facts.average_fps), (int(facts.height), int(facts.width)), path=str(path), every=every)
    numbers = range(0, len(decoder), every)

    def items() -> Iterator[Item]:
        for number in numbers:
            frame = decoder[number].cpu().permute(2, 0, 1).as_subclass(tv_tensors.Image)
            yield _item(video, number, number / video.fps, functools.partial(lambda image: image, frame))

    return Source(name, items(), len(numbers), video=video)
