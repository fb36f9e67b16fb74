"""Losses of text detectors: tables worked by hand, and the formula one cell at a time."""

from __future__ import annotations

import math

import pytest
import torch

from vf_ocr.detection import losses
from vf_ocr.detection.panet import embedding_losses

EVERYWHERE = torch.ones(1, 1, 8, dtype=torch.bool)


def row(*values: float) -> torch.Tensor:
    """One image of one row."""
    return torch.tensor([[values]], dtype=torch.float32)


def flags(*values: int) -> torch.Tensor:
    """Likewise, bool."""
    return torch.tensor([[values]], dtype=torch.bool)


def test_the_hardest_background_counts_three_times_as_often_as_text() -> None:
    logits, text = row(0, -9, 2, 1, 0, -1, -2, -3), flags(1, 0, 0, 0, 0, 0, 0, 0)
    cost = [math.log1p(math.exp(x)) for x in (2, 1, 0)]  # of background; text at 0 costs log 2
    assert losses.hard_entropy(logits, text, EVERYWHERE).item() == pytest.approx((math.log(2) + sum(cost)) / 4)


def test_what_is_not_known_does_not_count() -> None:
    logits, text = row(0, -9, 2, 1, 0, -1, -2, -3), flags(1, 1, 0, 0, 0, 0, 0, 0)
    known = flags(1, 0, 0, 1, 1, 1, 0, 0)
    cost = [math.log1p(math.exp(x)) for x in (1, 0, -1)]
    assert losses.hard_entropy(logits, text, known).item() == pytest.approx((math.log(2) + sum(cost)) / 4)


@pytest.mark.parametrize("loss", [losses.hard_entropy, losses.dice, losses.square_dice, losses.masked_l1])
def test_nothing_known_costs_something_finite_with_a_gradient(loss: object) -> None:
    logits = torch.zeros(2, 3, 4, requires_grad=True)
    nothing = torch.zeros(2, 3, 4, dtype=torch.bool)
    goal = torch.zeros(2, 3, 4) if loss is losses.masked_l1 else nothing
    value = loss(logits.sigmoid(), goal, nothing)  # type: ignore[operator]
    value.backward()
    assert value.item() in (0.0, 1.0)
    assert logits.grad is not None
    assert bool(logits.grad.isfinite().all())


def test_images_without_text_cost_nothing_of_the_entropy() -> None:
    assert losses.hard_entropy(row(*[3.0] * 8), ~EVERYWHERE, EVERYWHERE).item() == 0


def test_dice_is_of_the_whole_batch() -> None:
    share, text = torch.cat([row(1, 0.5, 0, 0), row(0, 0, 0, 0)]), torch.cat([flags(1, 1, 0, 0), flags(1, 0, 0, 0)])
    known = torch.ones(2, 1, 4, dtype=torch.bool)
    assert losses.dice(share, text, known).item() == pytest.approx(1 - 2 * 1.5 / (1.5 + 3))
    known[0, 0, 0] = False
    assert losses.dice(share, text, known).item() == pytest.approx(1 - 2 * 0.5 / (0.5 + 2))


def test_square_dice_is_the_mean_over_images() -> None:
    share, text = torch.cat([row(1, 0.5, 0, 0), row(0, 0, 0, 0)]), torch.cat([flags(1, 1, 0, 0), flags(1, 0, 0, 0)])
    known = torch.ones(2, 1, 4, dtype=torch.bool)
    first = 1 - 2 * 1.5 / (1.25 + 2 + 2e-3)
    assert losses.square_dice(share, text, known).item() == pytest.approx((first + 1) / 2)


def test_the_surest_cells_of_background_are_chosen_image_by_image() -> None:
    logits = torch.cat([row(0, 5, 4, 3, 2, 1, 0, -1), row(1, 2, 3, 4, 5, 6, 7, 8)])
    text = torch.cat([flags(1, 0, 0, 0, 0, 0, 0, 0), ~EVERYWHERE[0:1]])
    known = torch.cat([flags(1, 1, 1, 1, 1, 1, 1, 0), EVERYWHERE])
    chosen = losses.hard_cells(logits, text, known)
    assert chosen[0, 0].tolist() == [True] * 4 + [False] * 4
    assert bool(chosen[1].all())
    assert bool(known[0, 0, :7].all()), "what is given stays"


def test_the_distance_of_thresholds_is_a_mean_over_what_is_known() -> None:
    value = losses.masked_l1(row(0.3, 0.9, 0.5), row(0.7, 0.7, 0.0), flags(1, 1, 0))
    assert value.item() == pytest.approx((0.4 + 0.2) / 2)


def slow_embedding_losses(embedding: torch.Tensor, numbers: torch.Tensor, cores: torch.Tensor) -> tuple[float, float]:
    """Equations 1 to 4 of arXiv 1908.05900, text by text, and the means' length."""
    texts = sorted(set(numbers[cores].tolist()))
    means = {n: embedding[:, cores & (numbers == n)].mean(1) for n in texts}
    pull = 0.0
    for n in texts:
        cells = embedding[:, numbers == n].T
        pull += sum(math.log(max((c - means[n]).norm().item() - 0.5, 0) ** 2 + 1) for c in cells) / len(cells)
    pairs = [(a, b) for a in texts for b in texts if a != b]
    push = sum(math.log(max(3 - (means[a] - means[b]).norm().item(), 0) ** 2 + 1) for a, b in pairs)
    length = 1e-3 * sum(math.log(means[n].norm().item() + 1) for n in texts) / (len(texts) + 1)
    return pull / len(texts), (push / len(pairs) if pairs else 0) + length


@pytest.mark.parametrize("count", [1, 2, 5])
def test_embeddings_cost_what_the_equations_say(count: int) -> None:
    generator = torch.Generator().manual_seed(count)
    numbers = torch.zeros(12, 15, dtype=torch.int32)
    cores = torch.zeros(12, 15, dtype=torch.bool)
    for n in range(count):
        numbers[:, 3 * n : 3 * n + 3] = 7 * n + 1
        cores[4:8, 3 * n + 1] = True
    numbers[0, 0] = 99  # text without a kernel
    embedding = torch.randn(4, 12, 15, generator=generator) + torch.arange(15) / 4
    pull, push = embedding_losses(embedding, numbers, cores)
    assert (pull.item(), push.item()) == pytest.approx(slow_embedding_losses(embedding, numbers, cores), rel=1e-4)


def test_an_image_without_kernels_costs_nothing_and_has_a_gradient() -> None:
    embedding = torch.randn(4, 5, 6, requires_grad=True)
    numbers = torch.zeros(5, 6, dtype=torch.int32)
    pull, push = embedding_losses(embedding, numbers, numbers > 0)
    (pull + push).backward()
    assert embedding.grad is not None
    assert (pull.item(), push.item(), embedding.grad.abs().sum().item()) == (0, 0, 0)
