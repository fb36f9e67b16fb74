"""DBNet (arXiv 1911.08947) and, with another neck, DBNet++ (arXiv 2202.10304)."""

from __future__ import annotations

from typing import Any

import attrs
import torch
from torch import Tensor, nn

from vf_ocr.detection.detector import TextDetector
from vf_ocr.detection.kernels import IGNORE
from vf_ocr.detection.losses import dice, hard_entropy, masked_l1
from vf_ocr.detection.maps import STEPS

PRIOR = -2.0
"""Logit of kernels at the start: of the cells of a page, about one in eight lies in one."""


@attrs.frozen(kw_only=True)
class DBRules:
    """What DBNet minimises."""

    kernel: float
    """Weight of the kernels' entropy."""
    threshold: float
    """Weight of the thresholds' distance."""
    binary: float
    """Weight of the overlap of what is cut out."""
    steep: float
    """How steep the cut is, k of equation 1."""
    low: float
    """Threshold far from outlines."""
    high: float
    """Threshold on outlines."""


class DBHead(nn.Module):
    """Two branches of one form: logits of kernels, and logits of the threshold at which they are cut out.

    Args:
        inputs: channels of the features.
        doublings: how often their size is doubled, 0 to 2.
    """

    def __init__(self, inputs: int, *, doublings: int = 2) -> None:
        super().__init__()
        self.kernels = branch(inputs, doublings)
        self.thresholds = branch(inputs, doublings)
        last = self.kernels[-1]
        assert isinstance(last, nn.Conv2d | nn.ConvTranspose2d)
        nn.init.constant_(last.get_parameter("bias"), PRIOR)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor | None]:
        """Return logits [B,1,h,w]; those of the thresholds in training alone."""
        return self.kernels(x), self.thresholds(x) if self.training else None


def branch(inputs: int, doublings: int) -> nn.Sequential:
    """Return a convolution to a quarter of the channels, then transposed ones; the last gives one channel."""
    hidden = inputs // 4
    parts: list[nn.Module] = [nn.Conv2d(inputs, hidden, 3, padding=1, bias=False), nn.BatchNorm2d(hidden), nn.ReLU()]
    for _ in range(doublings - 1):
        parts += [nn.ConvTranspose2d(hidden, hidden, 2, 2), nn.BatchNorm2d(hidden), nn.ReLU()]
    parts.append(nn.ConvTranspose2d(hidden, 1, 2, 2) if doublings else nn.Conv2d(hidden, 1, 1))
    for part in parts[: None if doublings else -1]:  # a 1×1 convolution to one channel begins small, as torch makes it
        if isinstance(part, nn.Conv2d | nn.ConvTranspose2d):
            nn.init.kaiming_normal_(part.weight, mode="fan_out", nonlinearity="relu")
        if isinstance(part, nn.BatchNorm2d):
            nn.init.constant_(part.bias, 1e-4)
    return nn.Sequential(*parts)


class DBNet(TextDetector):
    """Finds kernels of text; in training, where to cut them out is learnt with them.

    Args:
        rules: what is minimised.
        parts: what :class:`TextDetector` takes.
    """

    def __init__(self, *, rules: DBRules, **parts: Any) -> None:
        super().__init__(**parts)
        self.rules = rules

    def losses(self, output: tuple[Tensor, Tensor], maps: dict[str, Tensor]) -> dict[str, Tensor]:
        """Return the losses of kernels, thresholds and of what is cut out."""
        rules = self.rules
        logits, threshold = output[0][:, 0].float(), output[1][:, 0].float().sigmoid()
        text, known = maps["kernel_map"] == 1, maps["kernel_map"] != IGNORE
        binary = torch.sigmoid(rules.steep * (logits.sigmoid() - threshold))
        near = maps["band_map"] != IGNORE
        goal = rules.low + (rules.high - rules.low) * maps["band_map"].float().div(STEPS)
        return {
            "loss_kernel": rules.kernel * hard_entropy(logits, text, known),
            "loss_threshold": rules.threshold * masked_l1(threshold, goal, near),
            "loss_binary": rules.binary * dice(binary, text, known),
        }

    def readable(self, output: tuple[Tensor, Tensor | None]) -> Tensor:
        """Return the shares of kernels, [B,1,h,w]."""
        return output[0].sigmoid()
