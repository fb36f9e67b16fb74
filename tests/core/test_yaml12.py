"""YAML 1.2 as recipes use it, and what is refused."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest

import vf
from vf.yaml12 import dump, parse, parse_file


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e-3", 0.001),
        ("1E3", 1000.0),
        ("-1.5e+2", -150.0),
        (".5", 0.5),
        ("1.", 1.0),
        ("+7", 7),
        ("-7", -7),
        ("010", 10),
        ("0o17", 15),
        ("0x1F", 31),
        ("1_000", "1_000"),
        ("12:30", "12:30"),
        ("12:30:45", "12:30:45"),
        ("2024-05-06", "2024-05-06"),
        ("no", "no"),
        ("on", "on"),
        ("yes", "yes"),
        ("off", "off"),
        ("y", "y"),
        ("true", True),
        ("False", False),
        ("tRUE", "tRUE"),
        ("null", None),
        ("~", None),
        ("'1'", "1"),
        ('"true"', "true"),
        (".inf", math.inf),
        ("-.INF", -math.inf),
        ("=", "="),
        ("<<", "<<"),
        ("1.2.3", "1.2.3"),
        ("e5", "e5"),
        ("12 epochs", "12 epochs"),
    ],
)
def test_scalars(text: str, value: Any) -> None:
    read = parse(f"key: {text}", "f").plain()["key"]
    assert read == value
    assert type(read) is type(value)


def test_not_a_number() -> None:
    assert math.isnan(parse("key: .nan", "f").plain()["key"])


def test_empty_documents_and_values() -> None:
    assert parse("", "f").plain() == {}
    assert parse("# only a comment\n", "f").plain() == {}
    assert parse("key:", "f").plain() == {"key": None}


def test_every_value_knows_its_line() -> None:
    tree = parse("a: 1\nb:\n  c: [2,\n    3]\n", "f.yaml")
    assert isinstance(tree.value, dict)
    b = tree.value["b"].value
    assert isinstance(b, dict)
    c = b["c"]
    assert isinstance(c.value, list)
    assert [tree.value["a"].origin, tree.value["b"].origin, c.origin] == ["f.yaml:1", "f.yaml:2", "f.yaml:3"]
    assert [n.origin for n in c.value] == ["f.yaml:3", "f.yaml:4"]


def test_scalars_keep_their_text() -> None:
    tree = parse("a: 0x10", "f")
    assert isinstance(tree.value, dict)
    assert tree.value["a"].text == "0x10"


def test_merge_keys_mean_nothing_special() -> None:
    assert parse("<<: {a: 1}\nb: 2", "f").plain() == {"<<": {"a": 1}, "b": 2}


@pytest.mark.parametrize(
    ("text", "problems"),
    [
        ("a: 1\na: 2", ["f:2: a: given twice, first at f:1"]),
        ("a: 1\nb: {c: 1, c: 2}\na: 3", ["f:2: c: given twice, first at f:2", "f:3: a: given twice, first at f:1"]),
        ("[a, b]: 1", ["f:1: a key must be a word, got a list or mapping"]),
        ("a: !!python/object:os.system x", ["f:1: the tag 'tag:yaml.org,2002:python/object:os.system' is not read"]),
        ("a: !thing x", ["f:1: the tag '!thing' is not read; a recipe is plain data"]),
        ("a: !!set {b}", ["f:1: the tag 'tag:yaml.org,2002:set' is not read; a recipe is plain data"]),
        ("a: &x 1\nb: *x", ["f:2: not valid YAML: anchors and aliases are not read; write the value out"]),
        (
            "a: [1, 2\nb: 3",
            ["f:2: not valid YAML: while parsing a flow sequence expected ',' or ']', but got ':'"],
        ),
        ("a: 'x", ["f:1: not valid YAML: while scanning a quoted scalar found unexpected end of stream"]),
        ("a: 1\n\tb: 2", ["f:2: not valid YAML: while scanning for the next token found character '\\t' that cannot"]),
        ("a: 1\n--- \nb: 2", ["f:2: not valid YAML: expected a single document in the stream but found another"]),
        ("a: b: c", ["f:1: not valid YAML: mapping values are not allowed here"]),
        ("a: \x01", ["f:1: not valid YAML: unacceptable character #x0001: special characters are not allowed"]),
        ("a: !!int x", ["f:1: 'x' is tagged !!int and is none"]),
        ("a: !!bool 3", ["f:1: '3' is tagged !!bool and is none"]),
    ],
)
def test_what_is_refused(text: str, problems: list[str]) -> None:
    with pytest.raises(vf.ConfigError) as caught:
        parse(text, "f")
    found = caught.value.problems
    assert len(found) == len(problems)
    for line, start in zip(found, problems, strict=True):
        assert line.startswith(start)
        assert "\n" not in line


def test_files(tmp_path: Path) -> None:
    missing, folder, binary, listing = (tmp_path / n for n in ("no.yaml", "folder", "binary.yaml", "list.yaml"))
    folder.mkdir()
    binary.write_bytes(b"\xff\xfe\xff")
    listing.write_text("- a\n- b\n")
    for path, sentence in [
        (missing, f"{missing}: no such file"),
        (folder, f"{folder}: cannot be read: [Errno 21] Is a directory: '{folder}'"),
        (binary, f"{binary}: cannot be read: 'utf-8' codec can't decode byte 0xff in position 0: invalid start byte"),
        (listing, f"{listing}:1: a recipe is a mapping of keys, got list"),
    ]:
        with pytest.raises(vf.ConfigError) as caught:
            parse_file(path)
        assert caught.value.problems == (sentence,)


@pytest.mark.parametrize(
    "value",
    [
        0.001,
        1e-8,
        1e300,
        5e-324,
        1e16,
        -0.0,
        math.inf,
        -math.inf,
        3,
        True,
        None,
        "",
        "no",
        "on",
        "1e-3",
        "0o17",
        "12:30",
        "null",
        "true",
        "~",
        "1.",
        ".inf",
        "ö and ✓",
        "two\nlines",
        " padded ",
        "a: b",
        "# no comment",
        "'",
        "*x",
        "&x",
        "!x",
        "-",
        [],
        {},
        [1, 2.5, "x"],
        [[1, 2], [3]],
        [{"name": "a", "p": 0.5}],
        {"a": {"b": [{"c": None}]}},
        "x" * 300,
        "many words " * 30,
    ],
)
def test_what_is_dumped_is_read_back(value: Any) -> None:
    text = dump({"key": value, "other": 1})
    again = parse(text, "f").plain()
    assert again == {"key": value, "other": 1}
    assert type(again["key"]) is type(value)


def test_order_and_short_lists_are_kept() -> None:
    assert dump({"b": [1, 2], "a": [{"x": 1}]}) == "b: [1, 2]\na:\n- x: 1\n"
