"""Archives of others: what is written, and what is refused before anything is."""

from __future__ import annotations

import io
import shutil
import stat
import tarfile
import zipfile
from collections import namedtuple
from pathlib import Path

import pytest

from vf.errors import DataError
from vf.unpack import unpack

Usage = namedtuple("Usage", "total used free")


def zipped(path: Path, files: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w") as file:
        for name, data in files.items():
            file.writestr(name, data)
    return path


def tarred(path: Path, members: list[tarfile.TarInfo]) -> Path:
    with tarfile.open(path, "w") as file:
        for member in members:
            file.addfile(member, io.BytesIO(b"x" * member.size))
    return path


def member(name: str, kind: bytes = tarfile.REGTYPE, link: str = "") -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname, info.size = kind, link, 3 if kind == tarfile.REGTYPE else 0
    return info


def refused(archive: Path, folder: Path) -> str:
    with pytest.raises(DataError) as error:
        unpack(archive, folder)
    assert len(error.value.problems) == 1
    assert not folder.exists() or not list(folder.iterdir())
    return error.value.problems[0]


def test_a_zip(tmp_path: Path) -> None:
    archive = zipped(tmp_path / "a.zip", {"top/a/1.jpg": b"one", "top/2.jpg": b"two", "__MACOSX/top/._2.jpg": b"no"})
    steps: list[tuple[int, int]] = []
    names = unpack(archive, tmp_path / "out", strip="top", progress=lambda done, total: steps.append((done, total)))
    assert names == ["a/1.jpg", "2.jpg"]
    assert (tmp_path / "out" / "a" / "1.jpg").read_bytes() == b"one"
    assert steps == [(3, 6), (6, 6)]
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == ["2.jpg", "a"]


def test_a_tar(tmp_path: Path) -> None:
    archive = tarred(tmp_path / "a.tar", [member("./VOCdevkit", tarfile.DIRTYPE), member("./VOCdevkit/a/1")])
    assert unpack(archive, tmp_path, strip="VOCdevkit") == ["a/1"]
    assert (tmp_path / "a" / "1").read_bytes() == b"xxx"


def test_what_was_interrupted_goes_on(tmp_path: Path) -> None:
    archive = zipped(tmp_path / "a.zip", {"whole": b"same", "half": b"all of it"})
    (tmp_path / "whole").write_bytes(b"SAME")
    (tmp_path / "half").write_bytes(b"all")
    unpack(archive, tmp_path)
    assert ((tmp_path / "whole").read_bytes(), (tmp_path / "half").read_bytes()) == (b"SAME", b"all of it")


@pytest.mark.parametrize("name", ["../evil", "a/../../evil", "/evil", "C:/evil", "a\\..\\evil"])
def test_a_name_that_leads_out(name: str, tmp_path: Path) -> None:
    archive = zipped(tmp_path / "a.zip", {"good": b"x", name: b"x"})
    sentence = "would be written outside of the folder; refused, nothing is unpacked"
    assert refused(archive, tmp_path / "out") == f"{archive}: {name!r} {sentence}"
    assert not (tmp_path / "evil").exists()


def test_a_tar_that_leads_out(tmp_path: Path) -> None:
    archive = tarred(tmp_path / "a.tar", [member("good"), member("../evil")])
    sentence = "would be written outside of the folder; refused, nothing is unpacked"
    assert refused(archive, tmp_path / "out") == f"{archive}: '../evil' {sentence}"


def test_links_are_refused(tmp_path: Path) -> None:
    info = zipfile.ZipInfo("link")
    info.external_attr = (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as file:
        file.writestr(info, "/etc/passwd")
    sentence = f"{tmp_path / 'a.zip'}: 'link' is a link; refused, nothing is unpacked"
    assert refused(tmp_path / "a.zip", tmp_path / "out") == sentence
    for kind in (tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE):
        archive = tarred(tmp_path / "a.tar", [member("odd", kind, "/etc/passwd")])
        sentence = f"{archive}: 'odd' is no plain file; refused, nothing is unpacked"
        assert refused(archive, tmp_path / "out") == sentence


def test_a_link_that_lies_there_is_not_written_through(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "a").symlink_to(tmp_path / "outside")
    unpack(zipped(tmp_path / "a.zip", {"a": b"x"}), tmp_path / "out")
    assert not (tmp_path / "outside").exists()


def test_a_damaged_archive(tmp_path: Path) -> None:
    broken = tmp_path / "a.zip"
    broken.write_bytes(zipped(tmp_path / "b.zip", {"a": b"x" * 100}).read_bytes()[:60])
    assert refused(broken, tmp_path / "out").startswith(f"{broken}: cannot be unpacked: ")


def test_a_full_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    archive = zipped(tmp_path / "a.zip", {"a": b"x" * 100})
    monkeypatch.setattr(shutil, "disk_usage", lambda path: Usage(0, 0, 99))
    sentence = (
        f"{archive}: unpacked it takes 0.0 GB more, the disk of {tmp_path / 'out'} has 0.0 GB; make room, or take "
        "another folder"
    )
    assert refused(archive, tmp_path / "out") == sentence
