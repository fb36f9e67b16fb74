"""A spotter as two models: each alone says what it said inside, and joined again they are the same bits."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from click.testing import CliRunner

from vf.engine.checkpoint import read_weights, save_weights
from vf.errors import ConfigError, RunError
from vf.predict import Predictor
from vf.recipes import from_text, resolve
from vf_ocr.commands import ocr
from vf_ocr.spotter.join import joined
from vf_ocr.spotter.split import split


@pytest.fixture(scope="module")
def spotter(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a checkpoint of the quickstart's model, narrow and untrained."""
    overrides = ("model.detector.backbone.width=16", "model.detector.neck_width=32", "model.recogniser.channels=8")
    resolved = resolve("ocr/quickstart", overrides=overrides)
    info = resolved.recipe.data.info()
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("spotter") / "both.safetensors"
    save_weights(resolved.recipe.model.build(info), path, recipe=resolved.yaml(), info=info)
    return path


def test_split_makes_two_checkpoints_of_one(spotter: Path, tmp_path: Path) -> None:
    finds, reads, again = (tmp_path / f"{name}.safetensors" for name in ("finds", "reads", "again"))
    done = CliRunner().invoke(ocr, ["split", str(spotter), "--detector", str(finds), "--recogniser", str(reads)])
    assert done.exit_code == 0, done.output
    assert done.output.splitlines() == [
        f"finds  dbnet: {finds}",
        f"reads  crnn: {reads}: 36: 0-9 a-z",
        f"next   vf run export {finds} --images PAGES",
        f"       vf run export {reads} --images WORDS",
    ]
    image = torch.randint(0, 256, (3, 64, 96), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    detector, reader = Predictor.load(finds, device="cpu"), Predictor.load(reads, device="cpu")
    assert detector.info.classes == ("text",)
    assert len(reader.info.classes) == 36
    assert set(detector(image).prediction) == {"polygons", "scores"}
    assert set(reader(image).prediction) == {"text", "score"}
    joined(str(finds), str(reads), again)
    before, after = read_weights(spotter), read_weights(again)
    assert before.tensors.keys() == after.tensors.keys()
    assert all(torch.equal(tensor, after.tensors[name]) for name, tensor in before.tensors.items())
    assert after.info.classes == before.info.classes
    for path, key in ((finds, "polygons"), (reads, "text")):  # both have data that they can be compared on
        resolved = from_text(read_weights(path).recipe, str(path))
        assert key in resolved.recipe.data.build("val")[0].target


def test_what_cannot_be_split(spotter: Path, tmp_path: Path) -> None:
    finds, reads = tmp_path / "finds.safetensors", tmp_path / "reads.safetensors"
    with pytest.raises(ConfigError) as wrong_name:
        split(str(spotter), finds, tmp_path / "reads.pt")
    assert str(wrong_name.value) == f"--recogniser {tmp_path}/reads.pt: expected a name that ends with .safetensors"
    split(str(spotter), finds, reads)
    with pytest.raises(RunError) as there:
        split(str(spotter), finds, tmp_path / "other.safetensors")
    assert str(there.value) == f"--detector {finds}: exists; choose another name"
    with pytest.raises(ConfigError) as one:
        split(str(finds), tmp_path / "a.safetensors", tmp_path / "b.safetensors")
    assert str(one.value) == (f"{finds}: its model DBNet is one network; expected a spotter, as ocr/quickstart trains")
