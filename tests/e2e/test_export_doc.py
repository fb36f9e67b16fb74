"""docs/export.md, command by command, on a model that was trained for two steps."""

from __future__ import annotations

import contextlib
import io
import re
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

TEXT = (Path(__file__).parents[2] / "docs/export.md").read_text(encoding="utf-8")
SMALL = (
    *("model.size=[64, 64]", "model.width=0.125", "data.size=64", "data.train=16", "data.val=16", "data.test=4"),
    *("train.length=2 steps", "train.batch_size=4", "train.eval_every=2 steps", "loader.workers=0"),
)


def blocks(language: str) -> list[str]:
    return [body for kind, body in re.findall(r"```(\w*)\n(.*?)```", TEXT, re.DOTALL) if kind == language]


def test_commands_and_python(vf: Callable[..., Any]) -> None:
    words = [word for item in SMALL for word in ("--set", item)]
    assert vf("run", "train", "--task", "det", *words).code == 0
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (48, 80, 3), dtype=np.uint8)).save("photo.jpg")
    lines = [line.partition("  #")[0].strip() for block in blocks("") for line in block.splitlines()]
    lines = [line for line in lines if line.startswith("vf ")]
    assert len(lines) == 12
    for line in lines:
        line = line.replace("160 160", "64 64").replace("--seconds 1", "--seconds 0.01")
        said = vf(*shlex.split(line.replace("RUN", "runs/det-quickstart-001"))[1:])
        assert (line, said.code) == (line, 0), said.err
    assert {path.name for path in Path().iterdir()} >= {
        "model.onnx",
        "four.onnx",
        "square.onnx",
        "model.pt2",
        "model.ts",
    }
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        for block in blocks("python"):
            exec(compile(block.replace("0.05, 0.65", "0.0, 0.65"), "docs/export.md", "exec"), {})
    assert Path("drawn.jpg").is_file()
    said = printed.getvalue().splitlines()[0]
    assert re.match(r"\w+ 0\.\d+(e-\d+)? \[", said), said
