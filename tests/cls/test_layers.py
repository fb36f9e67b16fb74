"""Layers of classifiers are numbered from the image to the head, so that learning rates can fall towards the image."""

from __future__ import annotations

from typing import Any

import attrs
import pytest
from torch import nn

import vf.testing
from vf.engine.optim import build_optimizer
from vf.errors import ConfigError
from vf.optimizers import AdamW
from vf.protocols import ModelConfig
from vf.schema import Duration
from vf.training import Train
from vf_cls import model_configs as c

INFO = attrs.evolve(vf.testing.INFO, task="cls")
SMALL = c.Input(size=(64, 64))


def optimizer_groups(model: nn.Module) -> dict[str, float]:
    config = Train(
        length=Duration(1, "steps"), batch_size=1, optimizer=AdamW(lr=1.0, layer_decay=0.5, weight_decay=0.0)
    )
    optimizer = build_optimizer(model, config)
    names = {id(p): n for n, p in model.named_parameters()}
    return {names[id(p)]: group["lr_mult"] for group in optimizer.param_groups for p in group["params"]}


@pytest.mark.parametrize(
    ("config", "last", "probes"),
    [
        (
            c.Torchvision(arch="vit_b_16", input=SMALL),
            13,
            {
                "net.conv_proj.weight": 0,
                "net.encoder.pos_embedding": 0,
                "net.encoder.layers.encoder_layer_0.ln_1.weight": 1,
                "net.encoder.layers.encoder_layer_11.mlp.0.weight": 12,
                "net.encoder.ln.weight": 13,
                "net.heads.head.weight": 13,
            },
        ),
        (
            c.Torchvision(arch="swin_t", input=SMALL),
            13,
            {
                "net.features.0.0.weight": 0,
                "net.features.1.1.norm1.weight": 2,
                "net.features.2.reduction.weight": 3,
                "net.features.5.5.mlp.0.weight": 10,
                "net.features.7.1.norm2.weight": 12,
                "net.head.weight": 13,
            },
        ),
        (
            c.Torchvision(arch="convnext_tiny", input=SMALL),
            7,
            {
                "net.features.0.0.weight": 0,
                "net.features.1.2.layer_scale": 1,
                "net.features.2.1.weight": 2,
                "net.features.4.1.weight": 3,
                "net.features.5.2.layer_scale": 3,
                "net.features.5.3.layer_scale": 4,
                "net.features.7.2.layer_scale": 6,
                "net.classifier.2.weight": 7,
            },
        ),
        (
            c.Timm(arch="vit_tiny_patch16_224", input=SMALL),
            13,
            {"net.cls_token": 0, "net.blocks.0.norm1.weight": 1, "net.blocks.11.mlp.fc2.bias": 12, "net.head.bias": 13},
        ),
    ],
)
def test_layers_are_numbered(config: ModelConfig, last: int, probes: dict[str, int]) -> None:
    model: Any = config.build(INFO)
    assert model.num_layers == last
    assert {name: model.layer_id(name) for name in probes} == probes
    rates = optimizer_groups(model)
    assert all(rates[name] == 0.5 ** (last - layer) for name, layer in probes.items())


@pytest.mark.parametrize("arch", ["swin_tiny_patch4_window7_224", "convnext_tiny", "deit_tiny_distilled_patch16_224"])
def test_layers_of_timm_begin_at_the_image_and_end_at_the_head(arch: str) -> None:
    model: Any = c.Timm(arch=arch, input=c.Input(size=(224, 224))).build(INFO)
    layers = [model.layer_id(name) for name, _ in model.named_parameters()]
    assert sorted(set(layers)) == list(range(model.num_layers + 1))
    assert model.layer_id("net.head.fc.weight" if "deit" not in arch else "net.head.weight") == model.num_layers


def test_a_net_without_numbers_says_so() -> None:
    with pytest.raises(ConfigError, match="does not number its layers"):
        optimizer_groups(c.CifarResNet().build(INFO))
