"""Two models become one that finds and reads: ``vf ocr join``, and the sentences about models that do not fit."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from click.testing import CliRunner

import vf
from vf.engine.checkpoint import save_weights
from vf.errors import ConfigError, RunError
from vf.predict import Predictor
from vf.recipes import resolve
from vf_ocr.commands import ocr
from vf_ocr.recognition_configs import CRNN
from vf_ocr.spotter.join import joined
from vf_ocr.spotter_configs import Spotter as SpotterConfig

INFO = vf.DatasetInfo(classes=tuple("abc"), task="ocr", num_samples={"train": 2}, fingerprint="0")
RECIPES = {
    "dbnet": (
        "{name: dbnet, backbone: {name: resnet, depth: 18, pretrained: ''}, neck_width: 16, "
        "resize: {short: 64, long: 64, train_long: 64}}",
        "{name: pages, size: [64, 64], words: [1, 2], train: 2, val: 2}",
    ),
    "crnn": ("{name: crnn, channels: 4, hidden: 4}", "{name: words, charset: digits, train: 2, val: 2}"),
}


def quick(name: str) -> Any:
    return resolved(name).recipe.model


def resolved(name: str) -> Any:
    file = Path(__file__).with_name("small.yaml")
    return resolve(str(file), overrides=[f"model={RECIPES[name][0]}", f"data={RECIPES[name][1]}"])


@pytest.fixture(scope="module")
def parts(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Return checkpoints of a small detector and of a small recogniser."""
    folder, out = tmp_path_factory.mktemp("parts"), {}
    for name in RECIPES:
        recipe = resolved(name)
        info = recipe.recipe.data.info()
        torch.manual_seed(1)
        out[name] = folder / f"{name}.safetensors"
        save_weights(recipe.recipe.model.build(info), out[name], recipe=recipe.yaml(), info=info)
    return out


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        (
            {"detector": "crnn", "recogniser": "crnn"},
            "model.detector: CTCReader does not find text; expected dbnet or another",
        ),
        (
            {"detector": "dbnet", "recogniser": "dbnet"},
            "model.recogniser: DBNet does not read words; expected crnn or another",
        ),
    ],
)
def test_parts_of_another_kind_are_refused(keys: dict[str, str], said: str) -> None:
    small = {"crnn": CRNN(channels=4, hidden=0), "dbnet": quick("dbnet")}
    config = SpotterConfig(**{key: small[name] for key, name in keys.items()})
    with pytest.raises(ConfigError) as error:
        config.build(INFO)
    assert str(error.value) == said


def test_join_makes_one_checkpoint_of_two(parts: dict[str, Path], tmp_path: Path) -> None:
    out = tmp_path / "both.safetensors"
    done = CliRunner().invoke(ocr, ["join", str(parts["dbnet"]), str(parts["crnn"]), "--out", str(out)])
    assert done.exit_code == 0, done.output
    lines = done.output.splitlines()
    assert lines[0] == f"finds  DBNet, {parts['dbnet']}"
    assert lines[1] == f"reads  CRNN, {parts['crnn']}: 10: 0-9"
    assert lines[3] == f"next   vf run infer {out} IMAGE_OR_FOLDER"
    both, alone = Predictor.load(out, device="cpu"), Predictor.load(parts["dbnet"], device="cpu")
    assert both.info.classes == tuple("0123456789")
    image = torch.randint(0, 256, (3, 64, 64), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    result, found = both(image), alone(image)
    assert sorted(result.prediction["scores"].tolist()) == sorted(found.prediction["scores"].tolist())
    assert len(result.prediction["texts"]) == len(result.prediction["polygons"])
    again = tmp_path / "again.safetensors"
    joined(str(out), str(out), again)  # of a spotter, its parts
    assert Predictor.load(again, device="cpu").info == both.info


@pytest.mark.parametrize(
    ("first", "second", "out", "kind", "said"),
    [
        (
            "crnn", "dbnet", "x.safetensors", ConfigError,
            "{crnn}: its model CRNN reads words; put it second; expected dbnet or another detector first",
        ),
        (
            "dbnet", "dbnet", "x.safetensors", ConfigError,
            "{dbnet}: its model DBNet finds text; expected crnn or another that reads",
        ),
        ("dbnet", "crnn", "x.pt", ConfigError, "--out {out}: expected a name that ends with .safetensors"),
        ("dbnet", "crnn", "there.safetensors", RunError, "--out {out}: exists; choose another name"),
    ],
)  # fmt: skip
def test_what_cannot_be_joined(
    parts: dict[str, Path], tmp_path: Path, first: str, second: str, out: str, kind: type[Exception], said: str
) -> None:
    (tmp_path / "there.safetensors").write_bytes(b"")
    with pytest.raises(kind) as error:
        joined(str(parts[first]), str(parts[second]), tmp_path / out)
    assert str(error.value) == said.format(**parts, out=tmp_path / out)
