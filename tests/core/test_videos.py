"""Videos that are written: size, speed, length, sound, and what a live source's frames become."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import attrs
import numpy as np
import pytest

import vf.videos
from vf.errors import RunError
from vf.sources.opening import open_source
from vf.sources.source import Video
from vf.videos import check_video_name, open_video

HAS_AV = importlib.util.find_spec("av") is not None
VIDEO = Video("film", 12.5, (48, 64))
needs_av = pytest.mark.skipif(not HAS_AV, reason="av is not installed")


def frame(number: int, size: tuple[int, int] = (48, 64)) -> Any:
    return np.full((*size, 3), 20 * (number % 12), np.uint8)


def write(path: Path, count: int, video: Video = VIDEO, size: tuple[int, int] = (48, 64)) -> str:
    out = open_video(path, video, size)
    for number in range(count):
        out.write(frame(number, size), number / video.fps)
    out.close()
    return out.note


@pytest.fixture(params=["opencv", pytest.param("av", marks=needs_av)])
def by(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    if request.param == "opencv":
        monkeypatch.setattr(vf.videos, "_av", lambda: None)
    name: str = request.param
    return name


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".mov", ".avi"])
def test_a_video_has_the_size_and_speed_of_its_source(by: str, tmp_path: Path, suffix: str) -> None:
    path = tmp_path / "new" / f"film{suffix}"
    write(path, 9)
    with open_source(path) as opened:
        assert opened.video is not None
        assert (opened.video.size, opened.video.fps) == ((48, 64), pytest.approx(12.5))
        means = [float(item.load().float().mean()) for item in opened]
    assert means == pytest.approx([20 * number for number in range(9)], abs=4)


def test_fewer_frames_take_as_long(by: str, tmp_path: Path) -> None:
    write(tmp_path / "a.mp4", 3, attrs.evolve(VIDEO, every=5))
    with open_source(tmp_path / "a.mp4") as opened:
        assert opened.video is not None
        assert opened.video.fps == pytest.approx(2.5)


def test_frames_of_a_live_source_are_repeated_or_left_out(by: str, tmp_path: Path) -> None:
    live = attrs.evolve(VIDEO, fps=10.0, live=True)
    out = open_video(tmp_path / "a.mp4", live, (48, 64))
    for number, seconds in enumerate((0.0, 0.01, 0.5, 0.52, 0.61)):
        out.write(frame(number), seconds)
    out.close()
    assert out.note == ""
    with open_source(tmp_path / "a.mp4") as opened:
        shown = [round(float(item.load().float().mean()) / 20) for item in opened]
    assert shown == [0, 2, 2, 2, 2, 2, 4]


@pytest.mark.parametrize("size", [(1, 1), (49, 65)])
def test_odd_sides(by: str, tmp_path: Path, size: tuple[int, int]) -> None:
    if by == "opencv" and size == (1, 1):
        with pytest.raises(RunError, match=r"cannot be written: OpenCV opens no \.mp4 of 1×1 px here$"):
            write(tmp_path / "a.mp4", 2, size=size)
        return
    note = write(tmp_path / "a.mp4", 2, size=size)
    with open_source(tmp_path / "a.mp4") as opened:
        assert len(list(opened)) == 2
    if by == "av":
        assert note == "without sound: the source has none, its odd last row or column left out"


def test_without_av_there_is_no_sound(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vf.videos, "_av", lambda: None)
    assert write(tmp_path / "a.mp4", 1) == "without sound (pip install 'vf-core[video]' brings it along)"
    assert write(tmp_path / "a.avi", 1) == "without sound (.mp4 can have it)"


@needs_av
@pytest.mark.parametrize("frames", [30, 12])
def test_the_sound_comes_along_as_far_as_the_pictures(tmp_path: Path, frames: int) -> None:
    import av

    source = tmp_path / "source.mp4"
    with av.open(str(source), "w") as out:
        pictures, sound = out.add_stream("libx264", rate=10), out.add_stream("aac", rate=16000)
        pictures.width, pictures.height, pictures.pix_fmt = 64, 48, "yuv420p"
        for number in range(30):
            out.mux(pictures.encode(av.VideoFrame.from_ndarray(frame(number), format="rgb24")))
        tone = (np.sin(np.arange(48000) * 0.2) * 20000).astype(np.int16)
        heard = av.AudioFrame.from_ndarray(tone[None], format="s16", layout="mono")
        heard.sample_rate = 16000
        out.mux(sound.encode(heard))
        out.mux(pictures.encode())
        out.mux(sound.encode())
    note = write(tmp_path / "out.mp4", frames, attrs.evolve(VIDEO, fps=10.0, path=str(source)))
    assert note == "with its sound (aac)"
    own, before = (packets(name) for name in (tmp_path / "out.mp4", source))
    assert sum(seconds for seconds, _ in own) == pytest.approx(frames / 10, abs=0.1)
    assert [data for _, data in own] == [data for _, data in before][: len(own)]


def packets(path: Path) -> list[tuple[float, bytes]]:
    """Seconds and bytes of each packet of a sound track."""
    import av

    with av.open(str(path)) as file:
        return [(float(p.duration * p.time_base), bytes(p)) for p in file.demux(file.streams.audio[0]) if p.size]


def test_what_cannot_be_written_is_refused(by: str, tmp_path: Path) -> None:
    with pytest.raises(RunError) as caught:
        check_video_name("a.gif", "--out-video")
    assert caught.value.problems == ("--out-video a.gif: expected a name that ends in .mp4, .m4v, .mov, .mkv, .avi",)
    (tmp_path / "file").touch()
    with pytest.raises(RunError, match=r"file/a\.mp4: cannot be written: "):
        open_video(tmp_path / "file" / "a.mp4", VIDEO, (48, 64))
