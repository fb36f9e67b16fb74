"""Losses against torch's and torchvision's, and against numbers worked by hand."""

from __future__ import annotations

import math

import pytest
import torch
from torch.nn import functional as F
from torchvision.ops import sigmoid_focal_loss

from vf.errors import ConfigError
from vf_cls import loss_configs as c
from vf_cls.losses import BCE, Asymmetric, CrossEntropy, Focal

LOGITS = torch.tensor([[2.0, -1.0, 0.5], [0.0, 0.0, 0.0], [-3.0, 4.0, 1.0], [1.0, 1.0, 6.0]])
HARD = torch.tensor([0, 1, 2, 2])
TARGETS = F.one_hot(HARD, 3).float()
SOFT = 0.7 * TARGETS + 0.3 * TARGETS.flip(0)
MANY = torch.tensor([[1.0, 0.0, 1.0], [0.0, 0.0, 0.0], [1.0, 1.0, 1.0], [0.0, 1.0, 0.0]])
WEIGHTS = [1.0, 2.0, 0.5]


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("weights", [None, WEIGHTS])
def test_cross_entropy_of_hard_labels_is_torchs(smoothing: float, weights: list[float] | None) -> None:
    wanted = F.cross_entropy(
        LOGITS, HARD, weight=None if weights is None else torch.tensor(weights), label_smoothing=smoothing
    )
    torch.testing.assert_close(CrossEntropy(smoothing=smoothing, weights=weights)(LOGITS, TARGETS), wanted)


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_cross_entropy_of_soft_labels_is_torchs(smoothing: float) -> None:
    wanted = F.cross_entropy(LOGITS, SOFT, label_smoothing=smoothing)
    torch.testing.assert_close(CrossEntropy(smoothing=smoothing)(LOGITS, SOFT), wanted)


def test_two_equal_logits_cost_the_logarithm_of_two() -> None:
    assert CrossEntropy()(torch.zeros(1, 2), torch.tensor([[1.0, 0.0]])).item() == pytest.approx(math.log(2))
    assert BCE()(torch.zeros(1, 2), torch.tensor([[1.0, 0.0]])).item() == pytest.approx(math.log(2))


def test_bce_is_torchs_with_the_mean_or_the_sum_of_classes() -> None:
    mean = F.binary_cross_entropy_with_logits(LOGITS, MANY)
    torch.testing.assert_close(BCE()(LOGITS, MANY), mean)
    torch.testing.assert_close(BCE(sum_classes=True)(LOGITS, MANY), 3 * mean)
    weighted = F.binary_cross_entropy_with_logits(LOGITS, MANY, weight=torch.tensor(WEIGHTS))
    torch.testing.assert_close(BCE(weights=WEIGHTS)(LOGITS, MANY), weighted)


def test_bce_makes_targets_hard_then_smooths_them() -> None:
    mixed = torch.tensor([[0.85, 0.15, 0.0]])
    wanted = F.binary_cross_entropy_with_logits(LOGITS[:1], torch.tensor([[1.0, 0.0, 0.0]]))
    torch.testing.assert_close(BCE(threshold=0.2)(LOGITS[:1], mixed), wanted)
    spread = torch.tensor([[0.9 + 0.1 / 3, 0.1 / 3, 0.1 / 3]])
    wanted = F.binary_cross_entropy_with_logits(LOGITS[:1], spread)
    torch.testing.assert_close(BCE(threshold=0.2, smoothing=0.1)(LOGITS[:1], mixed), wanted)


@pytest.mark.parametrize("alpha", [0.25, None])
def test_focal_is_torchvisions(alpha: float | None) -> None:
    other = sigmoid_focal_loss(LOGITS, MANY, alpha=-1 if alpha is None else alpha, gamma=2, reduction="sum")
    torch.testing.assert_close(Focal(gamma=2.0, alpha=alpha)(LOGITS, MANY), other / 4)


def test_asymmetric_without_its_parts_is_binary_cross_entropy() -> None:
    plain = Asymmetric(gamma_positive=0, gamma_negative=0, margin=0)(LOGITS, MANY)
    torch.testing.assert_close(plain, BCE(sum_classes=True)(LOGITS, MANY))


def test_asymmetric_by_hand() -> None:
    # p = 0.5 for both: the class that is there costs -log 0.5; the absent one -(0.45 ** 4) log(1 - 0.45).
    loss = Asymmetric()(torch.zeros(1, 2), torch.tensor([[1.0, 0.0]]))
    assert loss.item() == pytest.approx(math.log(2) - 0.45**4 * math.log(0.55))
    # below the margin an absent class costs nothing
    assert Asymmetric()(torch.tensor([[-10.0]]), torch.zeros(1, 1)).item() == 0


@pytest.mark.parametrize("loss", [CrossEntropy(smoothing=0.1), BCE(), Focal(), Asymmetric()])
def test_extreme_logits_give_finite_losses_and_gradients(loss: torch.nn.Module) -> None:
    logits = torch.tensor([[200.0, -200.0, 0.0], [-200.0, 200.0, 200.0]], requires_grad=True)
    value = loss(logits, torch.tensor([[0.0, 1.0, 0.0], [1.0, 0.0, 0.0]]))
    value.backward()
    assert value.isfinite()
    assert logits.grad is not None
    assert logits.grad.isfinite().all()


def test_weights_go_by_name() -> None:
    built = c.CrossEntropy(class_weights={"dog": 3.0}).build(["cat", "dog"])
    assert built.weights is not None
    assert built.weights.tolist() == [1, 3]
    with pytest.raises(
        ConfigError, match=r"^model.loss.class_weights: the data have no class 'dgo'; did you mean 'dog'\?"
    ):
        c.BCE(class_weights={"dgo": 3.0}).build(["cat", "dog"])
    with pytest.raises(ConfigError, match=r"^model.loss.class_weights.dog: must be >= 0, got -1$"):
        c.BCE(class_weights={"dog": -1.0}).build(["cat", "dog"])


def test_cross_entropy_refuses_many_labels() -> None:
    with pytest.raises(ConfigError) as caught:
        c.CrossEntropy().fit(multi_label=True)
    assert caught.value.problems == (
        "model.loss: cross_entropy is for images with one label each, and the data are multi-label; take bce, focal, "
        "asymmetric: --set 'model.loss={name: bce}'",
    )
    for loss in (c.BCE(), c.Focal(), c.Asymmetric()):
        loss.fit(multi_label=True)
        loss.fit(multi_label=False)
