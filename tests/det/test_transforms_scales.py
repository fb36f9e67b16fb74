"""Several scales, one padded size; and SSD's colours and crops, worked out by hand."""

from __future__ import annotations

from typing import Any

import attrs
import pytest
import torch
from torch import Tensor
from torchvision import tv_tensors

from vf.data.loader import train_batches
from vf.data.orders import AspectRatio
from vf.data.pipeline import TrainView
from vf.data.sample import Sample
from vf.data.sampler import TrainSampler
from vf.data.seeding import seeded
from vf.errors import DataError
from vf.nn.preprocess import Letterbox
from vf_det.transform_configs import (
    CopyPaste,
    Expand,
    MinIouCrop,
    PadTo,
    PhotometricDistortion,
    RandResizeCrop,
    ResizeScales,
)


def sample(height: int, width: int, *boxes: tuple[float, float, float, float]) -> Sample:
    target = {
        "boxes": tv_tensors.BoundingBoxes(
            torch.tensor(boxes).reshape(-1, 4), format="XYXY", canvas_size=(height, width)
        ),
        "labels": torch.arange(len(boxes)),
    }
    return Sample(tv_tensors.Image(torch.full((3, height, width), 50, dtype=torch.uint8)), target, "x")


@pytest.mark.parametrize(
    ("scale", "size", "expected"),
    [
        ((1333, 800), (480, 640), (800, 1067)),  # the short side decides
        ((1333, 800), (640, 480), (1067, 800)),
        ((1333, 800), (300, 900), (444, 1333)),  # the long one does
        ((1000, 600), (480, 640), (600, 800)),
        ((40, 40), (80, 80), (40, 40)),
    ],
)
def test_scales_keep_the_ratio(scale: Any, size: Any, expected: Any) -> None:
    resized = ResizeScales(scales=(scale,)).build()(sample(*size, (0, 0, size[1], size[0])))
    assert resized.size == expected
    assert resized.target["boxes"].tolist() == [[0, 0, expected[1], expected[0]]]
    assert resized.pad is None


def drawn(config: Any, size: tuple[int, int], count: int = 60) -> set[tuple[int, int]]:
    sizes = set()
    for seed in range(count):
        with seeded(seed):
            sizes.add(config.build()(sample(*size)).size)
    return sizes


def test_a_list_is_drawn_from_and_a_range_between() -> None:
    assert drawn(ResizeScales(scales=((80, 40), (100, 60))), (50, 100)) == {(40, 80), (50, 100)}
    between = drawn(ResizeScales(scales=((200, 40), (200, 50)), mode="range"), (50, 100))
    assert {height for height, _ in between} == set(range(40, 51))


@pytest.mark.parametrize(
    ("turn", "size", "pad", "expected"),
    [
        (True, (100, 200), (64, 96), (48, 96)),
        (True, (200, 100), (96, 64), (96, 48)),
        (False, (100, 200), (64, 96), (48, 96)),
        (False, (200, 100), (64, 96), (64, 32)),  # scaled down until it fits
    ],
)
def test_pads_lie_as_their_images_do_or_all_alike(turn: bool, size: Any, pad: Any, expected: Any) -> None:
    padded = ResizeScales(scales=((96, 64),), pad=(96, 64), turn=turn).build()(sample(*size))
    assert (padded.pad, padded.size) == (pad, expected)


class Mixed:
    """Images of every shape, half of them upright."""

    sizes_ = ((40, 60), (60, 40), (50, 50), (30, 90), (90, 30), (44, 58), (70, 41), (33, 34))

    def __len__(self) -> int:
        return len(self.sizes_)

    def __getitem__(self, index: int) -> Sample:
        return sample(*self.sizes_[index], (2, 2, 20, 20))


def shapes(config: Any, *, grouped: bool) -> list[tuple[int, int]]:
    order = AspectRatio(torch.tensor(Mixed.sizes_), batch_size=2, window=4, seed=0) if grouped else None
    sampler = TrainSampler(num_samples=8, batch_size=2, steps=24, seed=0, order=order)
    view = TrainView(Mixed(), [config.build()], Letterbox(size=(999, 999)), seed=0)
    batches = train_batches(view, sampler, fill=114, workers=0, prefetch=2, pin=False)
    return [tuple(batch.images.shape[-2:]) for batch in batches]


SCALES = ((96, 40), (80, 48), (64, 64))


def test_every_batch_has_the_one_size() -> None:
    assert set(shapes(ResizeScales(scales=SCALES, pad=(96, 64), turn=False), grouped=False)) == {(64, 96)}
    assert set(shapes(RandResizeCrop(scales=SCALES, size=(60, 40), pad=(64, 48), turn=False), grouped=False)) == {
        (48, 64)
    }


def test_with_aspect_ratio_groups_every_batch_has_one_of_two_sizes() -> None:
    seen = shapes(ResizeScales(scales=SCALES, pad=(96, 64)), grouped=True)
    # 3 of 8 images are upright: one batch of a window holds both kinds
    assert set(seen) == {(64, 96), (96, 64), (96, 96)}
    assert seen.count((96, 96)) == 6
    assert set(shapes(ResizeScales(scales=SCALES), grouped=False)) > {(64, 96), (96, 64)}


def test_crops_lie_around_an_object() -> None:
    config = RandResizeCrop(scales=((400, 300),), size=(120, 90), pad=(128, 96))
    for seed in range(30):
        with seeded(seed):
            cut = config.build()(sample(300, 400, (300, 200, 320, 215)))
        assert (cut.size, cut.pad) == ((90, 120), (96, 128))
        (box,) = cut.target["boxes"].tolist()
        centre = ((box[0] + box[2]) / 2, (box[1] + box[3]) / 2)
        # 60 ± 30 and 45 ± 10, and half a pixel of rounding
        assert 29 <= centre[0] <= 91
        assert 34 <= centre[1] <= 56


def test_objects_whose_centre_is_cut_off_go() -> None:
    config = RandResizeCrop(scales=((400, 300),), size=(100, 80))
    with seeded(0):
        cut = config.build()(sample(300, 400, (10, 10, 30, 30), (380, 280, 399, 299)))
    assert len(cut.target["boxes"]) == 1


def test_crops_of_portrait_images_are_upright() -> None:
    with seeded(0):
        cut = RandResizeCrop(scales=((400, 300),), size=(120, 90)).build()(sample(400, 300, (9, 9, 99, 99)))
    assert (cut.size, cut.pad) == ((120, 90), (120, 90))


def test_small_images_are_padded_after_a_crop() -> None:
    with seeded(0):
        cut = RandResizeCrop(scales=((60, 40),), size=(120, 90)).build()(sample(40, 60))
    assert (cut.size, cut.pad) == ((40, 60), (90, 120))


@pytest.mark.parametrize(
    ("keys", "pad"),
    [({"divisor": 32}, (64, 96)), ({"size": (70, 80)}, (70, 80)), ({"size": (70, 80), "divisor": 32}, (96, 96))],
)
def test_pad_to(keys: Any, pad: Any) -> None:
    padded = PadTo(**keys).build()(sample(40, 70 if "size" in keys else 65))
    assert padded.pad == pad


def test_an_image_larger_than_its_pad_is_named() -> None:
    with pytest.raises(DataError) as error:
        PadTo(size=(70, 80)).build()(sample(71, 20))
    assert error.value.problems == (
        "x: 71×20 px (height × width) is larger than pad_to.size 70×80; resize before it, for example with "
        "resize_scales",
    )


@pytest.mark.parametrize("seed", range(12))
def test_min_iou_crop_overlaps_every_object_enough(seed: int) -> None:
    whole = sample(100, 140, (10, 10, 60, 60), (70, 30, 120, 90))
    with seeded(seed):
        cut = MinIouCrop(ious=(0.3,)).build()(whole)
    assert 0 < len(cut.target["boxes"]) <= 2
    assert 0.29 <= cut.size[0] / 100 <= 1
    assert cut.size == (100, 140) or 0.5 <= cut.size[0] / cut.size[1] <= 2


def test_expand_draws_ratio_and_place() -> None:
    with seeded(4):
        grown = Expand(p=1.0, ratio=(2.0, 2.0), fill=(1, 2, 3)).build()(sample(20, 30, (0, 0, 30, 20)))
    assert grown.size == (40, 60)
    x, y = (int(v) for v in grown.target["boxes"][0].tolist()[:2])
    assert grown.target["boxes"].tolist() == [[x, y, x + 30, y + 20]]
    inside = grown.image.as_subclass(Tensor)[:, y : y + 20, x : x + 30]
    assert inside.unique().tolist() == [50]
    assert int((grown.image[0] == 50).sum()) == 600
    assert grown.image.amin((1, 2)).tolist() == [1, 2, 3]


def test_distortion_stays_within_its_range() -> None:
    grey = sample(4, 4)
    seen = set()
    for seed in range(40):
        with seeded(seed):
            pixels = PhotometricDistortion(contrast=(1.0, 1.0), brightness=10.0).build()(grey).image
        seen.add(int(pixels[0, 0, 0]))
    assert min(seen) >= 40  # grey has neither hue nor saturation: brightness alone is left
    assert max(seen) <= 60
    assert len(seen) > 8


def test_hue_turns_by_degrees() -> None:
    red = sample(2, 2)
    red = attrs.evolve(
        red, image=tv_tensors.Image(torch.tensor([200, 0, 0], dtype=torch.uint8).view(3, 1, 1).repeat(1, 2, 2))
    )
    strongest = set()
    keys: Any = {"brightness": 0.0, "contrast": (1.0, 1.0), "saturation": (1.0, 1.0)}
    for seed in range(60):
        with seeded(seed):
            strongest.add(tuple(PhotometricDistortion(hue=18.0, **keys).build()(red).image[:, 0, 0].tolist()))
    assert {max(pixel) for pixel in strongest} == {200}
    assert all(sorted(pixel)[1] <= 200 * 18 / 60 + 3 for pixel in strongest)  # 60° lead from red to yellow


@pytest.mark.parametrize(
    ("cls", "keys", "sentence"),
    [
        (ResizeScales, {"scales": ()}, "is an empty list; expected at least one pair like [1333, 800]"),
        (
            ResizeScales,
            {"scales": ((600, 1000),)},
            "must be a long and a short side in px like [1333, 800], got [600, 1000]",
        ),
        (ResizeScales, {"scales": ((9, 8),), "mode": "range"}, "mode: range lies between two scales, got 1"),
        (
            ResizeScales,
            {"scales": ((1600, 1000),), "pad": (1333, 1000)},
            "scales: [1600, 1000] does not fit into pad [1333, 1000]; make pad larger",
        ),
        (
            RandResizeCrop,
            {"scales": ((9, 8),), "size": (1200, 800), "pad": (1200, 799)},
            "size: [1200, 800] does not fit into pad [1200, 799]; make pad larger",
        ),
        (PadTo, {}, "set size or divisor; without both it changes nothing"),
        (CopyPaste, {"scale": (2.0, 1.0)}, "scale: the first must not be larger than the second, got [2.0, 1.0]"),
        (Expand, {"ratio": (2.0, 1.0)}, "ratio: the first must not be larger than the second, got [2.0, 1.0]"),
    ],
)
def test_mistakes(cls: Any, keys: Any, sentence: str) -> None:
    with pytest.raises(ValueError) as error:  # noqa: PT011 - the sentence is compared whole
        cls(**keys)
    assert str(error.value) == sentence
