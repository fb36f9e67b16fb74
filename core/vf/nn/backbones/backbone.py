"""What all backbones share: norms by key, parts that never change, and weights to start from."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Self

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torchvision.models import get_model_weights

from vf.errors import ConfigError
from vf.nn.norms import change_norms
from vf.weights import init_from

TORCHVISION = "torchvision:"


class Backbone(nn.Module):
    """Features [B,C,H,W] of a normalised image batch [B,3,H,W], fine to coarse.

    A subclass makes its layers with plain batch norms, sets ``channels`` and ``strides``, and calls :meth:`settle`
    last in its constructor.
    """

    channels: tuple[int, ...]
    """Of each level."""
    strides: tuple[int, ...]
    """Of each level, in px of the input."""

    def __init__(self, *, pretrained: str = "", body: str = "") -> None:
        """Say where weights are.

        Args:
            pretrained: a file, a run, an address, ``torchvision:NET[.WEIGHTS]``, or nothing.
            body: the part to which their names belong; nothing: all.
        """
        super().__init__()
        self.pretrained = pretrained
        self._body = body
        self._frozen: tuple[str, ...] = ()
        self._norm_eval = False

    def settle(self, *, norm: str, norm_eval: bool, frozen: Iterable[str] = ()) -> None:
        """Choose the norms, then freeze.

        Args:
            norm: bn, sync_bn, frozen_bn or gn.
            norm_eval: whether batch norms never leave evaluation mode.
            frozen: names of direct or deeper parts whose parameters and statistics never change.
        """
        if change_norms(self, norm) == 0 and norm != "bn":
            raise ConfigError(f"backbone: norm: this net has no batch norms that {norm} could replace; leave norm out")
        self._norm_eval = norm_eval
        # Names and not modules: who shares the norms of a model over processes puts others in their places.
        self._frozen = tuple(frozen)
        for name in self._frozen:
            self.get_submodule(name).requires_grad_(False)
        self.train(self.training)

    def train(self, mode: bool = True) -> Self:
        """Set the mode; what is frozen stays in evaluation mode, so that its statistics stay too."""
        super().train(mode)
        for name in self._frozen:
            self.get_submodule(name).eval()
        for module in self.modules() if self._norm_eval else ():
            if isinstance(module, _BatchNorm):
                module.eval()
        return self

    def load_pretrained(self, tell: Callable[[str], None]) -> None:
        """Load the weights to start from, where there are any, and tell which; called once, never on resume.

        Raises:
            CheckpointError: they cannot be had, or are those of another net.
        """
        if self.pretrained:
            module, parts = self.get_submodule(self._body), ("backbone", f"backbone.{self._body}".rstrip("."))
            source = published(self.pretrained)
            tell(f"backbone {init_from(module, source, tell=tell, key='backbone.pretrained', parts=parts)}")

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        """Return one tensor for each level."""
        raise NotImplementedError


def published(source: str) -> str:
    """Return the address of weights that torchvision publishes; anything else as it is.

    Args:
        source: ``torchvision:resnet50`` means the first version, ``torchvision:resnet50.IMAGENET1K_V2`` another.
    """
    if not source.startswith(TORCHVISION):
        return source
    net, _, version = source.removeprefix(TORCHVISION).partition(".")
    url: str = get_model_weights(net)[version or "IMAGENET1K_V1"].url
    return url


class LevelNorms(nn.ModuleList):
    """A layer norm over the channels of each level (arXiv 2103.14030), or none at all."""

    def __init__(self, channels: Sequence[int]) -> None:
        super().__init__(nn.LayerNorm(count) for count in channels)

    def forward(self, levels: Sequence[Tensor]) -> tuple[Tensor, ...]:
        """Normalise [B,C,H,W] of each level; without norms, return them as they are."""
        if not len(self):
            return tuple(levels)
        pairs = zip(self, levels, strict=True)
        return tuple(torch.movedim(norm(torch.movedim(x, 1, -1)), -1, 1) for norm, x in pairs)
