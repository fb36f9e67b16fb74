"""``vf runs compare``."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Vf = Callable[..., Any]


@pytest.fixture(autouse=True)
def _here(site: Any) -> None:
    """Work in an empty folder."""


def made(name: str, lr: float) -> None:
    run = Path(name)
    run.mkdir(parents=True)
    (run / "recipe.yaml").write_text(f"train: {{length: 10 steps, lr: {lr}}}\n")
    records = [{"kind": "train", "step": 10, "epoch": 1.0}, {"kind": "val", "step": 10, "epoch": 1.0, "AP": 10 * lr}]
    (run / "log.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records))


def test_runs_side_by_side(vf: Vf) -> None:
    made("runs/a", 0.01)
    made("runs/b", 0.02)
    said = vf("runs", "compare", "runs/a", "runs/b")
    assert (said.code, said.err) == (0, "")
    assert said.out.splitlines() == [
        "  run  train.lr     state  step  best AP  at step  last AP  time  images/s",
        "  a        0.01  finished    10   0.1000       10   0.1000     -         -",
        "  b        0.02  finished    10   0.2000       10   0.2000     -         -",
    ]
    assert vf("runs", "compare", "runs").out == said.out


def test_the_same_for_a_script(vf: Vf) -> None:
    made("runs/a", 0.01)
    told = json.loads(vf("runs", "compare", "runs", "--json").out)
    assert [run["best"]["value"] for run in told["runs"]] == [0.1]


def test_equal_recipes_are_said(vf: Vf) -> None:
    made("runs/a", 0.01)
    made("runs/b", 0.01)
    assert vf("runs", "compare", "runs").out.endswith("the recipes say the same\n")


def test_a_folder_without_runs_is_one_line(vf: Vf) -> None:
    said = vf("runs", "compare", ".")
    assert (said.code, said.out) == (2, "")
    assert said.err == ("error: .: neither a run nor a folder that holds runs: no recipe.yaml in it or one below\n")
