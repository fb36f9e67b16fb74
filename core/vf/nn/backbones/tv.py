"""Any classification net of torchvision as a backbone, through torchvision's feature extraction."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from itertools import pairwise

import attrs
import torch
import torchvision
from torch import Tensor, nn
from torch.func import functional_call
from torch.utils.hooks import RemovableHandle
from torchvision.models.feature_extraction import create_feature_extractor

from vf.errors import ConfigError, did_you_mean, listed
from vf.nn.backbones.backbone import Backbone, LevelNorms
from vf.nn.forgetful import make_forgetful

PROBE = (256, 320)
"""Height and width of the image that shows what a net's parts give; two sides, to tell NHWC from NCHW."""
STRIDES = (1, 2, 4, 8, 16, 32)
SEVERAL = 0


@attrs.frozen
class Part:
    """A module of a net, in the order in which they run, and the features that it gives."""

    name: str
    stride: int
    channels: int
    channels_last: bool
    """Whether it gives [B,H,W,C]."""


class Torchvision(Backbone):
    """The last part of each stride of a torchvision net; what comes after is left out. Tensors: ``net.`` + its names.

    Args:
        net: torchvision's name.
        out: levels to hand on; level n has stride 2 ** (n + 1).
        out_norm: whether each level ends in a layer norm.
        frozen_stages: 0: none; n: all that runs up to the last part of level n.
        norm: bn, sync_bn, frozen_bn or gn.
        norm_eval: whether batch norms never leave evaluation mode.
        checkpoint: whether parts compute their activations again for the gradient.
        pretrained: see :class:`Backbone`.

    Raises:
        ConfigError: there is no such net, or it has no such levels.
    """

    def __init__(
        self,
        *,
        net: str,
        out: tuple[int, ...] = (1, 2, 3, 4),
        out_norm: bool = False,
        frozen_stages: int = 0,
        norm: str = "bn",
        norm_eval: bool = False,
        checkpoint: bool = False,
        pretrained: str = "",
    ) -> None:
        super().__init__(pretrained=pretrained, body="net")
        whole = _make(net)
        parts = parts_of(net, whole)
        levels = _last_of_each_stride(net, parts, out)
        self._chain = _chain_to(net, whole, parts[: parts.index(levels[-1]) + 1], levels)
        self.net = nn.Module()
        for name in self._chain:
            part = whole.get_submodule(name)
            if checkpoint and any(True for _ in part.parameters()):
                make_forgetful(part)
            _put(self.net, name, part)
        self._ends = {part.name: part.channels_last for part in levels}
        self.channels = tuple(part.channels for part in levels)
        self.strides = tuple(part.stride for part in levels)
        self.out_norms = LevelNorms(self.channels if out_norm else ())
        limit = 2 ** (frozen_stages + 1) if frozen_stages else 0
        strides = {part.name: part.stride for part in parts}
        frozen = [f"net.{name}" for name in self._chain if strides.get(name, limit + 1) <= limit]
        self.settle(norm=norm, norm_eval=norm_eval, frozen=frozen)

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        """Return the levels of ``out`` for a normalised [B,3,H,W]."""
        levels = []
        for name in self._chain:
            x = self.net.get_submodule(name)(x)
            if name in self._ends:
                levels.append(x.permute(0, 3, 1, 2) if self._ends[name] else x)
        normed: tuple[Tensor, ...] = self.out_norms(levels)
        return normed


def _make(net: str) -> nn.Module:
    names = torchvision.models.list_models(module=torchvision.models)
    if net not in names:
        raise ConfigError(f"backbone.net: torchvision has no net {net!r}{did_you_mean(net, names)}")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # of two nets, about how they start
        made: nn.Module = torchvision.models.get_model(net, weights=None)
    return made


def _chain_to(net: str, whole: nn.Module, parts: Sequence[Part], levels: Sequence[Part]) -> list[str]:
    """Return the modules that lead to the levels, in order, as torchvision's feature extraction finds them.

    Its result cannot be copied in its mode, so the modules run without it; that needs each to take what the one
    before it gives.
    """
    classes = {part.name: type(whole.get_submodule(part.name)) for part in parts}
    for name, cls in classes.items():
        # A class of its own, by which the tracer takes the part as one operation.
        whole.get_submodule(name).__class__ = type(cls.__name__, (cls,), {})
    leaves = [type(whole.get_submodule(name)) for name in classes]
    nodes = {part.name: part.name for part in levels}
    graph = create_feature_extractor(
        whole, nodes, tracer_kwargs={"leaf_modules": leaves}, suppress_diff_warning=True
    ).graph
    for name, cls in classes.items():
        whole.get_submodule(name).__class__ = cls
    start, *steps, _ = graph.nodes
    if any(step.op != "call_module" or step.args != (before,) for before, step in pairwise([start, *steps])):
        raise ConfigError(f"backbone.net: {net} is no chain of parts; choose another")
    return [str(step.target) for step in steps]


def _put(root: nn.Module, name: str, part: nn.Module) -> None:
    """Hang a part below ``root`` under a dotted name."""
    *outer, last = name.split(".")
    for step in outer:
        if not hasattr(root, step):
            root.add_module(step, nn.Module())
        root = root.get_submodule(step)
    root.add_module(last, part)


def parts_of(net: str, whole: nn.Module) -> list[Part]:
    """Return the parts of a net that give features of one stride each, in the order in which they run."""
    names = [name for name, _ in whole.named_children()]
    while True:
        parts = _run(net, whole, names)
        wide = {part.name for part in parts if part.stride == SEVERAL}
        if not wide:
            return parts
        inner = {name: [f"{name}.{child}" for child, _ in whole.get_submodule(name).named_children()] for name in wide}
        names = [name for part in parts for name in inner.get(part.name, [part.name])]


def _run(net: str, whole: nn.Module, names: Sequence[str]) -> list[Part]:
    """Run the net without data. A container that spans more than one stride comes back with stride ``SEVERAL``."""
    seen: list[Part] = []
    last = 1

    def look(name: str, module: nn.Module, output: object) -> None:
        nonlocal last
        part = _as_part(name, output)
        if part is not None:
            several = part.stride > 2 * last and isinstance(module, nn.Sequential)
            last = part.stride
            seen.append(attrs.evolve(part, stride=SEVERAL) if several else part)

    def hook(name: str) -> RemovableHandle:
        return whole.get_submodule(name).register_forward_hook(lambda module, _, output: look(name, module, output))

    hooks, training = [hook(name) for name in names], whole.training
    meta = {name: tensor.to("meta") for name, tensor in (*whole.named_parameters(), *whole.named_buffers())}
    try:
        with torch.no_grad():
            functional_call(whole.eval(), meta, (torch.empty(1, 3, *PROBE, device="meta"),))
    except (RuntimeError, AssertionError, ValueError) as error:
        raise ConfigError(
            f"backbone.net: {net} does not take images of any size ({' '.join(str(error).split())}); choose another"
        ) from None
    finally:
        for handle in hooks:
            handle.remove()
        whole.train(training)
    return seen


def _as_part(name: str, output: object) -> Part | None:
    """Read stride and channels off an output; None: it is not a map of features."""
    if not isinstance(output, Tensor) or output.ndim != 4:
        return None
    for stride in STRIDES:
        size = (PROBE[0] // stride, PROBE[1] // stride)
        if tuple(output.shape[2:]) == size:
            return Part(name, stride, output.shape[1], False)
        if tuple(output.shape[1:3]) == size:
            return Part(name, stride, output.shape[3], True)
    return None


def _last_of_each_stride(net: str, parts: Sequence[Part], out: Sequence[int]) -> list[Part]:
    last = {part.stride: part for part in parts}
    missing = [level for level in out if 2 ** (level + 1) not in last]
    if missing:
        raise ConfigError(
            f"backbone.out: {net} has no level {listed(map(str, missing))}; its strides are "
            f"{listed(map(str, sorted(last)))}"
        )
    return [last[2 ** (level + 1)] for level in out]
