"""``vf plugins list`` and ``vf plugins new``."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from typing import Any

import pytest

from vf import __version__

Vf = Callable[..., Any]


def test_list(vf: Vf, site: Any) -> None:
    site.fish()
    said = vf("plugins", "list")
    assert (said.code, said.err) == (0, "")
    lines = [line.split() for line in said.out.splitlines()]
    assert int(lines[1].pop()) > 13, "core's own components"
    assert lines == [
        ["plugin", "distribution", "version", "status", "components"],
        ["core", "vf-core", __version__, "loaded"],
        ["fish", "dist-fish", "1.0", "loaded", "6"],
    ]


def test_what_is_wrong_comes_with_its_cure(vf: Vf, site: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    site.fish()
    site.add("bad", "import nowhere")
    site.add("new", "VF_API = 9")
    site.add("off", "raise SystemExit")
    monkeypatch.setenv("VF_NO_PLUGINS", "off")
    said = vf("plugins", "list")
    assert said.code == 0
    lines = said.out.splitlines()
    assert [line.split()[3] for line in lines[1:6]] == ["loaded", "broken", "loaded", "incompatible", "disabled"]
    assert lines[6:] == [
        "bad: ModuleNotFoundError: No module named 'nowhere'; to remove it: pip uninstall dist-bad",
        "new: needs plugin API 9, this vf has 1; to remove it: pip uninstall dist-new",
    ]


def test_clashes_are_shown_and_stop_nothing(vf: Vf, site: Any) -> None:
    site.fish()
    site.add("two", "import vf\n@vf.config\nclass N:\n    'N.'\n@vf.hookimpl\ndef vf_models():\n    return {'net': N}")
    said = vf("plugins", "list")
    assert said.code == 0
    assert said.out.splitlines()[-1] == (
        "clash: model 'net' is claimed twice: by fake_fish.Net of plugin 'fish' and by fake_two.N of plugin 'two'; "
        "uninstall one or pass --no-plugin NAME"
    )


def test_a_plugin_that_imports_torch_is_named(vf: Vf, site: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch", sys)  # so that it is put back, or taken away, afterwards
    del sys.modules["torch"]
    site.add("slow", "import sys\nsys.modules['torch'] = sys")
    said = vf("plugins", "list")
    assert said.out.splitlines()[-1] == "slow: imports torch when vf starts, which makes every command slow"


def test_list_as_json(vf: Vf, site: Any) -> None:
    site.add("bad", "import nowhere")
    told = json.loads(vf("plugins", "list", "--json").out)
    assert told["clashes"] == []
    bad = told["plugins"][1]
    assert bad == {
        "plugin": "bad",
        "distribution": "dist-bad",
        "version": "1.0",
        "module": "fake_bad",
        "status": "broken",
        "problem": "ModuleNotFoundError: No module named 'nowhere'",
        "path": "",
        "task": "",
        "imports_torch": False,
        "components": 0,
        "cure": "pip uninstall dist-bad",
    }
