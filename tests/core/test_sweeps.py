"""What a sweep makes of what is typed, and what is left of it. Nothing is trained."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import attrs
import pytest

from vf.errors import ConfigError, RunError
from vf.history import History
from vf.runs import FINISHED
from vf.sweeps import Axis, load, newest, plan, refuse_other_keys, runs_of

FISH = "fish/quickstart"


@pytest.mark.parametrize(
    ("item", "key", "values"),
    [
        ("train.seed=0,1,2", "train.seed", ("0", "1", "2")),
        ("seed=0", "train.seed", ("0",)),
        ("augment[0].p=0.1, 0.2", "augment.0.p", ("0.1", "0.2")),
        ("model.size=[8,8],[16,16]", "model.size", ("[8,8]", "[16,16]")),
        ("augment=[],[{name: a, p: 1}]", "augment", ("[]", "[{name: a, p: 1}]")),
        ("model.note='a,b',c", "model.note", ("'a,b'", "c")),
        ("train.optimizer.lr=1e-3,-1", "train.optimizer.lr", ("1e-3", "-1")),
    ],
)
def test_values_end_at_commas_outside_of_brackets_and_quotes(item: str, key: str, values: tuple[str, ...]) -> None:
    assert Axis.parse(item) == Axis(key, values)


@pytest.mark.parametrize(
    ("items", "overrides", "sentence"),
    [
        (["seed"], (), "--sweep seed: expected KEY=VALUE,VALUE like train.optimizer.lr=0.01,0.02"),
        (["=1"], (), "--sweep =1: expected KEY=VALUE,VALUE like train.optimizer.lr=0.01,0.02"),
        (["seed="], (), "--sweep seed=: a value is missing; expected KEY=VALUE,VALUE"),
        (["seed=1,,2"], (), "--sweep seed=1,,2: a value is missing; expected KEY=VALUE,VALUE"),
        (["seed=1,2,1"], (), "--sweep seed=1,2,1: 1 is there twice; leave one out"),
        (
            ["launcher.nodes=1,2"], (),
            "--sweep launcher.nodes=1,2: all runs of a sweep have one launcher; say it once, without --sweep",
        ),
        (["seed=1", "train.seed=2"], (), "--sweep train.seed: is there twice; put all its values behind one"),
        (["seed=1"], ("train.seed=3",), "--sweep train.seed: is set by --set or a flag too; leave one out"),
    ],
)  # fmt: skip
def test_mistakes_of_the_command(site: Any, items: list[str], overrides: tuple[str, ...], sentence: str) -> None:
    site.fish()
    with pytest.raises(ConfigError) as caught:
        plan(items, reference=FISH, overrides=overrides)
    assert caught.value.problems == (sentence,)


def test_mistakes_of_any_run_are_found_at_once_and_said_once(site: Any) -> None:
    site.fish()
    with pytest.raises(ConfigError) as caught:
        plan(["model.width=1,-2,x", "model.depth=1,0"], reference=FISH, overrides=("model.act=sigmoid",))
    assert caught.value.problems == (
        "--set model.act=sigmoid: model.act: expected 'relu' or 'silu', got str 'sigmoid'",
        "--sweep model.depth=0: model.depth: must be >= 1, got 0",
        "--sweep model.width=-2: model.width: must be > 0, got -2.0",
        "--sweep model.width=x: model.width: expected float, got str 'x'",
    )


@pytest.mark.parametrize(
    ("items", "names"),
    [
        (
            ["train.optimizer.lr=0.1,0.2", "seed=0,1"],
            ["lr=0.1,seed=0", "lr=0.1,seed=1", "lr=0.2,seed=0", "lr=0.2,seed=1"],
        ),
        (["model.size=[8,8],[16,16]"], ["size=8-8", "size=16-16"]),
        (["model.size=[8,8],[8, 8]"], ["size=8-8~0", "size=8-8~1"]),
        (["model.anchor.ratio=1", "model.note=a b"], ["ratio=1,note=a-b"]),
        (["train.batch_size=4", "loader.eval_batch_size=4"], ["batch_size=4,eval_batch_size=4"]),
        (["augment.0.name=vertical_flip,horizontal_flip"], ["name=vertical_flip", "name=horizontal_flip"]),
        (["augment.0.name=vertical_flip", "model.name=net"], ["augment.0.name=vertical_flip,model.name=net"]),
    ],
)  # fmt: skip
def test_names_say_the_values(site: Any, items: list[str], names: list[str]) -> None:
    site.fish()
    assert [member.name for member in plan(items, reference=FISH).members] == names


def test_values_are_typed_by_the_field_and_the_folders_are_run_folders(site: Any) -> None:
    site.fish()
    sweep = attrs.evolve(plan(["train.optimizer.lr=0.5,1", "seed=7"], reference=FISH), name="fish").made()
    assert sweep.folder == Path("runs/fish-sweep-001")
    assert [m.recipe.recipe.train.optimizer.lr for m in sweep.members] == [0.5, 1.0]
    assert {m.recipe.recipe.train.seed for m in sweep.members} == {7}
    assert runs_of(sweep.folder) == [sweep.folder / "lr=0.5,seed=7", sweep.folder / "lr=1,seed=7"]
    job = json.loads((sweep.folder / "lr=1,seed=7" / "job.json").read_text())
    assert (job["action"], job["folder"], job["checkpoint"]) == ("train", f"{sweep.folder}/lr=1,seed=7", "newest")
    assert job["recipe"] == (sweep.folder / "lr=1,seed=7" / "recipe.yaml").read_text()
    assert job["origins"]["train.optimizer.lr"] == "--sweep train.optimizer.lr=1"
    assert load(sweep.folder).jobs() == sweep.jobs()
    assert newest("fish") == sweep.folder
    assert newest("other") is None


def test_what_is_left_is_what_has_no_end_or_another_one(site: Any) -> None:
    site.fish()
    sweep = plan(["seed=0,1,2"], reference=FISH).at(Path("s"))
    Path("s").mkdir()
    sweep = sweep.made()
    (Path("s") / "seed=1" / FINISHED).touch()
    assert [m.name for m in sweep.left().members] == ["seed=0", "seed=2"]
    assert [m.name for m in load(Path("s")).left().members] == ["seed=0", "seed=2"]
    longer = load(Path("s"), ("train.length=20 steps",))
    assert [m.name for m in longer.left().members] == ["seed=0", "seed=1", "seed=2"]


def test_a_run_that_stopped_early_is_finished(tmp_path: Path) -> None:
    (tmp_path / "log.jsonl").write_text('{"kind": "train", "step": 3, "epoch": 0.3}\n')
    assert History.read(tmp_path).state() == "no checkpoint"
    (tmp_path / FINISHED).touch()
    assert History.read(tmp_path).state() == "finished"


def test_a_sweep_may_gain_values_and_no_keys(site: Any) -> None:
    site.fish()
    Path("s").mkdir()
    plan(["seed=0,1"], reference=FISH).at(Path("s")).made()
    more = plan(["seed=1,2"], reference=FISH).at(Path("s"))
    refuse_other_keys(more, Path("s"))
    assert [m.name for m, _ in more.begun()] == ["seed=1"]
    more.made()
    assert [run.name for run in runs_of(Path("s"))] == ["seed=0", "seed=1", "seed=2"]
    with pytest.raises(RunError, match=r"^s: is a sweep over train.seed, not over model.depth; choose another --out$"):
        refuse_other_keys(plan(["model.depth=1"], reference=FISH), Path("s"))


def test_a_folder_that_lost_something_is_one_line(site: Any) -> None:
    site.fish()
    Path("s").mkdir()
    plan(["seed=0,1"], reference=FISH).at(Path("s")).made()
    (Path("s") / "seed=1" / "recipe.yaml").unlink()
    with pytest.raises(RunError, match=r"^s: its run seed=1 is gone; type the whole command with --resume to begin it"):
        load(Path("s"))
    (Path("s") / "sweep.json").write_text("{}")
    with pytest.raises(RunError, match=r"^s/sweep.json: not what vf wrote: KeyError: 'source'$"):
        load(Path("s"))
