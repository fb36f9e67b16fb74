"""A pickle that runs a command, planted where weights are read: refused in one line, and the command is not run."""

from __future__ import annotations

import hashlib
import json
import os
import pickle
from pathlib import Path
from typing import Any

import pytest
import torch


class Command:
    """Touches a file where it is unpickled."""

    def __init__(self, target: Path) -> None:
        self._target = target

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.system, (f"touch '{self._target}'",)


def plant(path: Path, target: Path, how: str) -> None:
    """Write the pickle; ``how``: as a file of torch.save, as its old format, or bare."""
    content = {"step": 2, "model": {"conv.weight": Command(target)}}
    if how == "bare":
        path.write_bytes(pickle.dumps(content))
    else:
        torch.save(content, path, _use_new_zipfile_serialization=how == "zip")


def sign(checkpoint: Path) -> None:
    """Let the manifest vouch for what lies there."""
    manifest = json.loads((checkpoint / "manifest.json").read_text())
    for name in manifest["files"]:
        content = (checkpoint / name).read_bytes()
        manifest["files"][name] = {"size": len(content), "sha256": hashlib.sha256(content).hexdigest()}
    (checkpoint / "manifest.json").write_text(json.dumps(manifest))


@pytest.fixture
def run(toy: Any) -> Path:
    """Train four steps; the checkpoints are of the second and the fourth."""
    small = ("train.length=4 steps", "train.save_every=2 steps", "loader.workers=0")
    code, out, err = toy.run("toy.yaml", *(word for item in small for word in ("--set", item)), "--out", "run")
    assert (code, err) == (0, ""), out
    folder: Path = toy.folder / "run"
    return folder


NO_WEIGHTS = "not a readable safetensors file: Error while deserializing header: header too large"
REFUSED = "refused: holds posix.system, expected tensors and plain data; nothing in it was run"


def test_as_the_weights_of_a_checkpoint(toy: Any, run: Path, tmp_path: Path) -> None:
    checkpoint = run / "checkpoints/step_00000004"
    weights = checkpoint / "model.safetensors"
    plant(weights, tmp_path / "ran", "zip")
    (tmp_path / "image.png").touch()
    for command, arguments in (
        ("test", ("run/checkpoints/last",)),
        ("infer", ("run/checkpoints/last", "image.png")),
        ("train", ("toy.yaml", "--init-from", "run/checkpoints/last")),
    ):
        code, _, err = toy.run(*arguments, command=("run", command))
        assert (code, err) == (2, f"error: run/checkpoints/last/model.safetensors: {NO_WEIGHTS}\n"), command
    # The manifest does not vouch for it: a run goes on from the checkpoint before.
    code, out, err = toy.run("--resume", "run", "--set", "train.length=3 steps")
    assert (code, err) == (0, ""), out
    assert out.startswith(f"skipped a broken checkpoint: {weights}: has ")
    sign(checkpoint)
    code, _, err = toy.run("--resume", "run", "--set", "train.length=8 steps")
    assert (code, err) == (2, f"error: {weights}: {NO_WEIGHTS}\n")
    assert not (tmp_path / "ran").exists()


def test_as_the_rest_of_a_checkpoint_whose_manifest_vouches_for_it(toy: Any, run: Path, tmp_path: Path) -> None:
    checkpoint = run / "checkpoints/step_00000004"
    for how, sentence in (
        ("zip", REFUSED),
        ("bare", "refused: not plain tensors and data, or broken (UnpicklingError)"),
    ):
        plant(checkpoint / "trainer.pt", tmp_path / "ran", how)
        sign(checkpoint)
        code, _, err = toy.run("--resume", "run", "--set", "train.length=8 steps")
        assert (code, err) == (2, f"error: {checkpoint}/trainer.pt: {sentence}\n")
    code, out, err = toy.run("run", command=("runs", "check"))
    assert (code, err) == (0, ""), out
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    ("name", "how", "sentence"),
    [
        ("weights.pt", "zip", REFUSED),
        ("weights.pth", "old", REFUSED),
        ("weights", "bare", "refused: not plain tensors and data, or broken (UnpicklingError)"),
        ("weights.safetensors", "zip", NO_WEIGHTS),
    ],
)
def test_as_weights_to_start_from(toy: Any, name: str, how: str, sentence: str, tmp_path: Path) -> None:
    plant(tmp_path / name, tmp_path / "ran", how)
    code, _, err = toy.run("toy.yaml", "--init-from", name, "--out", "run")
    assert (code, err) == (2, f"error: {name}: {sentence}\n")
    assert not (tmp_path / "ran").exists()
    assert not (tmp_path / "run").exists()


def test_the_command_would_run(tmp_path: Path) -> None:
    """Or the tests above would show nothing."""
    plant(tmp_path / "weights.pt", tmp_path / "ran", "zip")
    torch.load(tmp_path / "weights.pt", weights_only=False)
    assert (tmp_path / "ran").exists()
