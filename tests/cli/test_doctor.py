"""``vf doctor``, with a trial that ends at once."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from typing import Any

import pytest

from vf_cli import doctor

Vf = Callable[..., Any]


def trial(program: str) -> tuple[str, ...]:
    return (sys.executable, "-c", program, "run", "train")


def test_a_trial_that_goes_through(vf: Vf, site: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    site.fish()
    site.add("bad", "import nowhere")
    monkeypatch.setattr(doctor, "TRIAL", trial(""))
    said = vf("doctor")
    assert (said.code, said.err) == (0, "")
    names = {line.split("  ")[0] for line in said.out.splitlines()}
    assert names >= {"vf", "python", "torch", "torchvision", "numpy", "device", "cores", "threads", "free disk"}
    assert "broken (ModuleNotFoundError: No module named 'nowhere')" in said.out
    assert said.out.splitlines()[-1].startswith("ok    the trial went through")


def test_nothing_to_try(vf: Vf, site: Any) -> None:
    said = vf("doctor")
    assert said.code == 3
    assert said.err == "error: no plugin brings a recipe to try; install one: pip install vf-plugin-det\n"


def test_a_trial_that_fails(vf: Vf, site: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    site.fish()
    monkeypatch.setattr(doctor, "TRIAL", trial("raise SystemExit('no space')"))
    said = vf("doctor")
    assert said.code == 3
    assert said.err == ("no space\nerror: the trial 'vf run train fish' failed with exit code 1; its output is above\n")
    told = vf("doctor", "--json").out
    assert json.loads(told)["trial"] == "failed"
