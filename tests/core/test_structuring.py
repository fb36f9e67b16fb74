"""Every sentence about a recipe's values, and that what is written is read back the same."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import vf
from vf.optimizers import Optimizer
from vf.recipes import structure
from vf.yaml12 import parse

HEAD = "task: fish\ndata: {name: pond, path: p}\n"
TRAIN = "train: {length: 10 steps, batch_size: 4, optimizer: {name: sgd, lr: 0.1}}\n"
MODEL = "model: {name: net, width: 1}\n"


@pytest.fixture(autouse=True)
def _fish(site: Any) -> None:
    site.fish()


def problems(text: str) -> list[str]:
    with pytest.raises(vf.ConfigError) as caught:
        structure(parse(text, "f"), "f")
    return list(caught.value.problems)


def model(keys: str) -> Any:
    return structure(parse(HEAD + TRAIN + f"model: {{name: net, {keys}}}\n", "f"), "f").recipe.model


@pytest.mark.parametrize(
    ("keys", "sentence"),
    [
        ("widht: 2", "model.widht: unknown key; did you mean 'width' or 'weights'?"),
        (
            "xyz: 2",
            "model.xyz: unknown key; known: width, depth, act, size, bias, note, weights, rates, anchor",
        ),
        ("num_classes: 3", "model.num_classes: unknown key; the class list comes from the data"),
        ("width: wide", "model.width: expected float, got str 'wide'"),
        ("width: true", "model.width: expected float, got bool True"),
        ("width: ", "model.width: expected float, got nothing"),
        ("width: [1]", "model.width: expected float, got a list of 1"),
        ("width: {a: 1}", "model.width: expected float, got a mapping"),
        ("width: 0", "model.width: must be > 0, got 0.0"),
        ("depth: 1.5", "model.depth: expected int, got float 1.5"),
        ("depth: 1e3", "model.depth: expected int, got float 1000.0"),
        ("depth: 0", "model.depth: must be >= 1, got 0"),
        ("act: tanh", "model.act: expected 'relu' or 'silu', got str 'tanh'"),
        ("act: 1", "model.act: expected 'relu' or 'silu', got int 1"),
        ("act: [relu]", "model.act: expected 'relu' or 'silu', got a list of 1"),
        ("size: 8", "model.size: expected a list, got int 8"),
        ("size: [8]", "model.size: expected 2 items, got 1"),
        ("size: [8, x]", "model.size[1]: expected int, got str 'x'"),
        ("size: [8, -1]", "model.size: must be > 0, got -1"),
        ("bias: yes", "model.bias: expected bool, got str 'yes'"),
        ("bias: 1", "model.bias: expected bool, got int 1"),
        ("note: 3", "model.note: expected str, got int 3"),
        ("weights: 3", "model.weights: expected Path, got int 3"),
        ("rates: [1]", "model.rates: expected a mapping, got a list of 1"),
        ("rates: {a: x}", "model.rates.a: expected float, got str 'x'"),
        ("anchor: 3", "model.anchor: expected a mapping of keys, got int 3"),
        ("anchor: {ratoi: 3}", "model.anchor.ratoi: unknown key; did you mean 'ratio'?"),
        ("anchor: {ratio: -3}", "model.anchor.ratio: must be > 0, got -3.0"),
        ("note: odd", "model: note and width do not fit"),
    ],
)
def test_a_wrong_key_or_value(keys: str, sentence: str) -> None:
    width = "" if keys.startswith("width") else "width: 1, "
    assert problems(HEAD + TRAIN + f"model: {{name: net, {width}{keys}}}\n") == [f"f:4: {sentence}"]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (
            "model: {name: nett}",
            ["f:4: model.name: unknown model 'nett'; did you mean 'net'?"],
        ),
        ("model: {name: resnet50}", ["f:4: model.name: unknown model 'resnet50'; installed: net, wide"]),
        ("model: {name: 3}", ["f:4: model.name: expected str, got int 3"]),
        ("model: {width: 3}", ["f:4: model.name: required, but not set (which model)"]),
        ("model: net", ["f:4: model: expected a mapping with the key 'name' (which model), got str 'net'"]),
        ("model: {name: net}", ["f:4: model.width: required, but not set (of the net)"]),
        ("metrics: [{name: weight, x: 1}]\n" + MODEL, ["f:4: metrics[0].x: unknown key; it has no keys"]),
        ("", ["f:1: model: required, but not set (see 'vf list models')"]),
    ],
)
def test_components(text: str, found: list[str]) -> None:
    assert problems(HEAD + TRAIN + text) == found


@pytest.mark.parametrize(
    ("train", "found"),
    [
        ("length: 10", ["train.length: expected a length like '12 epochs' or '9000 steps', got int 10"]),
        ("length: ten", ["train.length: expected a number with its unit like '12 epochs' or '9000 steps', got 'ten'"]),
        ("length: 0.5 steps", ["train.length: expected a whole number of steps, got '0.5 steps'"]),
        ("optimizer: {name: sdg, lr: 1}", ["train.optimizer.name: unknown optimizer 'sdg'; did you mean 'sgd'?"]),
        (
            "optimizer: {name: lion, lr: 1}",
            [f"train.optimizer.name: unknown optimizer 'lion'; expected one of {', '.join(Optimizer.choices())}"],
        ),
        ("optimizer: {lr: 1}", ["train.optimizer.name: required, but not set (which optimizer)"]),
        (
            "optimizer: sgd",
            ["train.optimizer: expected a mapping with the key 'name' (which optimizer), got str 'sgd'"],
        ),
        (
            "optimizer: {name: sgd}",
            ["train.optimizer.lr: required, but not set (peak learning rate for the global batch size)"],
        ),
        ("schedule: {name: poly, end: 2}", ["train.schedule.end: must be from 0 to 1, got 2.0"]),
        ("clip_grad: 0", ["train.clip_grad: must be > 0, got 0.0"]),
        ("precision: fp8", ["train.precision: expected 'auto' or 'fp32' or 'bf16' or 'fp16', got str 'fp8'"]),
    ],
)
def test_the_loop(train: str, found: list[str]) -> None:
    rest = {"length": "1 steps", "batch_size": "4", "optimizer": "{name: sgd, lr: 0.1}"}
    rest.pop(train.split(":")[0], None)
    keys = ", ".join(f"{k}: {v}" for k, v in rest.items())
    assert problems(HEAD + MODEL + f"train: {{{train}, {keys}}}\n") == [f"f:4: {line}" for line in found]


def test_every_mistake_comes_at_once_with_its_line() -> None:
    text = "task: 3\ndat: 4\nmodel:\n  name: net\n  width: -1\n  depth: x\ntrain:\n  length: 3\n  optimizer: {}\n"
    assert problems(text) == [
        "f:1: task: expected str, got int 3",
        "f:2: dat: unknown key; did you mean 'data'?",
        "f:5: model.width: must be > 0, got -1.0",
        "f:6: model.depth: expected int, got str 'x'",
        "f:8: train.length: expected a length like '12 epochs' or '9000 steps', got int 3",
        "f:9: train.optimizer.name: required, but not set (which optimizer)",
        "f:7: train.batch_size: required, but not set (global: over all processes and accumulation)",
        "f:1: data: required, but not set (see 'vf list datasets')",
    ]


def test_values_become_their_types() -> None:
    built = model("width: 2, size: [4, 6], weights: w.pt, rates: {a: 1, b: 2.5}, anchor: {ratio: 3}, bias: false")
    assert (built.width, built.size, built.weights) == (2.0, (4, 6), Path("w.pt"))
    assert type(built.width) is type(built.rates["a"]) is float
    assert (built.rates, built.anchor.ratio, built.bias) == ({"a": 1.0, "b": 2.5}, 3.0, False)
    assert model("width: 1, weights: null").weights is None


def test_a_resolved_recipe_is_read_back_the_same() -> None:
    text = HEAD + TRAIN + "model: {name: net, width: 0.1, note: 'no', weights: 12, rates: {on: 1e-9}}\n"
    text = text.replace("weights: 12", "weights: a/b")
    text += "augment: [{name: horizontal_flip}]\ncallbacks: [{name: ema}]\nlauncher: {name: local}\n"
    first = structure(parse(text, "f"), "f")
    again = structure(parse(first.yaml(), "g"), "g")
    assert again.recipe == first.recipe
    assert again.yaml() == first.yaml()
    assert again.fingerprint() == first.fingerprint()
