"""Nets of timm as backbones; all but the first test need timm."""

from __future__ import annotations

import importlib
from pathlib import Path

import pytest
import torch

from vf import backbones as configs
from vf.errors import CheckpointError, ConfigError, SetupError
from vf.nn.backbones.backbone import Backbone
from vf.testing import check_backbone


def loaded(net: Backbone) -> str:
    lines: list[str] = []
    net.load_pretrained(lines.append)
    return lines[-1] if lines else ""


def test_timm_is_asked_for_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(name: str) -> None:
        raise ModuleNotFoundError(name)

    monkeypatch.setattr(importlib, "import_module", absent)
    with pytest.raises(SetupError) as error:
        configs.Timm(net="resnet18").build()
    assert str(error.value) == "backbone timm: timm is not installed; pip install timm"


@pytest.mark.parametrize(
    "config",
    [
        configs.Timm(net="resnet18", frozen_stages=1, checkpoint=True),
        configs.Timm(net="mobilenetv3_small_050", frozen_stages=2, norm_eval=True),
        configs.Timm(net="convnextv2_atto", out=(2, 3, 4), out_norm=True),
    ],
    ids=lambda c: c.net,
)
def test_timm_by_name(config: configs.Timm) -> None:
    pytest.importorskip("timm")
    check_backbone(config)


def test_timm_takes_weights_in_its_own_names(tmp_path: Path) -> None:
    timm = pytest.importorskip("timm")
    path = tmp_path / "convnext.pth"
    torch.save(timm.create_model("convnextv2_atto").state_dict(), path)
    net = configs.Timm(net="convnextv2_atto", pretrained=str(path)).build()
    assert loaded(net) == f"backbone loaded 136/136 from {path}"
    with pytest.raises(CheckpointError, match=r"^backbone.pretrained .*: no weights of timm's resnet18: "):
        loaded(configs.Timm(net="resnet18", pretrained=str(path)).build())


@pytest.mark.parametrize(
    ("config", "sentence"),
    [
        (configs.Timm(net="resnt18"), "backbone.net: timm has no net 'resnt18'; did you mean 'resnet18'"),
        (
            configs.Timm(net="vit_tiny_patch16_224"),
            "backbone.out: vit_tiny_patch16_224 has no level 1, 2, 4; its strides",
        ),
        (
            configs.Timm(net="hrnet_w18_small", checkpoint=True),
            "backbone.checkpoint: timm does not cut hrnet_w18_small into parts; leave checkpoint out",
        ),
        (
            configs.Timm(net="hiera_tiny_224", frozen_stages=1),
            "backbone.frozen_stages: timm does not cut hiera_tiny_224 into stages; freeze its parameters with "
            "train.optimizer.rules",
        ),
    ],
)
def test_what_timm_does_not_have(config: configs.Timm, sentence: str) -> None:
    pytest.importorskip("timm")
    with pytest.raises(ConfigError) as error:
        config.build()
    assert str(error.value).startswith(sentence)
