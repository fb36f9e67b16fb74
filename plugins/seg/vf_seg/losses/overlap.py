"""Losses that compare regions: Dice, Tversky, Lovász. For the legend see `vf_seg.losses.pixelwise`.

Regions are counted over the batches of all processes, so that many processes give what one gives.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vf.data.follow import IGNORE
from vf.nn.reduce import mean_over_processes, sum_over_processes


class Dice(nn.Module):
    """1 - 2·|P∩T| / (|P| + |T|) for probabilities P and truth T of a class; mean over the classes in T.

    Args:
        smooth: added above and below the line.
        squared: whether |P| is the sum of squares.
    """

    def __init__(self, *, smooth: float = 1.0, squared: bool = False) -> None:
        super().__init__()
        self._smooth, self._squared = smooth, squared

    def forward(self, logits: Tensor, target: Tensor) -> Tensor:
        """Return a scalar."""
        both, predicted, true = regions(logits, target, squared=self._squared)
        index = (2 * both + self._smooth) / (predicted + true + self._smooth).clamp(min=1e-7)
        return mean_of_present(1 - index, true)


class Tversky(nn.Module):
    """(1 - |P∩T| / (|P∩T| + alpha·false alarms + beta·misses)) ** gamma; mean over the classes in T.

    Args:
        alpha: of P outside of T.
        beta: of T outside of P.
        gamma: exponent.
        smooth: added above and below the line.
    """

    def __init__(self, *, alpha: float = 0.3, beta: float = 0.7, gamma: float = 1.0, smooth: float = 1.0) -> None:
        super().__init__()
        self._alpha, self._beta, self._gamma, self._smooth = alpha, beta, gamma, smooth

    def forward(self, logits: Tensor, target: Tensor) -> Tensor:
        """Return a scalar."""
        both, predicted, true = regions(logits, target)
        below = both + self._alpha * (predicted - both) + self._beta * (true - both) + self._smooth
        index = (both + self._smooth) / below.clamp(min=1e-7)
        # A power below 1 has no finite gradient at 0.
        return mean_of_present((1 - index).clamp(min=1e-7) ** self._gamma, true)


class Lovasz(nn.Module):
    """Lovász-Softmax (arXiv 1705.08790, algorithm 1).

    Args:
        per_image: each image by itself, then their mean; else all pixels of a process together.
    """

    def __init__(self, *, per_image: bool = False) -> None:
        super().__init__()
        self._per_image = per_image

    def forward(self, logits: Tensor, target: Tensor) -> Tensor:
        """Return a scalar."""
        probabilities = logits.softmax(1)
        parts = range(len(logits)) if self._per_image else [slice(None)]
        sums, counts = zip(*(self._of(probabilities[part], target[part]) for part in parts), strict=True)
        # A process, or an image, without a labelled pixel does not count.
        shares = [total / max(count, 1) for total, count in zip(sums, counts, strict=True)]
        own = torch.stack(shares).sum()
        return own / mean_over_processes(own.new_tensor(float(sum(c > 0 for c in counts))), least_sum=1.0)

    @staticmethod
    def _of(probabilities: Tensor, target: Tensor) -> tuple[Tensor, int]:
        """Return the sum over the classes that are there, and their number."""
        flat = probabilities.movedim(-3, 0).flatten(1)  # [C,N]
        known = target.flatten() != IGNORE
        flat, labels = flat[:, known], target.flatten()[known]
        total, present = flat.sum() * 0, labels.unique().tolist()
        for index in present:
            truth = (labels == index).float()
            errors, order = (truth - flat[index]).abs().sort(descending=True)
            total = total + errors @ jaccard_slopes(truth[order])
        return total, len(present)


def jaccard_slopes(truth: Tensor) -> Tensor:
    """Return by how much each further wrong pixel raises 1 - IoU, [N]; truth 0 or 1 [N], largest error first."""
    missed = truth.cumsum(0)
    union = truth.sum() + (1 - truth).cumsum(0)
    lost = 1 - (truth.sum() - missed) / union
    return lost.diff(prepend=lost.new_zeros(1))


def regions(logits: Tensor, target: Tensor, *, squared: bool = False) -> tuple[Tensor, Tensor, Tensor]:
    """Return |P∩T|, |P| and |T| of each class over all processes, each [C]; ignored pixels are in none of them."""
    known = target != IGNORE
    probabilities = logits.softmax(1) * known[:, None]
    truth = F.one_hot(target.masked_fill(~known, 0), logits.shape[1]).movedim(-1, 1) * known[:, None]
    axes = (0, 2, 3)
    sums = torch.stack(
        [
            (probabilities * truth).sum(axes),
            (probabilities**2 if squared else probabilities).sum(axes),
            truth.sum(axes).to(probabilities.dtype),
        ]
    )
    both, predicted, true = sum_over_processes(sums).unbind()
    return both, predicted, true.detach()


def mean_of_present(losses: Tensor, true: Tensor) -> Tensor:
    """Return the mean of [C] over the classes with a pixel; 0 where there is none."""
    present = (true > 0).to(losses.dtype)
    return (losses * present).sum() / present.sum().clamp(min=1)
