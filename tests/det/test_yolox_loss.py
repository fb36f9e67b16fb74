"""YOLOX losses: numbers by hand."""

from __future__ import annotations

import math

import pytest
import torch

from vf_det.yolox.assign import Objects, Pairs
from vf_det.yolox.head import Cells, Output, encode
from vf_det.yolox.loss import losses, paired_iou

CELLS = Cells.of(((4, 4), (2, 2), (1, 1)), device=torch.device("cpu"))
COUNT = 21


@pytest.mark.parametrize(
    ("a", "b", "iou"),
    [
        ([0, 0, 10, 10], [0, 0, 10, 10], 1.0),
        ([0, 0, 10, 10], [5, 0, 15, 10], 1 / 3),
        ([0, 0, 10, 10], [0, 0, 5, 5], 0.25),
        ([0, 0, 10, 10], [10, 0, 20, 10], 0.0),  # touching
        ([0, 0, 10, 10], [30, 30, 40, 40], 0.0),
        ([0, 0, 10, 10], [5, 5, 5, 5], 0.0),  # no area
        ([5, 5, 5, 5], [5, 5, 5, 5], 0.0),
        ([0, 0, 2e5, 2e5], [0, 0, 1e5, 2e5], 0.5),
    ],
)
def test_paired_iou(a: list[float], b: list[float], iou: float) -> None:
    assert paired_iou(torch.tensor([a]), torch.tensor([b])).tolist() == pytest.approx([iou])


def one_pair(raw: list[float], box: list[float], *, iou: float) -> tuple[Output, Objects, Pairs]:
    boxes = torch.zeros(1, COUNT, 4)
    boxes[0, 5] = torch.tensor(raw)
    output = Output(boxes.requires_grad_(), torch.zeros(1, COUNT), torch.zeros(1, COUNT, 3), CELLS)
    objects = Objects(torch.tensor([box]), torch.tensor([2]), torch.tensor([0]))
    return output, objects, Pairs(torch.tensor([5]), torch.tensor([0]), torch.tensor([iou]))


def test_losses_by_hand() -> None:
    # Cell 5 is column 1, row 1 of 8 px: it says centre (12, 12), 8 wide and high, [8, 8, 16, 16].
    output, objects, pairs = one_pair([0.5, 0.5, 0.0, 0.0], [8.0, 8.0, 16.0, 24.0], iou=0.5)
    terms = losses(output, objects, pairs, with_l1=True)
    assert {k: v.item() for k, v in terms.items()} == pytest.approx(
        {
            "loss_box": 5 * (1 - 0.5**2),
            "loss_obj": COUNT * math.log(2),
            "loss_cls": 3 * math.log(2),
            "loss_l1": 0.5 + math.log(2),  # the centre half a stride too high, half of the height
        }
    )


def test_without_l1() -> None:
    terms = losses(*one_pair([0.5, 0.5, 0.0, 0.0], [8.0, 8.0, 16.0, 24.0], iou=0.5), with_l1=False)
    assert set(terms) == {"loss_box", "loss_obj", "loss_cls"}


def test_the_class_target_is_the_iou() -> None:
    output, objects, pairs = one_pair([0.5, 0.5, 0.0, 0.0], [8.0, 8.0, 16.0, 24.0], iou=0.5)
    output.classes[0, 5] = torch.tensor([-50.0, -50.0, 2.0])
    by_hand = -(0.5 * math.log(1 / (1 + math.exp(-2))) + 0.5 * math.log(1 / (1 + math.exp(2))))
    assert losses(output, objects, pairs, with_l1=False)["loss_cls"].item() == pytest.approx(by_hand)


@pytest.mark.parametrize("raw", [[0.0, 0.0, -90.0, -90.0], [0.0, 0.0, 500.0, 500.0], [1e4, -1e4, 0.0, 0.0]])
@pytest.mark.parametrize("box", [[8.0, 8.0, 16.0, 24.0], [8.0, 8.0, 8.0, 8.0]])
def test_degenerate_boxes_stay_finite(raw: list[float], box: list[float]) -> None:
    output, objects, pairs = one_pair(raw, box, iou=0.0)
    terms = losses(output, objects, pairs, with_l1=True)
    torch.stack(list(terms.values())).sum().backward()
    assert all(term.isfinite() for term in terms.values())
    assert output.boxes.grad is not None
    assert output.boxes.grad.isfinite().all()


def test_a_perfect_prediction_costs_nothing() -> None:
    box = torch.tensor([3.0, 5.0, 21.0, 14.0])
    raw = encode(box, CELLS.take(torch.tensor(5))).tolist()
    terms = losses(*one_pair(raw, box.tolist(), iou=1.0), with_l1=True)
    assert terms["loss_box"].item() == pytest.approx(0, abs=1e-5)
    assert terms["loss_l1"].item() == pytest.approx(0, abs=1e-5)


def test_without_pairs_every_loss_is_finite_and_differentiable() -> None:
    output, _, _ = one_pair([0.0] * 4, [0.0] * 4, iou=0.0)
    none = torch.zeros(0, dtype=torch.int64)
    terms = losses(output, Objects(torch.zeros(0, 4), none, none), Pairs(none, none, torch.zeros(0)), with_l1=True)
    assert {k: v.item() for k, v in terms.items()} == pytest.approx(
        {"loss_box": 0, "loss_obj": COUNT * math.log(2), "loss_cls": 0, "loss_l1": 0}
    )
    sum(terms.values(), torch.tensor(0.0)).backward()
    assert output.boxes.grad is not None
    assert output.boxes.grad.abs().sum() == 0
