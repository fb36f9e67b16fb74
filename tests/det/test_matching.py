"""Which anchor learns which object: tables by hand, torchvision's Matcher, and what is drawn."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torchvision.models.detection._utils import Matcher
from torchvision.ops import box_iou

from vf_det import matching
from vf_det.matching import match, overlaps, sample

# Objects of 10×10. Anchors: the first itself; 8 of its 10 columns; 4 of them; nothing; half of the second (IoU 1/2).
BOXES = torch.tensor([[0.0, 0, 10, 10], [100, 100, 110, 110]])
ANCHORS = torch.tensor([[0.0, 0, 10, 10], [0, 0, 8, 10], [0, 0, 4, 10], [40, 40, 50, 50], [100, 100, 110, 105]])


def test_above_below_between() -> None:
    got = match(ANCHORS, BOXES, positive=0.7, negative=0.3, low_quality=False)
    assert got.tolist() == [0, 0, matching.IGNORED, matching.BACKGROUND, matching.IGNORED]


def test_the_thresholds_themselves_are_positive_and_ignored() -> None:
    assert match(ANCHORS, BOXES, positive=0.5, negative=0.4, low_quality=False).tolist() == [0, 0, -2, -1, 1]


def test_the_best_anchor_of_an_object_that_none_fits() -> None:
    got = match(ANCHORS, BOXES, positive=0.7, negative=0.3, low_quality=True)
    assert got.tolist() == [0, 0, -2, -1, 1]
    got = match(ANCHORS, BOXES, positive=0.7, negative=0.3, low_quality=True, lowest=0.6)
    assert got.tolist() == [0, 0, -2, -1, -2]


def test_an_object_that_overlaps_nothing_takes_nothing() -> None:
    far = torch.tensor([[500.0, 500, 510, 510]])
    assert match(ANCHORS, far, positive=0.7, negative=0.3, low_quality=True).tolist() == [-1] * 5


def test_forced_takes_an_anchor_from_an_object_that_it_fits_better() -> None:
    boxes = torch.tensor([[0.0, 0, 10, 10], [0, 0, 2, 10]])
    anchors = torch.tensor([[0.0, 0, 9, 10], [50, 50, 60, 60]])
    both = {"positive": 0.7, "negative": 0.3, "low_quality": True}
    assert match(anchors, boxes, **both).tolist() == [0, -1]  # type: ignore[arg-type]
    assert match(anchors, boxes, **both, forced=True).tolist() == [1, -1]  # type: ignore[arg-type]


@pytest.mark.parametrize(("anchors", "boxes"), [(0, 2), (5, 0), (0, 0)])
def test_nothing(anchors: int, boxes: int) -> None:
    got = match(ANCHORS[:anchors], BOXES[:boxes], positive=0.7, negative=0.3, low_quality=True)
    assert got.tolist() == [-1] * anchors


def test_boxes_without_an_area_fit_nothing() -> None:
    flat = torch.tensor([[5.0, 5, 5, 5]])
    assert overlaps(flat, flat).tolist() == [[0.0]]
    assert match(flat, flat, positive=0.5, negative=0.5, low_quality=True).tolist() == [-1]


def random_boxes(count: int, seed: int) -> Tensor:
    g = torch.Generator().manual_seed(seed)
    corner = (torch.rand(count, 2, generator=g) * 90).round()
    return torch.cat([corner, corner + 1 + (torch.rand(count, 2, generator=g) * 40).round()], 1)


@pytest.mark.parametrize("low_quality", [True, False])
@pytest.mark.parametrize("chunk", [1, 7 * 13, 1 << 22])
def test_torchvisions(low_quality: bool, chunk: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(matching, "CHUNK", chunk)
    anchors, boxes = random_boxes(300, 0), random_boxes(13, 1)
    expected = Matcher(0.5, 0.3, allow_low_quality_matches=low_quality)(box_iou(boxes, anchors))
    assert torch.equal(match(anchors, boxes, positive=0.5, negative=0.3, low_quality=low_quality), expected)
    torch.testing.assert_close(overlaps(boxes, anchors), box_iou(boxes, anchors))


def test_positives_up_to_their_share_and_negatives_for_the_rest() -> None:
    matches = torch.tensor([3, -1, 0, -2, -1, 1, -1, -1, -1])
    torch.manual_seed(0)
    positives, negatives = sample(matches, size=4, positive_share=0.5)
    assert len(positives) == len(negatives) == 2
    assert set(positives.tolist()) < {0, 2, 5}
    assert set(negatives.tolist()) < {1, 4, 6, 7, 8}
    positives, negatives = sample(matches, size=100, positive_share=0.5)
    assert positives.tolist() == [0, 2, 5]
    assert negatives.tolist() == [1, 4, 6, 7, 8]


def test_negatives_take_the_place_of_positives_that_are_not_there() -> None:
    positives, negatives = sample(torch.full((9,), -1), size=4, positive_share=0.5)
    assert (len(positives), len(negatives)) == (0, 4)
    positives, negatives = sample(torch.full((9,), -2), size=4, positive_share=0.5)
    assert (len(positives), len(negatives)) == (0, 0)
    positives, negatives = sample(torch.zeros(0, dtype=torch.long), size=4, positive_share=0.5)
    assert (len(positives), len(negatives)) == (0, 0)


def test_each_is_drawn_equally_often() -> None:
    torch.manual_seed(0)
    counts = torch.zeros(10)
    for _ in range(2000):
        counts[sample(torch.full((10,), -1), size=3, positive_share=0.5)[1]] += 1
    assert (counts - 600).abs().max() < 80  # four standard deviations


def test_another_way_to_draw() -> None:
    positives, negatives = sample(
        torch.tensor([0, 1, -1, -1]), size=2, positive_share=0.5, drawn=lambda rows, count: rows[-count:]
    )
    assert (positives.tolist(), negatives.tolist()) == ([1], [3])
