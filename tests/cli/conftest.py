"""Run ``vf`` in this process."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import attrs
import pytest

from vf_cli import main as program


@attrs.frozen
class Said:
    """What a command left behind."""

    code: int
    out: str
    err: str


@pytest.fixture
def vf(site: Any, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Said]]:
    """Return a function that runs ``vf ARGUMENTS`` beside the distributions of ``site``."""

    def run(*arguments: str) -> Said:
        program.plugin_commands.cache_clear()
        monkeypatch.setattr("sys.argv", ["vf", *arguments])
        with pytest.raises(SystemExit) as ended:
            program.main()
        said = capfd.readouterr()
        assert isinstance(ended.value.code, int)
        return Said(ended.value.code, said.out, said.err)

    yield run
    program.plugin_commands.cache_clear()
