"""Focal loss (arXiv 1708.02002, equation 5) that keeps one tensor for the gradient and nothing else.

A batch has tens of millions of logits, nearly all of them of background. Written with autograd's own operations, a
loss of so many products keeps about six copies of them.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from vf_det.matching import IGNORED

CPU_CHUNK, GPU_CHUNK = 1 << 17, 1 << 24
"""Logits that are worked on at once: on a CPU, intermediate results stay in its cache."""


def focal_loss(logits: Tensor, labels: Tensor, *, alpha: float = 0.25, gamma: float = 2.0) -> Tensor:
    """Return the sum of the sigmoid focal losses, float32 (float64 for float64).

    Args:
        logits: [N,C]; each class says for itself whether a row is of it.
        labels: int64 [N]: class index, ``BACKGROUND`` (of no class) or ``IGNORED`` (the row does not count).
        alpha: weight of a class's own rows; 1 - alpha is that of the others.
        gamma: exponent of the factor (1 - p) or p that makes easy rows count little.
    """
    loss: Tensor = _Focal.apply(logits, labels, alpha, gamma)
    return loss


class _Focal(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, logits: Tensor, labels: Tensor, alpha: float, gamma: float) -> Tensor:
        kind = torch.float64 if logits.dtype == torch.float64 else torch.float32
        # Gradients of easy rows are far below what float16 can hold before the loss is scaled up.
        kept = kind if logits.dtype == torch.float16 else logits.dtype
        gradient = torch.empty_like(logits, dtype=kept) if ctx.needs_input_grad[0] else None
        # The sum of what all rows would cost as background is corrected for a few; float64 leaves no trace of it.
        total = torch.zeros((), dtype=torch.float64, device=logits.device)
        step = max(1, (GPU_CHUNK if logits.is_cuda else CPU_CHUNK) // max(1, logits.shape[1]))
        for start in range(0, len(logits), step):
            rows = slice(start, start + step)
            counts = (labels[rows] != IGNORED)[:, None]
            loss, slope = _background(logits[rows].to(kind), gamma, counts=counts, with_slope=gradient is not None)
            total += loss.sum()
            if gradient is not None:
                torch.mul(slope, 1 - alpha, out=slope)
                gradient[rows] = slope
        total *= 1 - alpha
        row = (labels >= 0).nonzero()[:, 0]
        own = logits[row, labels[row]].to(kind)
        # A logit x of a class's own row costs what -x would cost as background.
        loss, slope = _background(-own, gamma)
        total += alpha * loss.sum(dtype=torch.float64)
        total -= (1 - alpha) * _background(own, gamma)[0].sum(dtype=torch.float64)
        if gradient is not None:
            gradient[row, labels[row]] = (-alpha * slope).to(kept)
            ctx.save_for_backward(gradient)
        ctx.dtype = logits.dtype
        return total.to(kind)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, upstream: Tensor) -> tuple[Tensor, None, None, None]:
        [gradient] = ctx.saved_tensors
        return (gradient * upstream).to(ctx.dtype), None, None, None


def _background(
    x: Tensor, gamma: float, *, counts: Tensor | None = None, with_slope: bool = True
) -> tuple[Tensor, Tensor]:
    """Return p^gamma · softplus(x) with p = sigmoid(x), and its derivative p^gamma (gamma (1 - p) softplus(x) + p)."""
    p, plus = x.sigmoid(), F.softplus(x)
    power = p.square() if gamma == 2 else p.pow(gamma)
    if counts is not None:
        power *= counts
    loss = power * plus
    if not with_slope:
        return loss, loss
    slope = torch.addcmul(plus, plus, p, value=-1).mul_(gamma).add_(p).mul_(power)
    return loss, slope
