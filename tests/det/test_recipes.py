"""Every recipe of detection: it resolves, its head names a source, and a small one of its kind trains and evaluates."""

from __future__ import annotations

import itertools
import math
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from vf.console import Console
from vf.engine.build import build_training
from vf.engine.log import read_log
from vf.engine.train import train
from vf.plugins import plugins
from vf.recipes import Resolved, resolve

FILES = {name: file for name, file in plugins().recipes.items() if name.startswith("det/")}
QUICK = {
    "det/quickstart",
    "det/yolox_nano_coco",
    "det/faster_rcnn_r50_fpn_1x_coco",
    "det/retinanet_r18_fpn_1x_coco",
}
"""What the default run trains; other tests train the other kinds at a smaller depth."""


def panoptic_folder(folder: Path) -> Path:
    """Write COCO panoptic labels of four images: a thing on stuff."""
    import json

    categories = [
        {"id": 1, "name": "box", "isthing": 1, "color": [255, 0, 0]},
        {"id": 2, "name": "ground", "isthing": 0, "color": [0, 255, 0]},
    ]
    rng = np.random.default_rng(0)
    for split in ("train", "val"):
        annotations, images = [], []
        maps, pictures = folder / f"annotations/panoptic_{split}2017", folder / f"{split}2017"
        maps.mkdir(parents=True)
        pictures.mkdir()
        for number in range(1, 5):
            name = f"{split}{number}"
            left, top = rng.integers(5, 40, 2).tolist()
            ids = np.full((96, 128), 2, np.uint8)
            ids[top : top + 40, left : left + 50] = 1
            coded = np.stack([ids, np.zeros_like(ids), np.zeros_like(ids)], -1)
            Image.fromarray(coded).save(maps / f"{name}.png")
            Image.fromarray(np.where(coded[..., :1] == 1, 200, 60).astype(np.uint8).repeat(3, -1)).save(
                pictures / f"{name}.jpg"
            )
            segments = [
                {"id": 1, "category_id": 1, "iscrowd": 0, "bbox": [left, top, 50, 40], "area": 2000},
                {"id": 2, "category_id": 2, "iscrowd": 0, "bbox": [0, 0, 128, 96], "area": 96 * 128 - 2000},
            ]
            annotations.append({"image_id": number, "file_name": f"{name}.png", "segments_info": segments})
            images.append({"id": number, "file_name": f"{name}.jpg", "width": 128, "height": 96})
        content = {"images": images, "annotations": annotations, "categories": categories}
        (folder / f"annotations/panoptic_{split}2017.json").write_text(json.dumps(content))
    return folder


def small(name: str, folder: Path) -> Resolved:
    """Resolve a recipe at a small size, on data that is made on the spot, for three steps."""
    model: dict[str, Any] = resolve(name).plain()["model"]
    overrides = ["data={name: shapes, size: 96, train: 6, val: 3, min_objects: 1}", "metrics=[{name: coco_ap}]"]
    if model["name"] == "panoptic_fpn":
        overrides = [f"data={{name: coco_panoptic, path: {panoptic_folder(folder / 'data')}, masks: true}}"]
    if "resize" in model:
        overrides += ["model.resize={short: 96, long: 128, divisor: 32}"]
    if model["name"] == "yolox":
        overrides += ["model.size=[96, 96]"]
    if "pretrained" in model.get("backbone", {}):
        overrides += ["model.backbone.pretrained=''"]
    if "norm_eval" in model.get("backbone", {}):
        overrides += ["model.backbone.norm_eval=false"]  # its statistics would be those of no training
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
        "train.precision=auto",  # a CPU has no fp16
        "loader.workers=0",
    ]
    return resolve(name, overrides=overrides)


@pytest.mark.parametrize("name", sorted(FILES))
def test_it_resolves_and_says_what_it_is(name: str) -> None:
    resolved = resolve(name)
    assert resolved.recipe.task == "det"
    lines = FILES[name].read_text(encoding="utf-8").splitlines()
    head = " ".join(itertools.takewhile(lambda line: line.startswith("#"), lines))
    assert head.startswith("# "), "the first line says what it trains"
    if name not in ("det/quickstart", "det/custom"):
        assert "published" in head.lower() or "no figure" in head


@pytest.mark.parametrize(
    "name", [pytest.param(n, marks=() if n in QUICK else pytest.mark.slow, id=n) for n in sorted(FILES)]
)
def test_a_small_one_trains_and_evaluates(name: str, tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    with Console(StringIO()) as console:
        state = train(build_training(small(name, tmp_path), tmp_path / "run", console))
    assert state.step == 3
    records = read_log(tmp_path / "run")
    assert [math.isfinite(r["loss"]) for r in records if r["kind"] == "train"] == [True] * 3
    assert state.metrics
