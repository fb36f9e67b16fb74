"""Data sets from a server in this process: in threads, cut, stopped, wrong, unpacked, and not fetched twice."""

from __future__ import annotations

import hashlib
import http.server
import io
import shutil
import threading
import zipfile
from collections import namedtuple
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import attrs
import pytest

import vf.downloading
import vf.fetch
from vf.console import Console
from vf.downloading import Fetching, check_mirror, choose
from vf.downloads import RemoteFile
from vf.errors import ConfigError, DataError
from vf.fetch import StoppedError

Usage = namedtuple("Usage", "total used free")


def archive(**files: str) -> bytes:
    """Return a zip of texts."""
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as file:
        for name, text in files.items():
            file.writestr(name, text)
    return data.getvalue()


class Server(http.server.ThreadingHTTPServer):
    """Serves ``contents`` by name; cuts the connection after so many bytes, one number a request of a name."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.contents = {
            "labels.zip": archive(**{"annotations/train.json": "{}"}),
            "images.zip": archive(**{f"train/{i}.jpg": "x" * 400 for i in range(20)}),
        }
        self.cuts: dict[str, list[int]] = {}
        self.seen: list[tuple[str, str | None]] = []

    def url(self, name: str) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/{name}"


class Handler(http.server.BaseHTTPRequestHandler):
    server: Server

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""

    def do_GET(self) -> None:
        name, wanted = self.path[1:], self.headers["Range"]
        self.server.seen.append((name, wanted))
        if name not in self.server.contents:
            self.send_error(404)
            return
        whole = self.server.contents[name]
        start = int(wanted[6:-1]) if wanted else 0
        self.send_response(206 if wanted else 200)
        if wanted:
            self.send_header("Content-Range", f"bytes {start}-{len(whole) - 1}/{len(whole)}")
        self.send_header("Content-Length", str(len(whole) - start))
        self.send_header("ETag", '"one"')
        self.end_headers()
        cuts = self.server.cuts.get(name, [])
        self.wfile.write(whole[start:][: cuts.pop(0) if cuts else len(whole)])


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setattr(vf.fetch, "PAUSE", 0)
    monkeypatch.setattr(vf.downloading, "TICK", 0.01)
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with Server() as served:
        thread = threading.Thread(target=served.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield served
        served.shutdown()
        thread.join()


class Trial:
    """A data set of the server, fetched into a folder as often as asked."""

    def __init__(self, server: Server, folder: Path) -> None:
        self.server, self.folder = server, folder
        self.files = [self.file("labels.zip"), self.file("images.zip", stays=True)]
        self.out = io.StringIO()

    def file(self, name: str, **facts: Any) -> RemoteFile:
        data = self.server.contents.get(name, b"")
        told = {"size": len(data), "digest": f"sha256:{hashlib.sha256(data).hexdigest()}", "part": "train"}
        return RemoteFile(url=self.server.url(name), **{**told, **facts})

    def fetching(self, **options: Any) -> Fetching:
        return Fetching(self.folder, choose(self.files, (), **options), Console(self.out), threads=4)

    def run(self, *, delete: bool = False, finish: Any = None, **options: Any) -> list[str]:
        self.out.truncate(0)
        self.out.seek(0)
        self.fetching(**options).run(delete=delete, finish=finish)
        return self.out.getvalue().splitlines()

    def refused(self, **options: Any) -> list[str]:
        with pytest.raises(DataError) as error:
            self.run(**options)
        return list(error.value.problems)

    def left(self) -> list[str]:
        return sorted(str(p.relative_to(self.folder)) for p in self.folder.rglob("*") if p.is_file())


@pytest.fixture
def trial(server: Server, tmp_path: Path) -> Trial:
    return Trial(server, tmp_path / "data")


STATE = [".vf-download/done.json", ".vf-download/folder.lock"]
IMAGES = sorted(f"train/{i}.jpg" for i in range(20))


def test_a_data_set_comes_once(trial: Trial) -> None:
    lines = trial.run()
    assert sorted(line.partition(",")[0] for line in lines) == [
        f"fetched {trial.folder}/images.zip",
        f"fetched {trial.folder}/labels.zip",
        f"unpacked 1 files of {trial.folder}/labels.zip",
        f"unpacked 20 files of {trial.folder}/images.zip",
    ]
    assert trial.left() == [*STATE, "annotations/train.json", "images.zip", "labels.zip", *IMAGES]
    asked = len(trial.server.seen)
    assert trial.fetching().finished()
    assert trial.run() == []
    assert len(trial.server.seen) == asked


def test_archives_are_deleted_when_all_is_unpacked(trial: Trial) -> None:
    trial.run(delete=True)
    assert trial.left() == [*STATE, "annotations/train.json", *IMAGES]
    assert trial.run(delete=True) == []
    assert len(trial.server.seen) == 2


def test_what_was_unpacked_and_taken_away_is_fetched_again(trial: Trial) -> None:
    trial.run(delete=True)
    shutil.rmtree(trial.folder / "train")
    assert not trial.fetching().finished()
    trial.run()
    assert trial.left() == [*STATE, "annotations/train.json", "images.zip", *IMAGES]


def test_zips_that_can_be_read_stay(trial: Trial) -> None:
    trial.run(delete=True, unzip=False)
    assert trial.left() == [*STATE, "annotations/train.json", "images.zip"]
    assert trial.fetching(unzip=False).finished()
    trial.run()
    assert "train/0.jpg" in trial.left()
    assert len(trial.server.seen) == 2


def test_a_cut_connection_goes_on_where_it_ended(trial: Trial) -> None:
    trial.server.cuts["images.zip"] = [1000, 500]
    trial.run()
    assert [r for name, r in trial.server.seen if name == "images.zip"] == [None, "bytes=1000-", "bytes=1500-"]


def test_one_that_fails_does_not_stop_the_others(trial: Trial) -> None:
    trial.files.append(trial.file("missing.zip", size=None, digest=""))
    url = trial.server.url("missing.zip")
    assert trial.refused() == [f"{url}: HTTP 404 Not Found; check the address, or fetch the file yourself"]
    assert trial.left() == [*STATE, "images.zip", "labels.zip"]
    trial.server.contents["missing.zip"] = archive(more="x")
    trial.run()
    assert [name for name, _ in trial.server.seen[3:]] == ["missing.zip"]


def test_a_later_command_goes_on(trial: Trial) -> None:
    trial.server.cuts["images.zip"] = [100, 100, 100, 100]
    url, size = trial.server.url("images.zip"), len(trial.server.contents["images.zip"])
    sentence = f"connection cut after 400 of {size} bytes, after 4 tries; the same command goes on from there"
    assert trial.refused() == [f"{url}: {sentence}"]
    assert trial.left() == [*STATE, ".vf-download/images.zip.part", ".vf-download/images.zip.part.json", "labels.zip"]
    trial.run()
    assert trial.server.seen[-1] == ("images.zip", "bytes=400-")


@pytest.mark.parametrize("kind", ["sha256", "md5"])
def test_a_wrong_checksum(trial: Trial, kind: str) -> None:
    digits = "0" * (64 if kind == "sha256" else 32)
    trial.files = [trial.file("labels.zip", digest=f"{kind}:{digits}")]
    found = hashlib.new(kind, trial.server.contents["labels.zip"]).hexdigest()
    assert trial.refused() == [
        f"{trial.server.url('labels.zip')}: expected {kind} {digits} as published, got {found}; the download is "
        "deleted; try again, or fetch the file yourself"
    ]
    assert trial.left() == [".vf-download/folder.lock"]


def test_another_size_is_refused_before_it_is_fetched(trial: Trial) -> None:
    trial.files = [trial.file("labels.zip", size=5, digest="")]
    size = len(trial.server.contents["labels.zip"])
    assert trial.refused() == [
        f"{trial.server.url('labels.zip')}: expected 5 bytes, the server has {size}; check the address, or fetch the "
        "file yourself"
    ]


def test_no_checksum_is_said(trial: Trial) -> None:
    trial.files = [trial.file("labels.zip", digest="", size=None)]
    assert trial.run()[0].endswith(", checked by size alone: no checksum is published")


def test_a_small_disk(trial: Trial, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda path: Usage(0, 0, 9_000))
    assert trial.refused() == [
        f"{trial.folder}: 0.0 GB are to come, the disk has 0.0 GB; make room, take another --to, or --no-unzip"
    ]
    assert trial.server.seen == []


def test_a_disk_that_gets_full(trial: Trial, monkeypatch: pytest.MonkeyPatch) -> None:
    trial.files = trial.files[:1]

    def full(self: Any, response: Any, start: int, total: int | None) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(vf.fetch._Download, "_write", full)
    where = trial.folder / ".vf-download" / "labels.zip"
    assert trial.refused() == [
        f"{where}: cannot write the download: No space left on device; the same command goes on from there"
    ]


def test_an_archive_that_leads_out_is_refused(trial: Trial) -> None:
    trial.server.contents["labels.zip"] = archive(**{"../evil": "x"})
    trial.files = [trial.file("labels.zip")]
    path = trial.folder / "labels.zip"
    assert trial.refused() == [
        f"{path}: '../evil' would be written outside of the folder; refused, nothing is unpacked"
    ]
    assert not (trial.folder.parent / "evil").exists()


def test_stopped_by_the_user(trial: Trial, monkeypatch: pytest.MonkeyPatch) -> None:
    trial.files = trial.files[1:]
    monkeypatch.setattr(vf.fetch, "CHUNK", 100)
    begun = threading.Event()
    original = vf.fetch._Download._read

    def read(self: Any, response: Any, done: int, total: int | None) -> bytes:
        if done >= 500:
            begun.set()
            self.stop.wait(10)
        return original(self, response, done, total)

    def pressed(*arguments: Any) -> None:
        begun.wait(10)
        raise KeyboardInterrupt

    monkeypatch.setattr(vf.fetch._Download, "_read", read)
    monkeypatch.setattr(Fetching, "_show", pressed)
    with pytest.raises(StoppedError) as stopped:
        trial.run()
    assert str(stopped.value) == "stopped; kept 0.0 MB of images.zip; the same command goes on from there"
    monkeypatch.undo()
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    trial.run()
    assert trial.server.seen[-1] == ("images.zip", "bytes=600-")
    assert len(trial.left()) == 23


def test_what_comes_last_is_done_once(trial: Trial) -> None:
    calls: list[Path] = []

    def finish(folder: Path) -> list[str]:
        calls.append(folder)
        if len(calls) == 1:
            raise DataError("no")
        return ["made labels"]

    assert trial.refused(finish=finish) == ["no"]
    assert trial.run(finish=finish) == ["made labels"]
    assert trial.run(finish=finish) == []
    assert calls == [trial.folder] * 2


def test_a_folder_that_cannot_be_written(trial: Trial) -> None:
    trial.folder.touch()
    assert trial.refused() == [f"{trial.folder}: cannot be written: Not a directory; say another --to"]


def test_parts_and_mirrors() -> None:
    files = [
        RemoteFile(url="http://a/b/both.zip", part="train", size=3),
        RemoteFile(url="http://a/b/both.zip", part="val", size=3),
        RemoteFile(url="http://a/b/val.zip", part="val", size=2, stays=True),
        RemoteFile(url="http://a/b/test.zip", part="test", default=False),
    ]
    assert [one.url for one in choose(files, ())] == ["http://a/b/val.zip", "http://a/b/both.zip"]
    assert [one.url for one in choose(files, ["test"], mirror="http://m/x/")] == ["http://m/x/test.zip"]
    assert [one.unpack for one in choose(files, ["val"], unzip=False)] == [False, True]
    plain = [attrs.evolve(file, archive=False) for file in files]
    assert [one.unpack for one in choose(plain, ["val"])] == [False, False]
    with pytest.raises(ConfigError, match=r"^--parts: no part 'vla'; expected some of train, val, test$"):
        choose(files, ["vla"])
    for url in ("ftp://host/x", "host", "http://"):
        with pytest.raises(ConfigError, match=r"^--mirror .*: expected an address like https://host/folder$"):
            check_mirror(url)


def test_a_digest_that_is_none() -> None:
    with pytest.raises(ValueError, match=r"^http://a: expected a digest like sha256:… or md5:…, got 'sha256:12'$"):
        RemoteFile(url="http://a", part="train", digest="sha256:12")
