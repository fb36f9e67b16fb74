"""Histories of runs, and runs side by side."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from vf.comparison import compare
from vf.errors import ConfigError, RunError
from vf.history import Best, History, curve

KEYS = "length: 20 steps"


def made(run: Path, *records: dict[str, Any], recipe: str = "", starts: tuple[float, ...] = ()) -> Path:
    """Make a run folder; the recipe is one that nothing of today can resolve, unless said."""
    run.mkdir(parents=True)
    (run / "recipe.yaml").write_text(recipe or f"task: toy\ntrain: {{{KEYS}}}\n")
    (run / "log.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records))
    (run / "environment.jsonl").write_text("".join(json.dumps({"time": t}) + "\n" for t in starts))
    return run


def train(step: int, **values: Any) -> dict[str, Any]:
    return {"kind": "train", "step": step, "epoch": step / 10, "loss": 1 / step, **values}


def val(step: int, **values: Any) -> dict[str, Any]:
    return {"kind": "val", "step": step, "epoch": step / 10, **values}


def test_an_empty_run_has_an_empty_history(tmp_path: Path) -> None:
    history = History.read(made(tmp_path / "a"))
    assert (history.step, history.best(), history.seconds(), history.images_per_s()) == (None, None, None, None)
    assert (history.last, history.metrics(), history.state()) == ({}, [], "no checkpoint")
    assert History.read(tmp_path / "none").train == ()


def test_damaged_lines_are_counted_and_the_others_read(tmp_path: Path) -> None:
    run = made(tmp_path / "a", train(10), train(20))
    whole = (run / "log.jsonl").read_text().splitlines()
    cut = [
        whole[0],
        '{"kind": "train", "st',
        "[1]",
        '{"kind": "train"}',
        '{"step": 9, "kind": "x"}',
        '{"kind": "train", "step": true}',
        whole[1],
    ]
    (run / "log.jsonl").write_bytes("\n".join(cut).encode() + b"\n\xff\xfe{")
    history = History.read(run)
    assert [record["step"] for record in history.train] == [10, 20]
    assert history.damaged == 6
    assert history.state() == "finished"


def test_what_a_resumed_run_repeats_takes_the_place_of_what_it_wrote_before(tmp_path: Path) -> None:
    history = History.read(made(tmp_path / "a", train(10, lr=1), train(20, lr=2), val(20, AP=0.1), train(20, lr=3)))
    assert curve(history.train, "lr") == [(10, 1.0), (20, 3.0)]
    assert curve(history.val, "AP") == [(20, 0.1)]


def test_numbers_that_are_not_finite_are_no_points(tmp_path: Path) -> None:
    history = History.read(made(tmp_path / "a", train(10, lr="nan"), train(20, lr=2), val(20, AP=None, AR=0.5)))
    assert curve(history.train, "lr") == [(20, 2.0)]
    assert (history.metrics(), history.best(), history.at(20)) == (["AP", "AR"], None, {"AP": None, "AR": 0.5})


@pytest.mark.parametrize(
    ("keys", "best"),
    [
        ("best: ''", Best("AP", 0.7, 20)),
        ("best: err", Best("err", 0.9, 10)),
        ("best: err, best_mode: min", Best("err", 0.1, 30)),
        ("best: other", None),
    ],
)
def test_the_best_is_what_the_recipe_calls_so_and_of_equals_the_first(
    tmp_path: Path, keys: str, best: Best | None
) -> None:
    rows = (val(10, AP=0.2, err=0.9), val(20, AP=0.7, err=0.5), val(30, AP=0.7, err=0.1))
    history = History.read(made(tmp_path / "a", *rows, recipe=f"train: {{{KEYS}, {keys}}}\n"))
    assert history.best() == best


def test_time_counts_while_it_ran(tmp_path: Path) -> None:
    rows = (train(10, time=110.0), train(20, time=130.0), train(30, time=1010.0), val(30, time=1015.0, AP=0))
    assert History.read(made(tmp_path / "a", *rows, starts=(100.0, 1000.0))).seconds() == 30 + 15
    assert History.read(made(tmp_path / "b", *rows, starts=(2000.0,))).seconds() == 0
    assert History.read(made(tmp_path / "c", *rows)).seconds() is None


def sweep(folder: Path) -> None:
    for name, lr, ap in (("t-1", 0.1, 0.25), ("t-2", 0.2, 0.5)):
        rows = [train(10, images_per_s=8.0), train(20, images_per_s=4.0), val(10, AP=ap), val(20, AP=ap / 2)]
        made(folder / name, *rows, recipe=f"task: toy\ntrain: {{{KEYS}, lr: {lr}}}\n", starts=(1.0,))
    made(folder / "t-3", recipe=f"task: toy\ntrain: {{{KEYS}}}\n")
    (folder / "notes").mkdir()


def test_a_folder_of_runs_is_compared_by_what_differs(tmp_path: Path) -> None:
    sweep(tmp_path / "runs")
    compared = compare([tmp_path / "runs"])
    assert compared.keys == ("train.lr",)
    assert compared.table() == [
        ("run", "train.lr", "state", "step", "best AP", "at step", "last AP", "time", "images/s"),
        ("t-1", "0.1", "finished", "20", "0.2500", "10", "0.1250", "-", "6.0"),
        ("t-2", "0.2", "finished", "20", "0.5000", "10", "0.2500", "-", "6.0"),
        ("t-3", "-", "no checkpoint", "-", "-", "-", "-", "-", "-"),
    ]
    plain = compared.plain()
    assert plain["keys"] == ["train.lr"]
    assert plain["runs"][1] == {
        "run": str(tmp_path / "runs/t-2"),
        "name": "t-2",
        "state": "finished",
        "recipe": {"train.lr": 0.2},
        "step": 20,
        "best": {"metric": "AP", "value": 0.5, "step": 10},
        "metrics": {"best": {"AP": 0.5}, "last": {"AP": 0.25}},
        "seconds": None,
        "images_per_s": 6.0,
    }
    assert plain["runs"][2]["recipe"] == {}


def test_many_keys_that_differ_stand_below_each_other(tmp_path: Path) -> None:
    for name in "ab":
        made(tmp_path / name, recipe="model: {" + ", ".join(f"k{i}: {name}" for i in range(7)) + "}\n")
    table = compare([tmp_path / "a", tmp_path / "b"]).table()
    assert table[:2] == [("run", "a", "b"), ("model.k0", "a", "b")]


def test_runs_of_one_name_are_told_apart_and_one_named_twice_counts_once(tmp_path: Path) -> None:
    first, second = made(tmp_path / "x/run"), made(tmp_path / "y/run")
    compared = compare([first, second, first])
    assert [run.name for run in compared.runs] == ["x/run", "y/run"]
    assert compared.keys == ()
    assert len(compare([first]).runs) == 1


def test_recipes_that_today_can_read_are_compared_with_their_defaults(tmp_path: Path) -> None:
    pytest.importorskip("vf_det")
    from vf.recipes import resolve

    text = resolve("det/quickstart").yaml()
    made(tmp_path / "a", recipe=text)
    made(tmp_path / "b", recipe="\n".join(line for line in text.splitlines() if "tf32" not in line) + "\n")
    assert compare([tmp_path]).keys == ()


def test_what_is_no_run_is_said(tmp_path: Path) -> None:
    with pytest.raises(RunError, match=r"nowhere: no such run or folder of runs$"):
        compare([tmp_path / "nowhere"])
    said = r": neither a run nor a folder that holds runs: no recipe.yaml in it or one below$"
    with pytest.raises(RunError, match=said):
        compare([tmp_path])
    made(tmp_path / "a", recipe="a: [1\n")
    with pytest.raises(ConfigError, match=r"recipe\.yaml:\d+"):
        compare([tmp_path])
