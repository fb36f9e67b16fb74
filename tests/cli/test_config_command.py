"""``vf config show|check|diff``."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Vf = Callable[..., Any]
QUICK = "fish/quickstart"


@pytest.fixture(autouse=True)
def _fish(site: Any) -> None:
    site.fish()


def test_show_can_be_run_again(vf: Vf) -> None:
    said = vf("config", "show", QUICK, "--set", "model.width=2")
    assert said.code == 0
    assert said.out.startswith("task: fish\nmodel:\n  name: net\n  width: 2.0\n  depth: 3\n")
    Path("again.yaml").write_text(said.out)
    assert vf("config", "show", "again.yaml").out == said.out
    assert vf("config", "show", "--task", "fish", "--set", "model.width=2").out == said.out


def test_show_origins(vf: Vf, site: Any) -> None:
    file = site.folder / "recipes" / "quickstart.yaml"
    lines = [line.split() for line in vf("config", "show", QUICK, "--origin", "--set", "train.seed=1").out.splitlines()]
    assert ["task", "fish", f"{file}:2"] in lines
    assert ["model.width", "0.5", f"{file}:3"] in lines
    assert ["model.depth", "3", "default"] in lines
    assert ["augment.1.hue", "0.1", f"{file}:9"] in lines
    assert ["train.seed", "1", "--set", "train.seed=1"] in lines


def test_show_as_json(vf: Vf) -> None:
    assert json.loads(vf("config", "show", QUICK, "--json").out)["model"]["size"] == [8, 8]
    told = json.loads(vf("config", "show", QUICK, "--origin", "--json").out)
    assert told["model.depth"] == {"value": 3, "origin": "default"}


def test_show_data_by_its_folder(vf: Vf) -> None:
    Path("pool").mkdir()
    Path("pool/a.fish").write_text("a")
    lines = vf("config", "show", "--task", "fish", "--data", "pool", "--origin").out.splitlines()
    assert [line.split() for line in lines if line.startswith("data.path")] == [["data.path", "pool", "--data", "pool"]]


def test_check(vf: Vf) -> None:
    Path("same.yaml").write_text(f"extends: {QUICK}\n")
    said = vf("config", "check", QUICK, "same.yaml")
    first, second = (line.split() for line in said.out.splitlines())
    assert (said.code, said.err) == (0, "")
    assert first[:2] == ["ok", QUICK]
    assert second == ["ok", "same.yaml", first[2]]
    assert len(first[2]) == 16
    assert json.loads(vf("config", "check", QUICK, "--json").out) == [{"recipe": QUICK, "fingerprint": first[2]}]


def test_check_says_every_mistake_of_every_recipe(vf: Vf) -> None:
    Path("a.yaml").write_text(f"extends: {QUICK}\nmodel:\n  widht: 1\n  depth: x\n")
    Path("b.yaml").write_text("task: fish\ntask: fish\n")
    said = vf("config", "check", "a.yaml", QUICK, "b.yaml")
    assert said.code == 2
    assert said.out.startswith(f"ok    {QUICK}  ")
    assert said.err.splitlines() == [
        "error: a.yaml:3: model.widht: unknown key; did you mean 'width' or 'weights'?",
        "error: a.yaml:4: model.depth: expected int, got str 'x'",
        "error: b.yaml:2: task: given twice, first at b.yaml:1",
    ]


def test_check_with_overrides(vf: Vf) -> None:
    said = vf("config", "check", QUICK, "--set", "model.width=0", "--set", "train.lenght=1")
    assert (said.code, said.out) == (2, "")
    assert said.err.splitlines() == [
        "error: --set model.width=0: model.width: must be > 0, got 0.0",
        "error: --set train.lenght=1: train.lenght: unknown key; did you mean 'length'?",
    ]


def test_diff_of_names_files_and_runs(vf: Vf) -> None:
    Path("other.yaml").write_text(f"extends: {QUICK}\nmodel: {{depth: 9}}\ntrain: {{schedule: {{name: poly}}}}\n")
    lines = [line.split() for line in vf("config", "diff", QUICK, "other.yaml").out.splitlines()]
    assert lines == [
        ["key", QUICK, "other.yaml"],
        ["model.depth", "3", "9"],
        ["train.schedule.name", "cosine", "poly"],
        ["train.schedule.warmup", "2", "steps", "0", "steps"],
        ["train.schedule.end", "0.05", "0.0"],
        ["train.schedule.flat", "0", "steps", "-"],
        ["train.schedule.power", "-", "0.9"],
    ]
    Path("run").mkdir()
    Path("run/recipe.yaml").write_text(vf("config", "show", QUICK).out)
    assert vf("config", "diff", QUICK, "run").out == f"{QUICK} and run say the same\n"
    assert json.loads(vf("config", "diff", "run", "other.yaml", "--json").out)["model.depth"] == [3, 9]


def test_diff_with_what_is_not_there(vf: Vf) -> None:
    said = vf("config", "diff", QUICK, "nowhere.yaml")
    assert (said.code, said.err) == (2, "error: nowhere.yaml: no such file\n")
