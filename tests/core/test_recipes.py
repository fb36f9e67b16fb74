"""How a recipe is found, extended and overridden, and every sentence on the way."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import vf
from vf.plugins import OURS
from vf.recipes import Resolved, from_text, leaves, merge, resolve, resolve_data
from vf.yaml12 import parse

QUICK = "fish/quickstart"


@pytest.fixture(autouse=True)
def _fish(site: Any) -> None:
    site.fish()


def problems(reference: str | None = QUICK, **options: Any) -> list[str]:
    with pytest.raises(vf.ConfigError) as caught:
        resolve(reference, **options)
    return list(caught.value.problems)


def quick(*overrides: str) -> Resolved:
    return resolve(QUICK, overrides=overrides)


def test_a_recipe_by_name_by_task_and_by_file(site: Any) -> None:
    path = site.folder / "recipes" / "quickstart.yaml"
    found = [resolve(QUICK), resolve(None, task="fish"), resolve(str(path)), resolve(QUICK, task="fish")]
    assert len({r.fingerprint() for r in found}) == 1
    assert [r.source for r in found] == [QUICK, QUICK, str(path), QUICK]


def test_a_task_with_data_prefers_custom(site: Any) -> None:
    pond = Path("pond")
    pond.mkdir()
    (pond / "a.fish").write_text("a")
    assert resolve(None, task="fish", data="pond").source == QUICK
    site.recipe("custom", "extends: fish/quickstart\nmodel: {width: 3}\n")
    vf.plugins._discover.cache_clear()
    resolved = resolve(None, task="fish", data="pond")
    assert resolved.source == "fish/custom"
    assert dict((k, o) for k, _, o in resolved.origins())["data.path"] == "--data pond"


def test_nothing_to_run() -> None:
    assert problems(None) == ["say what to run: a recipe (see 'vf list recipes') or --task with one of fish"]


def test_unknown_tasks_and_recipes(site: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(OURS, "crab", "vf-plugin-crab")
    assert problems(None, task="fihs") == [
        "--task fihs: no plugin brings the recipe 'fihs/quickstart'; did you mean 'fish'?"
    ]
    assert problems(None, task="xyz") == ["--task xyz: no plugin brings the recipe 'xyz/quickstart'; installed: fish"]
    assert problems(None, task="crab") == [
        "--task crab: no plugin brings the recipe 'crab/quickstart'; pip install vf-plugin-crab"
    ]
    assert problems(None, task="ocr") == [
        "--task ocr: no plugin brings the recipe 'ocr/quickstart'; pip install vf-plugin-ocr"
    ]
    assert problems("fish/quikstart") == ["unknown recipe 'fish/quikstart'; did you mean 'fish/quickstart'?"]
    assert problems("crab/big") == ["unknown recipe 'crab/big'; pip install vf-plugin-crab"]
    assert problems("xyz") == ["unknown recipe 'xyz'; see 'vf list recipes'"]
    assert problems("no.yaml") == ["no.yaml: no such file"]
    site.add("crab", "raise SystemExit")
    vf.plugins._discover.cache_clear()
    assert problems("crab/big") == [
        "unknown recipe 'crab/big'; see 'vf list recipes' (plugins that failed to load: crab; see 'vf plugins list')"
    ]


def test_the_task_must_be_the_recipe_s() -> None:
    assert problems(QUICK, task="crab") == [
        "--task crab: fish/quickstart is a recipe for task 'fish'; leave --task out"
    ]


def test_nothing_is_resolved_while_two_plugins_claim_one_name(site: Any) -> None:
    code = "import vf\n@vf.config\nclass N:\n    'N.'\n@vf.hookimpl\ndef vf_models():\n    return {'net': N}"
    site.add("other", code)
    vf.plugins._discover.cache_clear()
    for call in (lambda: resolve(QUICK), lambda: from_text("", "f"), lambda: resolve_data(".")):
        with pytest.raises(vf.PluginError, match=r"^model 'net' is claimed twice: by "):
            call()


def test_extends_merges_mappings_and_replaces_lists() -> None:
    Path("child.yaml").write_text(
        "extends: fish/quickstart\nmodel: {depth: 9}\nmetrics: []\ntrain: {schedule: {name: poly}}\n"
    )
    recipe = resolve("child.yaml").plain()
    assert (recipe["model"]["width"], recipe["model"]["depth"], recipe["metrics"]) == (0.5, 9, [])
    # another name: the keys of the cosine (warmup) are gone
    assert recipe["train"]["schedule"] == {
        "name": "poly",
        "warmup": "0 steps",
        "warmup_start": 0.001,
        "warmup_power": 1.0,
        "power": 0.9,
        "end": 0.0,
    }


def test_extends_a_file_beside_it() -> None:
    Path("sub").mkdir()
    Path("sub/base.yaml").write_text("extends: fish/quickstart\nmodel: {depth: 2}\n")
    Path("sub/child.yaml").write_text("extends: base.yaml\nmodel: {width: 2}\n")
    resolved = resolve("sub/child.yaml")
    origins = {key: origin for key, _, origin in resolved.origins()}
    assert (origins["model.depth"], origins["model.width"]) == ("sub/base.yaml:2", "sub/child.yaml:2")
    assert origins["model.act"] == "default"
    assert origins["train.length"].endswith("quickstart.yaml:13")


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (
            "extends: fish/quikstart",
            "a.yaml:1: extends: unknown recipe 'fish/quikstart'; did you mean 'fish/quickstart'?",
        ),
        ("extends: [a, b]", "a.yaml:1: extends: expected the name of one recipe, got ['a', 'b']"),
        ("\nextends: no.yaml", "a.yaml:2: extends: no.yaml: no such file"),
        ("extends: a.yaml", "a.yaml:1: extends: a.yaml: extends itself by way of a.yaml"),
        ("extends: b.yaml", "b.yaml:1: extends: a.yaml: extends itself by way of a.yaml, b.yaml"),
        ("extends: c.yaml", "c.yaml:2: x: given twice, first at c.yaml:1"),
    ],
)
def test_extends_that_cannot_be(text: str, sentence: str) -> None:
    Path("a.yaml").write_text(text)
    Path("b.yaml").write_text("extends: a.yaml")
    Path("c.yaml").write_text("x: 1\nx: 2\n")
    assert problems("a.yaml") == [sentence]


@pytest.mark.parametrize(
    ("override", "key", "value"),
    [
        ("model.width=2", "model.width", 2.0),
        ("model.size=[4, 6]", "model.size", [4, 6]),
        ("model.size.1=6", "model.size", [8, 6]),
        ("model.size[1]=6", "model.size", [8, 6]),
        ("augment.0.p=0.25", "augment.0.p", 0.25),
        ("augment.1.hue=0", "augment.1.hue", 0.0),
        ("augment=[]", "augment", []),
        ("model.note=3", "model.note", "3"),
        ("model.note=1e3", "model.note", "1e3"),
        ("model.note=0x10", "model.note", "0x10"),
        ("model.note=true", "model.note", "true"),
        ("model.note=", "model.note", ""),
        ("model.note=a=b", "model.note", "a=b"),
        ("model.weights=3", "model.weights", "3"),
        ("model.weights=null", "model.weights", None),
        ("model.rates.slow=1e-3", "model.rates.slow", 0.001),
        ("model.anchor={ratio: 2}", "model.anchor.ratio", 2.0),
        ("train.length=3 epochs", "train.length", "3 epochs"),
        ("train.clip_grad=5", "train.clip_grad", 5.0),
        ("launcher.name=local", "launcher.name", "local"),
    ],
)
def test_overrides(override: str, key: str, value: Any) -> None:
    found = dict(leaves(quick(override).plain()))[key]
    assert found == value
    assert type(found) is type(value)


def test_overrides_come_in_order_and_know_their_origin() -> None:
    resolved = quick("model.width=2", "model.width=3")
    assert next((v, o) for k, v, o in resolved.origins() if k == "model.width") == (3.0, "--set model.width=3")


def test_another_name_drops_the_keys_of_the_first() -> None:
    assert quick("model.name=wide").plain()["model"] == {"name": "wide", "span": 1}
    assert quick("model.name=wide", "model.span=4").plain()["model"] == {"name": "wide", "span": 4}
    assert quick("model.name=net").plain()["model"]["width"] == 0.5


@pytest.mark.parametrize(
    ("override", "sentence"),
    [
        ("model.width", "--set model.width: expected KEY=VALUE like train.optimizer.lr=0.02"),
        ("=3", "--set =3: expected KEY=VALUE like train.optimizer.lr=0.02"),
        ("model..width=3", "--set model..width=3: expected KEY=VALUE like train.optimizer.lr=0.02"),
        ("model.widht=3", "--set model.widht=3: model.widht: unknown key; did you mean 'width' or 'weights'?"),
        ("model.width=x", "--set model.width=x: model.width: expected float, got str 'x'"),
        ("model.width=", "--set model.width=: model.width: expected float, got str ''"),
        ("model.depth=1.5", "--set model.depth=1.5: model.depth: expected int, got float 1.5"),
        ("model.name=nett", "--set model.name=nett: model.name: unknown model 'nett'; did you mean 'net'?"),
        ("augment.2.p=1", "--set augment.2.p=1: '2' is not an index of a list with 2 items"),
        (
            "train.betas.0=1",
            "--set train.betas.0=1: the recipe sets no list here that '0' could index; give the whole list",
        ),
        ("augment.p=1", "--set augment.p=1: 'p' is not an index of a list with 2 items"),
        ("model=[1", "--set model=[1:1: not valid YAML: while parsing a flow sequence expected ',' or ']'"),
        ("a.b=1", "--set a.b=1: a: unknown key; known: task, model, data, augment, metrics, train, loader"),
        ("task.x=1", "--set task.x=1: task: expected str, got a mapping"),
    ],
)
def test_overrides_that_cannot_be(override: str, sentence: str) -> None:
    (found,) = problems(overrides=[override])
    assert found.startswith(sentence)


def test_data_by_its_folder() -> None:
    for name in ("pond", "both", "neither"):
        Path(name).mkdir()
    Path("pond/a.fish").write_text("a")
    Path("both/a.fish").write_text("a")
    Path("both/water").write_text("")
    assert resolve(QUICK, data="pond").plain()["data"] == {"name": "pond", "path": "pond", "limit": 0}
    assert resolve(QUICK, data="pond", overrides=["data.limit=3"]).plain()["data"]["limit"] == 3
    assert problems(data="nowhere") == ["--data nowhere: no such file or folder"]
    assert problems(data="neither") == [
        "--data neither: not recognised as any of lake, pond; see 'vf explain dataset NAME' for each layout"
    ]
    assert problems(data="both") == [
        "--data both: could be lake or pond; say which: --set data.name=lake --set data.path=both"
    ]


def test_data_alone() -> None:
    Path("pond").mkdir()
    Path("pond/a.fish").write_text("a")
    built: Any = resolve_data("pond", ["data.limit=3"])
    assert (type(built).__name__, built.path, built.limit) == ("Pond", Path("pond"), 3)
    with pytest.raises(vf.ConfigError) as caught:
        resolve_data("pond", ["data.limti=3", "model.width=2"])
    assert caught.value.problems == (
        "--set model.width=2: model: only keys of data count here",
        "--set data.limti=3: data.limti: unknown key; did you mean 'limit'?",
    )


def test_a_resolved_recipe_from_its_text() -> None:
    text = quick("model.width=2").yaml()
    assert from_text(text, "run/recipe.yaml").fingerprint() == quick("model.width=2").fingerprint()
    again = from_text(text, "run/recipe.yaml", overrides=["train.seed=4"])
    assert again.recipe.train.seed == 4
    assert next(o for k, _, o in again.origins() if k == "model.width").startswith("run/recipe.yaml:")


def test_the_fingerprint_is_of_what_is_said_not_how() -> None:
    assert quick().fingerprint() == quick("model.depth=3", "model.width=5e-1").fingerprint()
    assert quick().fingerprint() != quick("model.depth=4").fingerprint()


def test_merge_and_leaves() -> None:
    base, over = parse("a: {x: 1, y: [1, 2]}\nb: 1", "f"), parse("a: {y: [3]}\nb: {c: 1}", "g")
    assert merge(base, over).plain() == {"a": {"x": 1, "y": [3]}, "b": {"c": 1}}
    assert leaves({"a": {}, "b": [], "c": [1, 2], "d": [{"e": 1}, 2]}) == [
        ("a", {}),
        ("b", []),
        ("c", [1, 2]),
        ("d.0.e", 1),
        ("d.1", 2),
    ]
