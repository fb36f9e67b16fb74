"""Every recipe of text: it resolves, its head names a source, and a small one of its kind trains and evaluates."""

from __future__ import annotations

import itertools
import math
from io import StringIO
from pathlib import Path
from typing import Any

import pytest

from vf.console import Console
from vf.engine.build import build_training
from vf.engine.log import read_log
from vf.engine.train import train
from vf.plugins import plugins
from vf.recipes import Resolved, resolve

FILES = {name: file for name, file in plugins().recipes.items() if name.startswith("ocr/")}
QUICK = {"ocr/dbnet_custom", "ocr/quickstart", "ocr/crnn_custom"}
"""What the default run trains; other tests train the other kinds at a smaller size."""
OWN = {"ocr/quickstart", "ocr/custom", "ocr/dbnet_custom", "ocr/crnn_custom"}
"""No paper has figures for them."""
DETECTORS = ("dbnet", "dbnetpp", "psenet", "panet")


def small(name: str) -> Resolved:
    """Resolve a recipe at a small size, on generated text, for three steps."""
    model: dict[str, Any] = resolve(name).plain()["model"]
    few = "train: 6, val: 3, test: 3"
    pages = f"name: pages, {few}, size: [96, 128], words: [1, 3], height: [12, 20]"
    if model["name"] in DETECTORS:
        overrides = [f"data={{{pages}}}", "model.resize={short: 96, long: 128, train_long: 128}"]
    elif model["name"] == "spotter":
        overrides = [
            f"data={{{pages}, charset: lower}}",
            "model.detector.resize={short: 96, long: 128, train_long: 128}",
        ]
    else:
        overrides = [f"data={{name: words, {few}, charset: lower}}"]
    backbone = model.get("backbone", {})
    if "pretrained" in backbone:
        overrides += ["model.backbone.pretrained=''"]
    if "norm_eval" in backbone:
        overrides += ["model.backbone.norm_eval=false"]  # its statistics would be those of no training
    overrides += [
        "augment=[]",
        "train.length=3 steps",
        "train.batch_size=2",
        "train.eval_every=0 steps",
        "train.save_every=0 steps",
        "train.final=0 steps",
        "train.schedule={name: constant}",
        "train.optimizer.lr=1e-4",
        "train.log_every=1",
        "train.precision=auto",  # a CPU has no fp16
        "loader.workers=0",
    ]
    return resolve(name, overrides=overrides)


@pytest.mark.parametrize("name", sorted(FILES))
def test_it_resolves_and_says_what_it_is(name: str) -> None:
    resolved = resolve(name)
    assert resolved.recipe.task == "ocr"
    lines = FILES[name].read_text(encoding="utf-8").splitlines()
    head = " ".join(itertools.takewhile(lambda line: line.startswith("#"), lines))
    assert head.startswith("# "), "the first line says what it trains"
    if name not in OWN:
        assert "published" in head.lower() or "no figure" in head.lower()


@pytest.mark.parametrize(
    "name", [pytest.param(n, marks=() if n in QUICK else pytest.mark.slow, id=n) for n in sorted(FILES)]
)
def test_a_small_one_trains_and_evaluates(name: str, tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    with Console(StringIO()) as console:
        state = train(build_training(small(name), tmp_path / "run", console))
    assert state.step == 3
    records = read_log(tmp_path / "run")
    assert [math.isfinite(r["loss"]) for r in records if r["kind"] == "train"] == [True] * 3
    assert state.metrics
