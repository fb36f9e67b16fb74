"""Any net of timm as a backbone, through its ``features_only``; timm is imported when one is built."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from typing import Any

from torch import Tensor, nn

from vf.backbones import IMAGENET
from vf.errors import CheckpointError, ConfigError, SetupError, did_you_mean, listed
from vf.nn.backbones.backbone import Backbone, LevelNorms
from vf.nn.forgetful import make_forgetful
from vf.weights import counted, read_weights, shown_source

HUB = "https://huggingface.co/{}/resolve/main/{}"
KEY = "backbone.pretrained"
EMPTY: Mapping[str, Any] = {}


class Timm(Backbone):
    """The features of a timm net at the strides that are asked for. Tensors: ``net.`` + timm's names of them.

    Args:
        net: timm's name, with a tag of weights or without.
        out: levels to hand on; level n has stride 2 ** (n + 1).
        out_norm: whether each level ends in a layer norm.
        frozen_stages: 0: none; n: all that runs up to level n.
        norm: bn, sync_bn, frozen_bn or gn.
        norm_eval: whether batch norms never leave evaluation mode.
        checkpoint: whether parts compute their activations again for the gradient.
        pretrained: ``imagenet`` for the weights of the name, a file or an address in timm's names, or nothing.

    Raises:
        SetupError: timm is not installed.
        ConfigError: there is no such net, or it has no such levels or stages.
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
        super().__init__(pretrained=pretrained)
        timm = import_timm()
        every = _features(timm, net).feature_info
        strides = [info["reduction"] for info in every.info]
        missing = [level for level in out if 2 ** (level + 1) not in strides]
        if missing:
            raise ConfigError(
                f"backbone.out: {net} has no level {listed(map(str, missing))}; its strides are "
                f"{listed(map(str, sorted(set(strides))))}"
            )
        # Of several features with one stride, the last.
        indices = {stride: index for index, stride in enumerate(strides)}
        self._name, self._indices = net, [indices[2 ** (level + 1)] for level in out]
        self.net = _features(timm, net, out_indices=self._indices)
        self.channels, self.strides = tuple(self.net.feature_info.channels()), tuple(self.net.feature_info.reduction())
        self.out_norms = LevelNorms(self.channels if out_norm else ())
        self._channels_last = getattr(self.net, "output_fmt", "NCHW") == "NHWC"  # which is a str and an Enum
        if checkpoint:
            self._forget()
        frozen = self._up_to(every.info[indices[2 ** (frozen_stages + 1)]]["module"]) if frozen_stages else ()
        self.settle(norm=norm, norm_eval=norm_eval, frozen=frozen)

    def _forget(self) -> None:
        """Let the parts compute their activations again; nets that timm does not cut into parts do it timm's way."""
        if hasattr(self.net, "model"):
            self.net.model.set_grad_checkpointing(True)
            return
        whole = self.net if hasattr(self.net, "return_layers") else getattr(self.net, "blocks", None)
        if whole is None:
            raise ConfigError(f"backbone.checkpoint: timm does not cut {self._name} into parts; leave checkpoint out")
        for part in whole.children():
            if any(True for _ in part.children()):
                make_forgetful(part)

    def _up_to(self, last: str) -> list[str]:
        """Return the names of the parts that run up to the one that timm calls ``last``."""
        flat = last.replace(".", "_")
        names = _before(self.net, flat if hasattr(self.net, flat) else last)
        if hasattr(self.net, "model") or not names:
            raise ConfigError(
                f"backbone.frozen_stages: timm does not cut {self._name} into stages; freeze its parameters with "
                "train.optimizer.rules"
            )
        return [f"net.{name}" for name in names]

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        """Return the levels of ``out`` for a normalised [B,3,H,W]."""
        levels = self.net(x)
        if self._channels_last:
            levels = [level.permute(0, 3, 1, 2) for level in levels]
        normed: tuple[Tensor, ...] = self.out_norms(levels)
        return normed

    def load_pretrained(self, tell: Callable[[str], None]) -> None:
        """Load the weights to start from; timm brings their names into those of its features."""
        if not self.pretrained:
            return
        timm = import_timm()
        source = published_at(timm, self._name) if self.pretrained == IMAGENET else self.pretrained
        filled = filled_state(timm, self._name, read_weights(source, key=KEY, tell=tell)[0], shown_source(source))
        # timm's features write the first dots of a name as underlines, or set a name before it.
        whole = {_flat(name): tensor for name, tensor in filled.items()}
        wanted = self.net.state_dict()
        self.net.load_state_dict({name: whole[_flat(name.removeprefix("model."))] for name in wanted})
        tell(f"backbone loaded {len(counted(wanted))}/{len(counted(wanted))} from {shown_source(source)}")


def _flat(name: str) -> str:
    return name.replace(".", "_")


def filled_state(
    timm: Any, net: str, tensors: dict[str, Tensor], where: str, *, key: str = KEY, options: Mapping[str, Any] = EMPTY
) -> dict[str, Tensor]:
    """Return the state of a whole timm net with these weights; those of a classifier may be missing or of others.

    Args:
        timm: the library.
        net: its name of the net.
        tensors: in timm's names.
        where: they come from, for messages.
        key: that the user set to it, for messages.
        options: with which timm makes the net.

    Raises:
        CheckpointError: they are weights of another net.
    """
    own = timm.create_model(net, **options)
    heads = own.pretrained_cfg.get("classifier") or ()
    heads = (heads,) if isinstance(heads, str) else tuple(heads)
    head = {name: tensor for name, tensor in own.state_dict().items() if name.startswith(heads)}
    problem = ""
    for given in (tensors, {**tensors, **head}):
        try:
            # timm itself brings the names of other suites and of its own past into today's.
            overlay = {"state_dict": given}
            filled = timm.create_model(net, pretrained=True, pretrained_cfg_overlay=overlay, **options)
            state: dict[str, Tensor] = filled.state_dict()
            return state
        except (RuntimeError, KeyError) as error:
            problem = problem or " ".join(str(error).split())[:200]
    raise CheckpointError(f"{key} {where}: no weights of timm's {net}: {problem} …")


def _before(module: nn.Module, last: str) -> list[str]:
    """Return the names of the parts up to ``last``, in the order of registration, which is that of running; or none."""
    head, _, rest = last.partition(".")
    names: list[str] = []
    for name, child in module.named_children():
        if name == head:
            inner = _before(child, rest) if rest else []
            return [*names, *(f"{head}.{n}" for n in inner)] if rest else [*names, head]
        names.append(name)
    return []


def import_timm(who: str = "backbone timm") -> Any:
    """Return timm; SetupError, which begins with who needs it, where it is not installed."""
    try:
        return importlib.import_module("timm")
    except ImportError:
        raise SetupError(f"{who}: timm is not installed; pip install timm") from None


def _features(timm: Any, net: str, **options: Any) -> Any:
    if not timm.is_model(net):
        raise ConfigError(
            f"backbone.net: timm has no net {net!r}{did_you_mean(net.partition('.')[0], timm.list_models())}"
        )
    try:
        return timm.create_model(net, features_only=True, **options)
    except (AttributeError, AssertionError, TypeError) as error:
        raise ConfigError(f"backbone.net: timm gives no features of {net} ({error}); choose another") from None


def published_at(timm: Any, net: str, key: str = KEY) -> str:
    """Return where timm publishes the weights of a name; ConfigError where it does not."""
    found = timm.get_pretrained_cfg(net)
    if found is not None and found.hf_hub_id:
        return HUB.format(found.hf_hub_id, found.hf_hub_filename or "model.safetensors")
    if found is not None and found.url:
        return str(found.url)
    raise ConfigError(f"{key}: timm publishes no weights of {net}; name a file or an address")
