"""Every command of the README and of docs/ is one that vf takes: its name, its options, its choices, its recipes."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import click
import pytest

from vf.plugins import plugins
from vf_cli.main import cli

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
FENCED = re.compile(r"^```\w*\n(.*?)^```", re.MULTILINE | re.DOTALL)
NAME = re.compile(r"(cls|det|ocr|seg)/[\w+.-]+")


def commands(page: Path) -> list[str]:
    """Return what stands in blocks and in backticks and begins with ``vf``, without comments and continuations."""
    text = page.read_text(encoding="utf-8")
    blocks = "\n".join(FENCED.findall(text)).replace("\\\n", " ")
    lines = [line.strip() for line in blocks.splitlines()]
    inline = re.findall(r"`(vf [^`]+)`", FENCED.sub("", text))
    found = [
        re.split(r"\s#\s|\s{2,}#", line)[0].strip() for line in (*lines, *inline) if re.match(r"vf (?![A-Z])", line)
    ]
    return [re.sub(r"\s+[>|]\s.*$", "", " ".join(line.split())) for line in found if "…" not in line]


CASES = sorted({(page.name, command) for page in PAGES for command in commands(page)})


def parsed(words: list[str]) -> None:
    """Follow groups to a command, and let it take its arguments without running."""
    context, command, rest = click.Context(cli, info_name="vf"), cli, words
    while isinstance(command, click.Group):
        name, found, rest = command.resolve_command(context, rest)
        assert found is not None
        command = found
        context = click.Context(command, info_name=name, parent=context)
        if not rest:
            return
    parser = command.make_parser(context)
    values, _, _ = parser.parse_args(args=list(rest))
    for param in command.get_params(context):
        value = values.get(param.name or "")
        if isinstance(param.type, click.Choice) and isinstance(value, str) and not value.isupper():
            param.type.convert(value, param, context)


@pytest.mark.parametrize(("page", "command"), CASES, ids=[f"{page}: {command}" for page, command in CASES])
def test_is_taken(page: str, command: str) -> None:
    words = shlex.split(command)[1:]
    if words and words[0] not in ("--help", "--version"):
        parsed([word for word in words if word not in ("--help", "-h")])
    for word in words:
        if NAME.fullmatch(word) and "/quickstart-" not in word:
            assert word in plugins().recipes, f"no such recipe: {word}"


def test_finds_commands() -> None:
    assert len(CASES) > 150
    with pytest.raises(click.UsageError):
        parsed(["run", "train", "--no-such-option"])
    with pytest.raises(click.UsageError):
        parsed(["data", "chekc"])
