"""Folders and zips: the same bytes under the same names, in every process."""

from __future__ import annotations

import os
import pickle
import struct
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from vf.data.joined import Joined
from vf.data.storage import Folder, Storage, Zip, open_storage
from vf.errors import DataError

FILES = {
    "top.txt": b"top",
    "images/a.jpg": b"a" * 4000,
    "images/b.jpg": os.urandom(300),
    "images/deep/ä.jpg": b"",
    "labels/a.txt": b"0 1 2",
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Write the files into a folder."""
    for name, data in FILES.items():
        path = tmp_path / "folder" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return tmp_path / "folder"


def zipped(path: Path, *, prefix: str = "", method: int = zipfile.ZIP_DEFLATED) -> Path:
    with zipfile.ZipFile(path, "w", method) as file:
        for name, data in FILES.items():
            file.writestr(prefix + name, data)
    return path


@pytest.fixture(params=["folder", "deflated", "stored", "in one folder", "joined"])
def storage(request: pytest.FixtureRequest, folder: Path, tmp_path: Path) -> Storage:
    """The same files in every kind of place."""
    match request.param:
        case "folder":
            return open_storage(folder)
        case "deflated":
            return open_storage(zipped(tmp_path / "data.zip"))
        case "stored":
            return open_storage(str(zipped(tmp_path / "data.zip", method=zipfile.ZIP_STORED)))
        case "in one folder":
            return open_storage(zipped(tmp_path / "data.zip", prefix="data/v1/"))
    return Joined({"x": Folder(tmp_path), "y": open_storage(zipped(tmp_path / "data.zip"))}).within("y")


def test_every_kind_gives_the_same(storage: Storage) -> None:
    for name, data in FILES.items():
        assert storage.has(name)
        assert storage.read(name) == data
        assert storage.size(name) == len(data)
    assert (storage.files(), storage.folders()) == (["top.txt"], ["images", "labels"])
    assert (storage.files("images"), storage.folders("images")) == (["a.jpg", "b.jpg"], ["deep"])
    assert (storage.files("nowhere"), storage.folders("nowhere"), storage.files("top.txt")) == ([], [], [])
    assert not storage.has("images")
    assert not storage.has("images/c.jpg")
    assert storage.has_folder("images/deep")
    assert not storage.has_folder("top.txt/x")
    inner = storage.within("images").within("deep")
    assert inner.files() == ["ä.jpg"]
    assert inner.read("../a.jpg") == FILES["images/a.jpg"]
    assert storage.within("images").where("a.jpg") == storage.where("images/a.jpg")


def test_what_is_missing_is_one_line(storage: Storage) -> None:
    with pytest.raises(DataError) as error:
        storage.read("images/c.jpg")
    assert error.value.problems[0].startswith(f"{storage.where('images/c.jpg')}: no such file")


def test_it_is_tiny_to_pickle_and_reads_on(storage: Storage) -> None:
    assert storage.read("top.txt") == b"top"
    text = pickle.dumps(storage)
    assert len(text) < 400
    assert pickle.loads(text).read("images/a.jpg") == FILES["images/a.jpg"]


def test_a_zip_stands_for_the_folder_of_its_name(tmp_path: Path) -> None:
    zipped(tmp_path / "train2017.zip", prefix="train2017/")
    root = open_storage(tmp_path)
    assert root.has_folder("train2017")
    assert root.files("train2017") == ["top.txt"]
    assert root.folders("train2017.zip") == ["images", "labels"]
    for name in ("train2017", "train2017.zip"):
        assert root.within(name).read("top.txt") == b"top"
    assert root.within("train2017").where("top.txt") == f"{tmp_path}/train2017.zip/train2017/top.txt"


def test_a_zip_of_one_split_keeps_the_folder_of_the_split(tmp_path: Path) -> None:
    zipped(tmp_path / "test.zip", prefix="v1/test/")
    assert open_storage(tmp_path / "test.zip").folders() == ["test"]
    assert Folder(tmp_path).within("test").files() == ["top.txt"]  # there it stands for the folder itself


def test_places_joined(folder: Path, tmp_path: Path) -> None:
    joined = Joined({"one": Folder(folder), "two": open_storage(zipped(tmp_path / "data.zip"))})
    assert joined.folders() == ["one", "two"]
    assert joined.files("one/images") == joined.files("two/images") == ["a.jpg", "b.jpg"]
    assert joined.folders("two") == ["images", "labels"]
    assert joined.read("two/images/b.jpg") == FILES["images/b.jpg"]
    assert joined.size("one/top.txt") == 3
    assert (joined.has("three/top.txt"), joined.has_folder("three"), joined.size("three/x")) == (False, False, 0)
    assert (joined.files("three"), joined.folders("three")) == ([], [])
    assert joined.within("two/images").files() == ["a.jpg", "b.jpg"]
    assert joined.where() == f"{folder} and {tmp_path}/data.zip"
    for act in (joined.read, joined.within):
        with pytest.raises(DataError, match=r"three: no such f.*one, two$"):
            act("three")


def test_forked_processes_read_at_once(tmp_path: Path) -> None:
    storage = open_storage(zipped(tmp_path / "data.zip"))
    expected = everything(storage)
    children = []
    for _ in range(2):
        children.append(os.fork())
        if not children[-1]:
            os._exit(everything(storage) != expected)
    assert everything(storage) == expected
    assert [os.waitpid(child, 0)[1] for child in children] == [0, 0]
    assert everything(storage) == expected


def test_a_spawned_process_opens_it_anew(tmp_path: Path) -> None:
    storage = open_storage(zipped(tmp_path / "data.zip"))
    expected = everything(storage)
    code = (
        "import pickle, sys; storage, names = pickle.load(sys.stdin.buffer); "
        "sys.stdout.buffer.write(b''.join(map(storage.read, names)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], input=pickle.dumps((storage, list(FILES) * 20)), capture_output=True, check=True
    )
    assert done.stdout == b"".join(expected)


def everything(storage: Storage) -> list[bytes]:
    return [storage.read(name) for name in list(FILES) * 20]


def test_handles_are_closed(tmp_path: Path) -> None:
    storage = open_storage(zipped(tmp_path / "data.zip"))
    before = len(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else 0
    storage.read("top.txt")
    storage.within("images").read("a.jpg")
    del storage
    assert (len(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else 0) == before


def test_it_reads_without_pread(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "pread", raising=False)
    storage = open_storage(zipped(tmp_path / "data.zip"))
    assert storage.read("images/b.jpg") == FILES["images/b.jpg"]


def damaged(path: Path, change: Callable[[bytearray], None]) -> Storage:
    data = bytearray(zipped(path, method=zipfile.ZIP_STORED).read_bytes())
    change(data)
    path.write_bytes(data)
    return open_storage(path)


def problem(storage: Storage, name: str = "images/a.jpg") -> str:
    with pytest.raises(DataError) as error:
        storage.read(name)
    return error.value.problems[0]


def test_broken_zips_are_one_line(tmp_path: Path) -> None:
    path = tmp_path / "data.zip"

    def flip(data: bytearray) -> None:
        data[data.index(b"aaaa")] = 0

    assert problem(damaged(path, flip)) == f"{path}/images/a.jpg: is damaged in the zip: its checksum is another one"
    for cut in (-1, 100, 0):
        path.write_bytes(zipped(path).read_bytes()[:cut])
        with pytest.raises(DataError) as error:
            open_storage(path)
        sentence = "is no zip that can be read: File is not a zip file; is it downloaded to its end?"
        assert error.value.problems == (f"{path}: {sentence}",)
    zipped(path, method=zipfile.ZIP_LZMA)
    only = "only stored and deflated files are read from a zip"
    assert problem(open_storage(path)) == f"{path}/images/a.jpg: is compressed by method 14; {only}"

    def encrypt(data: bytearray) -> None:
        at = data.index(b"PK\1\2")
        while at >= 0:
            data[at + 8 : at + 10] = struct.pack("<H", 1)
            at = data.find(b"PK\1\2", at + 1)

    assert problem(damaged(path, encrypt)) == f"{path}/images/a.jpg: is encrypted; {only}"


def test_a_zip_that_is_gone_or_cut_while_it_is_read(tmp_path: Path) -> None:
    path = zipped(tmp_path / "data.zip")
    storage = open_storage(path)
    with path.open("r+b") as file:
        file.truncate(10)
    assert problem(storage).startswith(f"{path}/images/a.jpg: cannot be read from the zip: ")
    path.unlink()
    gone = Zip(pickle.loads(pickle.dumps(storage))._archive, "")
    assert problem(gone) == f"{path}: cannot be read: No such file or directory"


def test_there_is_nothing(tmp_path: Path) -> None:
    with pytest.raises(DataError) as error:
        open_storage(tmp_path / "x")
    assert error.value.problems == (f"{tmp_path}/x: no such folder or zip",)


def test_a_file_that_may_not_be_read(folder: Path) -> None:
    (folder / "loop").symlink_to(folder / "loop")
    with pytest.raises(DataError) as error:
        open_storage(folder).read("loop")
    assert error.value.problems[0].startswith(f"{folder}/loop: cannot be read: ")


def test_what_tools_add_is_left_out_and_the_last_of_two_counts(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as file:
        file.mkdir("d")
        file.writestr("__MACOSX/d/._a.txt", "x")
        file.writestr("d/a.txt", "old")
        with pytest.warns(UserWarning, match="Duplicate name"):
            file.writestr("d/a.txt", "new")
    storage = open_storage(tmp_path / "a.zip")
    assert storage.files() == ["a.txt"]
    assert storage.read("a.txt") == b"new"


def test_a_large_table_of_contents_takes_little(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as file:
        for i in range(3000):
            file.writestr(f"images/{i:012d}.jpg", str(i))
        file.writestr("x", "")
    storage = open_storage(tmp_path / "a.zip")
    assert all(storage.read(f"images/{i:012d}.jpg") == str(i).encode() for i in np.arange(0, 3000, 37).tolist())
    entries = storage._archive.entries  # type: ignore[attr-defined]
    assert sum(len(getattr(entries, k)) * getattr(entries, k).itemsize for k in ("keys", "offsets", "packed")) == 72_024


def test_it_is_free_of_torch_and_numpy() -> None:
    probe = "import sys, vf.data.storage; print([m for m in ('torch', 'numpy') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_heads_of_files(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    content = bytes(range(256)) * 400
    (tmp_path / "in" / "a").write_bytes(content)
    for method in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        with zipfile.ZipFile(tmp_path / f"{method}.zip", "w", method) as file:
            file.write(tmp_path / "in" / "a", "a")
    places = [Folder(tmp_path / "in"), *(open_storage(tmp_path / f"{m}.zip") for m in (0, 8))]
    for place in [*places, Joined({"x": places[0]}).within("x")]:
        for count in (1, 300, 70_000, 10**7):
            assert place.head("a", count) == content[:count]
        with pytest.raises(DataError, match="no such file"):
            place.head("b", 1)
    assert Joined({"x": places[1]}).head("x/a", 3) == content[:3]
