"""Test-time augmentation: several scales, mirrored too; the mean of the probabilities."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from torch import nn

from vf.errors import ConfigError

if TYPE_CHECKING:
    from vf.data.sample import Batch
    from vf.protocols import Prediction
    from vf_seg.models.segmenter import Segmenter


class TTA(nn.Module):
    """A segmenter that sees each image at several scales and, where asked, mirrored too.

    Its ``preprocess`` fits images to the largest scale, where the model resizes them at all; the other sizes are made
    from that on the device.

    Args:
        model: is not copied.
        scales: factors on the model's own input size.
        mirrored: whether to see each also mirrored left and right.

    Raises:
        ConfigError: there is no scale, or one is not above 0.
    """

    def __init__(self, model: Segmenter, scales: Sequence[float], *, mirrored: bool) -> None:
        super().__init__()
        if not scales or min(scales) <= 0:
            raise ConfigError(f"tta: scales must be one or more numbers > 0, got {list(scales)}")
        self.model = model
        self.preprocess, largest = _scaled(model.preprocess, max(scales))
        self._views = tuple(
            (scale / largest, flip) for scale in scales for flip in ((False, True) if mirrored else (False,))
        )

    def forward(self, batch: Batch) -> list[Prediction]:
        """Predict a batch that ``preprocess`` fitted."""
        found: list[Prediction] = self.model.predictions(batch, self._views)
        return found


def _scaled(preprocess: nn.Module, scale: float) -> tuple[nn.Module, float]:
    """Return image rules for a scale, and the scale of what they give: 1 where they leave images as they are."""
    changed: Any = copy.deepcopy(preprocess)
    short, long = getattr(changed, "short", None), getattr(changed, "long", None)
    if not isinstance(short, int) or not isinstance(long, int) or getattr(changed, "whole", False):
        return changed, 1.0
    changed.short, changed.long = max(1, round(short * scale)), max(1, round(long * scale))
    return changed, scale
