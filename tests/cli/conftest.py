"""Run ``vf`` beside the distributions of ``site``, and none else."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from vf_cli.main import plugin_commands


@pytest.fixture
def vf(site: Any, typed: Callable[..., Any]) -> Iterator[Callable[..., Any]]:
    """Return a function that runs ``vf ARGUMENTS`` beside the distributions of ``site``."""

    def run(*arguments: str) -> Any:
        plugin_commands.cache_clear()
        return typed(*arguments)

    yield run
    plugin_commands.cache_clear()
