"""A plugin of somebody else brings a net with published weights, and gives the published error on real images."""

from __future__ import annotations

import importlib
import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import vf.testing
from vf.plugins import Plugin, plugins

SHARED = Path(__file__).parents[3] / "shared" / "data"
WEIGHTS = SHARED / "weights" / "cifar10_resnet" / "resnet20-12fca82f.th"
IMAGES = SHARED / "cifar10_png_test.zip"


@pytest.fixture(scope="module")
def plugin() -> Iterator[Any]:
    """Install it for a test."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(Path(__file__).parent / "resnet20_plugin")
        module = importlib.import_module("vf_resnet20")
        found = plugins()
        found._take(Plugin("resnet20", "", "", "vf_resnet20"), lambda: module)
        assert found.found[-1].status == "loaded", found.found[-1].problem
        yield module
        for name in [name for name in sys.modules if name.startswith("vf_resnet20")]:
            del sys.modules[name]
        found._manager.unregister(name="resnet20")
        found.found.pop()
        for kind, components in found._components.items():
            found._components[kind] = [c for c in components if c.plugin != "resnet20"]
        del found.recipes["resnet20/cifar10"]


def test_it_is_short_and_keeps_the_contract(plugin: Any) -> None:
    for cls in plugin.vf_models().values():
        vf.testing.check_config(cls, "resnet20")
    folder = Path(plugin.__file__).parent
    code = [line for file in folder.glob("*.py") for line in file.read_text().splitlines() if line.strip()]
    assert len(code) <= 50


@pytest.mark.slow  # 10,000 images: half a minute on a CPU
@pytest.mark.skipif(not (WEIGHTS.is_file() and IMAGES.is_file()), reason=f"{SHARED}: no CIFAR-10 and no weights there")
def test_the_published_error(plugin: Any, typed: Callable[..., Any], tmp_path: Path) -> None:
    ours = str(tmp_path / "resnet20.safetensors")
    said = typed("convert", str(WEIGHTS), ours, "--from", "other", "--to", "resnet20/cifar10", "--data", str(IMAGES))
    assert said.code == 0, said.err
    assert "model 97 of 97 tensors came" in said.out
    said = typed("run", "test", ours, "--data", str(IMAGES), "--device", "cpu", "--json")
    assert said.code == 0, said.err
    numbers = json.loads(said.out)
    assert numbers["images"] == 10_000
    assert 100 * (1 - numbers["top1"]) == pytest.approx(8.27, abs=0.02)
