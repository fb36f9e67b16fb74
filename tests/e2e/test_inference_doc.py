"""docs/inference.md, command by command, on a model that was trained for two steps."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from PIL import Image

TEXT = (Path(__file__).parents[2] / "docs/inference.md").read_text(encoding="utf-8")
SMALL = (
    *("model.size=[64, 64]", "model.width=0.125", "data.size=64", "data.train=8", "data.val=4", "data.test=4"),
    *("train.length=2 steps", "train.batch_size=4", "train.eval_every=2 steps", "loader.workers=0"),
)


def blocks(language: str) -> list[str]:
    return [body for kind, body in re.findall(r"```(\w*)\n(.*?)```", TEXT, re.DOTALL) if kind == language]


@pytest.fixture
def folder(vf: Callable[..., Any]) -> Path:
    """Make the run and the sources that the guide names."""
    words = [word for item in SMALL for word in ("--set", item)]
    assert vf("run", "train", "--task", "det", *words).code == 0
    Path("photos").mkdir()
    Path("drawn").mkdir()
    for name in ("photo.jpg", "large.jpg", "photos/a.png", "photos/b.jpg"):
        Image.fromarray(np.full((700, 900, 3) if name == "large.jpg" else (48, 64, 3), 90, np.uint8)).save(name)
    out = cv2.VideoWriter("film.avi", cv2.VideoWriter_fourcc(*"MJPG"), 10.0, (64, 48))  # type: ignore[attr-defined]
    for number in range(6):
        out.write(np.full((48, 64, 3), 30 * number, np.uint8))
    out.release()
    return Path.cwd()


def test_commands(vf: Callable[..., Any], folder: Path) -> None:
    lines = [line.partition("#")[0].strip() for block in blocks("") for line in block.splitlines()]
    assert len([line for line in lines if line]) == 8
    for line in filter(None, lines):
        words = shlex.split(line.replace("RUN", "runs/det-quickstart-001").partition("|")[0])
        words = [name for word in words for name in (sorted(map(str, Path().glob(word))) if "*" in word else [word])]
        said = vf(*words[1:])
        assert (line, said.code) == (line, 0), said.err
    assert {path.name for path in Path("drawn").iterdir()} == {"predictions.json", "a.png.jpg", "b.jpg"}
    assert Path("drawn.mp4").stat().st_size


def test_python(folder: Path) -> None:
    pytest.importorskip("supervision")
    names: dict[str, Any] = {}
    for block in blocks("python"):
        exec(compile(block, "docs/inference.md", "exec"), names)
    assert Path("drawn.jpg").is_file()
    assert names["result"].size == (700, 900)
