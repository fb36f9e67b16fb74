"""What docs/datasets.md says of maps, tried command by command on folders laid out as it says."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import vf_seg
from vf.recipes import resolve

DOCS = Path(__file__).parents[2] / "docs"
PAGE = (DOCS / "datasets.md").read_text(encoding="utf-8").partition("\n# Data sets for semantic segmentation\n")[2]
COMMANDS = [shlex.split(line.partition("  #")[0]) for line in re.findall(r"^(vf .*)$", PAGE, re.MULTILINE)]
RECIPES = re.findall(r"^```yaml\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)


@pytest.fixture
def folders(layouts: Any, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Everything that the page names, in the working folder."""
    for make in (
        layouts.camvid,
        layouts.cityscapes,
        layouts.ade20k,
        layouts.voc12,
        layouts.voc12aug,
        layouts.coco_stuff,
    ):
        make()
    layouts.loveda()
    layouts.potsdam()
    (layouts.folders() / "classes.txt").unlink()
    for split in ("train", "val"):
        layouts.image(f"colours/images/{split}/a.jpg")
        pixels = np.zeros((30, 40, 3), np.uint8)
        pixels[:, :10], pixels[:, 10:20] = (128, 64, 128), (0, 0, 142)
        layouts.map(f"colours/masks/{split}/a.png", pixels)
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
        assert dataset[count - 1].target["semantic"].shape == (30, 40)
    again = resolve("r.yaml").yaml()
    (folders / "r.yaml").write_text(again)
    assert resolve("r.yaml").yaml() == again


def test_every_name_of_ours_is_described() -> None:
    for name in (*vf_seg.vf_datasets(), *vf_seg.vf_downloads()):
        assert name == "shapes" or f"`{name}`" in PAGE
    transforms, metrics = ((DOCS / f"{page}.md").read_text(encoding="utf-8") for page in ("transforms", "metrics"))
    assert [name for name in vf_seg.vf_transforms() if f"`{name}`" not in transforms] == []
    assert [name for name in vf_seg.vf_metrics() if f"`{name}`" not in metrics] == []
