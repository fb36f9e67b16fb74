"""Masks as run lengths, against dense arithmetic and pycocotools; and how they are packed."""

from __future__ import annotations

import pickle
from typing import Any

import numpy as np
import pytest
import torch
from pycocotools import mask as coco

from vf.errors import DataError
from vf_det.masks import Masks, pack, pack_rle

TABLE = torch.tensor(
    [
        [[0, 1, 1, 0], [0, 1, 1, 0], [0, 0, 0, 0]],
        [[0, 0, 0, 0], [0, 0, 0, 0], [0, 0, 0, 0]],
        [[1, 1, 1, 1], [1, 1, 1, 1], [1, 1, 1, 1]],
        [[0, 0, 0, 0], [0, 0, 1, 1], [0, 0, 1, 1]],
    ],
    dtype=torch.bool,
)


def noise(count: int, size: tuple[int, int], seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(count, *size, generator=generator) < torch.rand(count, 1, 1, generator=generator)


@pytest.mark.parametrize("size", [(3, 4), (1, 1), (1, 9), (9, 1), (61, 47)])
def test_dense_comes_back(size: tuple[int, int]) -> None:
    dense = noise(5, size)
    masks = Masks.from_dense(dense)
    assert torch.equal(masks.dense(), dense)
    assert masks.dense().is_contiguous()
    assert masks.areas().tolist() == dense.sum((1, 2)).tolist()
    assert (len(masks), masks.size, repr(masks)) == (5, size, f"Masks(5 of {size[0]}×{size[1]})")


def test_areas_boxes_and_overlaps_of_a_table() -> None:
    masks = Masks.from_dense(TABLE)
    assert masks.areas().tolist() == [4, 0, 12, 4]
    assert masks.boxes().tolist() == [[1, 0, 3, 2], [0, 0, 0, 0], [0, 0, 4, 3], [2, 1, 4, 3]]
    third = pytest.approx(1 / 3)
    assert masks[0].iou(masks).tolist() == [[1, 0, third, pytest.approx(1 / 7)]]
    crowd = torch.tensor([False, False, True, True])
    assert masks[0].iou(masks, crowd).tolist() == [[1, 0, 1, 0.25]]


def test_overlaps_are_those_of_pixels() -> None:
    one, other = noise(4, (23, 31)), noise(6, (23, 31), seed=1)
    shared = (one[:, None] & other).sum((2, 3)).float()
    union = (one[:, None] | other).sum((2, 3))
    found = Masks.from_dense(one).iou(Masks.from_dense(other))
    torch.testing.assert_close(found, shared / union)
    crowd = torch.ones(6, dtype=torch.bool)
    found = Masks.from_dense(one).iou(Masks.from_dense(other), crowd)
    torch.testing.assert_close(found, (shared / one.sum((1, 2))[:, None]))


def test_choosing() -> None:
    masks = Masks.from_dense(TABLE)
    assert torch.equal(masks[2].dense(), TABLE[2:3])
    assert torch.equal(masks[-1].dense(), TABLE[3:])
    assert torch.equal(masks[1:3].dense(), TABLE[1:3])
    keep = torch.tensor([True, False, False, True])
    assert torch.equal(masks[keep].dense(), TABLE[keep])
    order = torch.tensor([3, 0, 0])
    assert torch.equal(masks[order].dense(), TABLE[order])
    assert masks[keep] == masks[torch.tensor([0, 3])]
    assert masks[keep] != masks[order]
    assert hash(masks[keep]) == hash(masks[torch.tensor([0, 3])])
    with pytest.raises(IndexError):
        masks[4]
    assert pickle.loads(pickle.dumps(masks)) == masks


@pytest.mark.parametrize("masks", [Masks([], (5, 7)), Masks.from_dense(TABLE)[:0], Masks.from_polygons([], (5, 7))])
def test_none_at_all(masks: Masks) -> None:
    some = Masks.from_dense(torch.ones(2, *masks.size, dtype=torch.bool))
    assert masks.dense().shape == (0, *masks.size)
    assert (masks.dense().dtype, masks.areas().tolist(), masks.boxes().shape) == (torch.bool, [], (0, 4))
    assert (masks.iou(some).shape, some.iou(masks).shape, masks.rles) == ((0, 2), (2, 0), [])


def test_an_image_without_pixels() -> None:
    masks = Masks.from_dense(torch.zeros(2, 0, 5, dtype=torch.bool))
    assert (masks.dense().shape, masks.areas().tolist(), masks.boxes().tolist()) == ((2, 0, 5), [0, 0], [[0] * 4] * 2)


def test_polygons_are_drawn_as_coco_does() -> None:
    square = [1.0, 1.0, 4.0, 1.0, 4.0, 3.0, 1.0, 3.0]
    masks = Masks.from_polygons([[square], [square, [6, 0, 8, 0, 8, 2, 6, 2]], [[1, 1, 2, 2]], []], (5, 9))
    assert masks.areas().tolist() == [6, 10, 0, 0]
    assert masks.boxes()[:2].tolist() == [[1, 1, 4, 3], [1, 0, 8, 3]]
    expected = coco.merge(coco.frPyObjects([square, [6, 0, 8, 0, 8, 2, 6, 2]], 5, 9))
    assert masks.rles[1] == {"size": [5, 9], "counts": expected["counts"]}


def random_polygons(rng: np.random.Generator, count: int) -> list[list[float]]:
    rings = []
    for _ in range(count):
        points = int(rng.integers(3, 12))
        decimals = int(rng.integers(0, 3))
        rings.append((rng.random(2 * points) * 70 - 10).round(decimals).tolist())
    return rings


def test_packed_polygons_are_drawn_bit_for_bit_as_coco_does() -> None:
    rng = np.random.default_rng(0)
    for _ in range(60):
        height, width = (int(n) for n in rng.integers(1, 60, 2))
        objects = [random_polygons(rng, int(rng.integers(1, 4))) for _ in range(3)]
        expected = [coco.merge(coco.frPyObjects(rings, height, width))["counts"] for rings in objects]
        masks = Masks.unpack([pack(rings) for rings in objects], (height, width))
        assert [rle["counts"] for rle in masks.rles] == expected
        assert Masks.from_polygons(objects, (height, width)) == masks


def test_polygons_of_large_images_are_packed_wider() -> None:
    square = [[6000.0, 2.0, 7000.5, 2.0, 7000.5, 4.0, 6000.0, 4.0]]
    assert len(pack(square)) == len(pack([[x / 10 for x in square[0]]])) + 2 * 8
    assert Masks.unpack([pack(square)], (6, 8000)) == Masks.from_polygons([square], (6, 8000))
    assert Masks.unpack([pack(square)], (6, 8000)).areas().tolist() == [2002]


def test_packed_runs_come_back() -> None:
    dense = noise(3, (13, 17))
    masks = Masks.from_dense(dense)
    runs = [[int(n) for n in _runs(mask)] for mask in dense]
    packed = [
        pack({"size": [13, 17], "counts": masks.rles[0]["counts"].decode()}),
        pack({"size": [13, 17], "counts": runs[1]}),
        pack_rle(masks.rles[2]),
    ]
    assert Masks.unpack(packed, (13, 17)) == masks
    rles = [{"size": [13, 17], "counts": runs[0]}, masks.rles[1], {**masks.rles[2], "counts": packed[2][9:].decode()}]
    assert Masks.from_rles(rles, (13, 17)) == masks
    with pytest.raises(DataError, match=r"^its masks are 13×17 \(height × width\), the image is 17×13 as it is shown"):
        Masks.unpack(packed, (17, 13))


def _runs(mask: torch.Tensor) -> list[int]:
    """Lengths of the runs of a mask read down its columns, zeros first: an independent encoder."""
    lengths, value = [0], False
    for pixel in mask.T.flatten().tolist():
        if pixel != value:
            lengths.append(0)
            value = pixel
        lengths[-1] += 1
    return lengths


def test_an_outline_of_no_area_is_an_empty_mask() -> None:
    assert Masks.unpack([pack([[1, 1, 2, 2]]), pack([[3, 3] * 4])], (5, 5)).areas().tolist() == [0, 0]


POLYGONS = "expected polygons x1, y1, x2, y2, … under 'segmentation', got "
NUMBERS = "expected numbers in the polygons of 'segmentation', got "


@pytest.mark.parametrize(
    ("segmentation", "sentence"),
    [
        (None, "expected polygons or run lengths under 'segmentation', got None"),
        ([], "'segmentation' is empty; expected polygons or run lengths"),
        ([[1, 2, 3]], POLYGONS + "[1, 2, 3]"),
        ([1, 2, 3, 4, 5, 6], POLYGONS + "1"),
        ([["a"] * 6], NUMBERS + "['a', 'a', 'a', 'a', 'a', 'a']"),
        ([[[1, 2]] * 6], NUMBERS + "[[1, 2], [1, 2], [1, 2], [1, 2], [1, 2], [1, 2]]"),
        ([[float("nan")] * 6], NUMBERS + "[nan, nan, nan, nan, nan, nan]"),
        ([[1e9] * 60], NUMBERS + "[1000000000.0, 1000000000.0, 1000000000.0, 1000000000.0, …"),
        ({"counts": [1, 2]}, "expected the size [height, width] of run lengths, got None"),
        ({"size": [2, 0], "counts": [0]}, "expected the size [height, width] of run lengths, got [2, 0]"),
        ({"size": [2, 3], "counts": [1, 2]}, "expected run lengths that add up to 2×3 pixels, got [1, 2]"),
        ({"size": [2, 3], "counts": [7, -1]}, "expected run lengths that add up to 2×3 pixels, got [7, -1]"),
        ({"size": [2, 3], "counts": 5}, "expected run lengths under 'counts', got 5"),
        ({"size": [2, 3], "counts": ""}, "expected run lengths under 'counts', got ''"),
        ({"size": [2, 3], "counts": "0é"}, "expected run lengths under 'counts', got '0é'"),
        ({"size": [2, 3], "counts": "0o"}, "expected run lengths under 'counts', got '0o'"),
        ({"size": [2, 3], "counts": "05"}, "expected run lengths that add up to 2×3 pixels, got '05'"),
        ({"size": [2, 3], "counts": "O"}, "expected run lengths that add up to 2×3 pixels, got 'O'"),
    ],
)
def test_what_is_no_outline_is_said(segmentation: Any, sentence: str) -> None:
    with pytest.raises(ValueError, match="expected") as error:
        pack(segmentation)
    assert str(error.value) == sentence
