"""Which characters the labels of a data set hold, with how often each comes."""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from vf.errors import ConfigError, DataError
from vf.recipes import resolve_data
from vf_ocr.charsets import Charset, described, named, of_texts
from vf_ocr.texts import ILLEGIBLE

_ROW = 12
"""Characters in a line."""


def told(source: str, *, name: str, overrides: Sequence[str], against: str, out: str) -> list[str]:
    """Count the characters of a data set, and say it.

    Args:
        source: folder or zip.
        name: of its format; empty: recognised.
        overrides: of its keys.
        against: a set to compare with; empty: none.
        out: file to write them to; empty: none.

    Returns:
        lines for the user.
    """
    if out and Path(out).exists():
        raise ConfigError(f"{out}: exists; nothing is overwritten: name another")
    config: Any = resolve_data(source, overrides, name=name, said="", task="ocr")
    splits = {split: list(texts) for split, texts in _texts(config)}
    counts = Counter(c for texts in splits.values() for text in texts for c in text)
    if not counts:
        raise DataError(f"{source}: its labels hold no text")
    characters = of_texts(counts)
    lines = [f"{split}: {len(texts)} texts, {sum(map(len, texts))} characters" for split, texts in splits.items()]
    lines.append(described(characters))
    ranked = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    for start in range(0, len(ranked), _ROW):
        lines.append("  " + "  ".join(f"{c!r} {n}" for c, n in ranked[start : start + _ROW]))
    if against:
        lines += _compared(against, characters, counts)
    if out:
        Path(out).write_text("".join(f"{c}\n" for c in characters), encoding="utf-8")
        lines.append(f"wrote {out}: --set data.charset={out}")
    return lines


def _texts(config: Any) -> Iterator[tuple[str, Iterator[str]]]:
    """Yield the legible texts of each split, in NFC."""
    if not hasattr(config, "source"):
        raise DataError("the data has no label files; expected pages or words from files")
    for split, part in config.source.parts.items():
        flat = part.pages.texts if hasattr(part, "pages") else part.words.texts
        read = (flat.text(row) for row in range(len(flat)))
        yield split, (unicodedata.normalize("NFC", text) for text in read if text != ILLEGIBLE)


def _compared(against: str, characters: Sequence[str], counts: Counter[str]) -> list[str]:
    wanted = Charset(named(against))
    missing = [c for c in characters if wanted.folded(c) not in wanted.known]
    folded = {wanted.folded(c) for c in characters}
    unused = [c for c in wanted.characters if c not in folded]
    fold = f", {wanted.fold} case alone" if wanted.fold else ""
    lines = [f"against {against} ({described(wanted.characters)}{fold}):"]
    number = sum(counts[c] for c in missing)
    lines.append(f"  not in it: {len(missing)} characters, {number} times: {' '.join(missing) or 'none'}")
    lines.append(f"  never used: {len(unused)}: {' '.join(unused) or 'none'}")
    return lines
