"""docs/migrating.md, command by command, on a run and data that were made small for it."""

from __future__ import annotations

import re
import shlex
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch

from vf.engine.checkpoint import save_weights
from vf.recipes import resolve

PAGE = (Path(__file__).parents[2] / "docs" / "migrating.md").read_text(encoding="utf-8")
RIGHT = [line.split(" | ")[-1] for line in PAGE.splitlines() if line.startswith("| ") and " | " in line]
COMMANDS = [command for cell in RIGHT for command in re.findall(r"`(vf [^`]+)`", cell)]
CALLS = [call for cell in RIGHT for call in re.findall(r"`((?:await )?vf\.load[^`]+)`", cell)]
TINY = """
extends: det/quickstart
model: {size: [64, 64], width: 0.125}
data: {name: shapes, size: 64, train: 16, val: 4, test: 4}
train: {length: 2 steps, batch_size: 2, save_every: 1 steps, eval_every: 2 steps}
loader: {workers: 0}
"""
ELSEWHERE = {
    "--nproc": "several processes and machines: tests/e2e/test_processes.py, test_test_processes.py",
    "--camera": "a camera",
    "vf demo": "does not end: tests/browser",
    "theirs.pth": "weights of MMDetection: tests/det/test_foreign.py",
    "--task ocr": "a run of text: tests/ocr",
    "--cam ": "a classifier: tests/cls",
    "--format-only": "data with a form of its own: tests/det/test_testing_doc.py",
    "name: kfold": "COCO files: tests/core/test_wrappers.py",
}
"""What is not run here, and why, or where it is."""
FEWER = ("--set", "loader.workers=0")


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A recipe, two runs, predictions, images, a video and data of YOLO's layout."""
    root = tmp_path_factory.mktemp("migrating")
    (root / "RECIPE.yaml").write_text(TINY)
    resolved = resolve(str(root / "RECIPE.yaml"))
    torch.manual_seed(0)
    info = resolved.recipe.data.info()
    model = resolved.recipe.model.build(info)
    for run in ("RUN", "RUN2"):
        for name in ("best", "last"):
            folder = root / run / "checkpoints" / name
            folder.mkdir(parents=True)
            save_weights(model, folder / "model.safetensors", recipe=resolved.yaml(), info=info)
        (root / run / "recipe.yaml").write_text(resolved.yaml())
        (root / run / "log.jsonl").write_text('{"kind": "train", "step": 1, "epoch": 0.1, "loss": 2.5, "lr": 0.001}\n')
    rng = np.random.default_rng(0)
    for number in range(10):
        picture = rng.integers(0, 255, (64, 80, 3), dtype=np.uint8)
        image = root / "FOLDER" / "images" / "train" / f"{number}.png"
        label = root / "FOLDER" / "labels" / "train" / f"{number}.txt"
        for path in (image, label):
            path.parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(image), picture)
        label.write_text(f"{number % 2} 0.5 0.5 0.25 0.25\n")
    (root / "FOLDER" / "classes.txt").write_text("disc\nbox\n")
    (root / "classes.txt").write_text("disc\nbox\n")
    shutil.copytree(root / "FOLDER" / "images" / "train", root / "IMAGES")
    shutil.copy(root / "IMAGES" / "0.png", root / "IMAGE.png")
    video = cv2.VideoWriter(str(root / "VIDEO.mp4"), cv2.VideoWriter.fourcc(*"mp4v"), 10, (80, 64))
    for number in range(5):
        video.write(np.full((64, 80, 3), 40 * number, np.uint8))
    video.release()
    return root


@pytest.fixture
def here(work: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of ``work``, where one is."""
    shutil.copytree(work, tmp_path / "w")
    monkeypatch.chdir(tmp_path / "w")
    return tmp_path / "w"


def typeable(command: str) -> list[str]:
    """Return the words with names for the placeholders."""
    words = [
        {"IMAGE": "IMAGE.png", "VIDEO": "VIDEO.mp4", "RECIPE": "RECIPE.yaml"}.get(word, word)
        for word in shlex.split(command)[1:]
    ]
    if "slurm" in words:
        return [*words, "--print"]
    if words[:2] == ["run", "infer"] or "--resume" in words or words[:2] not in (["run", "train"], ["run", "test"]):
        return words
    return [*words, *FEWER]


def elsewhere(command: str) -> bool:
    """Whether it is not run here."""
    return any(part in command + " " for part in ELSEWHERE)


@pytest.mark.parametrize("command", [c for c in dict.fromkeys(COMMANDS) if not elsewhere(c)])
def test_runs(command: str, here: Path, typed: Callable[..., Any]) -> None:
    if "--predictions" in command:
        assert typed(*typeable("vf run test RUN --out results.json")).code == 0
    if "--resume" in command:
        assert typed("run", "train", "RECIPE.yaml", "--out", "runs/RUN", "--set", "train.length=1 steps").code == 0
        command = command.replace("RUN", "runs/RUN")
    said = typed(*typeable(command))
    assert (said.code, said.err) == (0, ""), said.out


def test_what_runs_elsewhere_is_still_in_the_page() -> None:
    for part in ELSEWHERE:
        assert any(part in command + " " for command in COMMANDS), part


@pytest.mark.parametrize("call", CALLS)
def test_calls(call: str, here: Path) -> None:
    import asyncio

    import vf

    async def awaited() -> Any:
        scope: dict[str, Any] = {"vf": vf, "RUN": "RUN", "image": "IMAGE.png"}
        exec(f"async def call():\n    return {call}", scope)
        return await scope["call"]()

    assert asyncio.run(awaited()).size == (64, 80)
