"""Several places of files as one. Free of torch and numpy."""

from __future__ import annotations

from collections.abc import Mapping

import attrs

from vf.data.storage import Storage
from vf.errors import DataError


@attrs.frozen
class Joined:
    """Several places as one: a name's first part says in which it is looked up."""

    places: Mapping[str, Storage]

    def read(self, name: str) -> bytes:
        """Return a file's bytes."""
        place, rest = self._split(name)
        if place is None:
            raise DataError(f"{name}: no such file; {name.partition('/')[0]!r} is not one of {', '.join(self.places)}")
        return place.read(rest)

    def head(self, name: str, count: int) -> bytes:
        """Return the first bytes of a file."""
        place, rest = self._split(name)
        return self.read(name) if place is None else place.head(rest, count)

    def has(self, name: str) -> bool:
        """Whether there is such a file."""
        place, rest = self._split(name)
        return place is not None and place.has(rest)

    def has_folder(self, name: str) -> bool:
        """Whether there is such a folder."""
        place, rest = self._split(name)
        return place is not None and place.has_folder(rest)

    def size(self, name: str) -> int:
        """Bytes of a file."""
        place, rest = self._split(name)
        return 0 if place is None else place.size(rest)

    def files(self, folder: str = "") -> list[str]:
        """Names of the files right in a folder."""
        place, rest = self._split(folder)
        return [] if place is None else place.files(rest)

    def folders(self, folder: str = "") -> list[str]:
        """Names of the folders right in a folder."""
        place, rest = self._split(folder)
        return sorted(self.places) if not folder else [] if place is None else place.folders(rest)

    def within(self, folder: str) -> Storage:
        """One of the places, or a folder in it."""
        place, rest = self._split(folder)
        if place is None:
            raise DataError(f"{folder}: no such folder; known: {', '.join(self.places)}")
        return place.within(rest) if rest else place

    def where(self, name: str = "") -> str:
        """The path in the place that has it."""
        place, rest = self._split(name)
        return " and ".join(p.where() for p in self.places.values()) if place is None else place.where(rest)

    def _split(self, name: str) -> tuple[Storage | None, str]:
        first, _, rest = name.partition("/")
        return self.places.get(first), rest
