"""RoI align and the level of a region: torchvision's numbers and gradients, whatever the regions are."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torchvision.ops import MultiScaleRoIAlign, roi_align

from vf_det.rcnn.align import align
from vf_det.rcnn.pool import RegionPool
from vf_det.rcnn.rpn import Regions

ROIS = torch.tensor(
    [
        [0.0, 3, 5, 40, 30],
        [1, 0, 0, 80, 60],
        [1, 10.3, 7.7, 11.1, 9.2],  # less than a cell
        [0, -30, -20, 20, 15],
        [0, 70, 50, 130, 90],  # mostly beyond the map
        [1, 200, 200, 240, 230],  # all of it
        [0, 8, 8, 8, 8],  # no area
        [1, 2, 30, 78, 33],
    ]
)


def features(*, channels_last: bool = False) -> Tensor:
    x = torch.randn(2, 5, 15, 20, generator=torch.Generator().manual_seed(0))
    return (x.to(memory_format=torch.channels_last) if channels_last else x).requires_grad_()


@pytest.mark.parametrize("sampling_ratio", [0, 2])
@pytest.mark.parametrize("aligned", [True, False])
@pytest.mark.parametrize("channels_last", [True, False])
def test_torchvisions(sampling_ratio: int, aligned: bool, channels_last: bool) -> None:
    ours, theirs = features(channels_last=channels_last), features()
    found = align(ours, ROIS, 7, scale=0.25, sampling_ratio=sampling_ratio, aligned=aligned)
    expected = roi_align(theirs, ROIS, 7, 0.25, sampling_ratio, aligned)
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)
    weight = torch.randn(found.shape, generator=torch.Generator().manual_seed(1))
    (found * weight).sum().backward()
    (expected * weight).sum().backward()
    torch.testing.assert_close(ours.grad, theirs.grad, atol=1e-4, rtol=1e-4)


def test_no_regions() -> None:
    x = features()
    out = align(x, ROIS[:0], 7, scale=0.25, sampling_ratio=0, aligned=True)
    assert out.shape == (0, 5, 7, 7)
    out.sum().backward()
    assert x.grad is not None
    assert x.grad.abs().sum() == 0


def test_masks_become_float_by_parts() -> None:
    masks = features().detach()[:, :1] > 0
    found = align(masks, ROIS, 7, scale=0.25, sampling_ratio=0, aligned=True)
    torch.testing.assert_close(found, roi_align(masks.float(), ROIS, 7, 0.25, 0, True), atol=1e-5, rtol=1e-5)


def test_autocast_leaves_it_in_float32() -> None:
    plain = align(features(), ROIS, 7, scale=0.25, sampling_ratio=0, aligned=True)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(align(features(), ROIS, 7, scale=0.25, sampling_ratio=0, aligned=True), plain)


def test_levels_by_size() -> None:
    pool = RegionPool(size=7, strides=(4, 8, 16, 32), sampling_ratio=0, aligned=True)
    sides = torch.tensor([0.0, 1, 111.9, 112, 223, 224, 447, 448, 5000])
    boxes = torch.stack([sides * 0, sides * 0, sides, sides], 1)
    assert pool.level_of(boxes).tolist() == [0, 0, 0, 1, 1, 2, 2, 3, 3]


def test_each_region_from_its_level_in_the_order_given() -> None:
    g = torch.Generator().manual_seed(0)
    levels = [torch.randn(2, 3, 512 // s, 512 // s, generator=g) for s in (4, 8, 16, 32)]
    corner, side = torch.rand(30, 2, generator=g) * 200, torch.rand(30, 1, generator=g) * 300 + 5
    boxes = torch.cat([corner, corner + side], 1)
    image = torch.arange(30) % 2
    pool = RegionPool(size=7, strides=(4, 8, 16, 32), sampling_ratio=2, aligned=False)
    theirs = MultiScaleRoIAlign(["0", "1", "2", "3"], 7, 2)
    given = {str(i): x for i, x in enumerate(levels)}
    expected = theirs(given, [boxes[image == 0], boxes[image == 1]], [(512, 512)] * 2)
    found = pool(levels, Regions(boxes, image))
    torch.testing.assert_close(torch.cat([found[image == 0], found[image == 1]]), expected, atol=1e-4, rtol=1e-4)
