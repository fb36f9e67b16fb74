"""Losses of a classifier: logits [B,C] against targets [B,C] from 0 to 1, hard or soft; a scalar."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class Loss(nn.Module):
    """What all of them share.

    Args:
        weights: factor on each class; None: 1.
    """

    sigmoid = True
    """Whether a probability is that of one class alone, instead of all classes adding up to 1."""
    weights: Tensor | None

    def __init__(self, weights: Sequence[float] | None = None) -> None:
        super().__init__()
        tensor = None if weights is None else torch.tensor(weights)
        self.register_buffer("weights", tensor, persistent=False)

    def forward(self, logits: Tensor, targets: Tensor) -> Tensor:
        """Return the mean over the images of a batch."""
        raise NotImplementedError


def smoothed(targets: Tensor, smoothing: float) -> Tensor:
    """Take a part of each target and give it to all classes alike."""
    return targets * (1 - smoothing) + smoothing / targets.shape[1] if smoothing else targets


class CrossEntropy(Loss):
    """Softmax and cross entropy. With weights, the mean is that of torch: divided by the weights of the targets."""

    sigmoid = False

    def __init__(self, *, smoothing: float = 0.0, weights: Sequence[float] | None = None) -> None:
        super().__init__(weights)
        self.smoothing = smoothing

    def forward(self, logits: Tensor, targets: Tensor) -> Tensor:
        costs = -smoothed(targets, self.smoothing) * F.log_softmax(logits, 1)
        if self.weights is None:
            return costs.sum(1).mean()
        return (costs * self.weights).sum() / (targets * self.weights).sum()


class BCE(Loss):
    """Sigmoid and binary cross entropy of every class."""

    def __init__(
        self,
        *,
        smoothing: float = 0.0,
        threshold: float | None = None,
        sum_classes: bool = False,
        weights: Sequence[float] | None = None,
    ) -> None:
        super().__init__(weights)
        self.smoothing, self.threshold, self.sum_classes = smoothing, threshold, sum_classes

    def forward(self, logits: Tensor, targets: Tensor) -> Tensor:
        if self.threshold is not None:
            targets = (targets > self.threshold).to(targets.dtype)
        costs = F.binary_cross_entropy_with_logits(
            logits, smoothed(targets, self.smoothing), weight=self.weights, reduction="none"
        )
        return costs.sum(1).mean() if self.sum_classes else costs.mean()


class Focal(Loss):
    """Binary cross entropy times a power of what is wrong, summed over classes."""

    def __init__(self, *, gamma: float = 2.0, alpha: float | None = 0.25) -> None:
        super().__init__()
        self.gamma, self.alpha = gamma, alpha

    def forward(self, logits: Tensor, targets: Tensor) -> Tensor:
        probabilities = logits.sigmoid()
        costs = F.binary_cross_entropy_with_logits(logits, targets, reduction="none")
        wrong = probabilities * (1 - targets) + (1 - probabilities) * targets
        costs = costs * wrong**self.gamma
        if self.alpha is not None:
            costs = costs * (self.alpha * targets + (1 - self.alpha) * (1 - targets))
        return costs.sum(1).mean()


class Asymmetric(Loss):
    """Focal with other exponents for presence and absence, and a margin below which absence costs nothing; summed."""

    def __init__(self, *, gamma_positive: float = 0.0, gamma_negative: float = 4.0, margin: float = 0.05) -> None:
        super().__init__()
        self.gamma_positive, self.gamma_negative, self.margin = gamma_positive, gamma_negative, margin

    def forward(self, logits: Tensor, targets: Tensor) -> Tensor:
        present = logits.sigmoid()
        shifted = (present - self.margin).clamp(min=0)
        there = F.logsigmoid(logits) * (1 - present) ** self.gamma_positive
        # log(1 - shifted), whose argument is at least the margin; without one logsigmoid keeps what float32 rounds off.
        log_absent = torch.log1p(-shifted) if self.margin else F.logsigmoid(-logits)
        absent = log_absent * shifted**self.gamma_negative
        return -(targets * there + (1 - targets) * absent).sum(1).mean()
