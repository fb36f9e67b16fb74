"""Anchors: boxes worked out by hand, and torchvision's."""

from __future__ import annotations

import torch
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.models.detection.image_list import ImageList

from vf_det.anchors import Anchors, boxes_of


def test_all_sizes_of_a_ratio_then_the_next_ratio() -> None:
    expected = [[-2, -2, 2, 2], [-4, -4, 4, 4], [-1, -4, 1, 4], [-2, -8, 2, 8]]
    torch.testing.assert_close(boxes_of([4, 8], [1.0, 4.0]), torch.tensor(expected).float())


def test_rows_then_columns_then_anchors() -> None:
    anchors = Anchors(sizes=[[4, 8], [16]], ratios=[[1.0], [1.0]], strides=[8, 16])
    fine, coarse = anchors([(2, 3), (1, 2)], (16, 24))
    assert anchors.per_cell == (2, 1)
    assert fine.shape == (12, 4)
    assert fine[:4].tolist() == [[-2, -2, 2, 2], [-4, -4, 4, 4], [6, -2, 10, 2], [4, -4, 12, 4]]
    assert fine[6].tolist() == [-2, 6, 2, 10]
    assert coarse.tolist() == [[-8, -8, 8, 8], [8, -8, 24, 8]]


def test_torchvisions() -> None:
    sizes, ratios = ((32, 64), (128, 256)), ((0.5, 1.0, 2.0),) * 2
    grids, image = [(7, 9), (4, 5)], (50, 67)
    ours = Anchors(sizes=sizes, ratios=ratios, strides=[8, 16], rounded=True, grid_strides=True)
    theirs = AnchorGenerator(sizes, ratios)
    images = ImageList(torch.zeros(1, 3, *image), [image])
    (expected,) = theirs(images, [torch.zeros(1, 1, *grid) for grid in grids])
    assert torch.equal(torch.cat(ours(grids, image)), expected)


def test_an_empty_level() -> None:
    (level,) = Anchors(sizes=[[8]], ratios=[[1.0]], strides=[8])([(0, 4)], (0, 32))
    assert level.shape == (0, 4)


def test_nothing_is_saved() -> None:
    assert not Anchors(sizes=[[8]], ratios=[[1.0]], strides=[8]).state_dict()
