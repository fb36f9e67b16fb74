"""Losses that are sums over pixels.

Legend: B images, C classes, H×W pixels; logits float32 [B,C,H,W], target int64 [B,H,W] with 255 where nobody knows.
A batch without a labelled pixel gives 0 with a gradient of 0.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vf.data.follow import IGNORE
from vf.nn.reduce import mean_over_processes


class ClassWeighted(nn.Module):
    """A loss whose pixels count by the weight of their class.

    Args:
        class_weights: C of them, or none: all are 1.
    """

    class_weights: Tensor | None

    def __init__(self, class_weights: Sequence[float] = ()) -> None:
        super().__init__()
        weights = torch.tensor(class_weights) if len(class_weights) else None
        # Of the recipe and not learnt: not saved.
        self.register_buffer("class_weights", weights, persistent=False)

    def of_pixels(self, target: Tensor) -> Tensor:
        """Return the weight of each pixel, float [B,H,W]; 0 where it is ignored."""
        known = target != IGNORE
        if self.class_weights is None:
            return known.float()
        return self.class_weights[target.masked_fill(~known, 0)] * known


class CrossEntropy(ClassWeighted):
    """Cross entropy, divided by the weights of the pixels.

    Args:
        class_weights: see :class:`ClassWeighted`.
        label_smoothing: share of the target that goes to all classes alike.
        over_all: divide by the number of all pixels instead, ignored ones too.
    """

    def __init__(
        self, *, class_weights: Sequence[float] = (), label_smoothing: float = 0.0, over_all: bool = False
    ) -> None:
        super().__init__(class_weights)
        self._smoothing, self._over_all = label_smoothing, over_all

    def forward(self, logits: Tensor, target: Tensor) -> Tensor:
        """Return a scalar."""
        total = F.cross_entropy(
            logits,
            target,
            weight=self.class_weights,
            ignore_index=IGNORE,
            label_smoothing=self._smoothing,
            reduction="sum",
        )
        if self._over_all:
            return total / target.numel()
        return total / divisor(self.of_pixels(target).sum())


class Focal(ClassWeighted):
    """Cross entropy times (1 - probability of the own class) ** gamma.

    Args:
        gamma: exponent.
        class_weights: see :class:`ClassWeighted`.
    """

    def __init__(self, *, gamma: float = 2.0, class_weights: Sequence[float] = ()) -> None:
        super().__init__(class_weights)
        self._gamma = gamma

    def forward(self, logits: Tensor, target: Tensor) -> Tensor:
        """Return a scalar."""
        entropy = F.cross_entropy(logits, target, ignore_index=IGNORE, reduction="none")
        weights = self.of_pixels(target)
        # 1 - exp(-x) loses its digits where x is small, and its power has no gradient at 0.
        hard = (-torch.expm1(-entropy)).clamp(min=torch.finfo(entropy.dtype).tiny) ** self._gamma
        return (weights * hard * entropy).sum() / divisor(weights.sum())


class Ohem(ClassWeighted):
    """Cross entropy of the pixels whose own class has less probability than ``threshold``, and of the hardest ones.

    Args:
        threshold: 0..1.
        min_kept: pixels for each image of a batch that count in any case, the hardest ones.
        class_weights: see :class:`ClassWeighted`.
    """

    def __init__(self, *, threshold: float = 0.7, min_kept: int = 100_000, class_weights: Sequence[float] = ()) -> None:
        super().__init__(class_weights)
        self._threshold, self._min_kept = threshold, min_kept

    def forward(self, logits: Tensor, target: Tensor) -> Tensor:
        """Return a scalar."""
        entropy = F.cross_entropy(logits, target, ignore_index=IGNORE, reduction="none")
        with torch.no_grad():
            keep = self._hard((-entropy).exp(), target != IGNORE)
        weights = self.of_pixels(target) * keep
        return (weights * entropy).sum() / divisor(weights.sum())

    def _hard(self, probability: Tensor, known: Tensor) -> Tensor:
        own = probability[known]
        wanted = min(self._min_kept * len(known), own.numel())
        limit = own.new_tensor(self._threshold)
        if wanted:
            limit = limit.maximum(own.kthvalue(wanted).values.nextafter(own.new_tensor(2.0)))
        return known & (probability < limit)


def divisor(weight: Tensor) -> Tensor:
    """Return what a sum over this process's pixels is divided by: their weight, a mean over the processes, never 0."""
    mean = mean_over_processes(weight)
    return torch.where(mean > 0, mean, 1.0)
