"""The focal loss that keeps one tensor, beside torchvision's."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor
from torchvision.ops import sigmoid_focal_loss

from vf_det.dense import focal
from vf_det.dense.focal import focal_loss
from vf_det.matching import BACKGROUND, IGNORED


def rows(count: int = 40, *, dtype: torch.dtype = torch.float64) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    logits = (torch.randn(count, 3, generator=generator, dtype=torch.float64) * 4).to(dtype).requires_grad_()
    labels = torch.randint(-2, 3, (count,), generator=generator)
    return logits, labels


@pytest.mark.parametrize("gamma", [2.0, 0.0, 1.5])
@pytest.mark.parametrize("chunk", [1, 10, 1 << 17])
def test_it_is_that_of_torchvision(gamma: float, chunk: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(focal, "CPU_CHUNK", chunk)
    logits, labels = rows()
    target = torch.nn.functional.one_hot(labels.clamp(min=0), 3) * (labels >= 0)[:, None]
    every = sigmoid_focal_loss(logits, target.double(), alpha=0.25, gamma=gamma, reduction="none")
    wanted = every[labels != IGNORED].sum()
    (slope,) = torch.autograd.grad(3 * wanted, logits)
    loss = focal_loss(logits, labels, alpha=0.25, gamma=gamma)
    (own,) = torch.autograd.grad(3 * loss, logits)
    torch.testing.assert_close(loss, wanted)
    torch.testing.assert_close(own, slope)
    assert (own[labels == IGNORED] == 0).all()


def test_a_row_by_hand() -> None:
    """p = 1/2: 0.25 · log 2, of which the own class has a quarter and the others have three."""
    loss = focal_loss(torch.zeros(2, 3), torch.tensor([1, BACKGROUND]))
    assert loss.item() == pytest.approx(0.25 * math.log(2) * (0.25 + 5 * 0.75))
    assert loss.dtype == torch.float32


@pytest.mark.parametrize("logit", [-1e4, -90.0, 90.0, 1e4])
def test_extreme_logits_stay_finite(logit: float) -> None:
    x = torch.full((2, 3), logit, requires_grad=True)
    loss = focal_loss(x, torch.tensor([0, BACKGROUND]))
    loss.backward()
    assert loss.isfinite()
    assert x.grad is not None
    assert x.grad.isfinite().all()


def test_nothing_there() -> None:
    x = torch.zeros(0, 3, requires_grad=True)
    focal_loss(x, torch.zeros(0, dtype=torch.long)).backward()
    assert x.grad is not None
    all_ignored = focal_loss(torch.zeros(4, 3), torch.full((4,), IGNORED))
    assert all_ignored.item() == 0


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_in_float32_out(dtype: torch.dtype) -> None:
    logits, labels = rows(dtype=dtype)
    exact = logits.detach().double().requires_grad_()
    loss, wanted = focal_loss(logits, labels), focal_loss(exact, labels)
    loss.backward()
    wanted.backward()
    assert (loss.dtype, logits.grad.dtype) == (torch.float32, dtype)  # type: ignore[union-attr]
    torch.testing.assert_close(loss.double(), wanted)
    torch.testing.assert_close(logits.grad, exact.grad.to(dtype))  # type: ignore[union-attr]


def test_small_gradients_outlive_float16() -> None:
    """p = 0.0025 gives a slope of 3.4e-8, which float16 holds only after the loss was scaled up."""
    x = torch.full((1, 1), -6.0, dtype=torch.float16, requires_grad=True)
    (focal_loss(x, torch.tensor([BACKGROUND])) * 65536).backward()
    p = 1 / (1 + math.exp(6))
    slope = 0.75 * p**2 * (2 * (1 - p) * math.log1p(math.exp(-6)) + p)
    assert x.grad is not None
    assert x.grad.item() == pytest.approx(65536 * slope, rel=1e-2)
