"""PSENet (arXiv 1903.12473): nested kernels of text, which grow into each other's places no more."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vf_ocr.detection.detector import TextDetector
from vf_ocr.detection.kernels import IGNORE
from vf_ocr.detection.losses import hard_cells, square_dice

TEXT_WEIGHT = 0.7
"""Of the loss of whole text; the kernels have the rest (arXiv 1903.12473, section 4.2)."""


class MapsHead(nn.Module):
    """A 3×3 convolution, then a 1×1 one to logits.

    Args:
        inputs: channels of the features.
        hidden: of the first convolution.
        outputs: maps.
    """

    def __init__(self, inputs: int, *, hidden: int, outputs: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, hidden, 3, padding=1)
        self.norm = nn.BatchNorm2d(hidden)
        self.maps = nn.Conv2d(hidden, outputs, 1)
        for conv in (self.conv, self.maps):
            nn.init.normal_(conv.weight, std=0.01)
            nn.init.zeros_(conv.get_parameter("bias"))

    def forward(self, x: Tensor) -> Tensor:
        """Return logits [B,outputs,h,w]."""
        out: Tensor = self.maps(F.relu(self.norm(self.conv(x))))
        return out


class PSENet(TextDetector):
    """Finds whole text and kernels of it, ever smaller.

    Args:
        parts: what :class:`TextDetector` takes.
    """

    def __init__(self, **parts: Any) -> None:
        super().__init__(**parts)

    def losses(self, output: Tensor, maps: dict[str, Tensor]) -> dict[str, Tensor]:
        """Return the losses of whole text and of the kernels."""
        levels = maps["level_map"]
        logits = F.interpolate(output.float(), size=levels.shape[-2:], mode="bilinear")
        known = levels != IGNORE
        text = known & (levels >= 1)
        whole = square_dice(logits[:, 0].sigmoid(), text, hard_cells(logits[:, 0], text, known))
        inside = known & (logits[:, 0] > 0)  # kernels are learnt where text is found
        count = logits.shape[1]
        each = [square_dice(logits[:, k].sigmoid(), known & (levels > k), inside) for k in range(1, count)]
        return {"loss_text": TEXT_WEIGHT * whole, "loss_kernel": (1 - TEXT_WEIGHT) * torch.stack(each).mean()}

    def readable(self, output: Tensor) -> Tensor:
        """Return shares [B,S,h,w], whole text first."""
        return output.sigmoid()
