"""Suppression and the frame of the decoded image: tables by hand, and torchvision's batched_nms."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor
from torchvision.ops import batched_nms

from vf.data.sample import Batch
from vf.testing import check_config
from vf_det.postprocess import Suppression, as_predictions, suppress, to_original
from vf_det.suppression import NMS

# Two that overlap by 2/3, one beside them.
BOXES = torch.tensor([[0.0, 0, 10, 10], [0, 2, 10, 12], [50, 50, 60, 60]])
SCORES = torch.tensor([0.8, 0.9, 0.5])
ONE = torch.zeros(3, dtype=torch.long)


def kept(rule: Suppression, labels: Tensor = ONE, *, most: int = 10) -> tuple[list[int], list[float]]:
    keep, scores = suppress(BOXES, SCORES, labels, rule, most=most)
    return keep.tolist(), scores.tolist()


def test_hard_drops_the_lower_of_a_class() -> None:
    assert kept(Suppression())[0] == [1, 2]
    assert kept(Suppression(iou=0.7))[0] == [1, 0, 2]
    assert kept(Suppression(), torch.tensor([0, 1, 0]))[0] == [1, 0, 2]
    assert kept(Suppression(agnostic=True), torch.tensor([0, 1, 0]))[0] == [1, 2]


@pytest.mark.parametrize("kind", ["hard", "soft_linear", "soft_gaussian"])
def test_the_best_so_many_of_each_image(kind: str) -> None:
    assert kept(Suppression(kind=kind), most=1)[0] == [1]
    keep, scores = suppress(BOXES, SCORES, ONE, Suppression(kind=kind), most=1, images=torch.tensor([1, 0, 1]))
    assert keep.tolist() == [1, 0]
    assert scores.tolist() == pytest.approx([0.9, 0.8])


def test_soft_linear_lowers_by_the_overlap() -> None:
    keep, scores = kept(Suppression(kind="soft_linear"))
    assert keep == [1, 2, 0]
    assert scores == pytest.approx([0.9, 0.5, 0.8 / 3])
    assert kept(Suppression(kind="soft_linear", min_score=0.3))[0] == [1, 2]
    assert kept(Suppression(kind="soft_linear"), torch.tensor([0, 1, 0]))[1] == pytest.approx([0.9, 0.8, 0.5])


def test_soft_gaussian_lowers_by_the_square() -> None:
    keep, scores = kept(Suppression(kind="soft_gaussian", sigma=0.5))
    assert keep == [1, 2, 0]
    assert scores == pytest.approx([0.9, 0.5, 0.8 * math.exp(-((2 / 3) ** 2) / 0.5)])


@pytest.mark.parametrize("kind", ["hard", "soft_linear", "soft_gaussian"])
def test_nothing(kind: str) -> None:
    none = torch.zeros(0)
    keep, scores = suppress(none.view(0, 4), none, none.long(), Suppression(kind=kind), most=5, images=none.long())
    assert (keep.shape, scores.shape) == ((0,), (0,))


def test_a_batch_is_its_images_one_by_one() -> None:
    g = torch.Generator().manual_seed(0)
    corner = torch.rand(400, 2, generator=g) * 50
    boxes = torch.cat([corner, corner + 5 + torch.rand(400, 2, generator=g) * 20], 1)
    scores, labels = torch.rand(400, generator=g), torch.randint(5, (400,), generator=g)
    images = torch.randint(3, (400,), generator=g)
    keep, found = suppress(boxes, scores, labels, Suppression(iou=0.4), most=30, images=images)
    expected = []
    for image in range(3):
        rows = (images == image).nonzero()[:, 0]
        expected += rows[batched_nms(boxes[rows], scores[rows], labels[rows], 0.4)[:30]].tolist()
    assert keep.tolist() == expected
    assert torch.equal(found, scores[keep])


def batch() -> Batch:
    return Batch(
        images=torch.zeros(3, 3, 60, 100, dtype=torch.uint8),
        sizes=torch.tensor([[60, 50], [30, 100], [60, 100]]),
        original=torch.tensor([[120, 100], [15, 50], [60, 100]]),
        ids=("a", "b", "c"),
        targets={},
        counts={},
    )


def test_to_the_frame_of_the_decoded_image() -> None:
    sizes, original = batch().sizes, batch().original
    boxes = torch.tensor([[10.0, 20, 60, 50], [-5, 2, 90, 40], [1, 2, 3, 4]])
    expected = [[20, 40, 100, 100], [0, 1, 45, 15], [1, 2, 3, 4]]
    assert to_original(boxes, sizes, original).tolist() == expected
    assert to_original(boxes[0], sizes[0], original[0]).tolist() == expected[0]


def test_a_prediction_for_each_image() -> None:
    boxes = torch.tensor([[10.0, 20, 30, 40], [1, 2, 3, 4], [0, 0, 9, 9]])
    found = as_predictions(boxes, SCORES, torch.tensor([4, 5, 6]), torch.tensor([0, 2, 2]), batch())
    assert [p["labels"].tolist() for p in found] == [[4], [], [5, 6]]
    assert found[0]["boxes"].tolist() == [[20, 40, 60, 80]]
    assert found[2]["scores"].tolist() == pytest.approx([0.9, 0.5])
    assert found[1]["boxes"].shape == (0, 4)


def test_the_key_of_recipes() -> None:
    check_config(NMS, "nms")
    rule = NMS(kind="soft_linear", iou=0.3, agnostic=True, sigma=0.4, min_score=0.05).build()
    assert rule == Suppression(kind="soft_linear", iou=0.3, agnostic=True, sigma=0.4, min_score=0.05)
    assert NMS().build() == Suppression()
