"""docs/quickstart.md and docs/your_data.md, command by command, with trainings made short."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

DOCS = Path(__file__).parents[2] / "docs"
SHORT = {
    "det": ("model.size=[64, 64]", "model.width=0.125", "data.size=64", "data.train=8", "data.val=4", "data.test=4"),
    "cls": ("data.train=16", "data.val=8", "data.test=8"),
    "seg": ("data.train=8", "data.val=4", "data.test=4"),
    "ocr": ("data.train=8", "data.val=4", "data.test=4"),
    "flowers": ("model.input={size: [32, 32], short: 36}", "augment=[]"),
}
STEPS = ("train.length=2 steps", "train.batch_size=4", "loader.workers=0", "callbacks=[]")


def commands(page: str) -> list[str]:
    """Return the lines of blocks that begin with ``vf``, without comments."""
    text = (DOCS / page).read_text(encoding="utf-8")
    return [re.split(r"\s{2,}#", line)[0].strip() for line in re.findall(r"^(vf .*)$", text, re.MULTILINE)]


def shortened(words: Sequence[str], own: str) -> list[str]:
    """Add what makes a training end in seconds."""
    if list(words[:2]) != ["run", "train"]:
        return list(words)
    typed = {words[i + 1].partition("=")[0] for i, word in enumerate(words) if word == "--set"}
    keys = [key for key in (*STEPS, *SHORT[own]) if key.partition("=")[0] not in typed or key == STEPS[0]]
    return [*words, *(part for key in keys for part in ("--set", key))]


def picture(path: Path, seed: int, size: tuple[int, int] = (48, 64)) -> None:
    """Write a picture of noise."""
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), np.random.default_rng(seed).integers(0, 255, (*size, 3), dtype=np.uint8))


def run(typed: Callable[..., Any], words: Sequence[str]) -> None:
    """Run one command, which has nothing to complain of."""
    said = typed(*words)
    assert (said.code, said.err) == (0, ""), f"vf {shlex.join(words)}\n{said.out}"


def test_the_quickstart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, typed: Callable[..., Any]) -> None:
    monkeypatch.chdir(tmp_path)
    picture(tmp_path / "photo.jpg", 0)
    found = commands("quickstart.md")
    assert sum("run train" in command for command in found) == 4
    for command in found:
        words = shlex.split(command)[1:]
        run(typed, shortened(words, words[3] if words[1] == "train" else ""))
    run(typed, ["run", "train", "--resume"])


def test_your_data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, typed: Callable[..., Any]) -> None:
    monkeypatch.chdir(tmp_path)
    for number in range(24):
        picture(tmp_path / "flowers" / "train" / ("rose", "tulip")[number % 2] / f"{number}.jpg", number)
    picture(tmp_path / "new_photos" / "1.jpg", 99)
    for command in commands("your_data.md"):
        run(typed, shortened(shlex.split(command)[1:], "flowers"))
