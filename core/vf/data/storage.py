"""Where files come from: a folder, or a zip that is read in place. Free of torch and numpy."""

from __future__ import annotations

import os
import posixpath
import struct
import zipfile
import zlib
from array import array
from bisect import bisect_left
from collections.abc import Sequence
from hashlib import blake2b
from pathlib import Path
from typing import Any, Protocol

import attrs

from vf.errors import DataError


class Storage(Protocol):
    """Files by name, relative to a place, with ``/`` between folders. Tiny to pickle, safe to fork."""

    def read(self, name: str) -> bytes:
        """Return a file's bytes; DataError where it is missing or cannot be read."""
        ...

    def head(self, name: str, count: int) -> bytes:
        """Return the first ``count`` bytes of a file, or all that it has."""
        ...

    def has(self, name: str) -> bool:
        """Whether there is such a file."""
        ...

    def has_folder(self, name: str) -> bool:
        """Whether there is such a folder, or a zip that stands for it."""
        ...

    def size(self, name: str) -> int:
        """Bytes of a file that is there."""
        ...

    def files(self, folder: str = "") -> list[str]:
        """Names of the files right in a folder, sorted, without the folder's; empty where there is none."""
        ...

    def folders(self, folder: str = "") -> list[str]:
        """Names of the folders right in a folder, sorted; empty where there is none."""
        ...

    def within(self, folder: str) -> Storage:
        """The same files, seen from a folder."""
        ...

    def where(self, name: str = "") -> str:
        """How messages call a file."""
        ...


SPLIT_FOLDERS = ("train", "training", "val", "valid", "validation", "test", "testing")
"""Names of folders that hold a split."""


def open_storage(path: str | Path) -> Storage:
    """Open a folder or a zip.

    Raises:
        DataError: there is neither, or the zip cannot be read.
    """
    place = Path(path)
    if place.is_dir():
        return Folder(place)
    if place.is_file():
        return Zip.open(place, keep=SPLIT_FOLDERS)
    raise DataError(f"{path}: no such folder or zip")


@attrs.frozen
class Folder:
    """Files of a folder. Where ``NAME`` is missing in it and ``NAME.zip`` is there, that stands for the folder NAME."""

    root: Path
    _start: str = attrs.field(
        init=False,
        repr=False,
        eq=False,
        default=attrs.Factory(lambda self: os.path.join(self.root, ""), takes_self=True),
    )
    """Of all paths: to join them anew takes a tenth of the time in which a word's crop is read and decoded."""

    def read(self, name: str) -> bytes:
        """Return a file's bytes."""
        return self.head(name, -1)

    def head(self, name: str, count: int) -> bytes:
        """Return the first bytes of a file; all of them where ``count`` is negative."""
        try:
            with open(self.where(name), "rb", buffering=0) as file:
                return file.read(count)
        except FileNotFoundError:
            raise DataError(f"{self.where(name)}: no such file") from None
        except OSError as error:
            raise DataError(f"{self.where(name)}: cannot be read: {error.strerror}") from None

    def has(self, name: str) -> bool:
        """Whether there is such a file."""
        return os.path.isfile(self.root / name)

    def has_folder(self, name: str) -> bool:
        """Whether there is such a folder, or a zip that stands for it."""
        return os.path.isdir(self.root / name) or self._zip(name) is not None

    def size(self, name: str) -> int:
        """Bytes of a file."""
        return os.stat(self.root / name).st_size

    def files(self, folder: str = "") -> list[str]:
        """Names of the files right in a folder."""
        if zipped := self._zip(folder):
            return Zip.open(zipped).files()
        return self._names(folder, folders=False)

    def folders(self, folder: str = "") -> list[str]:
        """Names of the folders right in a folder."""
        if zipped := self._zip(folder):
            return Zip.open(zipped).folders()
        return self._names(folder, folders=True)

    def within(self, folder: str) -> Storage:
        """A folder in this one, or a zip."""
        zipped = self._zip(folder)
        return Zip.open(zipped) if zipped else Folder(self.root / folder)

    def where(self, name: str = "") -> str:
        """The path."""
        if name.startswith("/"):
            return name
        return self._start + name if name else str(self.root)

    def _zip(self, name: str) -> Path | None:
        """Return the zip that ``name`` is, or that stands for the folder ``name``."""
        path = self.root / name
        if name in ("", ".") or path.is_dir():
            return None
        beside = path.with_name(f"{path.name}.zip")
        return next((p for p in (path, beside) if p.suffix.lower() == ".zip" and p.is_file()), None)

    def _names(self, folder: str, *, folders: bool) -> list[str]:
        try:
            entries = os.scandir(self.root / folder)
        except (FileNotFoundError, NotADirectoryError):
            return []
        return sorted(entry.name for entry in entries if entry.is_dir() == folders)


class Zip:
    """Files of a zip, stored or deflated, read where they lie: nothing is unpacked.

    Every process reads through a handle of its own. Use :meth:`open`.
    """

    def __init__(self, archive: _Archive, prefix: str) -> None:
        self._archive = archive
        self._prefix = prefix

    @classmethod
    def open(cls, path: Path, *, keep: Sequence[str] = ()) -> Zip:
        """Open a zip; where all of it lies in one folder, as in those of COCO, that folder is the place.

        Args:
            path: of the zip.
            keep: names of folders that stay: a zip of ``test/`` alone is a data set with a test split.

        Raises:
            DataError: it cannot be read.
        """
        root = cls(_Archive(path), "")
        while not root.files() and len(inner := root.folders()) == 1 and inner[0].lower() not in keep:
            root = root.within(inner[0])
        return root

    def read(self, name: str) -> bytes:
        """Return a file's bytes, checked by its checksum."""
        return self._archive.read(self._full(name), self.where(name))

    def head(self, name: str, count: int) -> bytes:
        """Return the first bytes of a file; these are not checked."""
        return self._archive.read(self._full(name), self.where(name), count)

    def has(self, name: str) -> bool:
        """Whether there is such a file."""
        return self._archive.find(self._full(name)) is not None

    def has_folder(self, name: str) -> bool:
        """Whether there is such a folder."""
        return self._full(name) in self._archive.tree

    def size(self, name: str) -> int:
        """Bytes of a file, unpacked."""
        found = self._archive.find(self._full(name))
        return 0 if found is None else self._archive.entries.sizes[found]

    def files(self, folder: str = "") -> list[str]:
        """Names of the files right in a folder."""
        return list(self._archive.tree.get(self._full(folder), ([], []))[0])

    def folders(self, folder: str = "") -> list[str]:
        """Names of the folders right in a folder."""
        return list(self._archive.tree.get(self._full(folder), ([], []))[1])

    def within(self, folder: str) -> Zip:
        """The same zip, seen from a folder of it."""
        return Zip(self._archive, self._full(folder))

    def where(self, name: str = "") -> str:
        """The path of the zip, and the name in it."""
        return str(self._archive.path / self._full(name))

    def _full(self, name: str) -> str:
        full = posixpath.normpath(posixpath.join(self._prefix, name))
        return "" if full == "." else full


@attrs.frozen
class _Entries:
    """A zip's table of contents: 37 bytes a file, in flat arrays that forked processes share."""

    keys: array[int]
    """64 bits of a hash of each name, sorted."""
    offsets: array[int]
    """Of the local header."""
    packed: array[int]
    sizes: array[int]
    checksums: array[int]
    methods: array[int]
    names: bytes
    """All names, sorted, a line each."""


_STORED, _DEFLATED, _ENCRYPTED = 0, 8, 255


class _Archive:
    """One zip file: its table of contents, read once, and a handle for each process that asks."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._entries: _Entries | None = None
        self._tree: dict[str, tuple[list[str], list[str]]] | None = None
        self._handle: tuple[int, int] | None = None

    def __reduce__(self) -> tuple[Any, ...]:
        return _Archive, (self.path,)

    def __del__(self) -> None:
        if self._handle is not None and self._handle[0] == os.getpid():
            os.close(self._handle[1])

    @property
    def entries(self) -> _Entries:
        """The table of contents."""
        if self._entries is None:
            self._entries = _contents(self.path)
        return self._entries

    @property
    def tree(self) -> dict[str, tuple[list[str], list[str]]]:
        """Folder -> the files and the folders right in it."""
        if self._tree is None:
            self._tree = _folders(self.entries.names.decode().splitlines())
        return self._tree

    def find(self, name: str) -> int | None:
        """Return the number of a file, None where there is none."""
        keys, key = self.entries.keys, _key(name)
        at = bisect_left(keys, key)
        return at if at < len(keys) and keys[at] == key else None

    def read(self, name: str, where: str, count: int | None = None) -> bytes:
        """Return a file's bytes, or the first ``count``, unchecked; DataError begins with ``where``."""
        at = self.find(name)
        if at is None:
            raise DataError(f"{where}: no such file in the zip")
        entries, method = self.entries, self.entries.methods[at]
        if method not in (_STORED, _DEFLATED):
            how = "is encrypted" if method == _ENCRYPTED else f"is compressed by method {method}"
            raise DataError(f"{where}: {how}; only stored and deflated files are read from a zip")
        try:
            header = self._pread(30, entries.offsets[at])
            name_length, extra_length = struct.unpack("<HH", header[26:])
            begin, packed = entries.offsets[at] + 30 + name_length + extra_length, entries.packed[at]
            if count is not None:
                # Deflate makes nothing longer but by five bytes in 16 kB: so much of it holds the first of the file.
                data = self._pread(min(packed, count + count // 1024 + 64), begin)
                return zlib.decompressobj(-15).decompress(data, count) if method == _DEFLATED else data[:count]
            data = self._pread(packed, begin)
            data = zlib.decompress(data, -15, max(1, entries.sizes[at])) if method == _DEFLATED else data
        except (OSError, zlib.error, struct.error) as error:
            raise DataError(f"{where}: cannot be read from the zip: {error}") from None
        if zlib.crc32(data) != entries.checksums[at]:
            raise DataError(f"{where}: is damaged in the zip: its checksum is another one")
        return data

    def _pread(self, count: int, offset: int) -> bytes:
        if not hasattr(os, "pread"):
            with self.path.open("rb") as file:
                file.seek(offset)
                return file.read(count)
        if self._handle is None or self._handle[0] != os.getpid():
            self._handle = os.getpid(), os.open(self.path, os.O_RDONLY)
        return os.pread(self._handle[1], count, offset)


def _contents(path: Path) -> _Entries:
    try:
        with zipfile.ZipFile(path) as file:
            infos = [i for i in file.infolist() if not i.is_dir() and not i.filename.startswith("__MACOSX/")]
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror or error}") from None
    except (zipfile.BadZipFile, NotImplementedError, ValueError, struct.error) as error:
        text = str(error).removesuffix(".")
        raise DataError(f"{path}: is no zip that can be read: {text}; is it downloaded to its end?") from None
    infos = sorted({i.filename: i for i in infos}.values(), key=lambda i: _key(i.filename))
    return _Entries(
        keys=array("Q", [_key(i.filename) for i in infos]),
        offsets=array("Q", [i.header_offset for i in infos]),
        packed=array("Q", [i.compress_size for i in infos]),
        sizes=array("Q", [i.file_size for i in infos]),
        checksums=array("I", [i.CRC for i in infos]),
        methods=array("B", [_ENCRYPTED if i.flag_bits & 1 else i.compress_type for i in infos]),
        names="\n".join(sorted(i.filename for i in infos)).encode(),
    )


def _key(name: str) -> int:
    return int.from_bytes(blake2b(name.encode(), digest_size=8).digest(), "little")


def _folders(names: list[str]) -> dict[str, tuple[list[str], list[str]]]:
    tree: dict[str, tuple[list[str], list[str]]] = {"": ([], [])}
    for name in names:
        folder, file = posixpath.split(name)
        missing = []
        while folder not in tree:
            tree[folder] = ([], [])
            missing.append(folder)
            folder = posixpath.dirname(folder)
        for new in missing:
            parent, base = posixpath.split(new)
            tree[parent][1].append(base)
        tree[posixpath.dirname(name)][0].append(file)
    for _, folders in tree.values():
        folders.sort()
    return tree
