"""Losses: tables worked by hand, torch and segmentation-models-pytorch as references, ignored pixels."""

from __future__ import annotations

import math
from typing import Any

import pytest
import segmentation_models_pytorch as smp
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vf.errors import ConfigError
from vf.plugins import plugins
from vf.schema import config, field
from vf.structuring import Structurer
from vf.testing import check_config
from vf.yaml12 import parse
from vf_seg.loss_configs import Boundary, CrossEntropy, Dice, Focal, Lovasz, Ohem, SegLoss, Tversky
from vf_seg.losses.boundary import signed_distances
from vf_seg.losses.overlap import jaccard_slopes
from vf_seg.losses.terms import Terms
from vf_seg.testing import INFO

EVERY: list[SegLoss] = [
    CrossEntropy(),
    CrossEntropy(class_weights=(1.0, 2.0, 0.5), average="all"),
    Ohem(min_kept=5),
    Focal(),
    Dice(),
    Tversky(gamma=0.75),
    Lovasz(),
    Lovasz(per_image=True),
    Boundary(),
]


def sample(*, ignored: float = 0.2) -> tuple[Tensor, Tensor]:
    """Logits [2,3,6,5] and classes, some of them ignored."""
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(2, 3, 6, 5, generator=generator)
    target = torch.randint(0, 3, (2, 6, 5), generator=generator)
    target[torch.rand(target.shape, generator=generator) < ignored] = 255
    return logits, target


def of(loss: SegLoss, logits: Tensor, target: Tensor) -> float:
    return float(loss.build(INFO)(logits, target))


def logits_of(rows: list[list[float]]) -> Tensor:
    """Probabilities of each pixel, a row each, as logits [1,C,1,N]."""
    return torch.tensor(rows).log().T[None, :, None]


@pytest.mark.parametrize("name", SegLoss.choices())
def test_configs_explain_themselves(name: str) -> None:
    check_config(SegLoss.choices()[name], name)


@pytest.mark.parametrize("loss", EVERY, ids=repr)
def test_a_batch_without_a_label_gives_zero_and_a_gradient(loss: SegLoss) -> None:
    logits = sample()[0].requires_grad_()
    value = loss.build(INFO)(logits, torch.full((2, 6, 5), 255))
    value.backward()
    assert value.item() == 0
    assert logits.grad is not None
    assert torch.equal(logits.grad, torch.zeros_like(logits))


@pytest.mark.parametrize("loss", EVERY, ids=repr)
def test_ignored_pixels_do_not_count(loss: SegLoss) -> None:
    logits, target = sample()
    if isinstance(loss, CrossEntropy) and loss.average == "all":
        pytest.skip("there they count below the line")
    changed = torch.where((target == 255)[:, None], logits + torch.randn(logits.shape), logits)
    assert of(loss, logits, target) == pytest.approx(of(loss, changed, target), abs=1e-6)


@pytest.mark.parametrize("loss", EVERY, ids=repr)
def test_right_answers_cost_less_than_wrong_ones(loss: SegLoss) -> None:
    target = torch.tensor([[[0, 1, 2], [2, 1, 0]]])
    right = 20.0 * F.one_hot(target, 3).movedim(-1, 1)
    value = of(loss, right, target)
    assert value == pytest.approx(-1.0 if isinstance(loss, Boundary) else 0, abs=1e-3)
    wrong = loss.build(INFO)(right.roll(1, dims=1).requires_grad_(), target)
    assert wrong.item() > value + 0.1
    wrong.backward()


def test_cross_entropy_is_torchs() -> None:
    logits, target = sample()
    weights = torch.tensor([1.0, 2.0, 0.5])
    theirs = F.cross_entropy(logits, target, ignore_index=255)
    assert of(CrossEntropy(), logits, target) == pytest.approx(theirs.item(), abs=1e-6)
    theirs = F.cross_entropy(logits, target, weight=weights, ignore_index=255, label_smoothing=0.1)
    ours = CrossEntropy(class_weights=(1.0, 2.0, 0.5), label_smoothing=0.1)
    assert of(ours, logits, target) == pytest.approx(theirs.item(), abs=1e-6)
    theirs = F.cross_entropy(logits, target, ignore_index=255, reduction="none").mean()
    assert of(CrossEntropy(average="all"), logits, target) == pytest.approx(theirs.item(), abs=1e-6)


def test_a_table_of_cross_entropy() -> None:
    logits = logits_of([[0.5, 0.25, 0.25], [0.1, 0.8, 0.1], [0.2, 0.2, 0.6]])
    target = torch.tensor([[[0, 1, 255]]])
    assert of(CrossEntropy(), logits, target) == pytest.approx((math.log(2) - math.log(0.8)) / 2, abs=1e-6)
    assert of(CrossEntropy(average="all"), logits, target) == pytest.approx((math.log(2) - math.log(0.8)) / 3, abs=1e-6)


def test_a_table_of_focal() -> None:
    logits, target = logits_of([[0.5, 0.25, 0.25], [0.1, 0.8, 0.1]]), torch.tensor([[[0, 1]]])
    expected = (0.25 * math.log(2) - 0.04 * math.log(0.8)) / 2
    assert of(Focal(gamma=2.0), logits, target) == pytest.approx(expected, abs=1e-6)
    logits, target = sample()
    assert of(Focal(gamma=0.0), logits, target) == pytest.approx(of(CrossEntropy(), logits, target), abs=1e-6)


@pytest.mark.parametrize(
    ("threshold", "min_kept", "kept"),
    [
        (0.55, 0, [0.5, 0.3]),  # those below the threshold
        (0.4, 0, [0.3]),
        (0.1, 0, []),
        (0.1, 2, [0.5, 0.3]),  # the hardest, though none is below
        (0.55, 3, [0.5, 0.3, 0.8]),
        (0.9, 1, [0.5, 0.3, 0.8]),
        (0.1, 100, [0.5, 0.3, 0.8]),  # there are no more
    ],
)
def test_a_table_of_hard_pixels(threshold: float, min_kept: int, kept: list[float]) -> None:
    rows = [[0.5, 0.25, 0.25], [0.1, 0.8, 0.1], [0.5, 0.2, 0.3], [0.9, 0.05, 0.05]]
    logits, target = logits_of(rows), torch.tensor([[[0, 1, 2, 255]]])
    expected = -sum(map(math.log, kept)) / max(1, len(kept))
    assert of(Ohem(threshold=threshold, min_kept=min_kept), logits, target) == pytest.approx(expected, abs=1e-6)


def test_a_table_of_dice() -> None:
    logits, target = logits_of([[0.5, 0.25, 0.25], [0.1, 0.8, 0.1]]), torch.tensor([[[0, 1]]])
    # class 0: 2·0.5 / (0.6 + 1); class 1: 2·0.8 / (1.05 + 1); class 2 is not there
    plain = 1 - (1.0 / 1.6 + 1.6 / 2.05) / 2
    assert of(Dice(smooth=0.0), logits, target) == pytest.approx(plain, abs=1e-6)
    smooth = 1 - (2.0 / 2.6 + 2.6 / 3.05) / 2
    assert of(Dice(smooth=1.0), logits, target) == pytest.approx(smooth, abs=1e-6)
    squared = 1 - (1.0 / (0.26 + 1) + 1.6 / (0.0625 + 0.64 + 1)) / 2
    assert of(Dice(smooth=0.0, squared=True), logits, target) == pytest.approx(squared, abs=1e-6)


def test_a_table_of_tversky() -> None:
    logits, target = logits_of([[0.5, 0.25, 0.25], [0.1, 0.8, 0.1]]), torch.tensor([[[0, 1]]])
    # class 0: 0.5 right, 0.1 of false alarms, 0.5 missed; class 1: 0.8, 0.25, 0.2
    indices = (0.5 / (0.5 + 0.3 * 0.1 + 0.7 * 0.5), 0.8 / (0.8 + 0.3 * 0.25 + 0.7 * 0.2))
    expected = sum((1 - i) ** 0.75 for i in indices) / 2
    assert of(Tversky(smooth=0.0, gamma=0.75), logits, target) == pytest.approx(expected, abs=1e-6)


def test_a_table_of_lovasz() -> None:
    # Of two true pixels the first error costs 1/2 of the IoU; a false alarm on top adds 1 - 1/3 - 1/2.
    assert jaccard_slopes(torch.tensor([1.0, 0.0, 1.0])).tolist() == pytest.approx([1 / 2, 1 / 6, 1 / 3])
    assert jaccard_slopes(torch.tensor([0.0, 1.0])).tolist() == pytest.approx([1 / 2, 1 / 2])
    logits, target = logits_of([[0.6, 0.4], [0.3, 0.7]]), torch.tensor([[[0, 0]]])
    info = INFO
    assert float(Lovasz().build(info)(logits, target)) == pytest.approx((0.7 + 0.4) / 2, abs=1e-6)


@pytest.mark.parametrize("ignored", [0.0, 0.3])
def test_regions_are_those_of_segmentation_models_pytorch(ignored: float) -> None:
    logits, target = sample(ignored=ignored)
    pairs: list[tuple[SegLoss, nn.Module]] = [
        (Dice(smooth=0.0), smp.losses.DiceLoss("multiclass", ignore_index=255)),
        (Lovasz(), smp.losses.LovaszLoss("multiclass", ignore_index=255)),
    ]
    for ours, theirs in pairs:
        assert of(ours, logits, target) == pytest.approx(float(theirs(logits, target)), abs=1e-6)
    flat = smp.losses.TverskyLoss("multiclass", ignore_index=255, alpha=0.3, beta=0.7)
    assert of(Tversky(smooth=0.0), logits, target) == pytest.approx(float(flat(logits, target)), abs=1e-6)


def test_per_image_is_the_mean_of_images() -> None:
    logits, target = sample()
    each = [of(Lovasz(), logits[i : i + 1], target[i : i + 1]) for i in range(2)]
    assert of(Lovasz(per_image=True), logits, target) == pytest.approx(sum(each) / 2, abs=1e-6)


def test_a_table_of_distances() -> None:
    target = torch.tensor([[[0, 0, 0, 1, 1]]])
    found = signed_distances(target, 3, most=2.5)
    assert found[0, 0, 0].tolist() == [-2.5, -2, -1, 1, 2]
    assert found[0, 1, 0].tolist() == [2.5, 2, 1, -1, -2]
    assert found[0, 2, 0].tolist() == [2.5] * 5
    assert signed_distances(torch.zeros(1, 2, 2).long(), 1, most=3.0).tolist() == [[[[-3.0, -3.0], [-3.0, -3.0]]]]
    logits = logits_of([[0.5, 0.5, 1e-9]] * 5)
    assert of(Boundary(most=2.5), logits, target) == pytest.approx(0, abs=1e-6)  # both sides alike


def test_terms_are_weighted_and_named() -> None:
    logits, target = sample()
    terms = Terms({"cross_entropy": (CrossEntropy().build(INFO), 1.0), "dice": (Dice().build(INFO), 3.0)})  # type: ignore[dict-item]
    found = terms(logits, target, weight=0.5)
    assert found["cross_entropy"].item() == pytest.approx(0.5 * of(CrossEntropy(), logits, target))
    assert found["dice"].item() == pytest.approx(1.5 * of(Dice(), logits, target))


def test_mistakes_are_one_line_each() -> None:
    with pytest.raises(
        ConfigError,
        match=r"^loss.class_weights: expected 3 weights, one for each class of the data \(a, b, c\), got 2$",
    ):
        CrossEntropy(class_weights=(1.0, 2.0)).build(INFO)

    @config
    class Holder:
        loss: tuple[SegLoss, ...] = field(help="terms")

    def problems(text: str) -> list[str]:
        structurer: Any = Structurer(plugins())
        structurer.build(parse(text, "f"), Holder, "model")
        found: list[str] = structurer.problems
        return found

    assert problems("loss: [{name: dise}]") == ["f:1: model.loss[0].name: unknown loss 'dise'; did you mean 'dice'?"]
    assert problems("loss: [{name: dice, weight: -1.0}]") == ["f:1: model.loss[0].weight: must be >= 0, got -1.0"]
