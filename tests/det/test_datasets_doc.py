"""docs/datasets.md, tried command by command on folders laid out as it says."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import vf.downloading
import vf_det
from vf import builtin
from vf.recipes import resolve

PAGE = (Path(__file__).parents[2] / "docs" / "datasets.md").read_text(encoding="utf-8")
PAGE = PAGE.partition("\n# Data sets for semantic segmentation\n")[0]
COMMANDS = [shlex.split(line.partition("  #")[0]) for line in re.findall(r"^(vf .*)$", PAGE, re.MULTILINE)]
RECIPES = re.findall(r"^```yaml\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)


@pytest.fixture
def folders(layouts: Any, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Everything that the page names, in the working folder."""
    for make in (layouts.lvis, layouts.voc, layouts.yolo, layouts.csv, layouts.cityscapes):
        make()
    for make in (layouts.panoptic, layouts.stuff, layouts.images):
        make()
    layouts.zipped(layouts.coco(), inner="coco")
    root = layouts.coco("coco_zipped")
    for name in ("train2017", "val2017"):
        layouts.zipped(root / name, inner=name)
    layouts.coco()
    (layouts.folder / "classes.txt").write_text("person\ncar\n")
    monkeypatch.setattr(vf.downloading, "download", lambda url, final, **_: final.write_bytes(layouts.balloons()))
    monkeypatch.chdir(layouts.folder)
    folder: Path = layouts.folder
    return folder


@pytest.mark.usefixtures("folders")
def test_every_command(typed: Callable[..., Any]) -> None:
    assert len(COMMANDS) > 15
    for command in COMMANDS:
        said = typed(*command[1:])
        assert said.code == 0, f"{command}\n{said.out}{said.err}"


@pytest.mark.parametrize("recipe", RECIPES)
def test_every_recipe(recipe: str, folders: Path) -> None:
    (folders / "r.yaml").write_text(recipe)
    data = resolve("r.yaml").recipe.data
    for split, count in data.info().num_samples.items():
        dataset: Any = data.build(split)  # type: ignore[arg-type]
        assert len(dataset) == count
        assert dataset[count - 1].target["boxes"].shape[1] == 4
    again = resolve("r.yaml").yaml()
    (folders / "r.yaml").write_text(again)
    assert resolve("r.yaml").yaml() == again


def test_every_layout_of_ours_is_described() -> None:
    for name in {**vf_det.vf_datasets(), **builtin.vf_datasets()}:
        assert name == "shapes" or f"`{name}`" in PAGE
