"""Every recipe of classification: it resolves, its head names a source, and a small one trains and evaluates."""

from __future__ import annotations

import itertools
import math
import re
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from torchvision.models import get_model_weights

from vf.console import Console
from vf.engine.build import build_training
from vf.engine.log import read_log
from vf.engine.train import train
from vf.plugins import plugins
from vf.recipes import Resolved, resolve

FILES = {name: file for name, file in plugins().recipes.items() if name.startswith("cls/")}
QUICK = {"cls/quickstart", "cls/resnet18_imagenet", "cls/resnet20_cifar10", "cls/custom_multi_label"}
"""What the default run trains."""


def small(name: str) -> Resolved:
    """Resolve a recipe at a small size, on generated images, for three steps."""
    plain = resolve(name).plain()
    model: dict[str, Any] = plain["model"]
    many = "true" if model["loss"]["name"] == "bce" and plain["metrics"][0]["name"] == "multi_label" else "false"
    overrides = [
        f"data={{name: shapes, size: 64, train: 8, val: 4, test: 4, multi_label: {many}}}",
        "train.length=3 steps",
        "train.batch_size=4",
        "train.eval_every=0 steps",
        "train.save_every=0 steps",
        "train.schedule={name: constant}",
        "train.optimizer.lr=1e-4",
        "train.log_every=1",
        "loader.workers=0",
        "loader.eval_batch_size=4",
    ]
    if model["name"] != "cifar_resnet":
        overrides += ["model.input.size=[64, 64]", "model.input.short=64"]
    for place, transform in enumerate(plain["augment"]):
        if transform["name"] == "resized_crop":
            overrides.append(f"augment.{place}.size=[64, 64]")
    return resolve(name, overrides=overrides)


@pytest.mark.parametrize("name", sorted(FILES))
def test_it_resolves_and_says_what_it_is(name: str) -> None:
    resolved = resolve(name)
    assert resolved.recipe.task == "cls"
    lines = FILES[name].read_text(encoding="utf-8").splitlines()
    head = " ".join(itertools.takewhile(lambda line: line.startswith("#"), lines))
    assert head.startswith("# "), "the first line says what it trains"
    if not name.startswith(("cls/quickstart", "cls/custom")):
        assert "published" in head or "no figure" in head
        assert "arXiv" in head or "torchvision" in head or "MMPretrain" in head or "no figure" in head
    assert not any("extends" in line for line in parents(name)), "at most one level"


def parents(name: str) -> list[str]:
    """Lines of the recipe that this one extends."""
    text = FILES[name].read_text(encoding="utf-8")
    found = re.search(r"^extends: (\S+)$", text, re.MULTILINE)
    return FILES[found[1]].read_text(encoding="utf-8").splitlines() if found else []


@pytest.mark.parametrize("name", [n for n, file in FILES.items() if "IMAGENET1K" in file.read_text(encoding="utf-8")])
def test_figures_of_torchvision_are_those_that_it_tells(name: str) -> None:
    first = FILES[name].read_text(encoding="utf-8").partition("\n")[0]
    version = re.search(r"IMAGENET1K_V\d", first)
    assert version
    told = get_model_weights(resolve(name).plain()["model"]["arch"])[version[0]].meta["_metrics"]["ImageNet-1K"]
    assert re.findall(r"top-\d (\d+\.\d+)", first) == [f"{told['acc@1']:.2f}", f"{told['acc@5']:.2f}"]


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
