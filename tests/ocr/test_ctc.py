"""CTC: both searches against all paths one by one, and against torch's loss."""

from __future__ import annotations

import itertools
import math

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from vf_ocr.recognition.ctc import beam_search, ctc_loss, greedy, spread_loss

A, B, BLANK = 0, 1, 2


def by_all_paths(log_probs: Tensor) -> dict[tuple[int, ...], float]:
    """Return the probability of every sequence that [T,C+1] can say."""
    columns, classes = log_probs.shape
    out: dict[tuple[int, ...], float] = {}
    for path in itertools.product(range(classes), repeat=columns):
        said = tuple(k for k, _ in itertools.groupby(path) if k != classes - 1)
        out[said] = out.get(said, 0.0) + math.exp(sum(log_probs[t, c].item() for t, c in enumerate(path)))
    return out


def peaky(path: list[int], classes: int = 3) -> Tensor:
    """Return log probabilities [T,classes] of which ``path`` has 0.9 in each column."""
    probs = torch.full((len(path), classes), 0.1 / (classes - 1))
    probs[torch.arange(len(path)), path] = 0.9
    return probs.log()


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ([BLANK, A, A, BLANK, B], [A, B]),
        ([A, BLANK, A], [A, A]),
        ([A, A, A], [A]),
        ([A, B, A], [A, B, A]),
        ([BLANK, BLANK], []),
        ([B], [B]),
    ],
)
def test_a_path_is_collapsed(path: list[int], said: list[int]) -> None:
    [(found, score)] = greedy(peaky(path)[None])
    assert found == said
    assert score == pytest.approx(len(path) * math.log(0.9))
    [(searched, total)] = beam_search(peaky(path)[None], 20)
    assert searched == said
    assert total >= score  # other paths say the same


def test_the_sum_of_paths_may_beat_the_best_one() -> None:
    # Best path: two blanks, .36. Of "a" there are three: .24 + .24 + .16 = .64 (Graves, 2012, figure 7.5).
    log_probs = torch.tensor([[0.4, 0.0, 0.6], [0.4, 0.0, 0.6]]).log()[None]
    assert greedy(log_probs)[0][0] == []
    [(said, score)] = beam_search(log_probs, 10)
    assert said == [A]
    assert math.exp(score) == pytest.approx(0.64)


@pytest.mark.parametrize("seed", range(12))
def test_a_wide_beam_is_exact(seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    columns, classes = 1 + seed % 5, 2 + seed % 3
    log_probs = (2 * torch.randn(3, columns, classes, generator=generator)).log_softmax(-1)
    for image, (said, score) in zip(log_probs, beam_search(log_probs, 400), strict=True):
        known = by_all_paths(image)
        assert math.exp(score) == pytest.approx(max(known.values()), rel=1e-5)
        assert known[tuple(said)] == pytest.approx(max(known.values()), rel=1e-5)
        assert sum(known.values()) == pytest.approx(1.0, rel=1e-5)


def test_scores_are_the_likelihoods_of_torch() -> None:
    generator = torch.Generator().manual_seed(0)
    log_probs = (3 * torch.randn(6, 5, 4, generator=generator, dtype=torch.float64)).log_softmax(-1)
    for image, (said, score) in zip(log_probs, beam_search(log_probs, 2000), strict=True):
        loss = F.ctc_loss(
            image[:, None], torch.tensor([said]), torch.tensor([5]), torch.tensor([len(said)]), blank=3, reduction="sum"
        )
        assert score == pytest.approx(-loss.item(), abs=1e-9)


def test_a_narrow_beam_never_claims_too_much() -> None:
    generator = torch.Generator().manual_seed(1)
    log_probs = torch.randn(4, 5, 4, generator=generator).log_softmax(-1)
    for image, (said, score) in zip(log_probs, beam_search(log_probs, 2), strict=True):
        assert math.exp(score) <= by_all_paths(image)[tuple(said)] + 1e-9


def test_images_are_searched_apart() -> None:
    generator = torch.Generator().manual_seed(2)
    log_probs = torch.randn(5, 8, 6, generator=generator).log_softmax(-1)
    alone = [beam_search(image[None], 7)[0] for image in log_probs]
    assert [said for said, _ in beam_search(log_probs, 7)] == [said for said, _ in alone]


def test_nothing_at_all() -> None:
    nothing = torch.zeros(0, 4, 3)
    assert greedy(nothing) == []
    assert beam_search(nothing, 3) == []
    assert greedy(torch.zeros(2, 0, 3)) == [([], 0.0), ([], 0.0)]
    assert beam_search(torch.zeros(1, 0, 3), 3) == [([], 0.0)]


def test_the_loss_is_the_mean_over_words_of_that_by_character() -> None:
    logits = torch.stack([peaky([A, BLANK, B]), peaky([A, A, A])])
    loss = ctc_loss(logits, torch.tensor([A, B, A]), torch.tensor([2, 1]))
    rows = [
        -math.log(by_all_paths(row.log_softmax(-1))[said]) / len(said)
        for row, said in zip(logits, [(A, B), (A,)], strict=True)
    ]
    assert loss.item() == pytest.approx(sum(rows) / 2, rel=1e-5)


def test_what_does_not_fit_into_the_columns_counts_nothing() -> None:
    logits = torch.zeros(1, 2, 3, requires_grad=True)
    loss = ctc_loss(logits, torch.tensor([A, A]), torch.tensor([2]))  # needs three columns
    loss.backward()
    assert loss.item() == 0
    assert logits.grad is not None
    assert logits.grad.isfinite().all()


def test_characters_are_spread_over_the_columns() -> None:
    # Five columns, "ab": a a ? b b, and the middle one belongs to b; "a": all of them; nothing: does not count.
    logits = torch.full((3, 5, 2), -30.0)
    logits[0, [0, 1], A] = logits[0, [2, 3, 4], B] = logits[1, :, A] = 0.0
    labels, lengths = torch.tensor([A, B, A]), torch.tensor([2, 1, 0])
    assert spread_loss(logits, labels, lengths).item() == pytest.approx(0, abs=1e-6)
    logits[1, 0] = torch.tensor([-30.0, 0.0])
    assert spread_loss(logits, labels, lengths).item() == pytest.approx(30 / 10)


def test_nothing_to_spread() -> None:
    logits = torch.zeros(2, 5, 2, requires_grad=True)
    loss = spread_loss(logits, torch.zeros(0, dtype=torch.long), torch.tensor([0, 0]))
    loss.backward()
    assert loss.item() == 0
    assert logits.grad is not None
