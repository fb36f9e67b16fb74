"""Mosaic, mixup, affine and colour: image and labels move together."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torchvision import tv_tensors

from vf.data.pipeline import apply_transform
from vf.data.sample import Sample
from vf.data.seeding import seeded
from vf.testing import check_transform
from vf_det.data.affine import moved_boxes, warp
from vf_det.transform_configs import HsvJitter, Mixup, Mosaic, RandomAffine


def square(side: int = 64, box: tuple[int, int, int, int] = (16, 24, 40, 44), id_: str = "s") -> Sample:
    """Black, with one white rectangle that is its box and its mask."""
    image = torch.zeros(3, side, side, dtype=torch.uint8)
    image[:, box[1] : box[3], box[0] : box[2]] = 255
    boxes = tv_tensors.BoundingBoxes(torch.tensor([box], dtype=torch.float32), format="XYXY", canvas_size=(side, side))
    area = torch.tensor([float((box[2] - box[0]) * (box[3] - box[1]))])
    masks = tv_tensors.Mask(image[:1] > 0)
    return Sample(
        tv_tensors.Image(image), {"boxes": boxes, "labels": torch.tensor([1]), "area": area, "masks": masks}, id_
    )


def assert_labels_fit(sample: Sample, *, slack: float) -> None:
    """White pixels and masks lie where the boxes say."""
    target = sample.target
    assert len(target["boxes"]) == len(target["labels"]) == len(target["masks"]) == len(target["area"])
    for box, mask, area in zip(target["boxes"], target["masks"], target["area"], strict=True):
        rows, columns = torch.where(mask.any(1))[0], torch.where(mask.any(0))[0]
        tight = torch.tensor([columns[0], rows[0], columns[-1] + 1, rows[-1] + 1])
        assert (tight - box).abs().max() <= slack
        assert area == pytest.approx(float((box[2] - box[0]) * (box[3] - box[1])), rel=0.01)
        assert sample.image[0][mask].float().mean() > 200, "the mask covers the white rectangle"


CONFIGS = [
    Mosaic(size=(64, 96)),
    Mixup(),
    RandomAffine(degrees=20.0, scale=(0.7, 1.3), translate=0.2),
    HsvJitter(hue=0.1, saturation=0.5, value=0.5),
]


@pytest.mark.parametrize("config", CONFIGS, ids=lambda c: type(c).__name__)
def test_contract(config: object) -> None:
    check_transform(config, square())  # type: ignore[arg-type]


@pytest.mark.parametrize("seed", range(25))
def test_mosaic_moves_labels_with_their_pixels(seed: int) -> None:
    with seeded(seed):
        mixed = apply_transform(Mosaic(size=(80, 120)).build(), square(), lambda: square(id_="o"), final=False)
    assert mixed.image.shape == (3, 80, 120)
    assert_labels_fit(mixed, slack=1.6)


def test_mosaic_of_images_without_objects() -> None:
    empty = square()
    empty.target = {k: v[:0] if k != "boxes" else tv_tensors.wrap(v[:0], like=v) for k, v in empty.target.items()}
    mixed = apply_transform(Mosaic(size=(64, 64)).build(), empty, lambda: empty, final=False)
    assert mixed.target["boxes"].shape == (0, 4)


def test_mixing_is_off_in_the_final_phase_and_affine_on_request() -> None:
    sample = square()
    for config in (Mosaic(), Mixup(), RandomAffine(final=False)):
        assert apply_transform(config.build(), sample, square, final=True) is sample
    assert apply_transform(RandomAffine(degrees=45.0).build(), sample, square, final=True) is not sample


@pytest.mark.parametrize("config", [Mosaic(p=0.0), Mixup(p=0.0), RandomAffine(p=0.0), HsvJitter(p=0.0)])
def test_probability_zero_changes_nothing(config: object) -> None:
    sample = square()
    assert apply_transform(config.build(), sample, square, final=False) is sample  # type: ignore[attr-defined]


def test_mixup_keeps_the_objects_of_both() -> None:
    with seeded(3):
        mixed = apply_transform(
            Mixup(scale=(1.0, 1.0)).build(), square(), lambda: square(box=(0, 0, 10, 10)), final=False
        )
    assert mixed.target["boxes"].tolist() == [[16, 24, 40, 44], [0, 0, 10, 10]]
    assert mixed.image[0, 30, 30] == pytest.approx(128, abs=1)
    assert mixed.image[0, 60, 60] == 0


def test_mixup_with_an_image_without_objects_is_left_out() -> None:
    empty = square()
    empty.target["boxes"] = tv_tensors.wrap(empty.target["boxes"][:0], like=empty.target["boxes"])
    sample = square()
    assert apply_transform(Mixup().build(), sample, lambda: empty, final=False) is sample


@pytest.mark.parametrize(
    ("matrix", "expected"),
    [
        ([[1, 0, 0], [0, 1, 0]], [16, 24, 40, 44]),  # nothing
        ([[1, 0, 5], [0, 1, -4]], [21, 20, 45, 40]),  # a move
        ([[0, -1, 64], [1, 0, 0]], [20, 16, 40, 40]),  # a quarter turn clockwise about the centre of 64×64
        ([[0.5, 0, 0], [0, 2, 0]], [8, 48, 20, 88]),  # stretched; the lower edge is cut at 64
    ],
)
def test_affine_moves_boxes_as_worked_out_by_hand(matrix: list[list[float]], expected: list[float]) -> None:
    array = np.array(matrix, float)
    assert moved_boxes(square().target["boxes"].as_subclass(torch.Tensor), array).tolist() == [expected]
    warped = warp(square(), array, smallest=0.1)
    cut = [min(v, 64) for v in expected]
    assert warped.target["boxes"].tolist() == [cut]
    white = warped.image[0] > 127
    rows, columns = torch.where(white.any(1))[0], torch.where(white.any(0))[0]
    # What comes in from outside is grey (114), so white is the rectangle alone.
    assert [columns[0], rows[0], columns[-1] + 1, rows[-1] + 1] == pytest.approx(cut, abs=1)


def test_a_box_that_leaves_the_image_is_dropped_with_its_rows() -> None:
    warped = warp(square(), np.array([[1, 0, 50], [0, 1, 0]], float), smallest=0.2)
    assert {k: len(v) for k, v in warped.target.items()} == {"boxes": 0, "labels": 0, "area": 0, "masks": 0}


def test_hue_turns_red_into_green() -> None:
    red = Sample(
        tv_tensors.Image(torch.tensor([255, 0, 0], dtype=torch.uint8).view(3, 1, 1).expand(3, 4, 4).clone()), {}, ""
    )
    seen = set()
    for seed in range(60):
        with seeded(seed):
            changed = HsvJitter(hue=0.34, saturation=0.0, value=0.0).build()(red)
        seen.add(int(changed.image[:, 0, 0].argmax()))
    assert {0, 1} <= seen
