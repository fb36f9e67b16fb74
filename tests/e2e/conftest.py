"""Run ``vf`` with the plugins that are installed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest


@pytest.fixture
def vf(typed: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., Any]:
    """Return a function that runs ``vf ARGUMENTS``; the working folder is empty."""
    monkeypatch.chdir(tmp_path)
    return typed
