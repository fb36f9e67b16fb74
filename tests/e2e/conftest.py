"""Run ``vf`` in this process, with the plugins that are installed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

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
def vf(capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., Said]:
    """Return a function that runs ``vf ARGUMENTS`` in an empty folder."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments: str) -> Said:
        monkeypatch.setattr("sys.argv", ["vf", *arguments])
        with pytest.raises(SystemExit) as ended:
            program.main()
        said = capfd.readouterr()
        assert isinstance(ended.value.code, int)
        return Said(ended.value.code, said.out, said.err)

    return run
