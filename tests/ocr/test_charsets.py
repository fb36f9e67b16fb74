"""Sets of characters: their order, folding, files, and what is not in them."""

from __future__ import annotations

from pathlib import Path

import pytest

from vf.errors import DataError
from vf_ocr.charsets import CHARSETS, DIGITS, LATIN, LOWER, SYMBOLS, Charset, described, from_file, named, of_texts


def test_named_sets() -> None:
    assert "".join(named("lower")) == "0123456789abcdefghijklmnopqrstuvwxyz"
    assert [len(CHARSETS[k]) for k in ("digits", "lower", "symbols")] == [10, 36, 94]
    assert all(len(set(v)) == len(v) for v in CHARSETS.values())
    assert set(DIGITS) < set(LOWER) < set(SYMBOLS) < set(LATIN)
    assert {"é", "ß", "€"} - set(LATIN) == {"€"}


@pytest.mark.parametrize(
    ("characters", "text", "read", "unknown"),
    [
        (LOWER, "Don't!", "dont", ["'", "!"]),
        (LOWER, "", "", []),
        (DIGITS, "4 a", "4", [" ", "a"]),
        (SYMBOLS, "Don't", "Don't", []),
        (LATIN, "e\N{COMBINING ACUTE ACCENT}", "é", []),  # NFC first
        ("ABC", "abd", "AB", ["D"]),
        ("iı", "İ", "", ["İ"]),  # its small form is two characters
    ],
)
def test_folds_and_reads(characters: str, text: str, read: str, unknown: list[str]) -> None:
    charset = Charset(tuple(characters))
    assert charset.read(text) == read
    assert charset.unknown(text) == unknown


def test_characters_of_texts_are_in_order() -> None:
    assert "".join(of_texts(["b2!", "Aa", "e\N{COMBINING ACUTE ACCENT}1"])) == "12abéA!"
    assert of_texts([]) == ()


def test_file(tmp_path: Path) -> None:
    file = tmp_path / "own.txt"
    file.write_text("\ufeffa\r\nb\n \n", encoding="utf-8")
    assert named(str(file)) == ("a", "b", " ")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"a\nbc\n", "{file}:2: expected one character a line, got 'bc'"),
        (b"a\na\n", "{file}:2: 'a' was there already, as character 1"),
        (b"\n\n", "{file}: names no character; expected one a line"),
        (b"a\n\xff\n", "{file}: is not UTF-8 text (byte 2); expected one character a line"),
    ],
)
def test_broken_file(tmp_path: Path, content: bytes, said: str) -> None:
    file = tmp_path / "own.txt"
    file.write_bytes(content)
    with pytest.raises(DataError) as error:
        from_file(file)
    assert str(error.value) == said.format(file=file)


def test_unknown_name() -> None:
    with pytest.raises(DataError) as error:
        named("lowr")
    sentence = "data.charset: 'lowr' is neither a set (digits, lower, symbols, latin, data) nor a file"
    assert str(error.value) == f"{sentence}; did you mean 'lower'?"


def test_described() -> None:
    assert described(tuple(LOWER)) == "36: 0-9 a-z"
    assert described(("a", "c", "d")) == "3: a c d"
    assert described(()) == "0: "
