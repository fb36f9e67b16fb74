"""Tiles of large images: where they lie, and which of what is found in them is one object. Worked by hand."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor
from torchvision import tv_tensors

from vf.data.sample import Sample
from vf.errors import ConfigError
from vf.placed_masks import PlacedMasks
from vf.tiles import Tiling


def sample(height: int, width: int) -> Sample:
    image = torch.arange(height * width).reshape(1, height, width).expand(3, -1, -1) % 251
    return Sample(tv_tensors.Image(image.to(torch.uint8)), {}, "i")


def found(*rows: tuple[list[float], float, int], **more: Any) -> dict[str, Any]:
    boxes, scores, labels = zip(*rows, strict=True) if rows else ((), (), ())
    return {
        "boxes": torch.tensor(boxes).reshape(-1, 4),
        "scores": torch.tensor(scores),
        "labels": torch.tensor(labels, dtype=torch.int64),
        **more,
    }


@pytest.mark.parametrize(
    ("size", "overlap", "image", "corners"),
    [
        (10, 0.0, (10, 10), []),
        (10, 0.0, (1, 1), []),
        (10, 0.0, (10, 20), [(0, 0, 10, 10), (10, 0, 20, 10)]),
        (10, 0.2, (8, 20), [(0, 0, 10, 8), (8, 0, 18, 8), (10, 0, 20, 8)]),
        (10, 0.5, (11, 10), [(0, 0, 10, 10), (0, 1, 10, 11)]),
        (1, 0.9, (1, 3), [(0, 0, 1, 1), (1, 0, 2, 1), (2, 0, 3, 1)]),
    ],
)
def test_tiles_cover_an_image_and_end_with_it(
    size: int, overlap: float, image: tuple[int, int], corners: list[tuple[int, int, int, int]]
) -> None:
    tiling = Tiling(size=size, overlap=overlap)
    assert tiling.corners(image) == corners
    whole = sample(*image)
    first, *tiles = tiling.cut(whole)
    assert first is whole
    for (x1, y1, x2, y2), tile in zip(corners, tiles, strict=True):
        assert torch.equal(tile.image, whole.image[:, y1:y2, x1:x2])


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"size": 0}, "--tile 0: expected a side of at least 1 pixel"),
        ({"size": 8, "overlap": 1.0}, "--overlap 1: expected a part of a tile, 0 to under 1"),
        ({"size": 8, "merge": "mean"}, "--tile-merge mean: expected one of nms, nmm"),
    ],
)
def test_values_out_of_range(options: Any, sentence: str) -> None:
    with pytest.raises(ConfigError) as caught:
        Tiling(**options)
    assert caught.value.problems == (sentence,)


# 100 by 200 pixels, tiles of 100 side by side: what lies across x = 100 is cut in both.
ACROSS = [
    found(([90.0, 10.0, 130.0, 40.0], 0.5, 0)),
    found(([90.0, 10.0, 100.0, 40.0], 0.9, 0), ([10.0, 10.0, 20.0, 20.0], 0.8, 0)),
    found(([0.0, 10.0, 30.0, 40.0], 0.7, 0), ([1.0, 11.0, 29.0, 39.0], 0.6, 1)),
]


def test_parts_that_a_tile_cuts_give_way_to_the_whole() -> None:
    joined = Tiling(size=100, overlap=0.0).joined(sample(100, 200), ACROSS)
    assert joined["boxes"].tolist() == [[10, 10, 20, 20], [101, 11, 129, 39], [90, 10, 130, 40]]
    assert joined["scores"].tolist() == pytest.approx([0.8, 0.6, 0.5])
    assert joined["labels"].tolist() == [0, 1, 0]


def test_united_they_have_the_best_score() -> None:
    joined = Tiling(size=100, overlap=0.0, merge="nmm").joined(sample(100, 200), ACROSS)
    boxes = {tuple(box): score for box, score in zip(joined["boxes"].tolist(), joined["scores"].tolist(), strict=True)}
    assert boxes == pytest.approx({(90, 10, 130, 40): 0.9, (10, 10, 20, 20): 0.8, (101, 11, 129, 39): 0.6})


def test_without_the_whole_the_parts_stay() -> None:
    parts = [found(), found(([90.0, 10.0, 100.0, 40.0], 0.9, 0)), found(([0.0, 10.0, 30.0, 40.0], 0.7, 0))]
    joined = Tiling(size=100, overlap=0.0).joined(sample(100, 200), parts)
    assert joined["boxes"].tolist() == [[90, 10, 100, 40], [100, 10, 130, 40]]


def test_boxes_that_nothing_cuts_are_one_from_half_their_union_on() -> None:
    same = [found(([40.0, 40.0, 60.0, 60.0], 0.6, 0)), found(([41.0, 40.0, 61.0, 60.0], 0.9, 0)), found()]
    apart = [found(([40.0, 40.0, 60.0, 60.0], 0.6, 0)), found(([51.0, 40.0, 71.0, 60.0], 0.9, 0)), found()]
    tiling = Tiling(size=100, overlap=0.0)
    assert tiling.joined(sample(100, 200), same)["boxes"].tolist() == [[41, 40, 61, 60]]
    assert len(tiling.joined(sample(100, 200), apart)["boxes"]) == 2


def test_nothing_found_and_an_image_of_one_tile() -> None:
    tiling = Tiling(size=100, overlap=0.0)
    none = tiling.joined(sample(100, 200), [found(), found(), found()])
    assert (none["boxes"].shape, none["scores"].shape) == ((0, 4), (0,))
    united = Tiling(size=100, overlap=0.0, merge="nmm").joined(sample(100, 200), [found(), found(), found()])
    assert united["boxes"].shape == (0, 4)
    one = found(([1.0, 1.0, 2.0, 2.0], 0.5, 0))
    assert tiling.joined(sample(100, 100), [one]) == one


def mask(size: tuple[int, int], *places: tuple[slice, slice]) -> Tensor:
    out = torch.zeros(len(places), *size, dtype=torch.bool)
    for one, place in zip(out, places, strict=True):
        one[place] = True
    return out


@pytest.mark.parametrize("merge", ["nms", "nmm"])
def test_masks_are_placed_and_united(merge: str) -> None:
    whole = found(([8.0, 1.0, 14.0, 3.0], 0.5, 0), masks=mask((10, 20), (slice(1, 3), slice(8, 14))))
    left = found(([8.0, 1.0, 10.0, 4.0], 0.9, 0), masks=mask((10, 10), (slice(1, 4), slice(8, 10))))
    right = found(([5.0, 5.0, 7.0, 7.0], 0.4, 0), masks=mask((10, 10), (slice(5, 7), slice(5, 7))))
    joined = Tiling(size=10, overlap=0.0, merge=merge).joined(sample(10, 20), [whole, left, right])
    dense = joined["masks"].dense()
    expected = mask((10, 20), (slice(1, 3), slice(8, 14)), (slice(5, 7), slice(15, 17)))
    if merge == "nmm":
        expected[0, 3, 8:10] = True
    assert torch.equal(dense, expected)


def test_placed_masks_are_rows() -> None:
    masks = PlacedMasks.of(mask((3, 3), (slice(0, 1), slice(0, 2)), (slice(0, 0), slice(0, 0))), (1, 2), (4, 5))
    assert len(masks) == 2
    assert masks.dense().sum((1, 2)).tolist() == [2, 0]
    assert masks[0].dense()[0].nonzero().tolist() == [[1, 2], [1, 3]]
    assert len(masks[torch.tensor([True, False])]) == 1
    assert len(masks[torch.tensor([], dtype=torch.int64)]) == 0
    assert masks.plain() == [{"size": [4, 5], "counts": [9, 1, 3, 1, 6]}, {"size": [4, 5], "counts": [20]}]


def test_texts_keep_their_outlines() -> None:
    square = torch.tensor([[[1.0, 1.0], [4.0, 1.0], [4.0, 4.0], [1.0, 4.0]]])
    none = {"polygons": square[:0], "scores": torch.zeros(0), "texts": [], "text_scores": torch.zeros(0)}
    one = {"polygons": square, "scores": torch.tensor([0.5]), "texts": ["ab"], "text_scores": torch.tensor([0.75])}
    joined = Tiling(size=10, overlap=0.0).joined(sample(10, 20), [none, one, one])
    assert joined["texts"] == ["ab", "ab"]
    assert joined["polygons"][:, 0].tolist() == [[1, 1], [11, 1]]


@pytest.mark.parametrize(
    ("prediction", "merge", "sentence"),
    [
        (
            {"semantic": torch.zeros(2, 2)},
            "nms",
            "--tile: is for models that find objects, and this one gives semantic; leave it out (a segmenter has a "
            "sliding window of its own: 'vf explain model' of its name tells the key)",
        ),
        (
            {"polygons": torch.zeros(0, 4, 2), "scores": torch.zeros(0)},
            "nmm",
            "--tile-merge nmm: outlines of texts cannot be united; take nms",
        ),
    ],
)
def test_what_cannot_be_joined_is_refused(prediction: Any, merge: str, sentence: str) -> None:
    with pytest.raises(ConfigError) as caught:
        Tiling(size=10, merge=merge).joined(sample(10, 20), [prediction])
    assert caught.value.problems == (sentence,)
