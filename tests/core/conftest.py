"""Make the plugin tests/toy/vf_toy.py known to this process."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from vf.plugins import Plugin, plugins


@pytest.fixture(scope="session", autouse=True)
def toy() -> Iterator[None]:
    """Install the plugin ``toy`` for these tests."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(Path(__file__).parents[1] / "toy")
        module = importlib.import_module("vf_toy")
        found = plugins()
        found._take(Plugin("toy", "", "", "vf_toy"), lambda: module)
        assert found.found[-1].status == "loaded", found.found[-1].problem
        yield
        del sys.modules["vf_toy"]
        found._manager.unregister(name="toy")
        found.found.pop()
        for kind, components in found._components.items():
            found._components[kind] = [c for c in components if c.plugin != "toy"]
