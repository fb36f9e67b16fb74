"""A linear head on features that never change."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Self

from torch import Tensor, nn

from vf.data.sample import Batch
from vf_cls.models.classifier import Classifier
from vf_cls.models.heads import find_head

if TYPE_CHECKING:
    from vf.protocols import Prediction


class LinearProbe(nn.Module):
    """A classifier of which the head alone is trained; the rest stays in evaluation mode. Tensors: ``model.`` + its.

    Args:
        model: the classifier; what makes features of an image, norms and dropout too, is as in evaluation.
    """

    def __init__(self, model: Classifier) -> None:
        super().__init__()
        self.model, self.preprocess = model, model.preprocess
        model.requires_grad_(False)
        self._head().requires_grad_(True)
        self.train(self.training)

    def _head(self) -> nn.Module:
        return find_head(self.model.net, self.model.num_classes)

    def train(self, mode: bool = True) -> Self:
        """Set the mode of the head alone."""
        super().train(mode)
        self.model.net.eval()
        self._head().train(mode)
        return self

    def load_pretrained(self, tell: Callable[[str], None]) -> None:
        """Load the weights of the features."""
        self.model.load_pretrained(tell)

    def forward(self, batch: Batch) -> dict[str, Tensor] | list[Prediction]:
        """Return the loss in training, else what the model predicts."""
        if not self.training:
            return self.model.said(self.raw(batch.images, batch.sizes))
        return self.model.losses(self.model.logits(batch), batch)

    def raw(self, images: Tensor, sizes: Tensor) -> dict[str, Tensor]:
        """Return what the model says; see :meth:`Classifier.raw`."""
        return self.model.raw(images, sizes)

    def with_tta(self, *, scales: Sequence[float], flip: bool, **options: Any) -> nn.Module:
        """Return a model that takes the mean of several views."""
        return self.model.with_tta(scales=scales, flip=flip, **options)

    def explain(self, batch: Batch) -> list[Tensor]:
        """Return what of each image speaks for its first class."""
        return self.model.explain(batch)
