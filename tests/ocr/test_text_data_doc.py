"""docs/text_data.md and the table of transforms: what they name is there, and what they say to type works."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import cv2
import numpy as np
import pytest
from click.testing import CliRunner

import vf_ocr
from vf.recipes import resolve
from vf_cli.main import cli

DOCS = Path(__file__).parents[2] / "docs"
PAGE = (DOCS / "text_data.md").read_text(encoding="utf-8")
COMMANDS = [shlex.split(line.partition("  #")[0])[1:] for line in re.findall(r"^(vf .*)$", PAGE, re.MULTILINE)]
RECIPES = re.findall(r"^```yaml\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)


def test_every_data_set_and_transform_is_described() -> None:
    assert [name for name in vf_ocr.vf_datasets() if f"`{name}`" not in PAGE] == []
    table = (DOCS / "transforms.md").read_text(encoding="utf-8").partition("## For text")[2].partition("\n## ")[0]
    assert [name for name in vf_ocr.vf_transforms() if f"`{name}`" not in table] == []


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_every_command(command: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "words").mkdir()
    cv2.imwrite(str(tmp_path / "words/a.png"), np.full((20, 50, 3), 200, np.uint8))
    (tmp_path / "words/train.txt").write_text("a.png\tAb1\n")
    monkeypatch.chdir(tmp_path)
    result = CliRunner().invoke(cli, command)
    assert result.exit_code == 0, f"{result.output} {result.exception}"


@pytest.mark.parametrize("block", RECIPES)
def test_every_recipe(block: str, tmp_path: Path) -> None:
    model = "model: {name: crnn}\nmetrics:\n  - {name: word_accuracy}\n"
    train = "train: {length: 1 steps, batch_size: 2, optimizer: {name: sgd, lr: 0.01}}\n"
    file = tmp_path / "recipe.yaml"
    file.write_text(f"task: ocr\n{block}{model}{train}", encoding="utf-8")
    assert type(resolve(str(file)).recipe.data).__module__.startswith("vf_ocr")
