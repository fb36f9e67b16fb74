"""The distortion of colours that detection and segmentation share."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import pytest
import torch
from torchvision import tv_tensors

from vf.data.photometric import PhotometricDistortion
from vf.data.sample import Sample
from vf.data.seeding import seeded


def ramp() -> Sample:
    """All hues at several levels, [3,36,64]."""
    place = torch.arange(36 * 64).reshape(36, 64)
    image = torch.stack([place * 7 % 256, place * 13 % 256, place // 9]).to(torch.uint8)
    return Sample(tv_tensors.Image(image), {}, "ramp")


def distorted(seed: int, *, swap: bool, **keys: float | tuple[float, float]) -> torch.Tensor:
    usual = {"brightness": 32.0, "contrast": (0.5, 1.5), "saturation": (0.5, 1.5), "hue": 18.0}
    transform = PhotometricDistortion(**{**usual, **keys}, swap=swap)  # type: ignore[arg-type]
    with seeded(seed):
        return transform(ramp()).image.as_subclass(torch.Tensor)


def step_by_step(seed: int) -> torch.Tensor:
    """Every step of SSD's order on its own, drawn as detection always did."""
    with seeded(seed):
        numbers = iter(torch.rand(12).tolist())  # as many single draws give the same
    draw = lambda low, high: low + (high - low) * next(numbers)  # noqa: E731 - three uses
    added = draw(-32, 32) if next(numbers) < 0.5 else 0.0
    factor = draw(0.5, 1.5) if next(numbers) < 0.5 else 1.0
    early = next(numbers) < 0.5
    saturation = draw(0.5, 1.5) if next(numbers) < 0.5 else 1.0
    turn = draw(-18, 18) if next(numbers) < 0.5 else 0.0
    pixels = ramp().image.permute(1, 2, 0).contiguous().numpy()

    def scaled(values: np.ndarray[Any, Any], by: float) -> np.ndarray[Any, Any]:
        return np.clip(np.round(values * by), 0, 255).astype(np.uint8)

    lifted = np.clip(pixels + added, 0, 255)
    pixels = scaled(lifted, factor if early else 1.0)
    if saturation != 1.0 or turn != 0.0:
        hsv = cv2.cvtColor(pixels, cv2.COLOR_RGB2HSV_FULL)
        hue = (hsv[..., 0].astype(int) + round(turn / 360 * 256)) % 256
        hsv = np.stack([hue.astype(np.uint8), scaled(hsv[..., 1], saturation), hsv[..., 2]], -1)
        pixels = np.asarray(cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB_FULL))
    if not early:
        pixels = scaled(pixels, factor)
    return torch.from_numpy(np.ascontiguousarray(pixels)).permute(2, 0, 1)


def test_the_order_and_the_draws_of_detection() -> None:
    for seed in range(40):
        expected = step_by_step(seed)
        assert torch.equal(distorted(seed, swap=False), expected)
        swapped = distorted(seed, swap=True)
        assert torch.equal(swapped.long().sum(0), expected.long().sum(0))


def test_channels_stay_unless_they_are_to_be_swapped() -> None:
    still = {"brightness": 0.0, "contrast": (1.0, 1.0), "saturation": (1.0, 1.0), "hue": 0.0}
    image = ramp().image
    for seed in range(20):
        assert torch.equal(distorted(seed, swap=False, **still), image)
    assert not all(torch.equal(distorted(seed, swap=True, **still), image) for seed in range(20))


def test_brightness_and_contrast_against_plain_arithmetic() -> None:
    seen = set()
    for seed in range(60):
        found = distorted(seed, swap=False, hue=0.0, saturation=(1.0, 1.0), brightness=0.0, contrast=(1.3, 1.3))
        expected = np.clip(np.round(ramp().image.numpy() * 1.3), 0, 255).astype(np.uint8)
        seen.add(bool((found.numpy() == expected).all()))
        assert (found.numpy() == expected).all() or torch.equal(found, ramp().image)
    assert seen == {True, False}


@pytest.mark.parametrize("hue", [18.0, 36.0])
def test_hue_stays_within_its_turn(hue: float) -> None:
    still = {"brightness": 0.0, "contrast": (1.0, 1.0), "saturation": (1.0, 1.0)}
    before = cv2.cvtColor(np.ascontiguousarray(ramp().image.permute(1, 2, 0)), cv2.COLOR_RGB2HSV_FULL)
    strong = (before[..., 1] > 128) & (before[..., 2] > 128)
    turns = []
    for seed in range(40):
        found = distorted(seed, swap=False, hue=hue, **still).permute(1, 2, 0).contiguous().numpy()
        after = cv2.cvtColor(found, cv2.COLOR_RGB2HSV_FULL)
        turn = (after[..., 0].astype(int) - before[..., 0] + 128) % 256 - 128
        turns.append(np.median(turn[strong]) / 256 * 360)
    assert max(map(abs, turns)) <= hue + 2
    assert max(map(abs, turns)) > 0.7 * hue
