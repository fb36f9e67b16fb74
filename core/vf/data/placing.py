"""Where images lie beside labels that are written: left where they are, copied, or linked, each under its own name."""

from __future__ import annotations

import os
import posixpath
import shutil
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

from vf.data.decode import IMAGE_SUFFIXES
from vf.data.entries import Entries
from vf.errors import DataError
from vf.protocols import Images


class Placing:
    """The images of one split.

    Args:
        entries: the samples.
        how: what becomes of the images.
        folder: where copies and links go.
        base: what the names of images that stay are relative to.
        flat: no folders within ``folder``.
        names: of copies and links below ``folder``; default: those of :func:`new_names`.
    """

    def __init__(
        self,
        entries: Entries,
        how: Images,
        folder: Path,
        *,
        base: Path,
        flat: bool = False,
        names: Sequence[str] | None = None,
    ) -> None:
        self._entries = entries
        self._how = how
        self._folder = folder
        self._base = os.path.realpath(base)
        self._names = () if how == "keep" else tuple(new_names(entries, flat=flat) if names is None else names)

    def put(self, place: int) -> str:
        """Bring one image to its place and return its name: relative to ``folder``, or to ``base`` where it stays.

        Raises:
            DataError: it cannot stay or be linked, because it is no file of its own, or cannot be written.
        """
        path = self._entries.path(place)
        if self._how != "copy" and path is None:
            raise DataError(f"{self._where(place)}: is no file of its own; say --copy to write it as one")
        if self._how == "keep":
            assert path is not None
            return Path(os.path.relpath(_real(path), self._base)).as_posix()
        target = self._folder / self._names[place]
        target.parent.mkdir(parents=True, exist_ok=True)
        if self._how == "link":
            assert path is not None
            target.symlink_to(_real(path))
        elif path is not None:
            shutil.copyfile(path, target)
        else:
            target.write_bytes(self._entries.image(place))
        return self._names[place]

    def _where(self, place: int) -> str:
        found = self._entries.file(place)
        return f"image {self._entries.name(place)!r}" if found is None else found[0].where(found[1])


def _real(path: Path) -> str:
    """Return the path by real folders; a file that is a link stays one, for its name is the one that counts."""
    return os.path.join(os.path.realpath(path.parent), path.name)


def new_names(entries: Entries, *, flat: bool) -> list[str]:
    """Return a name for each image below a new folder: without the folders that all have in common.

    Raises:
        DataError: two would have the same.
    """
    given = [PurePosixPath(entries.name(place)) for place in range(len(entries))]
    common = _common([path.parts[:-1] for path in given])
    names: list[str] = []
    owner: dict[str, PurePosixPath] = {}
    for path in given:
        # What leads out of a folder, or to the root, is no part of a name.
        parts = [part for part in path.parts[common:] if part not in ("..", "/")]
        name = ("_" if flat else "/").join(parts)
        if posixpath.splitext(name)[1].lower() not in IMAGE_SUFFIXES:
            name += ".png"
        # For labels that go by the name alone, a.jpg and a.png are one image.
        key = posixpath.splitext(name)[0] if flat else name
        if key in owner:
            raise DataError(f"images {str(owner[key])!r} and {str(path)!r} would both be called {key!r}; rename one")
        owner[key] = path
        names.append(name)
    return names


def _common(folders: Sequence[tuple[str, ...]]) -> int:
    """Return how many of the first folders all have in common."""
    if not folders:
        return 0
    first, last = min(folders), max(folders)  # all others lie between these two
    differs = [number for number, (a, b) in enumerate(zip(first, last, strict=False)) if a != b]
    return differs[0] if differs else min(len(first), len(last))
