"""Images in files: one, a folder of them, those of a pattern, a zip, a list."""

from __future__ import annotations

import functools
import glob
import posixpath
from collections.abc import Iterator
from pathlib import Path, PurePath

from torchvision import tv_tensors

from vf.data.decode import IMAGE_SUFFIXES, decode
from vf.data.storage import Storage, Zip
from vf.errors import DataError
from vf.sources.source import Item, Source

LIST, ZIP = ".txt", ".zip"


def one_file(path: Path, *, id_: str = "") -> Source:
    """Return an image file as a source."""
    return Source(str(path), [_item(path, path.name, id_=id_)], 1, one=True)


def folder(path: Path) -> Source:
    """Return the images of a folder and of the folders in it, sorted by path.

    Raises:
        DataError: there is none.
    """
    files = sorted(p for p in path.rglob("*") if p.suffix.lower() in IMAGE_SUFFIXES and p.is_file())
    if not files:
        raise DataError(f"{path}: no image in it; looked for {', '.join(sorted(IMAGE_SUFFIXES))}")
    return _many(str(path), files, path)


def pattern(text: str) -> Source:
    """Return the images whose paths fit a pattern with ``*``, ``?``, ``[…]`` or ``**``, sorted by path.

    Raises:
        DataError: there is none.
    """
    found = sorted(Path(name) for name in glob.glob(text, recursive=True))
    files = [path for path in found if path.suffix.lower() in IMAGE_SUFFIXES and path.is_file()]
    if not files:
        others = f"; {len(found)} other files or folders fit" if found else ""
        raise DataError(f"{text}: no image fits{others}")
    return _many(text, files, _before(text))


def _before(text: str) -> Path:
    """Return the folders of a pattern before the first part that stands for several names."""
    parts = []
    for part in PurePath(text).parts[:-1]:
        if glob.has_magic(part):
            break
        parts.append(part)
    return Path(*parts)


def listed_in(path: Path) -> Source:
    """Return the images that a text file lists, one path a line, relative to the folder of the file.

    Empty lines are passed over, and those that begin with ``#``.

    Raises:
        DataError: it cannot be read, or lists nothing.
    """
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: cannot be read as a list of paths: {error}") from None
    files = [path.parent / line.strip() for line in lines if line.strip() and not line.lstrip().startswith("#")]
    if not files:
        raise DataError(f"{path}: lists no image; expected one path a line")
    return _many(str(path), files, path.parent)


def zipped(path: Path, *, name: str = "") -> Source:
    """Return the images of a zip, sorted by name; nothing is unpacked.

    Raises:
        DataError: it cannot be read, or there is no image in it.
    """
    archive = Zip.open(path)
    names = [n for n in _within(archive, "") if PurePath(n).suffix.lower() in IMAGE_SUFFIXES]
    if not names:
        raise DataError(f"{name or path}: no image in the zip; looked for {', '.join(sorted(IMAGE_SUFFIXES))}")

    def items() -> Iterator[Item]:
        for inner in names:
            where = f"{name}/{inner}" if name else archive.where(inner)
            yield Item(where, functools.partial(_from_zip, archive, inner, where), inner)

    return Source(name or str(path), items(), len(names))


def _within(archive: Storage, at: str) -> Iterator[str]:
    yield from (posixpath.join(at, name) for name in archive.files(at))
    for inner in archive.folders(at):
        yield from _within(archive, posixpath.join(at, inner))


def _from_zip(archive: Storage, inner: str, where: str) -> tv_tensors.Image:
    return decode(archive.read(inner), name=where)


def _many(name: str, files: list[Path], root: Path) -> Source:
    def items() -> Iterator[Item]:
        for path in files:
            inside = path.is_relative_to(root) and ".." not in path.relative_to(root).parts
            yield _item(path, path.relative_to(root).as_posix() if inside else path.name)

    return Source(name, items(), len(files))


def _item(path: Path, name: str, *, id_: str = "") -> Item:
    return Item(id_ or str(path), functools.partial(decode, path, name=id_ or None), name)
