"""``vf list`` and ``vf explain``."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

Vf = Callable[..., Any]
OPTIMIZERS = "sgd, adamw, adam, rmsprop, adagrad, adadelta, adamax, nadam, radam, asgd, adafactor, rprop, … (13 in all)"
SCHEDULES = "constant, cosine, multistep, poly, step, exponential, linear, onecycle"


@pytest.fixture(autouse=True)
def _fish(site: Any) -> None:
    site.fish()


def test_everything(vf: Vf) -> None:
    said = vf("list")
    lines = said.out.splitlines()
    assert [line for line in lines if line and not line.startswith(" ")] == [
        "models",
        "backbones",
        "datasets",
        "transforms",
        "metrics",
        "callbacks",
        "launchers",
        "recipes",
    ]
    assert lines[1].split() == ["net", "fish", "A", "net", "for", "fish."]
    assert lines[-1].split() == ["fish/quickstart", "fish", "A", "net", "on", "a", "pond"]
    assert (said.code, said.err) == (0, "")


def test_one_kind(vf: Vf) -> None:
    lines = vf("list", "datasets").out.splitlines()
    assert [line.split()[0] for line in lines] == [
        *("class_balanced", "concat", "decoded", "kfold", "lake", "pond", "repeat", "subset"),
    ]
    assert lines[5] == "  pond            fish  Fish in a folder: one file NAME.fish each."
    assert json.loads(vf("list", "metrics", "--json").out) == [
        {"kind": "metric", "name": "weight", "plugin": "fish", "summary": "Weigh the fish."}
    ]


TASK = """
import vf

VF_TASK = "{task}"

@vf.config
class Net:
    '''A net for {task}.'''

    def build(self, info):
        raise NotImplementedError

@vf.hookimpl
def vf_models():
    return {{"mesh": Net}}
"""


def test_one_name_in_two_tasks(vf: Vf, site: Any) -> None:
    site.add("cats", TASK.format(task="cats"))
    site.add("dogs", TASK.format(task="dogs"))
    both = [line.split(maxsplit=2)[1:] for line in vf("list", "models").out.splitlines() if " mesh " in line]
    assert both == [["cats", "A net for cats."], ["dogs", "A net for dogs."]]
    assert [line.split()[0] for line in vf("list", "models", "--task", "dogs").out.splitlines()] == [
        "mesh",
        "net",
        "wide",
    ]
    assert vf("list", "recipes", "--task", "dogs").out == "none\n"
    said = vf("explain", "model", "mesh")
    assert (said.code, said.err) == (
        2,
        "error: model 'mesh': there is one for each of cats, dogs; say which: --task cats\n",
    )
    assert vf("explain", "model", "mesh", "--task", "dogs").out.startswith("model mesh  (plugin dogs, fake_dogs.Net)")
    assert vf("list", "--task", "dog").err == "error: --task dog: no such task; did you mean 'dogs'?\n"


def test_recipes_without_a_comment_or_a_file(vf: Vf, site: Any) -> None:
    site.recipe("plain", "task: fish\n")
    site.recipe("dead", "x").unlink()
    (site.folder / "recipes" / "dead.yaml").symlink_to(site.folder / "nowhere")
    rows = json.loads(vf("list", "recipes", "--json").out)
    assert {row["name"]: row["summary"] for row in rows} == {
        "fish/dead": "",
        "fish/plain": "",
        "fish/quickstart": "A net on a pond",
    }


def test_plugins_that_failed_are_mentioned(vf: Vf, site: Any) -> None:
    site.add("bad", "raise SystemExit")
    said = vf("list", "models")
    assert said.code == 0
    assert said.err == "note: plugins that failed to load: bad; see 'vf plugins list'\n"


def test_explain_a_component(vf: Vf) -> None:
    lines = vf("explain", "model", "net").out.splitlines()
    assert lines == [
        "model net  (plugin fish, fake_fish.Net)",
        "",
        "A net for fish.",
        "",
        "It has one key of every type.",
        "",
        "  key      type              default       unit    meaning",
        "  width    float             (required)            of the net",
        "  depth    int               3             layers  number of layers",
        "  act      relu or silu      relu                  activation",
        "  size     list of 2 int     [8, 8]        px      of the input",
        "  bias     bool              true                  add one",
        "  note     str               nothing               for people",
        "  weights  path or nothing   nothing               start from this file",
        "  rates    mapping of float  nothing               by name",
        "  anchor   anchor            its defaults          its shape",
    ]


def test_explain_says_the_same_as_json(vf: Vf) -> None:
    told = json.loads(vf("explain", "dataset", "pond", "--json").out)
    assert told == {
        "kind": "dataset",
        "name": "pond",
        "plugin": "fish",
        "help": "Fish in a folder: one file NAME.fish each.",
        "keys": [
            {"key": "path", "type": "path", "required": True, "default": None, "unit": "", "help": "the folder"},
            {"key": "limit", "type": "int", "required": False, "default": 0, "unit": "", "help": "of fish"},
        ],
    }


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (
            ["train"],
            "  accumulate              int                           1                   split a batch into so",
        ),
        (["loader"], "  workers          int           2                processes that decode and augment"),
        (
            ["optimizer", "sgd"],
            "  momentum             float                                 0.9               of the velocity",
        ),
        (["schedule", "cosine"], "  flat          length  0 steps        length of the flat piece at the end"),
        (["recipe"], "  augment    list of transform    nothing             in this order, on training samples only"),
        (["metric", "weight"], "it has no keys"),
    ],
)
def test_explain_what_core_brings(vf: Vf, arguments: list[str], line: str) -> None:
    said = vf("explain", *arguments)
    assert said.code == 0
    assert any(found.startswith(line) for found in said.out.splitlines()), said.out


def test_explain_a_recipe(vf: Vf, site: Any) -> None:
    path = site.folder / "recipes" / "quickstart.yaml"
    said = vf("explain", "recipe", "fish/quickstart").out
    assert said.startswith(f"recipe fish/quickstart  (plugin fish): {path}\n\n# A net on a pond\ntask: fish\n")
    assert said.endswith("\nevery key with its default: vf config show fish/quickstart\n")
    assert json.loads(vf("explain", "recipe", str(path), "--json").out)["text"] == path.read_text()


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["modle"], "unknown kind 'modle'; did you mean 'model'?"),
        (
            ["xyz"],
            "unknown kind 'xyz'; expected one of model, backbone, dataset, transform, metric, callback, launcher, "
            "writer, download, optimizer, schedule, sampler, neck, recipe, train, loader",
        ),
        (["model"], "vf explain model: say which: net, wide"),
        (["optimizer"], f"vf explain optimizer: say which: {OPTIMIZERS}"),
        (["model", "nett"], "unknown model 'nett'; did you mean 'net'?"),
        (["optimizer", "sdg"], "unknown optimizer 'sdg'; did you mean 'sgd'?"),
        (["schedule", "xyz"], f"unknown schedule 'xyz'; expected one of {SCHEDULES}"),
        (["train", "x"], "vf explain train: takes no name, got 'x'"),
        (["recipe", "fish/quikstart"], "unknown recipe 'fish/quikstart'; did you mean 'fish/quickstart'?"),
    ],
)
def test_explain_what_is_not_there(vf: Vf, arguments: list[str], sentence: str) -> None:
    said = vf("explain", *arguments)
    assert (said.code, said.out, said.err) == (2, "", f"error: {sentence}\n")


def test_nothing_is_listed_while_two_plugins_claim_one_name(vf: Vf, site: Any) -> None:
    site.add("other", (site.folder / "fake_fish.py").read_text())
    for arguments in (["list"], ["explain", "train"], ["config", "check", "fish/quickstart"]):
        said = vf(*arguments)
        assert (said.code, said.out) == (2, "")
        assert said.err.startswith("error: model 'net' is claimed twice: by fake_fish.Net of plugin 'fish' and by ")
