"""docs/report.md, command by command."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

PAGE = (Path(__file__).parents[2] / "docs" / "report.md").read_text(encoding="utf-8")
COMMANDS = [shlex.split(line, comments=True) for line in re.findall(r"^vf .*$", PAGE, re.MULTILINE)]
FEWER = (
    *("data.train=20", "data.val=6", "data.test=8", "data.size=32", "train.length=2 steps", "train.batch_size=4"),
    "loader.workers=0",
)


def test_every_command_works(typed: Callable[..., Any], monkeypatch: Any, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    for command in COMMANDS:
        if command[1] == "demo":  # does not end: tests/browser; its options are read
            assert typed("demo", *command[3:], "--help").code == 0
            continue
        small = [part for item in FEWER for part in ("--set", item)] if command[1:3] == ["run", "train"] else []
        said = typed(*command[1:], *small)
        assert (said.code, said.err) == (0, ""), command
    assert {page.name for page in tmp_path.glob("*.html")} == {
        *("val.html", "from_file.html", "compared.html", "samples.html"),
    }
    assert (tmp_path / "runs/a/report.html").is_file()
