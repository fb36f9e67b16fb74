"""Checkpoints exist whole or not at all, and say what is wrong with them."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from vf.engine import checkpoint
from vf.engine.checkpoint import read_trainer
from vf.errors import CheckpointError
from vf.protocols import DatasetInfo

INFO = DatasetInfo(classes=("a", "b"), task="toy", num_samples={"train": 3}, fingerprint="f", notes=("n",))


def written(folder: Path, step: int = 5) -> Path:
    return checkpoint.write(
        folder,
        step,
        tensors=dict(nn.Linear(2, 2).state_dict()),
        recipe="task: toy\n",
        info=INFO,
        trainer={"step": step, "t": torch.ones(2)},
    )


def test_what_is_written_comes_back(tmp_path: Path) -> None:
    saved = written(tmp_path)
    assert sorted(p.name for p in saved.iterdir()) == ["manifest.json", "model.safetensors", "trainer.pt"]
    weights = checkpoint.read_weights(saved / "model.safetensors")
    assert (weights.recipe, weights.info) == ("task: toy\n", INFO)
    assert set(weights.tensors) == {"weight", "bias"}
    assert checkpoint.read_trainer(saved)["step"] == 5
    checkpoint.verify(saved)


def test_links_move(tmp_path: Path) -> None:
    checkpoint.point(tmp_path, "last", written(tmp_path, 1))
    checkpoint.point(tmp_path, "last", written(tmp_path, 2))
    assert (tmp_path / "last").resolve().name == "step_00000002"


def test_a_leftover_of_a_killed_save_is_not_found_and_not_in_the_way(tmp_path: Path) -> None:
    good = written(tmp_path, 1)
    (tmp_path / ".writing_step_00000002").mkdir()
    (tmp_path / ".writing_step_00000002" / "model.safetensors").write_bytes(b"half")
    assert checkpoint.newest_good(tmp_path, print) == good
    assert checkpoint.newest_good(tmp_path, print) == good
    assert written(tmp_path, 2).name == "step_00000002"


@pytest.mark.parametrize(
    ("damage", "sentence"),
    [
        (lambda c: (c / "manifest.json").unlink(), "{c}: has no manifest.json; it was not finished"),
        (lambda c: (c / "manifest.json").write_text("{"), "{c}/manifest.json: not readable"),
        (
            lambda c: (c / "manifest.json").write_text('{"files": {}}'),
            "{c}/manifest.json: does not list model.safetensors, trainer.pt",
        ),
        (lambda c: (c / "trainer.pt").unlink(), "{c}/trainer.pt: missing"),
        (lambda c: os.truncate(c / "trainer.pt", 10), "{c}/trainer.pt: has 10 bytes, expected {n}"),
        (
            lambda c: (c / "trainer.pt").write_bytes(b"x" * (c / "trainer.pt").stat().st_size),
            "{c}/trainer.pt: its content changed since it was written (sha256 differs)",
        ),
    ],
)
def test_a_broken_checkpoint_is_skipped_with_a_line(tmp_path: Path, damage: object, sentence: str) -> None:
    good, bad = written(tmp_path, 1), written(tmp_path, 2)
    size = (bad / "trainer.pt").stat().st_size
    damage(bad)  # type: ignore[operator]
    lines: list[str] = []
    assert checkpoint.newest_good(tmp_path, lines.append) == good
    assert lines == ["skipped a broken checkpoint: " + sentence.format(c=bad, n=size)]


def test_no_checkpoint_at_all(tmp_path: Path) -> None:
    assert checkpoint.newest_good(tmp_path / "none", print) is None


def test_a_pickle_is_refused_and_not_run(tmp_path: Path) -> None:
    class Evil:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return os.system, (f"touch {tmp_path}/ran",)

    saved = written(tmp_path)
    torch.save({"step": Evil()}, saved / "trainer.pt")
    with pytest.raises(CheckpointError) as error:
        checkpoint.read_trainer(saved)
    sentence = (
        f"{saved}/trainer.pt: refused: holds posix.system, expected tensors and plain data; nothing in it was run"
    )
    assert error.value.problems == (sentence,)
    torch.save({"step": Evil()}, saved / "model.safetensors")
    with pytest.raises(CheckpointError, match=r"/model.safetensors: not a readable safetensors file: "):
        checkpoint.read_weights(saved / "model.safetensors")
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"", "refused: not plain tensors and data, or broken (EOFError)"),
        (b"<html>", "refused: not plain tensors and data, or broken (UnpicklingError)"),
        (None, "missing; this checkpoint can predict, but not resume"),
    ],
)
def test_a_trainer_file_that_cannot_be_read_says_why(tmp_path: Path, content: bytes | None, sentence: str) -> None:
    if content is not None:
        (tmp_path / "trainer.pt").write_bytes(content)
    with pytest.raises(CheckpointError) as error:
        checkpoint.read_trainer(tmp_path)
    assert error.value.problems == (f"{tmp_path}/trainer.pt: {sentence}",)


def test_a_trainer_file_that_lacks_something_is_named(tmp_path: Path) -> None:
    torch.save({"step": 1, "rng": []}, tmp_path / "trainer.pt")
    with pytest.raises(CheckpointError) as error:
        read_trainer(tmp_path, ("step", "optimizer", "rng", "scaler"))
    assert error.value.problems == (
        f"{tmp_path}/trainer.pt: lacks optimizer, scaler; this checkpoint can predict, but not resume",
    )


def test_vf_metadata_that_is_broken_is_named(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    save_file({"w": torch.ones(1)}, path, {"vf_format": "1", "recipe": "", "info": "{}"})
    with pytest.raises(CheckpointError) as error:
        checkpoint.read_weights(path)
    assert error.value.problems == (f"{path}: its vf metadata is not readable (KeyError: 'classes')",)


def test_weight_files_that_cannot_be_used_say_why(tmp_path: Path) -> None:
    other = tmp_path / "other.safetensors"
    save_file({"w": torch.ones(1)}, other)
    broken = tmp_path / "broken.safetensors"
    broken.write_bytes(b"no")
    for path, sentence in [
        (tmp_path / "none.safetensors", "no such file"),
        (other, "holds weights, but no vf recipe; expected a file that vf wrote"),
        (broken, "not a readable safetensors file: "),
    ]:
        with pytest.raises(CheckpointError, match="^" + re.escape(f"{path}: {sentence}")):
            checkpoint.read_weights(path)


def test_weights_that_do_not_fit_are_named() -> None:
    with pytest.raises(CheckpointError) as error:
        checkpoint.load_into(nn.Linear(2, 3), {"weight": torch.ones(2, 2), "extra": torch.ones(1)}, Path("f"))
    assert error.value.problems == (
        "f: does not fit the model: missing bias; unused extra; other shapes weight (2, 2) for (3, 2)",
    )


def test_a_full_disk_is_one_line_and_leaves_the_last_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    good = written(tmp_path, 1)

    def full(*args: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(CheckpointError) as error, checkpoint.naming_the_disk(tmp_path):
        written(tmp_path, 2)
    assert error.value.problems == (
        f"{tmp_path}: cannot save: No space left on device; the last good checkpoint is untouched",
    )
    assert checkpoint.newest_good(tmp_path, print) == good


def test_the_manifest_holds_sizes_and_hashes(tmp_path: Path) -> None:
    saved = written(tmp_path)
    files = json.loads((saved / "manifest.json").read_text())["files"]
    assert files["model.safetensors"]["sha256"] == checkpoint.sha256(saved / "model.safetensors")
    assert files["trainer.pt"]["size"] == (saved / "trainer.pt").stat().st_size
