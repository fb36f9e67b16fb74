"""Losses of maps where most cells are background and some do not count.

Legend: B images, h×w cells. ``known`` and ``text`` are bool.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from vf.nn.reduce import mean_over_processes

NEGATIVES = 3
"""Background cells for each of text that count, the hardest (arXiv 1604.03540)."""


def hard_entropy(logits: Tensor, text: Tensor, known: Tensor) -> Tensor:
    """Return the cross entropy of text and of three times as many cells of background, the worst; 0 without text.

    Args:
        logits: float [B,h,w].
        text: where there is text.
        known: what counts.
    """
    each = F.binary_cross_entropy_with_logits(logits, text.float(), reduction="none")
    positive, negative = text & known, ~text & known
    wanted = positive.sum()
    worst = int(torch.minimum(wanted * NEGATIVES, negative.sum()))
    hardest = each.masked_fill(~negative, 0).flatten().topk(worst).values
    total = (each * positive).sum() + hardest.sum()
    return total / mean_over_processes((wanted + worst).float(), least_sum=1.0)


def dice(share: Tensor, text: Tensor, known: Tensor) -> Tensor:
    """Return 1 - 2 |P ∩ T| / (|P| + |T|) over a whole batch.

    Args:
        share: in 0..1, [B,h,w].
        text: where there is text.
        known: what counts.
    """
    share, truth = share * known, (text & known).to(share.dtype)
    return 1 - 2 * (share * truth).sum() / (share.sum() + truth.sum() + 1e-6)


def square_dice(share: Tensor, text: Tensor, known: Tensor) -> Tensor:
    """Return the mean over images of 1 - 2 Σ P T / (Σ P² + Σ T²) (arXiv 1903.12473, equation 5).

    Args:
        share: in 0..1, [B,h,w].
        text: where there is text.
        known: what counts.
    """
    share, truth = (share * known).flatten(1), (text & known).flatten(1).to(share.dtype)
    both = (share * truth).sum(1)
    squares = (share * share).sum(1) + truth.sum(1) + 2e-3
    return (1 - 2 * both / squares).mean()


@torch.no_grad()
def hard_cells(logits: Tensor, text: Tensor, known: Tensor) -> Tensor:
    """Choose the cells of each image that count: text, and three times as many of background, the surest of text.

    An image without text or without background keeps all that is known.

    Args:
        logits: float [B,h,w].
        text: where there is text.
        known: what may count.
    """
    out = known.clone()
    for chosen, own, is_text in zip(out, logits, text, strict=True):
        background = own[~is_text]
        wanted = min(NEGATIVES * int((is_text & chosen).sum()), background.numel())
        if wanted:
            chosen &= is_text | (own >= background.topk(wanted).values[-1])
    return out


def masked_l1(value: Tensor, goal: Tensor, known: Tensor) -> Tensor:
    """Return the mean distance from ``goal`` over the cells that are known; 0 where there is none."""
    total = ((value - goal).abs() * known).sum()
    return total / mean_over_processes(known.sum().float(), least_sum=1.0)
