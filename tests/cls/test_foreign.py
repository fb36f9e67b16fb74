"""Weights of torchvision, timm and MMPretrain become those of our classifiers, and give the same numbers."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import torchvision
from safetensors.torch import load_file
from torch import Tensor

from vf.predict import Predictor

RECIPE = """\
task: cls
model: {model}
data: {{name: shapes}}
train: {{length: 1 steps, batch_size: 1, optimizer: {{name: sgd, lr: 0.1}}}}
"""
NAMES = "ant\nbee\ncat\n"


def written(folder: Path, model: str, tensors: dict[str, Any]) -> None:
    (folder / "recipe.yaml").write_text(RECIPE.format(model=model))
    (folder / "names.txt").write_text(NAMES)
    torch.save({"state_dict": tensors}, folder / "theirs.pth")


def said_of(ours: Path, image: Tensor) -> Tensor:
    predictor = Predictor.load(ours, device="cpu")
    assert predictor.info.classes == ("ant", "bee", "cat")
    return predictor(image).prediction["probabilities"]


def as_mmpretrain(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """A ResNet of MMPretrain has torchvision's names behind ``backbone.``, and ``head.fc``."""
    return {f"head.{n}" if n.startswith("fc.") else f"backbone.{n}": t for n, t in tensors.items()}


@pytest.mark.parametrize("source", ["torchvision", "mmpretrain"])
def test_a_resnet(source: str, tmp_path: Path, typed: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    torch.manual_seed(0)
    theirs = torchvision.models.resnet18(num_classes=3).eval()
    tensors = theirs.state_dict()
    tensors = as_mmpretrain(tensors) if source == "mmpretrain" else {f"module.{n}": t for n, t in tensors.items()}
    written(tmp_path, "{name: torchvision, arch: resnet18, input: {size: [64, 64], short: 64}}", tensors)
    said = typed(
        *("convert", "theirs.pth", "ours.safetensors", "--from", source, "--to", "recipe.yaml"),
        *("--classes", "names.txt"),
    )
    assert said.code == 0, said.err
    assert "model 102 of 102 tensors came" in said.out
    image = torch.randint(0, 256, (3, 64, 64), dtype=torch.uint8)
    mean, std = (torch.tensor(v).view(3, 1, 1) for v in ((123.675, 116.28, 103.53), (58.395, 57.12, 57.375)))
    with torch.no_grad():
        wanted = theirs(((image - mean) / std)[None]).softmax(1)[0]
    torch.testing.assert_close(said_of(tmp_path / "ours.safetensors", image), wanted, atol=1e-5, rtol=0)


def as_mmpretrain_vit(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Bring timm's names into those of MMPretrain's VisionTransformer."""
    named = {}
    for name, tensor in tensors.items():
        name = name.replace("patch_embed.proj.", "patch_embed.projection.").replace("blocks.", "layers.")
        name = name.replace(".norm1.", ".ln1.").replace(".norm2.", ".ln2.").replace("mlp.fc1.", "ffn.layers.0.0.")
        name = name.replace("mlp.fc2.", "ffn.layers.1.").replace("head.", "head.layers.head.")
        name = f"ln1.{name.removeprefix('norm.')}" if name.startswith("norm.") else name
        named[name if name.startswith("head.") else f"backbone.{name}"] = tensor
    return named


@pytest.mark.parametrize("source", ["timm", "mmpretrain"])
def test_a_vit(source: str, tmp_path: Path, typed: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    import timm

    monkeypatch.chdir(tmp_path)
    torch.manual_seed(0)
    theirs = timm.create_model("vit_tiny_patch16_224", num_classes=3, img_size=(64, 64)).state_dict()
    tensors = as_mmpretrain_vit(theirs) if source == "mmpretrain" else theirs
    written(tmp_path, "{name: timm, arch: vit_tiny_patch16_224, input: {size: [64, 64]}}", tensors)
    said = typed(
        *("convert", "theirs.pth", "ours.safetensors", "--from", source, "--to", "recipe.yaml"),
        *("--classes", "names.txt"),
    )
    assert said.code == 0, said.err
    kept = load_file(tmp_path / "ours.safetensors")
    assert all(torch.equal(kept[f"net.{name}"], tensor) for name, tensor in theirs.items())


def test_the_names_of_imagenet_come_from_torchvision(
    tmp_path: Path, typed: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    written(tmp_path, "{name: torchvision, arch: squeezenet1_1}", torchvision.models.squeezenet1_1().state_dict())
    said = typed("convert", "theirs.pth", "ours.safetensors", "--from", "torchvision", "--to", "recipe.yaml")
    assert said.code == 0, said.err
    assert "1000 classes: tench, goldfish, great white shark" in said.out


@pytest.mark.parametrize(
    ("model", "source"),
    [
        ("{name: torchvision, arch: swin_t}", "mmpretrain"),
        ("{name: cifar_resnet, depth: 20}", "mmpretrain"),
        ("{name: cifar_resnet, depth: 18}", "timm"),
    ],
)
def test_what_it_does_not_know(
    model: str, source: str, tmp_path: Path, typed: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    written(tmp_path, model, {"x": torch.zeros(1)})
    said = typed("convert", "theirs.pth", "o.safetensors", "--from", source, "--to", "recipe.yaml")
    assert said.code == 2
    assert f"knows no weights of {source}" in said.err
