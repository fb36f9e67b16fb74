"""Offsets between boxes: a row worked out by hand, the way back, limits, torchvision's numbers."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor
from torchvision.models.detection._utils import BoxCoder

from vf_det.coding import clip, decode, encode

STDS = (0.1, 0.1, 0.2, 0.2)


def some_boxes(count: int, *, seed: int) -> Tensor:
    g = torch.Generator().manual_seed(seed)
    corner = torch.rand(count, 2, generator=g) * 80
    return torch.cat([corner, corner + 1 + torch.rand(count, 2, generator=g) * 60], 1)


def test_a_row_by_hand() -> None:
    # 10×20 around (5, 10); 20×10 around (15, 15): a width to the right, a quarter of the height down.
    anchor, box = torch.tensor([[0.0, 0, 10, 20]]), torch.tensor([[5.0, 10, 25, 20]])
    expected = [1.0, 0.25, math.log(2), -math.log(2)]
    assert encode(box, anchor)[0].tolist() == pytest.approx(expected)
    scaled = [e / s for e, s in zip(expected, STDS, strict=True)]
    assert encode(box, anchor, STDS)[0].tolist() == pytest.approx(scaled)


@pytest.mark.parametrize("stds", [(1.0, 1.0, 1.0, 1.0), STDS])
def test_there_and_back(stds: tuple[float, ...]) -> None:
    boxes, anchors = some_boxes(50, seed=1), some_boxes(50, seed=2)
    torch.testing.assert_close(decode(encode(boxes, anchors, stds), anchors, stds), boxes, atol=1e-3, rtol=0)


def test_torchvisions() -> None:
    boxes, anchors = some_boxes(50, seed=1), some_boxes(50, seed=2)
    theirs = BoxCoder(weights=(10.0, 10.0, 5.0, 5.0))
    torch.testing.assert_close(encode(boxes, anchors, STDS), theirs.encode([boxes], [anchors])[0], atol=1e-4, rtol=1e-4)
    deltas = torch.randn(50, 3, 4, generator=torch.Generator().manual_seed(0)) * 20  # some are beyond the largest
    expected = theirs.decode(deltas.flatten(1), [anchors])
    torch.testing.assert_close(decode(deltas, anchors, STDS), expected, atol=1e-2, rtol=1e-5)


def test_sides_grow_by_62_at_most() -> None:
    box = decode(torch.tensor([[0.0, 0, 100, 100]]), torch.tensor([[0.0, 0, 16, 16]]))
    assert (box[0, 2:] - box[0, :2]).tolist() == pytest.approx([1000, 1000])


def test_cut_to_one_size_and_to_the_size_of_each() -> None:
    anchors = torch.tensor([[-5.0, -5, 50, 50], [10, 10, 20, 20]])
    zeros = torch.zeros(2, 4)
    assert decode(zeros, anchors, limit=(30, 40)).tolist() == [[0, 0, 40, 30], [10, 10, 20, 20]]
    limits = torch.tensor([[30, 40], [12, 15]])
    assert decode(zeros, anchors, limit=limits).tolist() == [[0, 0, 40, 30], [10, 10, 15, 12]]
    several = decode(torch.zeros(2, 3, 4), anchors, limit=limits)
    assert several[:, 2].tolist() == [[0, 0, 40, 30], [10, 10, 15, 12]]
    assert clip(torch.tensor([50.0, 60, 70, 80]), (30, 40)).tolist() == [40, 30, 40, 30]


def test_nothing() -> None:
    none = torch.zeros(0, 4)
    assert encode(none, none).shape == (0, 4)
    assert decode(torch.zeros(0, 5, 4), none, STDS, (3, 4)).shape == (0, 5, 4)
