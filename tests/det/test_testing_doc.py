"""docs/testing.md, tried command by command; what it says of the form of a file is true of one."""

from __future__ import annotations

import importlib.util
import json
import re
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from vf.engine.checkpoint import save_weights
from vf.prediction_files import open_saved
from vf.recipes import resolve
from vf_det.results.coco import CocoResults

PAGE = (Path(__file__).parents[2] / "docs" / "testing.md").read_text(encoding="utf-8")
COMMANDS = [line.partition("  #")[0].strip() for line in re.findall(r"^(vf .*)$", PAGE, re.MULTILINE)]
SHAPES = ("model.size=[64, 64]", "model.width=0.125", "data.size=64", "data.val=4", "data.test=4", "loader.workers=0")
MASKS = (
    *("model.backbone={name: resnet, depth: 18}", "model.neck.channels=32", "model.head.hidden=16", "data.path=coco"),
    *("model.resize.short=32", "model.resize.long=64", "model.mask_head.hidden=8", "loader.workers=0"),
    *("model.rpn.test_kept=20", "model.score_threshold=0.3"),
)


@pytest.fixture
def work(layouts: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs with random weights, and COCO with a test-dev beside it."""
    root = layouts.coco()
    info = json.loads((root / "annotations" / "instances_val2017.json").read_text())
    del info["annotations"]
    (root / "annotations" / "image_info_test-dev2017.json").write_text(json.dumps(info))
    (root / "test2017").symlink_to(root / "val2017")
    monkeypatch.chdir(layouts.folder)
    for run, recipe, overrides in (
        ("runs/det-quickstart-001", "det/quickstart", SHAPES),
        ("runs/mask-rcnn-001", "det/mask_rcnn_r50_fpn_1x_coco", MASKS),
    ):
        torch.manual_seed(0)
        resolved = resolve(recipe, overrides=overrides)
        info = resolved.recipe.data.info()
        for name in ("best", "last"):
            folder = Path(run, "checkpoints", name)
            folder.mkdir(parents=True)
            model = resolved.recipe.model.build(info)
            save_weights(model, folder / "model.safetensors", recipe=resolved.yaml(), info=info)


@pytest.mark.usefixtures("work")
def test_every_command(typed: Callable[..., Any]) -> None:
    assert len(COMMANDS) > 12
    for command in COMMANDS:
        if (
            "--nproc" in command or "--show " in command
        ):  # tests/e2e/test_test_processes.py, tests/det/test_test_command.py
            continue
        if ".parquet" in command and importlib.util.find_spec("pyarrow") is None:
            continue
        if "theirs.json" in command:
            data = json.loads(Path("preds.json").read_text())
            least = {key: data[key] for key in ("format", "version", "classes", "images")}
            Path("theirs.json").write_text(json.dumps(least))
        said = typed(*shlex.split(command)[1:])
        assert (said.code, said.err if "--json" not in command else "") == (0, ""), f"{command}\n{said.out}{said.err}"
    names = {p.name for p in Path("results").iterdir()}
    assert {"mask_rcnn_test-dev.bbox.json", "mask_rcnn_test-dev.segm.json", "again.segm.json"} <= names


@pytest.mark.usefixtures("layouts")
def test_the_form_of_the_file(tmp_path: Path) -> None:
    form = next(block for block in re.findall(r"^```\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL) if "vf-pred" in block)
    head, lines = form.replace("{…}", '{"dtype": "int64", "row": []}').split('"images": [\n')
    (tmp_path / "p.json").write_text(" ".join(head.split("\n")) + '"images": [\n' + lines, encoding="utf-8")
    one, two = open_saved(str(tmp_path / "p.json")).read(CocoResults().restore)
    assert one.prediction["boxes"].tolist() == [[0.5, 2.0, 12.0, 8.5]]
    assert two.prediction["boxes"].shape == (0, 4)
