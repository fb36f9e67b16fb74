"""Classification nets of torchvision by their names."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any

import torchvision
from torch import nn
from torchvision.ops import StochasticDepth

from vf.errors import ConfigError, did_you_mean
from vf_cls.models.fitting import refuse_size

AUXILIARY = {"googlenet": 0.3, "inception_v3": 0.4}
"""Weight of the loss of each auxiliary head (arXiv 1409.4842; torchvision's training of inception_v3)."""
SIZED = {"vit": "image_size", "maxvit": "input_size"}
"""Beginning of the names of nets that take one size alone -> their parameter for it."""


def make(
    arch: str,
    *,
    num_classes: int,
    size: tuple[int, int],
    drop: float | None = None,
    drop_path: float | None = None,
) -> nn.Module:
    """Build a net without weights.

    Args:
        arch: torchvision's name of it.
        num_classes: outputs of its head.
        size: height and width of images.
        drop: probability of dropout in the head; None: torchvision's own.
        drop_path: largest probability to leave a block out; None: torchvision's own.

    Raises:
        ConfigError: there is no such net, it has no such probability, or it does not take this size.
    """
    names = torchvision.models.list_models(module=torchvision.models)
    if arch not in names:
        raise ConfigError(f"model.arch: torchvision has no net {arch!r}{did_you_mean(arch, names)}")
    keys: dict[str, Any] = {}
    if (key := sized_by(arch)) is not None:
        keys[key] = _square(arch, size) if key == "image_size" else size
    if drop is not None:
        keys["dropout"] = drop
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)  # of two nets, about how they start
            net: nn.Module = torchvision.models.get_model(arch, weights=None, num_classes=num_classes, **keys)
    except TypeError:
        raise ConfigError(f"model.drop: torchvision's {arch} has none; leave it out, or take timm's net") from None
    except (ValueError, RuntimeError, AssertionError) as error:  # of a size that its patches do not divide
        said = " ".join(str(error).split())[:160].rstrip(".!")
        raise ConfigError(f"model.input.size: {arch}: {said}; choose another size") from None
    if drop_path is not None:
        _leave_out(arch, net, drop_path)
    refuse_size(arch, net, size)
    return net


def _leave_out(arch: str, net: nn.Module, largest: float) -> None:
    """Set how often blocks are left out: rising from the first to the last as torchvision has it."""
    blocks = [module for module in net.modules() if isinstance(module, StochasticDepth)]
    before = max((block.p for block in blocks), default=0.0)
    if not before:
        raise ConfigError(f"model.drop_path: torchvision's {arch} has none; leave it out, or take timm's net")
    for block in blocks:
        block.p *= largest / before


def sized_by(arch: str) -> str | None:
    """Return the parameter for the size of a net that takes one size alone; None: it takes many."""
    return next((key for name, key in SIZED.items() if arch.startswith(f"{name}_")), None)


def _square(arch: str, size: tuple[int, int]) -> int:
    if size[0] != size[1]:
        raise ConfigError(f"model.input.size: {arch} takes squares alone, got {size[0]}×{size[1]}; choose another size")
    return size[0]


def layers_of(net: nn.Module) -> Mapping[str, int] | None:
    """Return parameter name -> layer of ViT, Swin and ConvNeXt: 0 the patches, one for each block, then the head.

    The blocks of ConvNeXt form groups as in its paper (arXiv 2201.03545): one of each of the first stages, of three
    blocks in the third, and one of the last.
    """
    kind = type(net).__name__
    if kind == "VisionTransformer":
        blocks = [[f"encoder.layers.{name}."] for name, _ in net.get_submodule("encoder.layers").named_children()]
        return _numbered(net, ("class_token", "conv_proj.", "encoder.pos_embedding"), blocks)
    if kind == "SwinTransformer":
        return _numbered(net, ("features.0.",), _staged(net, grouped=False))
    if kind == "ConvNeXt":
        return _numbered(net, ("features.0.",), _staged(net, grouped=True))
    return None


def _staged(net: nn.Module, *, grouped: bool) -> list[list[str]]:
    """Return the names of each layer of ``features``; what makes the image smaller belongs to the block after it."""
    layers: list[list[str]] = []
    between: list[str] = []
    for number, stage in enumerate(net.get_submodule("features").children()):
        if number == 0:
            continue
        if number % 2 == 0:
            between = [f"features.{number}."]
            continue
        names = [f"features.{number}.{block}." for block, _ in stage.named_children()]
        width = 1
        if grouped:
            width = 3 if number == 5 else len(names)
        for start in range(0, len(names), width):
            layers.append([*between, *names[start : start + width]])
            between = []
    return layers


def _numbered(net: nn.Module, first: tuple[str, ...], blocks: list[list[str]]) -> dict[str, int]:
    layers = {}
    for name, _ in net.named_parameters():
        inside = (number for number, prefixes in enumerate(blocks, 1) if name.startswith(tuple(prefixes)))
        layers[name] = 0 if name.startswith(first) else next(inside, len(blocks) + 1)
    return layers
