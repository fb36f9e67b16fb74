"""docs/classification.md, tried command by command, on a run with random weights and a folder of a few images."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

from vf.engine.checkpoint import save_weights
from vf.recipes import resolve

PAGE = (Path(__file__).parents[2] / "docs" / "classification.md").read_text(encoding="utf-8")
COMMANDS = [line.partition("  #")[0].strip() for line in re.findall(r"^(vf .*)$", PAGE, re.MULTILINE)]
BLOCKS = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)
DATA = ("data.train=8", "data.val=4", "data.test=4", "loader.workers=0")
QUICK = (
    *("train.length=1 steps", "train.batch_size=4", "train.schedule={name: constant}", "loader.workers=0"),
    *("callbacks=[]", "train.eval_every=0 steps", "train.save_every=0 steps"),
)


@pytest.fixture
def work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A run of the quickstart, and images in folders."""
    monkeypatch.chdir(tmp_path)
    for split in ("train", "val"):
        for name, grey in (("rose", 40), ("tulip", 200)):
            for number in range(4):
                file = Path("flowers", split, name, f"{number}.png")
                file.parent.mkdir(parents=True, exist_ok=True)
                Image.new("RGB", (40, 30), (grey, 10 * number, 90)).save(file)
    resolved = resolve("cls/quickstart", overrides=DATA)
    info = resolved.recipe.data.info()
    folder = Path("runs/cls-quickstart-001/checkpoints/best")
    folder.mkdir(parents=True)
    torch.manual_seed(0)
    save_weights(resolved.recipe.model.build(info), folder / "model.safetensors", recipe=resolved.yaml(), info=info)


@pytest.mark.usefixtures("work")
def test_every_command(typed: Callable[..., Any]) -> None:
    assert len(COMMANDS) >= 10
    for command in COMMANDS:
        words = shlex.split(command)[1:]
        if words[:2] == ["run", "train"]:
            small = QUICK if "--data" in words else (*QUICK, *DATA)
            words += [word for key in small for word in ("--set", key)]
        said = typed(*words)
        assert said.code == 0, f"{command}: {said.err}"


@pytest.mark.parametrize("block", BLOCKS, ids=lambda text: text.split()[-1])
def test_every_piece_of_a_recipe(block: str, tmp_path: Path) -> None:
    (tmp_path / "r.yaml").write_text(f"extends: cls/quickstart\n{block}")
    assert resolve(str(tmp_path / "r.yaml")).recipe.task == "cls"
