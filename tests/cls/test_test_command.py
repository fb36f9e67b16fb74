"""``vf run test`` of a classifier: numbers as a file, what speaks for an answer, pictures, neighbours, views."""

from __future__ import annotations

import json
from collections.abc import Callable
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from torch import nn

from vf.console import Console
from vf.engine.build import build_training
from vf.engine.train import train
from vf.recipes import resolve

RECIPE = """\
task: cls
model: {name: cifar_resnet, depth: 20}
data: {name: shapes, size: 32, train: 12, val: 6, test: 6}
metrics:
  - {name: accuracy}
  - {name: confusion_matrix}
train:
  length: 2 steps
  batch_size: 4
  optimizer: {name: sgd, lr: 0.001}
loader: {workers: 0, eval_batch_size: 4}
"""


@pytest.fixture(scope="session")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of two steps."""
    folder = tmp_path_factory.mktemp("cls")
    (folder / "small.yaml").write_text(RECIPE)
    (folder / "run").mkdir()
    with Console(StringIO()) as console:
        train(build_training(resolve(str(folder / "small.yaml")), folder / "run", console))
    return folder / "run"


def test_the_numbers_go_into_a_file(run: Path, tmp_path: Path, typed: Callable[..., Any]) -> None:
    said = typed("run", "test", str(run), "--out", str(tmp_path / "a.json"), "--out-item", "metrics", "--json")
    assert said.code == 0, said.err
    kept = json.loads((tmp_path / "a.json").read_text())
    printed = json.loads(said.out)
    assert kept["metrics"] == {name: printed[name] for name in ("top1", "error", "class_accuracy")}
    assert kept["split"] == "test"
    assert kept["images"] == 6
    said = typed("run", "test", str(run), "--out", str(tmp_path / "b.json"), "--out-item", "pred")
    assert said.code == 0, said.err
    assert "wrote" in said.out
    again = typed("run", "test", "--predictions", str(tmp_path / "b.json"), "--json")
    assert json.loads(again.out)["top1"] == printed["top1"]


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--out-item", "metrics"], "--out-item: belongs to --out"),
        (["--cam"], "--cam: belongs to --show-dir or --show"),
        (
            ["--out", "a.parquet", "--out-item", "metrics"],
            "--out a.parquet: numbers are written as JSON; take a name that ends in .json",
        ),
        (
            ["--out", "a.json", "--out-item", "metrics", "--format-only"],
            "--out-item metrics: --format-only measures nothing; leave one of them out",
        ),
        (["--tta", "--tta-merge", "nms"], "tta: a classifier takes the mean of probabilities; leave merge out"),
        (["--set", "metrics=[{name: knn}]"], "metric knn: predictions hold no features; --set model.features=true"),
    ],
)
def test_what_it_refuses(run: Path, typed: Callable[..., Any], arguments: list[str], sentence: str) -> None:
    said = typed("run", "test", str(run), *arguments)
    assert said.code == 2
    assert said.err.strip() == f"error: {sentence}"


def test_saved_predictions_have_no_model_to_explain_them(typed: Callable[..., Any]) -> None:
    said = typed("run", "test", "--predictions", "a.json", "--show-dir", "x", "--cam")
    assert said.err.strip() == "error: --predictions: no model runs; leave out --cam"


def pixels(path: Path) -> np.ndarray[Any, Any]:
    with Image.open(path) as picture:
        return np.asarray(picture)


def test_pictures_with_heat_and_a_matrix(run: Path, tmp_path: Path, typed: Callable[..., Any]) -> None:
    plain, hot = tmp_path / "plain", tmp_path / "hot"
    assert typed("run", "test", str(run), "--show-dir", str(plain), "--interval", "3").code == 0
    said = typed("run", "test", str(run), "--show-dir", str(hot), "--interval", "3", "--cam")
    assert said.code == 0, said.err
    assert f"wrote {hot}/confusion_matrix.png" in said.out
    files = sorted(p.relative_to(hot) for p in hot.rglob("*.jpg"))
    assert [p.name for p in files] == ["000000.jpg", "000003.jpg"]
    for file in files:
        before, after = pixels(plain / file), pixels(hot / file)
        assert after.shape[0] == before.shape[0]
        assert after.shape[1] > 1.4 * before.shape[1]
        assert after[:, before.shape[1] + 8 :].std() > 5
    assert len(pixels(hot / "confusion_matrix.png")) > 100


def test_a_model_that_cannot_explain_says_so(run: Path) -> None:
    from vf.errors import ConfigError
    from vf.explained import explainer
    from vf.predict import Predictor

    predictor = Predictor.load(run)
    predictor.model = nn.Identity()
    with pytest.raises(ConfigError) as caught:
        explainer(predictor)
    assert caught.value.problems == (
        "--cam: Identity does not tell what of an image speaks for its answer (it has no method explain); leave "
        "--cam out",
    )


def test_neighbours_among_the_training_images(run: Path, tmp_path: Path, typed: Callable[..., Any]) -> None:
    keys = ["--set", "model.features=true", "--set", "metrics=[{name: knn, k: 1}]", "--json"]
    said = typed("run", "test", str(run), "--split", "train", *keys)
    assert said.code == 0, said.err
    assert json.loads(said.out)["knn_top1"] == 1  # the nearest of a training image is itself
    said = typed("run", "test", str(run), *keys)
    assert 0 <= json.loads(said.out)["knn_top1"] <= 1


def test_views(run: Path, typed: Callable[..., Any]) -> None:
    said = typed("run", "test", str(run), "--tta", "1,1.25", "--json")
    assert said.code == 0, said.err
    assert 0 <= json.loads(said.out)["top1"] <= 1
