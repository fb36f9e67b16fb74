"""What the readers of texts share: lines of files, mistakes refused or left out, texts beside a set of characters."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterator, Sequence
from typing import Literal

import attrs

from vf.data.reading import Problems, Tally, hold_out
from vf.data.storage import Storage
from vf.errors import DataError
from vf_ocr.charsets import Charset, described

Unknown = Literal["drop", "skip", "error"]
"""What becomes of characters that are not in the set: they are dropped from their text, their text is left out of
training, or the data is refused."""


@attrs.frozen
class Mistakes:
    """Mistakes of label files: refused, all at once, or with ``lenient`` left out and counted."""

    lenient: bool = False
    problems: Problems = attrs.field(factory=Problems)
    left_out: Tally = attrs.field(factory=Tally)
    notes: Tally = attrs.field(factory=Tally)
    """What was mended without asking."""

    def add(self, where: str, said: str, what: str) -> None:
        """Note one.

        Args:
            where: file and line.
            said: what was expected, and what came.
            what: its kind, in the plural, for the count.
        """
        if self.lenient:
            self.left_out.count(f"{what}, left out", where)
        else:
            self.problems.add(f"{where}: {said}")

    def once(self, line: str, *, cause: Hashable) -> None:
        """Note a mistake that counts in one line with those of the same cause, lenient or not."""
        self.problems.add(line, cause=cause)

    def lines(self) -> tuple[str, ...]:
        """What was left out or mended, for the user."""
        return (*self.left_out.lines(), *self.notes.lines())


def lines_of(storage: Storage, name: str, encoding: str = "utf-8") -> Iterator[tuple[int, str]]:
    """Yield the lines of a text file that hold something, with their numbers from 1; a byte order mark is dropped.

    Raises:
        DataError: a line is not of the encoding.
    """
    utf8 = encoding.lower() in ("utf-8", "utf8")
    raw = storage.read(name).removeprefix(b"\xef\xbb\xbf")
    if raw[:2] in (b"\xff\xfe", b"\xfe\xff") and utf8:
        raise DataError(f"{storage.where(name)}: is UTF-16, not UTF-8; save it as UTF-8, or set data.encoding=utf-16")
    if encoding.lower().replace("_", "-").startswith("utf-16"):
        raw, utf8 = raw.decode(encoding, errors="replace").encode(), True
    for number, line in enumerate(raw.split(b"\n"), 1):
        try:
            text = line.rstrip(b"\r").decode("utf-8" if utf8 else encoding)
        except UnicodeDecodeError as error:
            byte = line[error.start]
            raise DataError(
                f"{storage.where(name)}:{number}: is not {encoding} (byte {byte:#04x} at {error.start}); save the file "
                "as UTF-8, or set data.encoding"
            ) from None
        if text.strip():
            yield number, text


@attrs.frozen
class Cut:
    """Train cut in two."""

    train: list[int]
    val: list[int]
    note: str


def held_out(names: Sequence[str], holdout: float, what: str) -> Cut | None:
    """Hold out about so large a part of what has these names; None where it is nothing.

    A test split is not for choosing the best step, so it does not stand for one to validate on.
    """
    if not holdout or len(names) < 2:
        return None
    chosen = hold_out(names, holdout)
    rows = [[i for i, name in enumerate(names) if (name in chosen) == held] for held in (False, True)]
    note = f"there is no val split: {len(rows[1])} of {len(names)} {what} are held out for it, chosen by hash"
    return Cut(rows[0], rows[1], note)


@attrs.define
class _Seen:
    count: int
    where: str


class Reader:
    """Brings texts to a set of characters, and remembers what was not in it.

    Args:
        charset: the set.
        unknown: what becomes of the others.
    """

    def __init__(self, charset: Charset, unknown: Unknown) -> None:
        self.charset = charset
        self._unknown = unknown
        self._seen: dict[str, _Seen] = {}
        self._places = 0
        self._lost = 0

    def __call__(self, text: str, where: str) -> str | None:
        """Return what is trained on, None where the text is left out."""
        strange = self.charset.unknown(text)
        if strange:
            self._places += 1
            for character in strange:
                self._seen.setdefault(character, _Seen(0, where)).count += 1
            if self._unknown == "skip":
                self._lost += 1
                return None
        read = self.charset.read(text) if strange else self.charset.folded(text)
        if not read:
            self._lost += 1
            return None
        return read

    def finish(self, split: str) -> tuple[str, ...]:
        """Say what was not in the set, in one line; DataError where that is refused."""
        if not self._seen:
            return ()
        ranked = sorted(self._seen.items(), key=lambda item: (-item[1].count, item[0]))
        first = next(iter(self._seen.values())).where
        shown = ", ".join(f"{c!r} {seen.count}" for c, seen in ranked[:8])
        more = f", … ({len(ranked)} in all)" if len(ranked) > 8 else ""
        what = f"{split}: {len(ranked)} characters of {self._places} texts are not in the charset "
        what += f"({described(self.charset.characters)}): {shown}{more}, the first in {first}"
        if self._unknown == "error":
            raise DataError(f"{what}; name a larger data.charset, or set data.unknown to drop or skip")
        dropped = "they are left out of their texts" if self._unknown == "drop" else "their texts are left out"
        lost = f"; {self._lost} texts are not trained on" if self._lost else ""
        return (f"{what}; {dropped}{lost}",)


def counted(texts: Sequence[str]) -> list[tuple[str, int]]:
    """Characters of texts with how often they come, commonest first."""
    counts = Counter(c for text in texts for c in text)
    return sorted(counts.items(), key=lambda item: (-item[1], item[0]))
