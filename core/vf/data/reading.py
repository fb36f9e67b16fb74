"""What readers of label files share: mistakes collected, files listed, a part held out. For any task."""

from __future__ import annotations

import hashlib
import posixpath
from collections import Counter
from collections.abc import Hashable, Sequence

import attrs

from vf.data.decode import IMAGE_SUFFIXES
from vf.data.storage import Storage
from vf.errors import DataError

MOST = 20
"""Lines of one report; the rest is counted."""


class Problems:
    """One line for each mistake in the label files; all of them are found before any is raised."""

    def __init__(self) -> None:
        self._first: dict[object, str] = {}
        self._count: Counter[object] = Counter()

    def add(self, line: str, *, cause: Hashable = None) -> None:
        """Note a mistake; those of one ``cause`` (a class misspelt everywhere) become one line, the first."""
        key = line if cause is None else cause
        self._first.setdefault(key, line)
        self._count[key] += 1

    def raise_any(self) -> None:
        """Raise DataError where there was a mistake."""
        lines = [
            f"{line} (and {more} more like it)" if (more := self._count[key] - 1) else line
            for key, line in self._first.items()
        ]
        if len(lines) > MOST:
            lines[MOST:] = [f"… and {len(lines) - MOST} mistakes more"]
        if lines:
            raise DataError(*lines)


class Tally:
    """Counts what is mended silently elsewhere, to say it in one line with the first place."""

    def __init__(self) -> None:
        self._seen: dict[str, tuple[int, str]] = {}

    def count(self, what: str, where: str) -> None:
        """Count one."""
        number, first = self._seen.get(what, (0, where))
        self._seen[what] = (number + 1, first)

    def lines(self) -> list[str]:
        """One line for each kind."""
        return [f"{what}: {number}, the first in {first}" for what, (number, first) in self._seen.items()]


@attrs.frozen
class Tallies:
    """Two kinds of lines: what was changed, and what is only worth a look."""

    notes: Tally = attrs.field(factory=Tally)
    remarks: Tally = attrs.field(factory=Tally)


def list_images(images: Storage, folder: str = "") -> dict[str, str]:
    """Return stem -> file name of the images right in a folder, sorted; empty where there is no folder."""
    found = {}
    for name in images.files(folder):
        stem, suffix = posixpath.splitext(name)
        if suffix.lower() in IMAGE_SUFFIXES:
            found[stem] = name
    return found


def walk_images(images: Storage, folder: str = "") -> list[str]:
    """Return the names of the images in a folder and in those below it, sorted."""
    found = [posixpath.join(folder, name) for name in list_images(images, folder).values()]
    for below in images.folders(folder):
        found += walk_images(images, posixpath.join(folder, below))
    return sorted(found)


class FileIndex:
    """Answers whether files exist, with one listing for each folder."""

    def __init__(self, images: Storage) -> None:
        self._images = images
        self._listed: dict[str, set[str]] = {}

    def has(self, name: str) -> bool:
        """Whether there is such a file."""
        folder, base = posixpath.split(name)
        if folder not in self._listed:
            self._listed[folder] = set(self._images.files(folder))
        return base in self._listed[folder]


def hold_out(names: Sequence[str], part: float) -> set[str]:
    """Choose about ``part`` of the names by their hash, at least one where there are two: the same in every run."""
    ranked = sorted(names, key=lambda n: hashlib.sha256(n.encode()).digest())
    count = max(1, round(part * len(ranked))) if len(ranked) > 1 else 0
    return set(ranked[:count])


def check_classes(classes: Sequence[str], where: str, problems: Problems) -> None:
    """Note an empty list and names that come twice."""
    if not classes:
        problems.add(f"{where}: names no class; there is nothing to learn")
    for name in sorted({c for c in classes if list(classes).count(c) > 1}):
        problems.add(f"{where}: class {name!r} is named twice")
