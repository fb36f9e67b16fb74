"""Transforms of pixels: as timm does them, by hand, pure functions of the seed, and the mistakes in their keys."""

from __future__ import annotations

import random
from collections import Counter
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from timm.data import auto_augment as reference
from torchvision import tv_tensors

from vf.data.pipeline import apply_transform
from vf.data.sample import Sample
from vf.data.seeding import seeded
from vf.testing import check_transform
from vf_cls import vf_transforms
from vf_cls.transform_configs import OPERATIONS, RandAugment, RandomErasing
from vf_cls.transforms import operations
from vf_cls.transforms.operations import Look

PIXELS = np.random.default_rng(0).integers(0, 256, (40, 60, 3), dtype=np.uint8)
KINDS = ("rand_augment", "auto_augment", "trivial_augment", "aug_mix", "three_augment", "lighting", "random_erasing")
TIMM = {
    "autocontrast": "AutoContrast",
    "equalize": "Equalize",
    "invert": "Invert",
    "rotate": "Rotate",
    "posterize": "Posterize",
    "solarize": "Solarize",
    "solarize_add": "SolarizeAdd",
    "color": "Color",
    "contrast": "Contrast",
    "brightness": "Brightness",
    "sharpness": "Sharpness",
    "shear_x": "ShearX",
    "shear_y": "ShearY",
    "translate_x": "TranslateXRel",
    "translate_y": "TranslateYRel",
}
INCREASING = ("posterize", "solarize", "color", "contrast", "brightness", "sharpness")


def sample(pixels: np.ndarray = PIXELS) -> Sample:
    image = tv_tensors.Image(torch.from_numpy(pixels.copy()).permute(2, 0, 1))
    return Sample(image, {"labels": torch.tensor([3])}, "a")


def applied(config: Any, *, seed: int = 0, given: Sample | None = None) -> Sample:
    with seeded(seed):
        return apply_transform(config.build(), given or sample(), sample, final=False)


@pytest.mark.parametrize("name", KINDS)
def test_each_is_a_pure_function_of_the_seed(name: str) -> None:
    config = vf_transforms()[name]() if name != "random_erasing" else RandomErasing(p=1.0)
    changed = check_transform(config, sample())
    assert changed.target["labels"].tolist() == [3]
    assert changed.size == (40, 60)
    images = {applied(config, seed=seed).image.numpy().tobytes() for seed in range(12)}
    assert len(images) > 3


@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic"])
def test_the_short_side_gets_its_length_as_pil_does_it(interpolation: Any) -> None:
    config = vf_transforms()["resize_short"](short=20, interpolation=interpolation)
    image = applied(config).image.permute(1, 2, 0).numpy().astype(int)
    resample = {"bilinear": Image.Resampling.BILINEAR, "bicubic": Image.Resampling.BICUBIC}[interpolation]
    expected = np.asarray(Image.fromarray(PIXELS).resize((30, 20), resample)).astype(int)
    assert abs(image - expected).max() <= 1
    assert config.build().sets_size


@pytest.mark.parametrize("magnitude", [0.0, 3.7, 9.0, 10.0])
@pytest.mark.parametrize("negative", [False, True])
@pytest.mark.parametrize("name", OPERATIONS)
def test_every_operation_is_timms(name: str, negative: bool, magnitude: float, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(operations, "chance", lambda p: negative)
    monkeypatch.setattr(random, "random", lambda: 1.0 if negative else 0.0)
    image = Image.fromarray(PIXELS)
    for increasing in (False, True):
        theirs = TIMM[name] + ("Increasing" if increasing and name in INCREASING else "")
        keys = {"img_mean": (124, 116, 104), "interpolation": Image.Resampling.BICUBIC}
        if name == "posterize" and (magnitude == 10 if increasing else magnitude == 0):
            expected = Image.fromarray(PIXELS * 0)  # keep no bit: newer versions of PIL refuse what timm asks them
        else:
            expected = reference.AugmentOp(theirs, prob=1.0, magnitude=magnitude, hparams=keys)(image)
        look = Look(Image.Resampling.BICUBIC, (124, 116, 104))
        found = operations.OPERATIONS[name](image, magnitude / 10, look, increasing)
        assert np.array_equal(np.asarray(found), np.asarray(expected)), theirs


def test_the_operations_are_those_of_timms_increasing_list() -> None:
    theirs = [name.removesuffix("Increasing") for name in reference._RAND_INCREASING_TRANSFORMS]
    assert [TIMM[name] for name in OPERATIONS] == theirs
    assert tuple(operations.OPERATIONS) == OPERATIONS


def test_magnitudes_are_drawn() -> None:
    with seeded(0):
        drawn = torch.tensor([operations.magnitude(7, 0.5) for _ in range(2000)])
        cut = torch.tensor([operations.magnitude(9.9, 2.0) for _ in range(2000)])
        uniform = torch.tensor([operations.magnitude(8, float("inf")) for _ in range(2000)])
        assert operations.magnitude(7, 0) == 7
    assert abs(drawn.mean() - 7) < 0.05
    assert abs(drawn.std() - 0.5) < 0.03
    assert cut.max() == 10
    assert 0 <= uniform.min() < 0.1
    assert 7.9 < uniform.max() <= 8
    assert abs(uniform.mean() - 4) < 0.2


def test_operations_come_as_often_and_each_with_its_probability(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: Counter[str] = Counter()
    counted = {n: lambda image, *_, n=n: seen.update([n]) or image for n in OPERATIONS}
    monkeypatch.setattr(operations, "OPERATIONS", counted)
    monkeypatch.setattr("vf_cls.transforms.rand_augment.OPERATIONS", counted)
    transform = RandAugment(num=3, p=0.5).build()
    with seeded(1):
        for _ in range(1000):
            transform(sample())
    assert abs(sum(seen.values()) - 1500) < 120
    assert min(seen.values()) > 60
    assert set(seen) == set(OPERATIONS)


def test_three_augment_is_grey_solarised_or_blurred() -> None:
    config = vf_transforms()["three_augment"]()
    seen: Counter[str] = Counter()
    for seed in range(300):
        image = applied(config, seed=seed).image.permute(1, 2, 0).numpy()
        if np.array_equal(image, np.where(PIXELS < 128, PIXELS, 255 - PIXELS)):
            seen["solarised"] += 1
        elif (image == image[..., :1]).all():
            seen["grey"] += 1
            assert abs(image[..., 0] - PIXELS @ np.array([0.299, 0.587, 0.114])).max() <= 0.51
        else:
            seen["blurred"] += 1
            assert abs(image.mean() - PIXELS.mean()) < 1
    assert all(70 < count < 130 for count in seen.values())
    assert len(seen) == 3


def test_lighting_adds_one_colour() -> None:
    grey = np.full((4, 5, 3), 128, np.uint8)
    added = torch.stack(
        [applied(vf_transforms()["lighting"](), seed=seed, given=sample(grey)).image[:, 0, 0] for seed in range(2000)]
    ).double()
    # By hand: the covariance of V·diag(e)·a with a ~ N(0, 0.1²) is 0.01·V·diag(e²)·Vᵀ, and rounding adds 1/12.
    vectors = torch.tensor(
        [[-0.5675, 0.7192, 0.4009], [-0.5808, -0.0045, -0.8140], [-0.5836, -0.6948, 0.4203]]
    ).double()
    expected = 0.01 * vectors @ torch.diag(torch.tensor([55.4625, 4.794, 1.1475]).double() ** 2) @ vectors.T
    torch.testing.assert_close(added.T.cov(), expected + torch.eye(3).double() / 12, rtol=0.1, atol=0.3)
    image = applied(vf_transforms()["lighting"](), seed=5, given=sample(grey)).image
    assert (image == image[:, :1, :1]).all()
    assert applied(vf_transforms()["lighting"](std=0.0)).image.equal(sample().image)


@pytest.mark.parametrize(("mode", "colours"), [("mean", 1), ("colour", 1), ("pixel", 100)])
def test_erasing_covers_its_part_and_paints_what_it_should(mode: Any, colours: int) -> None:
    config = RandomErasing(p=1.0, area=(0.1, 0.2), mode=mode)
    white = np.full((50, 60, 3), 255, np.uint8)
    parts = []
    for seed in range(50):
        image = applied(config, seed=seed, given=sample(white)).image.permute(1, 2, 0).numpy()
        painted = (image != 255).any(-1)
        parts.append(painted.mean())
        inside = image[painted]
        assert len(np.unique(inside, axis=0)) >= colours if colours > 1 else len(np.unique(inside, axis=0)) == 1
        if mode == "mean":
            assert inside[0].tolist() == [124, 116, 104]
        rows, columns = np.flatnonzero(painted.any(1)), np.flatnonzero(painted.any(0))
        assert painted[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1].mean() > 0.98
        assert 0.25 < (rows[-1] - rows[0] + 1) / (columns[-1] - columns[0] + 1) < 4
    assert min(parts) > 0.09
    assert max(parts) < 0.21
    assert 0.13 < np.mean(parts) < 0.17


def test_erasing_with_several_rectangles_and_with_a_probability() -> None:
    white = np.full((100, 100, 3), 255, np.uint8)
    config = RandomErasing(p=1.0, area=(0.2, 0.2), count=(4, 4), mode="mean")
    parts = [(applied(config, seed=s, given=sample(white)).image != 255).any(0).float().mean() for s in range(20)]
    assert max(parts) <= 0.21
    assert min(parts) < 0.19  # they overlap at times
    changed = sum(not applied(RandomErasing(p=0.25), seed=s).image.equal(sample().image) for s in range(200))
    assert 30 <= changed <= 70
    tiny = sample(np.zeros((1, 1, 3), np.uint8))
    assert applied(RandomErasing(p=1.0), given=tiny).image.equal(tiny.image)  # nothing fits into one pixel


@pytest.mark.parametrize(
    ("name", "keys", "sentence"),
    [
        (
            "rand_augment",
            {"operations": ("equalise",)},
            f"unknown operation 'equalise'; did you mean 'equalize'?; known: {', '.join(OPERATIONS)}",
        ),
        ("rand_augment", {"operations": ()}, "must be a list of operations, got ()"),
        ("rand_augment", {"std": -1.0}, "must be >= 0, or .inf, got -1.0"),
        ("rand_augment", {"magnitude": 12.0}, "must be from 0 to 10, got 12.0"),
        ("three_augment", {"sigma": (2.0, 1.0)}, "sigma: the first must not be larger than the second, got [2.0, 1.0]"),
        ("random_erasing", {"area": (0.3, 0.1)}, "area: the first must not be larger than the second, got [0.3, 0.1]"),
    ],
)
def test_mistakes_in_keys(name: str, keys: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ValueError) as error:  # noqa: PT011 - the sentence is compared whole
        vf_transforms()[name](**keys)
    assert str(error.value) == sentence
