"""Transforms of pages keep polygons on the image, clockwise and with their texts; those of words keep the word."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torchvision import tv_tensors

from vf.data.sample import Sample
from vf.data.seeding import seeded
from vf.testing import check_transform
from vf_ocr.data.targets import page_target
from vf_ocr.generated_configs import Pages, Words
from vf_ocr.geometry import areas
from vf_ocr.texts import Texts
from vf_ocr.transform_configs import (
    PadRatio,
    RescaleHeight,
    TextCrop,
    TextFlip,
    TextRotate,
    WordColour,
    WordCrop,
    WordFault,
    WordWarp,
)
from vf_ocr.transforms.pages import free, mirrored, turned

PAGES = Pages(train=6, val=1, test=1, words=(4, 10)).build("train")
WORDS = Words(train=6, val=1, test=1).build("train")
EMPTY = Pages(train=1, words=(0, 0)).build("train")[0]
WORD = (
    PadRatio(ratio=(2.0, 8.0)),
    RescaleHeight(),
    WordWarp(p=1.0),
    WordFault(p=1.0),
    WordColour(p=1.0),
    WordCrop(p=1.0),
)
PAGE = (
    TextCrop(size=(128, 160)),
    TextCrop(size=(64, 200), aspect=(0.6, 1.6), empty=1.0),
    TextRotate(degrees=45.0),
    TextRotate(degrees=180.0, expand=True),
    TextFlip(p=1.0),
    PadRatio(ratio=(0.5, 0.8)),
)


@pytest.mark.parametrize("config", PAGE, ids=lambda c: type(c).__name__)
def test_polygons_stay_valid(config: Any) -> None:
    check_transform(config, PAGES[0])
    transform = config.build()
    for index in range(24):
        sample = PAGES[index % 6]
        with seeded(0, index):
            changed = transform(sample)
        target, (height, width) = changed.target, changed.size
        count = len(target["polygons"])
        assert count == len(target["boxes"]) == len(target["labels"]) == len(target["ignored"]) == len(target["texts"])
        polygons = target["polygons"].as_subclass(torch.Tensor).numpy()
        assert (areas(polygons) > 0).all()
        limit = np.array([width, height])
        assert ((polygons.max(1) > 0) & (polygons.min(1) < limit)).all()
        boxes = target["boxes"].as_subclass(torch.Tensor).numpy()
        expected = np.concatenate([polygons.min(1).clip(min=0), np.minimum(polygons.max(1), limit)], 1)
        assert np.allclose(boxes, expected, atol=1e-3)
        assert target["polygons"].canvas_size == target["boxes"].canvas_size == (height, width)
        assert set(target["texts"]) <= set(sample.target["texts"])


@pytest.mark.parametrize("config", PAGE, ids=lambda c: type(c).__name__)
def test_a_page_without_text(config: Any) -> None:
    changed = check_transform(config, EMPTY)
    assert changed.target["polygons"].shape == (0, 4, 2)


@pytest.mark.parametrize("config", WORD, ids=lambda c: type(c).__name__)
def test_words_keep_their_text(config: Any) -> None:
    for index in range(6):
        changed = check_transform(config, WORDS[index])
        assert changed.target == WORDS[index].target
    tiny = Sample(tv_tensors.Image(torch.zeros(3, 1, 2, dtype=torch.uint8)), {"text": "i"}, "x")
    check_transform(config, tiny)


def page(*boxes: tuple[float, float, float, float], ignored: tuple[int, ...] = ()) -> Sample:
    """A page 40×60 whose texts are bright boxes on black."""
    image = torch.zeros(3, 40, 60, dtype=torch.uint8)
    quads = []
    for x1, y1, x2, y2 in boxes:
        image[:, int(y1) : int(y2), int(x1) : int(x2)] = 250
        quads.append([(x1, y1), (x2, y1), (x2, y2), (x1, y2)])
    marks = torch.tensor([k in ignored for k in range(len(boxes))], dtype=torch.bool)
    texts = Texts(f"t{k}" for k in range(len(boxes)))
    target = page_target(torch.tensor(quads, dtype=torch.float32).reshape(-1, 4, 2), texts, marks, size=(40, 60))
    return Sample(tv_tensors.Image(image), target, "p")


def test_crop_cuts_no_text_and_keeps_a_legible_one() -> None:
    sample = page((5, 5, 25, 12), (35, 20, 55, 30), ignored=(1,))
    transform = TextCrop(size=(80, 120)).build()
    seen = set()
    for seed in range(40):
        with seeded(seed):
            target = transform(sample).target
        seen.add(tuple(target["texts"]))
        assert "t0" in target["texts"]
        sizes = target["boxes"][:, 2:] - target["boxes"][:, :2]
        ratio = (sizes[:, 0] / sizes[:, 1]).as_subclass(torch.Tensor)
        assert torch.allclose(ratio[0], torch.tensor(20 / 7), rtol=0.05)
    assert seen == {("t0",), ("t0", "t1")}


def test_crop_takes_pixels_and_polygons_alike() -> None:
    sample = page((10, 10, 30, 20))
    for seed in range(10):
        with seeded(seed):
            changed = TextCrop(size=(120, 120), fill=0).build()(sample)
        x1, y1, x2, y2 = changed.target["boxes"][0].round().int().tolist()
        assert (changed.image[:, y1 + 2 : y2 - 2, x1 + 2 : x2 - 2] > 200).all()
        outside = changed.image.clone()
        outside[:, max(0, y1 - 4) : y2 + 4, max(0, x1 - 4) : x2 + 4] = 0
        assert (outside < 40).all()


def test_free_lines() -> None:
    assert free(np.array([[2.0, 5.0]]), 8).tolist() == [0, 1, 2, 5, 6, 7, 8]
    assert free(np.array([[0.5, 1.5], [1.0, 7.9]]), 8).tolist() == [0, 8]
    assert free(np.zeros((0, 2)), 2).tolist() == [0, 1, 2]
    assert free(np.array([[-5.0, 90.0]]), 3).tolist() == []


def test_turns_by_a_quarter() -> None:
    sample = page((10, 10, 30, 20))
    changed = turned(sample, 90.0, expand=True, fill=0)
    assert changed.size == (60, 40)
    (quad,) = changed.target["polygons"].tolist()
    assert np.allclose(quad, [(10, 50), (10, 30), (20, 30), (20, 50)], atol=1e-4)
    assert (changed.image[:, 31:49, 11:19] == 250).all()
    assert changed.image[:, :29].max() == 0


def test_what_leaves_the_page_is_ignored_then_gone() -> None:
    sample = page((0, 0, 6, 6), (25, 15, 35, 25))
    changed = turned(sample, 45.0, expand=False, fill=0)
    assert changed.target["texts"] == ("t0", "t1")
    assert changed.target["ignored"].tolist() == [True, False]
    assert turned(page((0, 0, 3, 3)), 45.0, expand=False, fill=0).target["texts"] == ()


def test_flip_keeps_order() -> None:
    changed = TextFlip(p=1.0).build()(page((10, 10, 30, 20)))
    assert changed.target["polygons"].tolist() == [[[30, 10], [50, 10], [50, 20], [30, 20]]]
    assert (changed.image[:, 10:20, 30:50] == 250).all()
    curve = np.array([(0, 1), (5, 0), (10, 1), (10, 6), (5, 5), (0, 6), (0, 6)], np.float32)
    back = mirrored(np.stack([10 - curve[:, 0], curve[:, 1]], 1))
    assert back.tolist() == curve.tolist()
    triangle = np.array([(0, 0), (4, 0), (2, 3), (2, 3)], np.float32)
    assert areas(mirrored(np.stack([4 - triangle[:, 0], triangle[:, 1]], 1))[None]) > 0


def test_pads_and_scales() -> None:
    word = Sample(tv_tensors.Image(torch.full((3, 20, 30), 9, dtype=torch.uint8)), {"text": "w"}, "w")
    assert PadRatio(ratio=(2.0, 8.0), fill=7).build()(word).image.shape == (3, 20, 40)
    assert PadRatio(ratio=(0.5, 1.0), fill=7).build()(word).image.shape == (3, 30, 30)
    assert PadRatio(ratio=(2.0, 8.0), fill=7).build()(word).image[0, 0, [29, 30]].tolist() == [9, 7]
    assert RescaleHeight(height=32).build()(word).size == (32, 48)
    assert RescaleHeight(height=32, width=(64, 100)).build()(word).size == (32, 64)
    assert RescaleHeight(height=32, width=(4, 40), divisor=16).build()(word).size == (32, 48)


def test_colours() -> None:
    word = Sample(tv_tensors.Image(torch.full((3, 4, 4), 200, dtype=torch.uint8)), {"text": "w"}, "w")
    plain = {"brightness": 0.0, "contrast": 0.0, "saturation": 0.0}
    assert (WordColour(invert=1.0, p=0.0, **plain).build()(word).image == 55).all()
    assert (WordColour(invert=0.0, p=1.0, **plain).build()(word).image == 200).all()


@pytest.mark.parametrize(
    ("config", "keys", "said"),
    [
        (WordWarp, {"kinds": ("twist",)}, "kinds: expected some of affine, perspective, distort, stretch, got twist"),
        (WordFault, {"kinds": ()}, "kinds: expected some of coarse, blur, motion, noise, jpeg, got none"),
        (PadRatio, {"ratio": (2.0, 1.0)}, r"ratio: the first must not be larger than the second, got \[2.0, 1.0\]"),
    ],
)
def test_wrong_keys(config: Any, keys: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=f"^{said}$"):
        config(**keys)
