"""Every recipe of ours resolves, says what it is, and trains a few steps at a small size."""

from __future__ import annotations

import itertools
import math
import re
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

FILES = {name: file for name, file in plugins().recipes.items() if name.startswith("seg/")}
QUICK = ("seg/quickstart", "seg/custom", "seg/fast_scnn_512x1024_160k_cityscapes")
DEPTHS = {"resnet": "depth: 18", "hrnet": "width: 18", "mit": "size: b0", "tv": "net: swin_t"}


def small(name: str) -> Resolved:
    """Resolve a recipe at a small size, on data that is made on the spot, for three steps."""
    model: dict[str, Any] = resolve(name).plain()["model"]
    overrides = ["data={name: shapes, size: 64, train: 6, val: 3, test: 3}"]
    if "backbone" in model:
        key, _, value = DEPTHS[model["backbone"]["name"]].partition(": ")
        overrides += [f"model.backbone.{key}={value}", "model.backbone.pretrained=''"]
    if "pretrained" in model:
        overrides += ["model.pretrained=''"]
    if model["name"] == "smp":
        overrides += ["model.encoder=resnet18"]
    if model["resize"]["short"]:
        overrides += ["model.resize.short=64", "model.resize.long=128"]
    if model["inference"]["name"] == "slide":
        overrides += ["model.inference={name: slide, crop: [48, 48], stride: [32, 32]}"]
    overrides += ["model.width=16"] if isinstance(model.get("width"), int) else []
    overrides += [
        "augment=[{name: horizontal_flip}]",
        "train.length=3 steps",
        "train.batch_size=2",
        "train.eval_every=0 steps",
        "train.save_every=0 steps",
        "train.final=0 steps",
        "train.schedule={name: constant}",
        "train.optimizer.lr=1e-4",
        "train.log_every=1",
        "loader.workers=0",
    ]
    return resolve(name, overrides=overrides)


@pytest.mark.parametrize("name", sorted(FILES))
def test_it_resolves_and_says_what_it_is(name: str) -> None:
    resolved = resolve(name)
    assert resolved.recipe.task == "seg"
    lines = FILES[name].read_text(encoding="utf-8").splitlines()
    head = " ".join(itertools.takewhile(lambda line: line.startswith("#"), lines))
    if name not in ("seg/quickstart", "seg/custom"):
        assert re.search(r"published: mIoU \d\d\.\d\d.*\(MMSegmentation\)|no figure", head)
        assert resolved.recipe.train.eval_every.steps(1) == 4000 or "camvid" in name
        assert resolved.recipe.train.sync_batchnorm


@pytest.mark.parametrize("name", [n for n in sorted(FILES) if re.search(r"_\d+k_", n)])
def test_its_name_is_what_it_does(name: str) -> None:
    recipe = resolve(name).plain()
    found = re.fullmatch(r"seg/(\w+?)_(.+)_(\d+)x(\d+)_(\d+)k_(cityscapes|ade20k|voc12aug)", name)
    assert found is not None
    assert recipe["train"]["length"] == f"{found[5]}000 steps"
    assert recipe["augment"][0]["size"] == [int(found[3]), int(found[4])]
    assert recipe["data"]["name"] == found[6].removesuffix("aug")
    backbone = recipe["model"].get("backbone", {})
    if match := re.search(r"_r(\d+)(-d8)?_", name):
        assert (backbone["depth"], backbone["dilate"]) == (int(match[1]), 8 if match[2] else 32)
    if match := re.search(r"_(mit-b\d|hr\d+)_", name):
        assert match[1] in (f"mit-{backbone.get('size')}", f"hr{backbone.get('width')}")
    size = {"cityscapes": (None, 8), "ade20k": (512, 16), "voc12": (512, 16)}[recipe["data"]["name"]]
    given = recipe["model"]["resize"]["short"], recipe["train"]["batch_size"]
    if "640" not in name and recipe["model"]["name"] not in ("unet", "fast_scnn"):
        assert given == size


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
