"""``vf data download``: what is published is described right, and ends in a layout that ``vf data check`` reads."""

from __future__ import annotations

import http.server
import io
import json
import os
import re
import signal
import subprocess
import sys
import tarfile
import threading
import zipfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import attrs
import pytest

import vf.downloading
import vf_det
from vf.downloads import RemoteFile

Vf = Callable[..., Any]


class Server(http.server.ThreadingHTTPServer):
    """Serves ``contents`` by name; of those in ``slow``, the second half never comes."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.contents: dict[str, bytes] = {}
        self.slow: set[str] = set()
        self.reached = threading.Event()
        self.released = threading.Event()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


class Handler(http.server.BaseHTTPRequestHandler):
    server: Server

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""

    def do_GET(self) -> None:
        name = self.path[1:]
        if name not in self.server.contents:
            self.send_error(404)
            return
        whole = self.server.contents[name]
        start = int((self.headers["Range"] or "bytes=0-")[6:-1])
        self.send_response(206 if start else 200)
        self.send_header("Content-Range", f"bytes {start}-{len(whole) - 1}/{len(whole)}")
        self.send_header("Content-Length", str(len(whole) - start))
        self.send_header("ETag", '"one"')
        self.end_headers()
        if name in self.server.slow:
            self.wfile.write(whole[start : len(whole) // 2])
            self.wfile.flush()
            self.server.reached.set()
            self.server.released.wait(30)
            return
        self.wfile.write(whole[start:])


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Server]:
    monkeypatch.setattr(vf.downloading, "TICK", 0.01)
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.chdir(tmp_path)
    with Server() as served:
        thread = threading.Thread(target=served.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield served
        served.released.set()
        served.shutdown()
        thread.join()


def done(typed: Vf, *arguments: str) -> list[str]:
    said = typed("data", *arguments)
    assert (said.code, said.err) == (0, ""), said.err
    lines: list[str] = said.out.splitlines()
    return lines


def refused(typed: Vf, *arguments: str) -> str:
    said = typed("data", *arguments)
    assert said.code == 2, said.out
    line: str = said.err
    return line.removeprefix("error: ").removesuffix("\n")


def test_balloons_become_coco(typed: Vf, server: Server, layouts: Any) -> None:
    server.contents["balloon_dataset.zip"] = data = layouts.balloons()
    lines = done(typed, "download", "balloon", "--mirror", server.url, "--delete")
    assert lines == [
        f"fetched balloon/balloon_dataset.zip, {len(data) / 1e6:.1f} MB, checked by size alone: no checksum is "
        "published",
        "unpacked 4 files of balloon/balloon_dataset.zip",
        "wrote balloon/annotations/instances_train.json: 1 images, 2 outlines",
        "wrote balloon/annotations/instances_val.json: 1 images, 1 outlines",
        "deleted balloon/balloon_dataset.zip",
        "done  balloon; next: vf data check --data balloon",
    ]
    assert done(typed, "check", "--data", "balloon", "--set", "data.masks=true")[-1].startswith("ok")
    [box, _] = json.loads(Path("balloon/annotations/instances_train.json").read_text())["annotations"]
    assert box["bbox"] == [2.5, 2.5, 10, 6]
    assert box["area"] == 60
    assert done(typed, "download", "balloon", "--mirror", server.url) == ["balloon: all 1 files are there"]


def test_outlines_that_cannot_be_read(typed: Vf, server: Server) -> None:
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as file:
        file.writestr("balloon/train/via_region_data.json", '{"a": {}}')
    server.contents["balloon_dataset.zip"] = data.getvalue()
    assert refused(typed, "download", "balloon", "--mirror", server.url) == (
        "balloon/train/via_region_data.json: cannot be read as outlines of VIA: KeyError: 'regions'"
    )


def unchecked(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """Let small files stand for the large ones of a data set."""
    cls = vf_det.vf_downloads()[name]
    original = cls.build

    def build(self: Any) -> list[RemoteFile]:
        return [attrs.evolve(file, size=None, digest="") for file in original(self)]

    monkeypatch.setattr(cls, "build", build)


def test_coco_and_lvis_end_in_their_layouts(
    typed: Vf, server: Server, layouts: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, make in (("coco2017", layouts.coco), ("lvis", layouts.lvis)):
        unchecked(monkeypatch, name)
        root = make(f"made_{name}")
        labels = {"coco2017": "annotations", "lvis": "."}[name]
        for split in ("train", "val"):
            server.contents[f"{split}2017.zip"] = zipped(root / f"{split}2017", f"{split}2017")
            server.contents[f"lvis_v1_{split}.json.zip"] = zipped(root, "", f"lvis_v1_{split}.json")
        server.contents["annotations_trainval2017.zip"] = zipped(root / labels, "annotations")
        for options in ((), ("--no-unzip",)):
            folder = f"{name}{''.join(options)}"
            done(typed, "download", name, "--mirror", server.url, "--to", folder, *options)
            assert (Path(folder) / "train2017").is_dir() == (not options)
            assert done(typed, "check", "--data", folder)[-1].startswith("ok")


def zipped(folder: Path, inside: str, only: str = "*.*") -> bytes:
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as file:
        for path in sorted(folder.glob(only)):
            file.write(path, Path(inside) / path.name)
    return data.getvalue()


def test_both_years_of_voc_share_a_folder(
    typed: Vf, server: Server, layouts: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = layouts.voc("made")
    for name, members in (
        ("VOCtrainval_06-Nov-2007.tar", "VOC2007"),
        ("VOCtest_06-Nov-2007.tar", "VOC2007"),
        ("VOCtrainval_11-May-2012.tar", "VOC2012"),
    ):
        data = io.BytesIO()
        with tarfile.open(fileobj=data, mode="w") as file:
            file.add(root / members, f"VOCdevkit/{members}")
        server.contents[name] = data.getvalue()
    for name in ("voc2007", "voc2012"):
        unchecked(monkeypatch, name)
        done(typed, "download", name, "--mirror", server.url, "--to", "VOCdevkit")
    said = done(typed, "check", "--data", "VOCdevkit", "--set", "data.holdout=0")
    assert [line.split() for line in said[-5:-2]] == [["split", "images"], ["train", "2"], ["test", "1"]]


def test_the_plan_can_be_looked_at(typed: Vf) -> None:
    assert done(typed, "download", "voc2012", "--dry-run", "--to", "here") == [
        "http://host.robots.ox.ac.uk/pascal/VOC/voc2012/VOCtrainval_11-May-2012.tar  1999.6 MB  md5  -> "
        "here/VOCtrainval_11-May-2012.tar, unpacked",
        "1 files, 1999.6 MB",
    ]
    plan = done(typed, "download", "coco2017", "--dry-run", "--no-unzip", "--parts", "val,panoptic")
    assert [line.split()[0].rpartition("/")[2] for line in plan[:-1]] == [
        *("annotations_trainval2017.zip", "val2017.zip", "panoptic_annotations_trainval2017.zip"),
    ]
    assert plan[1].endswith("-> coco2017/val2017.zip")
    assert not Path("here").exists()


def test_all_that_is_published_is_described() -> None:
    for name, cls in vf_det.vf_downloads().items():
        files = cls().build()
        assert files, name
        assert all(re.fullmatch(r"https?://[\w.-]+/[\w./-]+\.(zip|tar)", file.url) for file in files)
        assert name == "balloon" or all(file.digest and file.size for file in files)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("coco2018",), "unknown download 'coco2018'; did you mean 'coco2017' or 'voc2012'?"),
        (("coco2017", "--parts", "vla"), "--parts: no part 'vla'; expected some of train, val, test, panoptic"),
        (("coco2017", "--mirror", "here"), "--mirror here: expected an address like https://host/folder"),
    ],
)
def test_mistakes(typed: Vf, arguments: tuple[str, ...], sentence: str) -> None:
    assert refused(typed, "download", *arguments) == sentence


def test_a_file_that_the_mirror_lacks(typed: Vf, server: Server) -> None:
    url = f"{server.url}/balloon_dataset.zip"
    assert refused(typed, "download", "balloon", "--mirror", server.url) == (
        f"{url}: HTTP 404 Not Found; check the address, or fetch the file yourself"
    )


def test_ctrl_c_is_one_line_and_the_next_call_goes_on(typed: Vf, server: Server, layouts: Any, tmp_path: Path) -> None:
    server.contents["balloon_dataset.zip"] = data = layouts.balloons()
    server.slow = {"balloon_dataset.zip"}
    command = [sys.executable, "-m", "vf_cli", "data", "download", "balloon", "--mirror", server.url]
    with ExitStack() as stack:
        process = stack.enter_context(
            subprocess.Popen(
                command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=tmp_path, env=dict(os.environ)
            )
        )
        stack.callback(process.kill)  # of one that does not end: nobody waits for it
        assert server.reached.wait(30)
        process.send_signal(signal.SIGINT)
        server.released.set()
        out, err = process.communicate(timeout=30)
    assert process.returncode == 130
    assert (out, err) == ("stopped; kept 0.0 MB of balloon_dataset.zip; the same command goes on from there\n", "")
    part = tmp_path / "balloon" / ".vf-download" / "balloon_dataset.zip.part"
    assert 0 < part.stat().st_size < len(data)
    server.slow = set()
    assert done(typed, "download", "balloon", "--mirror", server.url)[-1].startswith("done")
