"""Which characters a model reads: named sets, those of a file, those of the data. Free of torch."""

from __future__ import annotations

import functools
import string
import unicodedata
from collections.abc import Iterable, Sequence
from pathlib import Path

import attrs

from vf.errors import DataError, did_you_mean

DIGITS = string.digits
LOWER = DIGITS + string.ascii_lowercase
SYMBOLS = LOWER + string.ascii_uppercase + string.punctuation
LATIN = SYMBOLS + "".join(
    unicodedata.normalize("NFC", c) for c in map(chr, [*range(0xA1, 0x180)]) if unicodedata.category(c)[0] in "LPSN"
)
CHARSETS = {"digits": DIGITS, "lower": LOWER, "symbols": SYMBOLS, "latin": LATIN}
"""Name -> characters in order. ``lower`` is what the six benchmarks are scored with; ``symbols`` has all of printable
ASCII but the space; ``latin`` adds Latin-1 and Latin Extended-A."""
FROM_DATA = "data"
"""In place of a name: the characters that the labels of all splits hold."""


@attrs.frozen
class Charset:
    """Characters in order, and what becomes of a text before it is read against them.

    A text is brought to NFC; where the set has small letters and no capitals, capitals become small ones, and where it
    is the other way round, the other way round.
    """

    characters: tuple[str, ...]

    @functools.cached_property
    def known(self) -> frozenset[str]:
        """The characters as a set."""
        return frozenset(self.characters)

    @functools.cached_property
    def fold(self) -> str:
        """``lower`` or ``upper`` where texts lose their case, else nothing."""
        small, large = (any(test(c) for c in self.characters) for test in (str.islower, str.isupper))
        return "lower" if small and not large else "upper" if large and not small else ""

    def folded(self, text: str) -> str:
        """NFC, and without case where the set has but one."""
        text = unicodedata.normalize("NFC", text)
        fold = self.fold
        if fold == "lower":  # one by one: the small form of some capitals is two characters
            return "".join(c.lower() if len(c.lower()) == 1 else c for c in text)
        if fold == "upper":
            return "".join(c.upper() if len(c.upper()) == 1 else c for c in text)
        return text

    def read(self, text: str) -> str:
        """What of a text a model of this set can say: folded, without the characters that are not in it."""
        known = self.known
        return "".join(c for c in self.folded(text) if c in known)

    def unknown(self, text: str) -> list[str]:
        """Characters of a text that are not in the set, folded; each as often as it comes."""
        known = self.known
        return [c for c in self.folded(text) if c not in known]


def of_texts(texts: Iterable[str]) -> tuple[str, ...]:
    """Return the characters that occur, after NFC: digits, small letters, capitals, then the others, each sorted."""
    found = {c for text in texts for c in unicodedata.normalize("NFC", text)}
    order = [str.isdigit, str.islower, str.isupper]
    return tuple(sorted(found, key=lambda c: (next((k for k, test in enumerate(order) if test(c)), 3), c)))


def named(charset: str) -> tuple[str, ...]:
    """Return the characters of a named set, or of a file.

    Args:
        charset: a name of ``CHARSETS``, or a text file with one character a line, in order; a line of one space is
            the space.

    Raises:
        DataError: there is no such name or file, or a line is no single character.
    """
    if charset in CHARSETS:
        return tuple(CHARSETS[charset])
    path = Path(charset)
    if not path.is_file():
        hint = did_you_mean(charset, [*CHARSETS, FROM_DATA])
        raise DataError(
            f"data.charset: {charset!r} is neither a set ({', '.join([*CHARSETS, FROM_DATA])}) nor a file{hint}"
        )
    return from_file(path)


def from_file(path: Path) -> tuple[str, ...]:
    """Read a file with one character a line."""
    try:
        lines = path.read_text(encoding="utf-8-sig").split("\n")
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: is not UTF-8 text (byte {error.start}); expected one character a line") from None
    characters: list[str] = []
    problems = []
    for number, line in enumerate(lines, 1):
        character = unicodedata.normalize("NFC", line.rstrip("\r"))
        if not character:
            continue
        if len(character) != 1:
            problems.append(f"{path}:{number}: expected one character a line, got {character!r}")
        elif character in characters:
            first = characters.index(character) + 1
            problems.append(f"{path}:{number}: {character!r} was there already, as character {first}")
        else:
            characters.append(character)
    if not characters and not problems:
        problems.append(f"{path}: names no character; expected one a line")
    if problems:
        raise DataError(*problems[:20])
    return tuple(characters)


def described(characters: Sequence[str]) -> str:
    """Characters in a row, for people: ``36: 0-9 a-z`` and the like."""
    runs: list[str] = []
    start = 0
    for k in range(1, len(characters) + 1):
        if k < len(characters) and ord(characters[k]) == ord(characters[k - 1]) + 1:
            continue
        run = characters[start:k]
        runs.append(f"{run[0]}-{run[-1]}" if len(run) > 3 else " ".join(run))
        start = k
    return f"{len(characters)}: {' '.join(runs)}"
