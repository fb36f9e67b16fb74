"""Write frames as a video: by OpenCV, or by PyAV where it is installed, which also brings the sound along."""

from __future__ import annotations

import importlib
from fractions import Fraction
from pathlib import Path
from typing import Any, Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from vf.errors import RunError
from vf.sources.source import Video

SUFFIXES = {".mp4": "mp4v", ".m4v": "mp4v", ".mov": "mp4v", ".mkv": "mp4v", ".avi": "MJPG"}
"""Of videos that can be written, with OpenCV's codec."""
WITH_AV = (".mp4", ".m4v", ".mov", ".mkv")
EXTRA = "pip install 'vf-core[video]'"


class VideoOut(Protocol):
    """Takes frames, all of one size."""

    note: str
    """What became of the sound, for people."""

    def write(self, frame: NDArray[np.uint8], seconds: float) -> None:
        """Add a frame [H,W,3] RGB, seen so many seconds after the beginning; those of a live source may be late."""
        ...

    def close(self) -> None:
        """Finish the file; without this no player opens it."""
        ...


def check_video_name(name: str, option: str) -> None:
    """Refuse a name that no video can have. RunError."""
    if Path(name).suffix.lower() not in SUFFIXES:
        raise RunError(f"{option} {name}: expected a name that ends in {', '.join(SUFFIXES)}")


def open_video(path: Path, video: Video, size: tuple[int, int]) -> VideoOut:
    """Begin a file for the frames of a video: as many a second as it has, less those that are left out.

    Args:
        path: is replaced where it is there.
        video: where the frames come from.
        size: height and width of the frames, px.

    Raises:
        RunError: it cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RunError(f"{path}: cannot be written: {error.strerror}") from None
    fps = video.fps / video.every
    av = _av() if path.suffix.lower() in WITH_AV else None
    out: VideoOut = _Encoded(av, path, video, fps, size) if av else _Plain(path, video, fps, size)
    return _InTime(out, fps) if video.live else out


def _av() -> Any:
    try:
        return importlib.import_module("av")
    except ImportError:
        return None


class _Plain:
    """OpenCV's writer."""

    def __init__(self, path: Path, video: Video, fps: float, size: tuple[int, int]) -> None:
        codec = SUFFIXES[path.suffix.lower()]
        self._out = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*codec), fps, (size[1], size[0]))  # type: ignore[attr-defined]
        if not self._out.isOpened():
            raise RunError(f"{path}: cannot be written: OpenCV opens no {path.suffix} of {size[1]}×{size[0]} px here")
        cure = f"{EXTRA} brings it along" if path.suffix.lower() in WITH_AV else ".mp4 can have it"
        self.note = "" if video.live else f"without sound ({cure})"

    def write(self, frame: NDArray[np.uint8], seconds: float) -> None:
        self._out.write(cv2.cvtColor(frame, cv2.COLOR_RGB2BGR))

    def close(self) -> None:
        self._out.release()


class _Encoded:
    """PyAV: H.264, and the sound of the source as it is."""

    def __init__(self, av: Any, path: Path, video: Video, fps: float, size: tuple[int, int]) -> None:
        self._av, self._size = av, size
        try:
            self._out = av.open(str(path), "w")
        except (OSError, ValueError) as error:
            raise RunError(f"{path}: cannot be written: {getattr(error, 'strerror', None) or error}") from None
        self._rate = Fraction(fps).limit_denominator(100_000)
        self._stream = self._out.add_stream("libx264", rate=self._rate, options={"preset": "ultrafast", "crf": "23"})
        # Its colours are stored for squares of four pixels, so sides are even.
        self._stream.height, self._stream.width = (max(2, side // 2 * 2) for side in size)
        self._stream.pix_fmt = "yuv420p"
        self._count = 0
        self._sound = _Sound(av, self._out, video.path)
        odd = ", its odd last row or column left out" if any(side % 2 for side in size) else ""
        self.note = ("" if video.live else self._sound.note) + odd

    def write(self, frame: NDArray[np.uint8], seconds: float) -> None:
        height, width = self._stream.height, self._stream.width
        even = np.ascontiguousarray(_at_least_two(frame)[:height, :width])
        # OpenCV changes the colours in a tenth of the time that FFmpeg takes.
        picture = self._av.VideoFrame.from_ndarray(cv2.cvtColor(even, cv2.COLOR_RGB2YUV_I420), format="yuv420p")
        picture.pts, picture.time_base = self._count, 1 / self._rate
        self._count += 1
        self._out.mux(self._stream.encode(picture))
        self._sound.until(self._count / self._rate)

    def close(self) -> None:
        try:
            self._out.mux(self._stream.encode())
            self._sound.until(self._count / self._rate)
        finally:
            self._sound.close()
            self._out.close()


def _at_least_two(frame: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return np.pad(frame, ((0, max(0, 2 - frame.shape[0])), (0, max(0, 2 - frame.shape[1])), (0, 0)), mode="edge")


class _Sound:
    """The first sound track of a file, copied packet by packet into another, as far as its pictures have come."""

    def __init__(self, av: Any, out: Any, path: str) -> None:
        self._in: Any = None
        self._packet: Any = None
        self.note = "without sound: the source has none"
        if not path:
            return
        try:
            self._in = av.open(path)
            track = next(iter(self._in.streams.audio), None)
            if track is None:
                return
            self._track = out.add_stream_from_template(track)
        except (OSError, ValueError, av.error.FFmpegError) as error:
            self.note = f"without sound: that of the source does not fit ({error})"
            return
        self._packets = (packet for packet in self._in.demux(track) if packet.dts is not None)
        self._packet, self._out = next(self._packets, None), out
        self.note = f"with its sound ({track.codec_context.name})"

    def until(self, seconds: Fraction) -> None:
        """Copy what is heard before a time."""
        while self._packet is not None and self._packet.dts * self._packet.time_base < seconds:
            self._packet.stream = self._track
            self._out.mux(self._packet)
            self._packet = next(self._packets, None)

    def close(self) -> None:
        if self._in is not None:
            self._in.close()


class _InTime:
    """Frames of a live source: repeated, or left out, so that the film is as long as what it shows."""

    def __init__(self, out: VideoOut, fps: float) -> None:
        self._out, self._fps, self.note = out, fps, out.note
        self._written = 0

    def write(self, frame: NDArray[np.uint8], seconds: float) -> None:
        while self._written < int(seconds * self._fps) + 1:
            self._out.write(frame, seconds)
            self._written += 1

    def close(self) -> None:
        self._out.close()
