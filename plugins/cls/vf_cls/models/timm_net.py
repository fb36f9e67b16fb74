"""Nets of timm by their names; timm is imported when one is built."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any

from torch import nn

from vf.backbones import IMAGENET
from vf.errors import ConfigError, did_you_mean
from vf.nn.backbones.timm_net import filled_state, import_timm, published_at
from vf.weights import counted, grouped, read_weights, shown_source
from vf_cls.models.fitting import refuse_size

KEY = "model.pretrained"


def make(
    arch: str,
    *,
    num_classes: int,
    size: tuple[int, int],
    drop: float = 0.0,
    drop_path: float = 0.0,
) -> tuple[nn.Module, bool]:
    """Build a net without weights; also return whether it takes images of ``size`` alone.

    Args:
        arch: timm's name, with a tag of weights or without.
        num_classes: outputs of its head.
        size: height and width of images.
        drop: probability of dropout in the head.
        drop_path: largest probability to leave a block out.

    Raises:
        SetupError: timm is not installed.
        ConfigError: there is no such net, it has no such probability, or it does not take this size.
    """
    timm = import_timm("model timm")
    if not timm.is_model(arch):
        near = did_you_mean(arch.partition(".")[0], timm.list_models())
        raise ConfigError(f"model.arch: timm has no net {arch!r}{near}")
    keys: dict[str, Any] = {"num_classes": num_classes}
    keys |= {key: value for key, value in (("drop_rate", drop), ("drop_path_rate", drop_path)) if value}
    published = timm.get_pretrained_cfg(arch)
    fixed = bool(published is not None and published.fixed_input_size)
    if fixed:
        keys["img_size"] = size
    try:
        net: nn.Module = timm.create_model(arch, **keys)
    except TypeError as error:
        raise ConfigError(f"model.arch: timm's {arch} cannot be built so: {error}; leave that key out") from None
    except (AssertionError, ValueError, RuntimeError) as error:  # of a size that its windows do not divide
        said = " ".join(str(error).split())[:160]
        raise ConfigError(f"model.input.size: {arch}: {said}; choose another size") from None
    refuse_size(arch, net, size)
    return net, fixed


def layers_of(net: Any) -> Mapping[str, int] | None:
    """Return parameter name -> layer as timm groups it, from 0; None: it does not."""
    if not hasattr(net, "group_matcher"):
        return None
    models = import_timm("model timm").models
    found: dict[str, int] = models.group_parameters(net, net.group_matcher(coarse=False), reverse=True)
    return found if len(set(found.values())) > 1 else None


def loader(arch: str, net: nn.Module, source: str) -> Callable[[Callable[[str], None]], None]:
    """Return what loads weights in timm's names, of today and of its past, into a net.

    Args:
        arch: timm's name.
        net: the net.
        source: ``imagenet`` for what timm publishes under the name; a file, a run or an address.
    """

    def load(tell: Callable[[str], None]) -> None:
        timm = import_timm("model timm")
        place = published_at(timm, arch, KEY) if source == IMAGENET else source
        tensors = read_weights(place, key=KEY, tell=tell)[0]
        # A run of ours has the names of the net behind ``net.``
        tensors = {name.removeprefix("net."): tensor for name, tensor in tensors.items()}
        state = filled_state(timm, arch, tensors, shown_source(place), key=KEY, options=_options(net))
        own = net.state_dict()
        fits = {name: tensor for name, tensor in state.items() if name in own and own[name].shape == tensor.shape}
        net.load_state_dict(fits, strict=False)
        new = [name for name in counted(own) if name not in fits]
        rest = f"; new {len(new)}: {grouped(new, own)}" if new else ""
        tell(f"model loaded {len(counted(fits))}/{len(counted(own))} from {shown_source(place)}{rest}")

    return load


def _options(net: nn.Module) -> dict[str, Any]:
    """Return the keys with which timm fits position embeddings to the size of a net."""
    size = getattr(getattr(net, "patch_embed", None), "img_size", None)
    takes = "img_size" in inspect.signature(type(net).__init__).parameters
    return {"img_size": size} if takes and size is not None else {}
