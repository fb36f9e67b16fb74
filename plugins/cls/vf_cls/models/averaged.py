"""Test-time augmentation: the mean of what a classifier says of several views."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import attrs
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vf.data.sample import Batch
from vf_cls.models.classifier import Classifier, as_predictions

if TYPE_CHECKING:
    from vf.protocols import Prediction


class Averaged(nn.Module):
    """Sees each image at several sizes, and mirrored; for evaluation. Shares the model.

    Args:
        model: the classifier.
        scales: factors on its input size.
        flip: whether each view is seen mirrored too.
    """

    def __init__(self, model: Classifier, *, scales: Sequence[float], flip: bool) -> None:
        super().__init__()
        self.model, self._flip = model, flip
        # Images come at the largest size, and the device makes the others of it.
        self.preprocess = model.preprocess.scaled(max(scales))
        self._sizes = [model.preprocess.scaled(scale).size for scale in scales]

    def forward(self, batch: Batch) -> list[Prediction]:
        """Return the mean of the probabilities of all views."""
        views = [view for size in self._sizes for view in self._views(batch.images, size)]
        each = [self.model.probabilities(attrs.evolve(batch, images=view)) for view in views]
        return as_predictions(torch.stack(each).mean(0), multi_label=self.model.multi_label)

    def _views(self, images: Tensor, size: tuple[int, int]) -> list[Tensor]:
        if images.shape[-2:] != size:
            images = F.interpolate(images.float(), size, mode="bilinear", antialias=True)
        return [images, images.flip(3)] if self._flip else [images]
