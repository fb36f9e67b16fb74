"""What a source is told to be, in which order its images come, and what is said where there is none."""

from __future__ import annotations

import http.server
import threading
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from PIL import Image
from torchvision import tv_tensors

import vf.sources.video
import vf.sources.web
from vf.errors import DataError, SetupError, VFError
from vf.sources.opening import open_all, open_source


def picture(value: int, size: tuple[int, int] = (4, 6)) -> Any:
    return np.full((*size, 3), value, np.uint8)


def values(source: Any, **options: Any) -> list[int]:
    """The first pixel of each image."""
    with open_source(source, **options) as opened:
        return [int(item.load()[0, 0, 0]) for item in opened]


def problem(source: Any, **options: Any) -> str:
    with pytest.raises(VFError) as caught:
        values(source, **options)
    (line,) = caught.value.problems
    return line


@pytest.fixture
def photos(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "photos/more").mkdir(parents=True)
    for name, value in (("b.png", 2), ("a.png", 1), ("more/c.png", 3)):
        Image.fromarray(picture(value)).save(tmp_path / "photos" / name)
    (tmp_path / "photos/notes.md").write_text("no image")
    return Path("photos")


def test_a_file_is_one_image_and_a_folder_is_many(photos: Path) -> None:
    with open_source(photos / "a.png") as one, open_source("photos") as many:
        assert (one.one, one.count, many.one, many.count) == (True, 1, False, 3)
        assert [(item.id, item.name) for item in many] == [
            ("photos/a.png", "a.png"),
            ("photos/b.png", "b.png"),
            ("photos/more/c.png", "more/c.png"),
        ]
    assert values(photos) == [1, 2, 3]


@pytest.mark.parametrize(
    ("pattern", "found"), [("photos/*.png", [1, 2]), ("photos/**/*.png", [1, 2, 3]), ("photos/[b]*", [2])]
)
def test_a_pattern(photos: Path, pattern: str, found: list[int]) -> None:
    assert values(pattern) == found


def test_a_pattern_names_pictures_by_what_it_leaves_open(photos: Path) -> None:
    with open_source("photos/*/*.png") as opened:
        assert [item.name for item in opened] == ["more/c.png"]


def test_a_zip_is_read_in_place(photos: Path) -> None:
    with zipfile.ZipFile("photos.zip", "w") as file:
        for path in sorted(photos.rglob("*.*")):
            file.write(path, path.relative_to(photos))
    with open_source("photos.zip") as opened:
        assert [(i.id, i.name, int(i.load()[0, 0, 0])) for i in opened] == [
            ("photos.zip/a.png", "a.png", 1),
            ("photos.zip/b.png", "b.png", 2),
            ("photos.zip/more/c.png", "more/c.png", 3),
        ]


def test_a_list_names_paths_beside_it(photos: Path) -> None:
    Path("photos/list.txt").write_text("\ufeff# two of them\nmore/c.png\n\n  a.png\n", encoding="utf-8")
    assert values("photos/list.txt") == [3, 1]


def test_an_iterable_holds_what_else_is_a_source(photos: Path) -> None:
    members = [picture(9), "photos/b.png", photos, torch.full((3, 4, 6), 7, dtype=torch.uint8)]
    assert values(members) == [9, 2, 1, 2, 3, 7]
    assert values(iter(members)) == [9, 2, 1, 2, 3, 7]
    assert values([]) == []


def test_a_member_that_is_not_there_says_so_in_its_turn(photos: Path) -> None:
    with open_source(["photos/a.png", "nowhere.png", "photos/b.png"]) as opened:
        first, second, third = opened
    assert int(first.load()[0, 0, 0]) == 1
    with pytest.raises(DataError, match=r"^nowhere\.png: no such image, video or folder$"):
        second.load()
    assert int(third.load()[0, 0, 0]) == 2


def test_several_at_once_are_looked_for_before_the_first_is_read(photos: Path) -> None:
    with open_all(["photos", "photos/a.png"]) as opened:
        assert (opened.count, [int(item.load()[0, 0, 0]) for item in opened]) == (4, [1, 2, 3, 1])
    with pytest.raises(DataError, match=r"^nowhere: no such image, video or folder$"):
        open_all(["photos", "nowhere"])


@pytest.mark.parametrize(
    ("image", "pixel"),
    [
        (np.full((4, 6), 5, np.uint8), [5, 5, 5]),
        (np.full((4, 6, 1), 5, np.uint8), [5, 5, 5]),
        (np.full((4, 6, 3), (1, 2, 3), np.uint8), [1, 2, 3]),
        (np.full((4, 6, 4), (1, 2, 3, 4), np.uint8), [1, 2, 3]),
        (np.full((4, 6, 3), (1, 2, 3), np.uint8)[::-1, ::-1], [1, 2, 3]),
        (torch.full((4, 6), 5, dtype=torch.uint8), [5, 5, 5]),
        (torch.full((1, 4, 6), 5, dtype=torch.uint8), [5, 5, 5]),
        (Image.new("RGB", (6, 4), (1, 2, 3)), [1, 2, 3]),
        (Image.new("L", (6, 4), 5), [5, 5, 5]),
        (Image.new("RGBA", (6, 4), (1, 2, 3, 4)), [1, 2, 3]),
        (Image.new("CMYK", (6, 4), (0, 0, 0, 255)), [0, 0, 0]),
        (Image.fromarray(np.full((4, 6), 5 * 256 + 200, np.uint16)), [5, 5, 5]),
    ],
)
def test_images_in_memory(image: Any, pixel: list[int]) -> None:
    with open_source(image) as opened:
        (item,) = opened
        loaded = item.load()
        assert (opened.one, loaded.shape, loaded.dtype) == (True, (3, 4, 6), torch.uint8)
        assert isinstance(loaded, tv_tensors.Image)
        assert loaded[:, 0, 0].tolist() == pixel


def test_a_picture_of_pil_is_turned_as_its_exif_says(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (6, 4)).save(tmp_path / "a.jpg", exif=exif)
    with Image.open(tmp_path / "a.jpg") as picture, open_source(picture) as opened:
        assert next(iter(opened)).load().shape == (3, 6, 4)


def test_an_array_may_change_after_it_was_given() -> None:
    array = picture(3)
    with open_source(array) as opened:
        loaded = next(iter(opened)).load()
        array[:] = 0
    assert int(loaded.max()) == 3


@pytest.mark.parametrize(
    ("source", "sentence"),
    [
        (
            np.zeros((4, 6, 3), np.float32),
            "array: expected uint8 [H,W,3] RGB or grey [H,W], got float32 [4, 6, 3]; values go from 0 to 255, the "
            "model's own scaling comes after",
        ),
        (
            np.zeros((2, 4, 6, 3), np.uint8),
            "array: expected uint8 [H,W,3] RGB or grey [H,W], got uint8 [2, 4, 6, 3]; give several images as a list",
        ),
        (np.zeros((0, 6, 3), np.uint8), "array: expected uint8 [H,W,3] RGB or grey [H,W], got uint8 [0, 6, 3]"),
        (
            torch.zeros(4, 6, 3, dtype=torch.uint8)[None],
            "tensor: expected uint8 [3,H,W] RGB or grey [H,W], got uint8 [1, 4, 6, 3]; give several images as a list",
        ),
        (None, "source: expected a path, an address, an image or several of them, got None"),
        (True, "source: expected a path, an address, an image or several of them, got True"),
        (1.5, "source: expected a path, an address, an image or several of them, got float"),
        ("nowhere", "nowhere: no such image, video or folder"),
        ("*.jpg", "*.jpg: no image fits"),
        ("*.md", "*.md: no image fits; 1 other files or folders fit"),
        ("empty.txt", "empty.txt: lists no image; expected one path a line"),
        ("empty.zip", "empty.zip: no image in the zip; looked for .bmp, .gif, .jpeg, .jpg, .png, .tif, .tiff, .webp"),
        ("broken.mp4", "broken.mp4: is not a video that can be read"),
        (63, "camera 63: cannot be opened; is it there, and free?"),
        (
            "rtsp://me:secret@127.0.0.1:1/x",
            "rtsp://127.0.0.1:1/x: cannot be opened; is it sent, and can this machine reach it?",
        ),
    ],
)
def test_what_is_no_source_is_refused_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, source: Any, sentence: str
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("empty.txt").write_text("# nothing\n")
    Path("broken.mp4").write_bytes(b"no video")
    Path("x.md").touch()
    with zipfile.ZipFile("empty.zip", "w") as file:
        file.writestr("notes.md", "no image")
    assert problem(source) == sentence


# Videos


def film(path: Path, count: int = 7, fps: float = 5.0) -> Path:
    """Write frames whose grey level is 30 times their number."""
    out = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"MJPG"), fps, (64, 48))  # type: ignore[attr-defined]
    for number in range(count):
        out.write(np.full((48, 64, 3), 30 * number, np.uint8))
    out.release()
    return path


@pytest.mark.parametrize(("every", "numbers"), [(1, [0, 1, 2, 3, 4, 5, 6]), (3, [0, 3, 6]), (7, [0]), (100, [0])])
def test_frames_of_a_video_in_order(tmp_path: Path, every: int, numbers: list[int]) -> None:
    path = film(tmp_path / "film.avi")
    with open_source(path, every=every) as opened:
        assert opened.video is not None
        assert (opened.one, opened.count, opened.video.fps, opened.video.size) == (False, len(numbers), 5.0, (48, 64))
        items = list(opened)
    assert [item.frame for item in items] == numbers
    assert [item.seconds for item in items] == [number / 5 for number in numbers]
    assert items[0].id == f"{path}#0"
    assert [round(int(item.load().float().mean()) / 30) for item in items] == numbers


class Camera:
    """Stands for what OpenCV opens: a number of frames, each after some seconds."""

    def __init__(self, count: int, seconds: float) -> None:
        self.left, self.seconds, self.released = count, seconds, False

    def get(self, key: int) -> float:
        return {cv2.CAP_PROP_FRAME_HEIGHT: 4.0, cv2.CAP_PROP_FRAME_WIDTH: 6.0}.get(key, 0.0)

    def read(self) -> tuple[bool, Any]:
        time.sleep(self.seconds)
        self.left -= 1
        return self.left >= 0, picture(self.left % 256)

    def release(self) -> None:
        self.released = True


def test_a_camera_gives_the_newest_frame(monkeypatch: pytest.MonkeyPatch) -> None:
    camera = Camera(50, 0.004)
    monkeypatch.setattr(vf.sources.video, "_opened", lambda what: camera)
    seen = []
    with open_source(0) as opened:
        assert opened.video is not None
        assert opened.video.live
        for item in opened:
            seen.append(item.frame)
            time.sleep(0.04)
    assert camera.released
    assert seen == sorted(set(seen))
    assert 1 < len(seen) < 25  # the others passed while nobody looked
    assert seen[-1] == 49


def test_a_camera_that_is_closed_ends_its_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    camera = Camera(10**9, 0.001)
    monkeypatch.setattr(vf.sources.video, "_opened", lambda what: camera)
    with open_source(0) as opened:
        next(iter(opened))
    assert camera.released
    assert not [thread for thread in threading.enumerate() if thread.name == "vf-camera"]


def test_decoding_on_a_gpu_wants_torchcodec(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "torchcodec.decoders", None)
    with pytest.raises(SetupError, match=r"^--decode gpu: torchcodec is not installed; pip install a torchcodec for "):
        open_source(film(tmp_path / "film.avi"), decoder="gpu")


# Addresses


class Handler(http.server.BaseHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""

    def do_GET(self) -> None:
        name = self.path.partition("?")[0]
        if name == "/elsewhere":
            self.send_response(302)
            self.send_header("Location", "file:///etc/hostname")
            self.end_headers()
            return
        if name == "/moved":
            self.send_response(302)
            self.send_header("Location", "/a.png")
            self.end_headers()
            return
        data = self.server.files.get(name)  # type: ignore[attr-defined]
        if data is None:
            self.send_error(404)
            return
        self.send_response(200)
        self.send_header("Content-Length", str(len(data) + (100 if name == "/cut.png" else 0)))
        self.end_headers()
        self.wfile.write(data)


@pytest.fixture
def server(photos: Path) -> Iterator[str]:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    with zipfile.ZipFile("p.zip", "w") as file:
        file.write("photos/a.png", "a.png")
    data = Path("photos/a.png").read_bytes()
    film(Path("film.avi"), 2)
    server.files = {  # type: ignore[attr-defined]
        "/a.png": data,
        "/plain": data,
        "/cut.png": data,
        "/p.zip": Path("p.zip").read_bytes(),
        "/zipped": Path("p.zip").read_bytes(),
        "/film.avi": Path("film.avi").read_bytes(),
    }
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.mark.parametrize(
    ("name", "found", "one"),
    [
        ("a.png?token=secret", [1], True),
        ("plain", [1], True),
        ("moved", [1], True),
        ("p.zip", [1], False),
        ("zipped", [1], False),
        ("film.avi", [0, 30], False),
    ],
)
def test_a_file_of_an_address_is_fetched_and_removed(
    server: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str, found: list[int], one: bool
) -> None:
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "temporary"))
    with open_source(f"{server}/{name}") as opened:
        items = list(opened)
        assert opened.one == one
        assert items[0].id.startswith(f"{server}/{name.partition('?')[0]}")
        assert "secret" not in items[0].id
        assert [round(int(item.load()[0, 0, 0]) / max(1, found[-1])) for item in items] == [
            round(value / max(1, found[-1])) for value in found
        ]
        assert list((tmp_path / "temporary").iterdir())
    assert not list((tmp_path / "temporary").iterdir())


def test_an_address_is_refused_in_one_line(server: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "temporary"))
    assert problem(f"{server}/missing.png") == f"{server}/missing.png: the server answers 404 Not Found"
    assert problem(f"{server}/elsewhere") == (
        f"{server}/elsewhere: the server answers 302 Found - Redirection to url 'file:///etc/hostname' is not allowed"
    )
    size = len(Path("photos/a.png").read_bytes())
    assert problem(f"{server}/cut.png") == f"{server}/cut.png: was cut off after {size} of {size + 100} bytes"
    assert problem("http://127.0.0.1:1/a.png") == "http://127.0.0.1:1/a.png: cannot be reached: Connection refused"
    monkeypatch.setattr(vf.sources.web, "LARGEST", 10)
    assert problem(f"{server}/a.png") == f"{server}/a.png: has 0 MB; at most 0 MB are fetched"
    monkeypatch.setattr(vf.sources.web, "LARGEST", 10**6)
    monkeypatch.setattr(vf.sources.web, "LONGEST", -1.0)
    assert problem(f"{server}/a.png").startswith(f"{server}/a.png: was not there after -1 s")
    assert not list((tmp_path / "temporary").iterdir())
