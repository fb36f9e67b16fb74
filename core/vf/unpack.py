"""Unpack zip and tar files of others: nothing is written outside of the folder, and no link is made."""

from __future__ import annotations

import posixpath
import re
import shutil
import tarfile
import zipfile
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import IO

import attrs

from vf.errors import DataError

CHUNK = 1 << 20


@attrs.frozen
class _Member:
    """One file of an archive."""

    name: str
    size: int
    open: Callable[[], IO[bytes]]


def unpack(
    archive: Path, folder: Path, *, strip: str = "", progress: Callable[[int, int], None] = lambda done, total: None
) -> list[str]:
    """Write the files of an archive under a folder. All names are looked at before anything is written.

    Files that are there with the right size stay, so that what was interrupted goes on.

    Args:
        archive: zip, or tar in any compression.
        folder: where to; made if it is not there.
        strip: folder that names begin with and that is left out.
        progress: takes bytes written and bytes in all.

    Returns:
        the names of the files, as written.

    Raises:
        DataError: the archive is damaged, or a name in it leads out of the folder, or the disk is full.
    """
    try:
        with closing(_opened(archive)) as file:
            members = list(_zip_members(archive, file) if isinstance(file, zipfile.ZipFile) else _tar(archive, file))
            for member in members:
                _refuse_outside(archive, member.name)
            members = [attrs.evolve(m, name=m.name.removeprefix("./").removeprefix(f"{strip}/")) for m in members]
            _need_room(archive, folder, members)
            _write(members, folder, progress)
    except (zipfile.BadZipFile, tarfile.TarError, EOFError, NotImplementedError) as error:
        raise DataError(f"{archive}: cannot be unpacked: {error}; delete it and fetch it again") from None
    except OSError as error:
        raise DataError(f"{archive}: cannot be unpacked into {folder}: {error.strerror or error}") from None
    return [member.name for member in members]


def _opened(archive: Path) -> zipfile.ZipFile | tarfile.TarFile:
    return zipfile.ZipFile(archive) if zipfile.is_zipfile(archive) else tarfile.open(archive)


def _zip_members(archive: Path, file: zipfile.ZipFile) -> Iterator[_Member]:
    for info in file.infolist():
        if info.external_attr >> 28 == 0xA:  # the file type of Unix: a symbolic link
            raise DataError(f"{archive}: {info.filename!r} is a link; refused, nothing is unpacked")
        if not info.is_dir() and not info.filename.startswith("__MACOSX/"):
            yield _Member(info.filename, info.file_size, lambda info=info: file.open(info))  # type: ignore[misc]


def _tar(archive: Path, file: tarfile.TarFile) -> Iterator[_Member]:
    for info in file:
        if info.isdir():
            continue
        if not info.isreg():
            raise DataError(f"{archive}: {info.name!r} is no plain file; refused, nothing is unpacked")
        yield _Member(info.name, info.size, lambda info=info: _extracted(file, info))  # type: ignore[misc]


def _extracted(file: tarfile.TarFile, info: tarfile.TarInfo) -> IO[bytes]:
    opened = file.extractfile(info)
    assert opened is not None, f"{info.name} is a plain file"
    return opened


def _refuse_outside(archive: Path, name: str) -> None:
    parts = name.replace("\\", "/").split("/")
    if name.startswith(("/", "\\")) or ".." in parts or re.match(r"[A-Za-z]:", name) or "\0" in name:
        raise DataError(f"{archive}: {name!r} would be written outside of the folder; refused, nothing is unpacked")


def _need_room(archive: Path, folder: Path, members: list[_Member]) -> None:
    """Raise where the disk is too small for what is missing yet, also what an archive claims to have."""
    need = sum(m.size for m in members if not _is_there(folder / m.name, m.size))
    place = next(p for p in (folder, *folder.parents) if p.exists())
    free = shutil.disk_usage(place).free
    if need > free:
        raise DataError(
            f"{archive}: unpacked it takes {need / 1e9:.1f} GB more, the disk of {folder} has {free / 1e9:.1f} GB; "
            "make room, or take another folder"
        )


def _is_there(path: Path, size: int) -> bool:
    return path.is_file() and path.stat().st_size == size


def _write(members: list[_Member], folder: Path, progress: Callable[[int, int], None]) -> None:
    total, done = sum(member.size for member in members), 0
    for member in members:
        target = folder / posixpath.normpath(member.name)
        if not _is_there(target, member.size):
            target.parent.mkdir(parents=True, exist_ok=True)
            # A link that lies there is not written through.
            if target.is_symlink():
                target.unlink()
            with member.open() as source, target.open("wb") as sink:
                shutil.copyfileobj(source, sink, CHUNK)
        done += member.size
        progress(done, total)
