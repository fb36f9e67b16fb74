"""Transforms of images with maps: what becomes of pixels, and of what is outside."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torchvision import tv_tensors

import vf_seg
from vf.data.collate import Collate
from vf.data.pipeline import Fitted, apply_transform
from vf.data.sample import Sample
from vf.data.seeding import seeded
from vf.errors import DataError
from vf.testing import check_transform
from vf_seg import transform_configs as ours
from vf_seg.transforms import crops

GREY = 114


def smooth(size: tuple[int, int], seed: int = 0) -> NDArray[np.uint8]:
    """Return [H,W,3] without sharp edges."""
    noise = np.random.default_rng(seed).normal(128, 400, (*size, 3)).astype(np.float32)
    blurred: NDArray[np.uint8] = np.clip(cv2.GaussianBlur(noise, (0, 0), 6), 0, 255).astype(np.uint8)
    return blurred


def sample(size: tuple[int, int] = (60, 90), values: NDArray[np.uint8] | None = None, seed: int = 0) -> Sample:
    """Return an image whose map has, if not given, six classes in columns and an ignored row."""
    if values is None:
        values = np.repeat((np.arange(size[1]) * 6 // size[1]).astype(np.uint8)[None], size[0], 0)
        values[0] = 255
    image = tv_tensors.Image(torch.from_numpy(smooth(size, seed)).permute(2, 0, 1))
    return Sample(image, {"semantic": tv_tensors.Mask(torch.from_numpy(values))}, f"image {seed}")


def applied(config: Any, given: Sample, seed: int = 0) -> Sample:
    with seeded(seed):
        return apply_transform(config.build(), given, lambda: sample(seed=seed + 1), final=False)


ALL = {
    "random_scale": ours.RandomScale(scale=(90, 60)),
    "random_crop": ours.RandomCrop(size=(32, 48)),
    "random_scale_crop": ours.RandomScaleCrop(scale=(90, 60), size=(32, 48)),
    "resize_to_multiple": ours.ResizeToMultiple(),
    "photometric_distortion": ours.PhotometricDistortion(),
    "mosaic": ours.Mosaic(size=(64, 80), p=1.0),
    "cutout": ours.Cutout(p=1.0, ignore=True),
    "gamma": ours.Gamma(p=1.0),
    "clahe": ours.Clahe(),
}


def test_every_transform_is_tried() -> None:
    assert ALL.keys() == vf_seg.vf_transforms().keys()


@pytest.mark.parametrize("name", ALL)
def test_contract(name: str) -> None:
    given = sample()
    before = given.target["semantic"].clone()
    result = check_transform(ALL[name], given)
    assert isinstance(result.target["semantic"], tv_tensors.Mask)
    assert result.target["semantic"].dtype == torch.uint8
    assert result.target["semantic"].shape == result.image.shape[-2:]
    assert torch.equal(given.target["semantic"], before)


@pytest.mark.parametrize("name", ALL)
def test_images_without_maps(name: str) -> None:
    bare = Sample(sample().image, {}, "bare")
    if name == "mosaic":
        with pytest.raises(DataError) as caught:
            applied(ALL[name], bare)
        assert str(caught.value) == "bare: has no map, which mosaic joins; leave it out of augment"
    else:
        assert applied(ALL[name], bare).target == {}


def test_sizes_are_those_of_a_scale_times_a_factor() -> None:
    # 1024×2048 into 2048×1024 · 0.5: half; 512×512 into (2048, 1024) · 1: as high as 1024 and as wide as that.
    assert crops.scaled((1024, 2048), (2048, 1024), 0.5) == (512, 1024)
    assert crops.scaled((512, 512), (2048, 1024), 1.0) == (1024, 1024)
    assert crops.scaled((360, 480), (2048, 512), 1.3) == (665, 887)
    for seed in range(20):
        height, width = applied(ours.RandomScale(scale=(90, 60), ratio=(0.5, 2.0)), sample(), seed).size
        assert 30 <= height <= 120
        assert width / height == pytest.approx(1.5, abs=0.05)


def test_a_crop_cuts_pixels_and_map_at_one_place() -> None:
    given = sample()
    place = torch.arange(60 * 90).reshape(60, 90)
    given.image = tv_tensors.Image(torch.stack([place // 90, place % 90, place * 0]).to(torch.uint8))
    given.target["semantic"] = tv_tensors.Mask((place % 90 + place // 90).to(torch.uint8))
    for seed in range(10):
        result = applied(ours.RandomCrop(size=(32, 48), cat_max_ratio=1.0), given, seed)
        assert result.size == (32, 48)
        y, x = result.image[:2].long()
        assert torch.equal(result.target["semantic"].long(), x + y)
        assert torch.equal(y - y[0, 0], torch.arange(32)[:, None].expand(32, 48))


def test_smaller_images_are_padded_in_the_batch() -> None:
    small = applied(ours.RandomCrop(size=(100, 50)), sample())
    assert (small.size, small.pad) == ((60, 50), (100, 50))
    batch = Collate(fill=GREY)([Fitted(small, (60, 90))])
    assert batch.images.shape == (1, 3, 100, 50)
    assert (batch.images[0, :, 60:] == GREY).all()
    [labels] = batch.target("semantic")
    assert labels[60:].unique().tolist() == [255]


def test_a_part_that_one_class_fills_is_drawn_again() -> None:
    values = np.zeros((60, 200), np.uint8)
    values[:, 150:] = 1
    given = sample((60, 200), values)
    config = ours.RandomCrop(size=(60, 40), cat_max_ratio=0.75)
    mixed = [len(applied(config, given, seed).target["semantic"].unique()) > 1 for seed in range(60)]
    free = ours.RandomCrop(size=(60, 40), cat_max_ratio=1.0)
    plain = [len(applied(free, given, seed).target["semantic"].unique()) > 1 for seed in range(60)]
    # One draw meets both classes with 39/161 and no more than 75 % of one with 19/161: eleven draws 1 - (142/161)^11.
    assert sum(plain) / 60 == pytest.approx(39 / 161, abs=0.15)
    assert sum(mixed) / 60 > 1 - (142 / 161) ** 11 - 0.15


@pytest.mark.parametrize(
    ("row", "most", "full"),
    [
        ([0, 0, 0, 1], 0.75, True),
        ([0, 0, 0, 1], 0.76, False),
        ([0, 0, 1, 255], 0.75, False),
        ([0, 0, 255, 255], 0.75, True),
        ([255, 255, 255, 255], 0.75, True),
    ],
)
@pytest.mark.parametrize("dtype", [np.uint8, np.int32])
def test_what_fills_a_part(row: list[int], most: float, full: bool, dtype: Any) -> None:
    assert crops.fills(np.array([row], dtype), most) is full


def test_one_step_is_two_steps() -> None:
    """Scaling and cutting at once gives what a resize of the whole and a cut there give, within rounding."""
    given = sample((240, 480))
    for seed in range(30):
        with seeded(seed):
            factor = crops.uniform(0.5, 2.0)
            whole = crops.scaled(given.size, (480, 240), factor)
            result = crops.RandomScaleCrop(scale=(480, 240), ratio=(factor, factor), size=(120, 240), most=1.0)(given)
        assert result.size == (min(120, whole[0]), min(240, whole[1]))
        resized = cv2.resize(given.image.permute(1, 2, 0).numpy(), whole[::-1], interpolation=cv2.INTER_LINEAR)
        found = result.image.permute(1, 2, 0).numpy()
        match = cv2.matchTemplate(resized.astype(np.float32), found.astype(np.float32), cv2.TM_SQDIFF)
        rms = np.sqrt(match.min() / found.size)
        assert rms < 6, (seed, factor, rms)  # of 255; half a pixel of the source is what a place may differ by
        exact = crops.cut(given, (0, 0, 480, 240), whole).image.permute(1, 2, 0).numpy()
        assert np.array_equal(exact, resized)


def test_a_whole_image_at_a_factor_of_one_stays() -> None:
    given = sample()
    result = applied(ours.RandomScaleCrop(scale=(90, 60), ratio=(1.0, 1.0), size=(60, 90)), given)
    assert torch.equal(result.image, given.image)
    assert torch.equal(result.target["semantic"], given.target["semantic"])


def test_places_are_drawn_evenly() -> None:
    values = np.repeat(np.arange(90, dtype=np.uint8)[None], 60, 0)
    config = ours.RandomScaleCrop(scale=(90, 60), ratio=(1.0, 1.0), size=(60, 87), cat_max_ratio=1.0)
    lefts = [int(applied(config, sample((60, 90), values), seed).target["semantic"][0, 0]) for seed in range(200)]
    assert sorted(set(lefts)) == [0, 1, 2, 3]
    assert min(lefts.count(k) for k in range(4)) > 30


def test_multiples() -> None:
    assert applied(ours.ResizeToMultiple(divisor=32), sample((60, 90))).size == (64, 96)
    same = sample((64, 96))
    assert torch.equal(applied(ours.ResizeToMultiple(divisor=32), same).image, same.image)


def test_mosaic_shows_four_corners() -> None:
    def flat(index: int) -> Sample:
        image = tv_tensors.Image(torch.full((3, 60, 90), 10 * index, dtype=torch.uint8))
        return Sample(image, {"semantic": tv_tensors.Mask(torch.full((60, 90), index, dtype=torch.uint8))}, str(index))

    config = ours.Mosaic(size=(60, 90), centre=(0.5, 0.5), p=1.0)
    others = iter([flat(2), flat(3), flat(4)])
    with seeded(0):
        result = config.build()(flat(1), lambda: next(others))
    labels = result.target["semantic"]
    assert labels[::59, ::89].tolist() == [[1, 2], [3, 4]]
    assert torch.equal(labels[:30, :45], torch.full((30, 45), 1, dtype=torch.uint8))
    assert torch.equal(result.image[0], 10 * labels)
    assert applied(ours.Mosaic(size=(60, 90), p=0.0), flat(1)).id == "1"
    tall = Sample(
        tv_tensors.Image(torch.zeros(3, 90, 30, dtype=torch.uint8)),
        {"semantic": tv_tensors.Mask(torch.zeros(90, 30, dtype=torch.uint8))},
        "tall",
    )
    with seeded(0):
        result = config.build()(tall, lambda: tall)
    assert sorted(result.target["semantic"].unique().tolist()) == [0, 255]
    assert (result.image[:, result.target["semantic"] == 255] == GREY).all()


def test_mosaic_keeps_what_meets() -> None:
    values = np.repeat(np.arange(90, dtype=np.uint8)[None], 60, 0)
    given = sample((60, 90), values)
    with seeded(0):
        labels = ours.Mosaic(size=(60, 90), centre=(0.5, 0.5), p=1.0).build()(given, lambda: given).target["semantic"]
    assert labels[0, 44] == 89  # the left images show their right end where they meet, the right ones their left
    assert labels[59, 45] == 0


def test_cutout() -> None:
    given = sample()
    result = applied(ours.Cutout(holes=(3, 3), shapes=((0.2, 8.0),), fill=(1, 2, 3), p=1.0), given)
    painted = (result.image == torch.tensor([1, 2, 3], dtype=torch.uint8)[:, None, None]).all(0)
    assert 8 <= int(painted.sum()) <= 3 * 12 * 8
    assert torch.equal(result.image[:, ~painted], given.image[:, ~painted])
    assert torch.equal(result.target["semantic"], given.target["semantic"])
    ignored = applied(ours.Cutout(holes=(1, 1), p=1.0, ignore=True), given)
    holes = (ignored.image == 0).all(0)
    assert (ignored.target["semantic"][holes] == 255).all()
    assert torch.equal(applied(ours.Cutout(p=0.0), given).image, given.image)


def test_gamma_and_clahe() -> None:
    given = sample()
    bright = applied(ours.Gamma(gamma=(2.0, 2.0), p=1.0), given).image
    assert torch.equal(bright, ((given.image / 255).double().sqrt() * 255).round().to(torch.uint8))
    assert torch.equal(applied(ours.Gamma(gamma=(1.0, 1.0), p=1.0), given).image, given.image)
    faint = Sample(tv_tensors.Image((given.image // 8 + 100).to(torch.uint8)), {}, "faint")
    assert applied(ours.Clahe(limit=4.0), faint).image.float().std() > 1.5 * faint.image.float().std()


def test_photometric_distortion_turns_by_opencvs_steps() -> None:
    red = Sample(
        tv_tensors.Image(torch.tensor([200, 40, 40], dtype=torch.uint8)[:, None, None].expand(3, 4, 4)), {}, "r"
    )
    keys: Any = {"brightness": 0.0, "contrast": (1.0, 1.0), "saturation": (1.0, 1.0)}
    hues = set()
    for seed in range(200):
        pixel = applied(ours.PhotometricDistortion(**keys), red, seed).image[:, :1, :1].permute(1, 2, 0).contiguous()
        hues.add(int(cv2.cvtColor(pixel.numpy(), cv2.COLOR_RGB2HSV)[0, 0, 0]))
    assert {(hue + 90) % 180 - 90 for hue in hues} <= set(range(-19, 20))
    assert max(abs((hue + 90) % 180 - 90) for hue in hues) >= 16


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (
            lambda: ours.RandomScale(ratio=(2.0, 0.5)),
            "ratio: the first must not be larger than the second, got [2.0, 0.5]",
        ),
        (
            lambda: ours.RandomScaleCrop(size=(1, 1), ratio=(2.0, 0.5)),
            "ratio: the first must not be larger than the second, got [2.0, 0.5]",
        ),
        (
            lambda: ours.Gamma(gamma=(2.0, 0.5)),
            "gamma: the first must not be larger than the second, got [2.0, 0.5]",
        ),
        (lambda: ours.Cutout(shapes=()), "shapes: is an empty list; expected at least one height and width"),
        (lambda: ours.Cutout(holes=(2, 1)), "holes: the first must not be larger than the second, got [2, 1]"),
        (lambda: ours.RandomCrop(size=(5, 5), cat_max_ratio=0.0), "must be from 0.01 to 1, got 0.0"),
    ],
)
def test_keys_that_are_wrong(make: Any, sentence: str) -> None:
    with pytest.raises(ValueError) as caught:  # noqa: PT011 - compared below
        make()
    assert str(caught.value) == sentence
