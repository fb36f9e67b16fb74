"""Word images in an LMDB: ``num-samples``, ``image-%09d``, ``label-%09d``, counted from 1."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import lmdb

from vf.errors import DataError
from vf.protocols import SPLITS, Split
from vf_ocr.data.reading import Mistakes
from vf_ocr.data.words import Part, Source, Words, with_val

COUNT = b"num-samples"


_OPEN: dict[str, tuple[int, Any]] = {}
"""Real path -> process and handle. An LMDB can be open only once in a process, and a handle that came over a fork is to
be closed before another is opened."""


class LmdbImages:
    """The images of one LMDB by their keys.

    Every process opens a handle of its own when it first reads. It is read without a lock, so that it may lie on a disk
    that nobody may write to.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def read(self, name: str) -> bytes:
        """Return the bytes of an image."""
        try:
            with environment(self.path).begin() as transaction:
                found = transaction.get(name.encode())
        except lmdb.Error as error:
            raise DataError(f"{self.where(name)}: cannot be read: {error}; is the file whole?") from None
        if found is None:
            raise DataError(f"{self.where(name)}: no such key in the LMDB; is it cut short?")
        return bytes(found)

    def where(self, name: str = "") -> str:
        """The path, and the key in it."""
        return f"{self.path}: {name}" if name else str(self.path)


def environment(path: Path) -> Any:
    """Return this process's handle of an LMDB, opened to read it, without a lock.

    Raises:
        DataError: it is none, or its file is shorter than its pages.
    """
    key = str(path)
    opened = _OPEN.get(key)
    if opened is None or opened[0] != os.getpid():
        real = os.path.realpath(path)
        opened = _OPEN.get(real)
        if opened is None or opened[0] != os.getpid():
            if opened is not None:
                opened[1].close()
            opened = os.getpid(), _open(path)
            _OPEN[real] = opened
        _OPEN[key] = opened
    return opened[1]


def _open(path: Path) -> Any:
    file = path / "data.mdb" if path.is_dir() else path
    if not file.is_file():
        raise DataError(f"{path}: no LMDB; expected a folder with data.mdb")
    try:
        handle = lmdb.open(str(path), subdir=path.is_dir(), readonly=True, lock=False, readahead=False, meminit=False)
    except lmdb.Error as error:
        raise DataError(f"{file}: is no LMDB that can be read: {error}") from None
    # A file that was cut short is mapped all the same, and reading what is missing would kill the process.
    needed = (handle.info()["last_pgno"] + 1) * handle.stat()["psize"]
    have = file.stat().st_size
    if have < needed:
        handle.close()
        raise DataError(f"{file}: is cut short: it has {have} bytes, and its pages take {needed}; copy it again")
    return handle


def find(path: Path, folders: Mapping[Split, str]) -> dict[Split, Path]:
    """Return the LMDB of each split: that which is named, SPLIT/, or the path itself as train."""
    found: dict[Split, Path] = {}
    for split in SPLITS:
        given = folders.get(split, "")
        if given:
            found[split] = path / given
        elif is_lmdb(path / split):
            found[split] = path / split
    if not found and is_lmdb(path):
        found["train"] = path
    return found


def is_lmdb(path: Path) -> bool:
    """Whether a folder holds an LMDB, by the name of its file."""
    return (path / "data.mdb").is_file()


def read(path: Path, *, folders: Mapping[Split, str], lenient: bool, holdout: float) -> Source:
    """Read the labels of the LMDBs; DataError with one line for each mistake.

    Args:
        path: of the data set.
        folders: split -> folder of its LMDB, relative to ``path``; empty: looked for.
        lenient: broken entries are left out.
        holdout: part of train to validate on where there is no val.
    """
    found = find(path, folders)
    if not found:
        raise DataError(f"{path}: no LMDB (a folder with data.mdb) in it, nor in train/; or set data.train")
    mistakes = Mistakes(lenient=lenient)
    parts: dict[str, Part] = {split: _part(place, mistakes) for split, place in found.items()}
    mistakes.problems.raise_any()
    cut, notes = with_val(parts, holdout)
    return Source(cut, (*notes, *mistakes.lines()))


def _part(path: Path, mistakes: Mistakes) -> Part:
    rows = []
    try:
        with environment(path).begin(buffers=True) as transaction:
            count = _count(transaction, path)
            for number in range(1, count + 1):
                text = _label(transaction, path, number, count, mistakes)
                if text is not None:
                    rows.append((f"image-{number:09d}", text, 0))
    except lmdb.Error as error:
        raise DataError(f"{path}: cannot be read: {error}; is the file whole?") from None
    return Part(LmdbImages(path), Words.of(rows, str(path)))


def _count(transaction: Any, path: Path) -> int:
    value = transaction.get(COUNT)
    if value is None:
        raise DataError(f"{path}: has no key 'num-samples'; expected num-samples, image-000000001, label-000000001, …")
    try:
        return int(bytes(value))
    except ValueError:
        raise DataError(f"{path}: num-samples is {bytes(value)[:20]!r}, expected a number") from None


def _label(transaction: Any, path: Path, number: int, count: int, mistakes: Mistakes) -> str | None:
    """Return the text of one entry whose image is there, or note what is missing."""
    key = f"label-{number:09d}"
    value = transaction.get(key.encode())
    if value is None or transaction.get(f"image-{number:09d}".encode()) is None:
        missing = key if value is None else f"image-{number:09d}"
        mistakes.add(
            f"{path}: {missing}", f"is missing, and num-samples is {count}; is the LMDB cut short?", "missing entries"
        )
        return None
    try:
        text = bytes(value).decode()
    except UnicodeDecodeError as error:
        mistakes.add(f"{path}: {key}", f"is not UTF-8 (byte {error.start})", "labels that are not UTF-8")
        return None
    if not text.strip():
        mistakes.add(f"{path}: {key}", "empty transcription; expected what is written on it", "empty transcriptions")
        return None
    return text
