"""Nets of segmentation-models-pytorch, whole; it is imported when one is built."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any

from torch import Tensor, nn

from vf.backbones import IMAGENET
from vf.errors import CheckpointError, ConfigError, SetupError, did_you_mean
from vf.weights import init_from


class SMPNet(nn.Module):
    """Encoder, decoder and classes of a net. Tensors: ``net.`` + the library's names of them.

    Args:
        arch: the library's name of the decoder, like unet.
        encoder: the library's name of the encoder, like resnet34.
        classes: C.
        pretrained: of the encoder: ``imagenet`` for what the library publishes, a file, a run, an address, or nothing.

    Raises:
        SetupError: the library is not installed.
        ConfigError: there is no such net.
    """

    def __init__(self, *, arch: str, encoder: str, classes: int, pretrained: str = "") -> None:
        super().__init__()
        smp = _smp()
        known = list(smp.MODEL_ARCHITECTURES_MAPPING)
        if arch not in known:
            hint = did_you_mean(arch, known) or f"; known: {', '.join(known)}"
            raise ConfigError(f"model.arch: segmentation-models-pytorch has no {arch!r}{hint}")
        encoders = list(smp.encoders.get_encoder_names())
        if encoder not in encoders and not encoder.startswith("tu-"):
            raise ConfigError(
                f"model.encoder: segmentation-models-pytorch has no {encoder!r}{did_you_mean(encoder, encoders)}; "
                "a net of timm is called tu-NAME"
            )
        try:
            self.net = smp.create_model(arch, encoder_name=encoder, encoder_weights=None, classes=classes)
        except (ValueError, KeyError, RuntimeError, TypeError) as error:
            raise ConfigError(
                f"model: segmentation-models-pytorch builds no {arch} on {encoder} ({error}); choose others"
            ) from None
        self._encoder, self._pretrained = encoder, pretrained
        # A decoder that pools to one value has a batch norm after it.
        self.pools_to_one = arch in ("pspnet", "deeplabv3", "deeplabv3plus", "upernet", "pan")

    def load_pretrained(self, tell: Callable[[str], None]) -> None:
        """Load the weights of the encoder to start from.

        Raises:
            CheckpointError: they cannot be had, or are those of another net.
        """
        if not self._pretrained:
            return
        if self._pretrained != IMAGENET:
            parts = ("encoder", "backbone.net.encoder")
            tell(
                "encoder "
                + init_from(self.net.encoder, self._pretrained, tell=tell, key="model.pretrained", parts=parts)
            )
            return
        smp = _smp()
        try:
            given = smp.create_model("unet", encoder_name=self._encoder, encoder_weights=IMAGENET).encoder
            self.net.encoder.load_state_dict(given.state_dict())
        except (OSError, KeyError, RuntimeError, ValueError) as error:
            first = next(iter(str(error).splitlines()), type(error).__name__)
            raise CheckpointError(f"model.pretrained: no weights of {self._encoder} could be had: {first}") from None
        tell(f"encoder loaded {self._encoder} from what segmentation-models-pytorch publishes")

    def forward(self, x: Tensor) -> tuple[Tensor]:
        """Return the logits [B,C,H,W] of a normalised [B,3,H,W], as the only level."""
        return (self.net(x),)


class Only(nn.Module):
    """The head of a net that has its own: hands its logits on."""

    def forward(self, levels: tuple[Tensor, ...]) -> Tensor:
        """Return the only level."""
        return levels[0]


def _smp() -> Any:
    try:
        return importlib.import_module("segmentation_models_pytorch")
    except ImportError:
        raise SetupError(
            "model smp: segmentation-models-pytorch is not installed; pip install segmentation-models-pytorch"
        ) from None
