"""Every registered transform keeps image, boxes, masks, keypoints and the rest of the rows together."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import attrs
import pytest
import torch
from torch import Tensor
from torchvision import tv_tensors

from vf import color_configs as colors
from vf import transform_configs as moves
from vf.data.pipeline import apply_transform
from vf.data.sample import Sample
from vf.data.seeding import seeded
from vf.errors import ConfigError
from vf.plugins import plugins
from vf.recipes import from_text
from vf.testing import check_transform
from vf_det import transform_configs as ours

FLIP = moves.HorizontalFlip()
SIZE = (100, 140)
PIXELS: dict[str, Any] = {
    "adjust_sharpness": colors.AdjustSharpness(p=1.0),
    "autocontrast": colors.Autocontrast(p=1.0),
    "channel_permutation": colors.ChannelPermutation(),
    "color_jitter": colors.ColorJitter(brightness=0.4, contrast=0.4, saturation=0.4, hue=0.1),
    "equalize": colors.Equalize(p=1.0),
    "erasing": colors.Erasing(p=1.0),
    "gaussian_blur": colors.GaussianBlur(),
    "gaussian_noise": colors.GaussianNoise(),
    "grayscale": colors.Grayscale(p=1.0),
    "hsv_jitter": ours.HsvJitter(hue=0.3),
    "invert": colors.Invert(p=1.0),
    "photometric_distort": colors.PhotometricDistort(),
    "photometric_distortion": ours.PhotometricDistortion(),
    "posterize": colors.Posterize(p=1.0),
    "solarize": colors.Solarize(p=1.0),
}
"""Labels stay as they are."""
STRAIGHT: dict[str, Any] = {
    "center_crop": moves.CenterCrop(size=(80, 90)),
    "copy_paste": ours.CopyPaste(),
    "crop": moves.Crop(size=(60, 160)),
    "expand": ours.Expand(p=1.0),
    "horizontal_flip": moves.HorizontalFlip(p=1.0),
    "iou_crop": moves.IouCrop(),
    "min_iou_crop": ours.MinIouCrop(),
    "mosaic": ours.Mosaic(size=SIZE),
    "mixup": ours.Mixup(),
    "pad": moves.Pad(border=(3, 5, 0, 9)),
    "pad_to": ours.PadTo(divisor=32),
    "rand_resize_crop": ours.RandResizeCrop(scales=((140, 90), (200, 120)), size=(90, 70), pad=(96, 80)),
    "random_apply": moves.RandomApply(transforms=(FLIP, moves.Resize(size=(70, 90)))),
    "random_choice": moves.RandomChoice(choices=((FLIP,), (), (ours.Mosaic(size=SIZE), FLIP)), weights=(1.0, 1.0, 2.0)),
    "random_order": moves.RandomOrder(transforms=(FLIP, ours.Expand(), ours.MinIouCrop())),
    "random_resize": moves.RandomResize(min=50, max=150),
    "resize": moves.Resize(size=(80, 220)),
    "resize_scales": ours.ResizeScales(scales=((120, 80), (200, 150)), mode="range", pad=(224, 160)),
    "resized_crop": moves.ResizedCrop(size=(90, 90)),
    "scale_jitter": moves.ScaleJitter(size=(100, 100), scale=(0.5, 2.0)),
    "shortest_size": moves.ShortestSize(short=(60, 90), long=120),
    "vertical_flip": moves.VerticalFlip(p=1.0),
    "zoom_out": moves.ZoomOut(p=1.0),
}
"""Edges stay upright: boxes stay tight."""
BENT: dict[str, Any] = {
    "affine": moves.Affine(degrees=20.0, shear=5.0, scale=(0.8, 1.2)),
    "elastic_transform": moves.ElasticTransform(alpha=15.0),
    "perspective": moves.Perspective(p=1.0),
    "random_affine": ours.RandomAffine(degrees=20.0, scale=(0.7, 1.3), translate=0.2),
    "rotation": moves.Rotation(degrees=30.0, expand=True),
}
"""Boxes hold their objects."""
TABLE = {**PIXELS, **STRAIGHT, **BENT}
BOXES = ((8, 10, 40, 34), (60, 20, 100, 80), (104, 62, 136, 96))


def scene(id_: str = "s", *, objects: int = 3) -> Sample:
    """Red, green and blue rectangles on grey; box, mask and two keypoints each; the class is the colour."""
    height, width = SIZE
    image = torch.full((3, height, width), 90, dtype=torch.uint8)
    masks = torch.zeros(objects, height, width, dtype=torch.bool)
    for label, (x1, y1, x2, y2) in enumerate(BOXES[:objects]):
        image[:, y1:y2, x1:x2] = 20
        image[label, y1:y2, x1:x2] = 235
        masks[label, y1:y2, x1:x2] = True
    boxes = torch.tensor(BOXES[:objects], dtype=torch.float32).reshape(-1, 4)
    middle = (boxes[:, None, :2] + boxes[:, None, 2:]) / 2
    points = middle + torch.tensor([[-6.0, -3.0], [4.0, 5.0]])
    target = {
        "boxes": tv_tensors.BoundingBoxes(boxes, format="XYXY", canvas_size=SIZE),
        "labels": torch.arange(objects),
        "iscrowd": torch.zeros(objects, dtype=torch.bool),
        "area": (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1]),
        "masks": tv_tensors.Mask(masks),
        "keypoints": tv_tensors.KeyPoints(points.reshape(objects, 2, 2), canvas_size=SIZE),
        "visible": torch.full((objects, 2), 2),
    }
    return Sample(tv_tensors.Image(image), target, id_)


def changed(config: Any, seed: int, sample: Sample | None = None) -> Sample:
    with seeded(seed):
        return apply_transform(config.build(), sample or scene(), lambda: scene("other"), final=False)


def assert_whole(sample: Sample) -> None:
    """Kinds, shapes and numbers of rows agree, and nothing lies outside or is NaN."""
    target, (height, width) = sample.target, sample.size
    assert isinstance(sample.image, tv_tensors.Image)
    assert sample.image.dtype == torch.uint8
    assert sample.image.shape[0] == 3
    assert {len(value) for value in target.values()} == {len(target["boxes"])}
    assert set(target) == set(scene().target)
    for key, kind in (("boxes", tv_tensors.BoundingBoxes), ("keypoints", tv_tensors.KeyPoints)):
        assert isinstance(target[key], kind)
        assert target[key].canvas_size == (height, width)
    assert target["masks"].shape[1:] == (height, width)
    assert target["masks"].dtype == torch.bool
    for key in ("boxes", "area", "keypoints"):
        assert target[key].dtype == torch.float32
        assert target[key].isfinite().all()
    boxes = target["boxes"].as_subclass(Tensor)
    assert ((boxes >= 0) & (boxes <= torch.tensor([width, height, width, height]))).all()
    assert (boxes[:, 2:] > boxes[:, :2]).all()


def edges(mask: Tensor) -> Tensor:
    rows, columns = mask.any(1).nonzero()[:, 0], mask.any(0).nonzero()[:, 0]
    return torch.tensor([columns[0], rows[0], columns[-1] + 1, rows[-1] + 1]).float()


def assert_boxes_hold_masks(sample: Sample, *, slack: float, tight: bool) -> None:
    for box, mask in zip(sample.target["boxes"].as_subclass(Tensor), sample.target["masks"], strict=True):
        if not mask.any():  # a sliver under a pixel
            assert (box[2:] - box[:2]).min() < 1.5
            continue
        out = edges(mask.as_subclass(Tensor)) - box
        assert (out[:2] >= -slack).all(), (out, box)
        assert (out[2:] <= slack).all(), (out, box)
        assert not tight or out.abs().max() <= slack, (out, box)


def assert_colours(sample: Sample) -> None:
    """What a mask or a seen keypoint of class k lies on is strongest in channel k."""
    for label, mask in zip(sample.target["labels"], sample.target["masks"].as_subclass(Tensor), strict=True):
        if mask.sum() > 20:
            assert sample.image[:, mask].float().mean(1).argmax() == label
    seen = sample.target["visible"] == 2
    for label, points, shown in zip(sample.target["labels"], sample.target["keypoints"], seen, strict=True):
        for x, y in points[shown].long().tolist():
            assert sample.image[:, y, x].argmax() == label


def test_the_table_holds_every_transform() -> None:
    assert set(TABLE) == set(plugins().names("transform", "det")) - {"albumentations"}


@pytest.mark.parametrize("name", sorted(STRAIGHT))
@pytest.mark.parametrize("seed", range(8))
def test_straight_moves_keep_boxes_tight(name: str, seed: int) -> None:
    sample = changed(STRAIGHT[name], seed)
    assert_whole(sample)
    assert_boxes_hold_masks(sample, slack=1.6, tight=True)
    if name != "mixup":  # two colours at once
        assert_colours(sample)


@pytest.mark.parametrize("name", sorted(BENT))
@pytest.mark.parametrize("seed", range(8))
def test_bent_moves_keep_objects_in_their_boxes(name: str, seed: int) -> None:
    sample = changed(BENT[name], seed)
    assert_whole(sample)
    assert_boxes_hold_masks(sample, slack=2.0, tight=False)
    assert_colours(sample)


@pytest.mark.parametrize("name", sorted(PIXELS))
@pytest.mark.parametrize("seed", range(3))
def test_colours_change_and_labels_do_not(name: str, seed: int) -> None:
    sample = changed(PIXELS[name], seed)
    assert_whole(sample)
    assert sample.size == SIZE
    assert all(torch.equal(sample.target[key], value) for key, value in scene().target.items())


@pytest.mark.parametrize("name", sorted(TABLE))
def test_the_same_seed_gives_the_same_bits(name: str) -> None:
    one, other = changed(TABLE[name], 5), changed(TABLE[name], 5)
    assert torch.equal(one.image, other.image)
    assert one.pad == other.pad
    assert all(torch.equal(one.target[key], other.target[key]) for key in one.target)


@pytest.mark.parametrize("name", sorted(TABLE))
def test_images_without_objects_pass(name: str) -> None:
    for seed in range(3):
        with seeded(seed):
            empty = scene(objects=0)
            sample = apply_transform(TABLE[name].build(), empty, lambda: scene(objects=0), final=False)
        assert_whole(sample)
        assert len(sample.target["boxes"]) == 0


@pytest.mark.parametrize("name", sorted(TABLE))
def test_contract(name: str) -> None:
    check_transform(TABLE[name], scene())


@pytest.mark.parametrize("name", sorted(set(TABLE) - {"copy_paste"}))
def test_boxes_alone_are_enough(name: str) -> None:
    bare = scene()
    bare.target = {key: bare.target[key] for key in ("boxes", "labels")}
    with seeded(1):
        sample = apply_transform(TABLE[name].build(), bare, lambda: attrs.evolve(bare), final=False)
    assert len(sample.target["boxes"]) == len(sample.target["labels"])


MIXES = {"copy_paste", "mixup", "mosaic", "random_choice"}


@pytest.mark.parametrize("name", sorted({**STRAIGHT, **BENT}.keys() - MIXES))
def test_maps_of_the_whole_image_move_with_it(name: str) -> None:
    for seed in range(3):
        whole = scene()
        stuff = torch.full(SIZE, 7, dtype=torch.uint8)
        for label, mask in enumerate(whole.target["masks"].as_subclass(Tensor)):
            stuff[mask] = label
        whole.target["stuff"] = tv_tensors.Mask(stuff)
        sample = changed(TABLE[name], seed, whole)
        moved = sample.target["stuff"]
        assert moved.shape == sample.image.shape[1:]
        assert moved.dtype == torch.uint8
        assert set(moved.unique().tolist()) <= {0, 1, 2, 7, 255}
        for label in range(3):
            if (where := moved.as_subclass(Tensor) == label).sum() > 20:
                assert sample.image[:, where].float().mean(1).argmax() == label


@pytest.mark.parametrize("name", sorted(MIXES - {"random_choice"}))
def test_maps_of_the_whole_image_cannot_be_joined(name: str) -> None:
    whole = scene()
    whole.target["stuff"] = tv_tensors.Mask(torch.zeros(SIZE, dtype=torch.uint8))
    with pytest.raises(ConfigError) as error, seeded(1):
        apply_transform(TABLE[name].build(), whole, lambda: whole, final=False)
    assert error.value.problems == (
        "augment: mosaic, mixup and copy_paste cannot join the map 'stuff' of images; leave them out",
    )


def test_copy_paste_hides_what_it_covers() -> None:
    """A square of one class is pasted over the middle of the green rectangle, by hand."""
    whole = scene()
    over = torch.zeros(SIZE, dtype=torch.bool)
    over[20:50, 60:100] = True  # the upper half of the green one
    target = ours.CopyPaste(smallest=0.4).build()._hidden(whole.target, over)  # type: ignore[attr-defined]
    assert target["boxes"].tolist()[1] == [60, 50, 100, 80]
    assert target["area"].tolist() == [32 * 24, 40 * 30, 32 * 34]
    assert target["visible"].tolist() == [[2, 2], [1, 2], [2, 2]]
    gone = ours.CopyPaste(smallest=0.6).build()._hidden(whole.target, over)  # type: ignore[attr-defined]
    assert gone["labels"].tolist() == [0, 2]


def test_copy_paste_without_masks_is_refused() -> None:
    bare = scene()
    del bare.target["masks"]
    with pytest.raises(ConfigError) as error:
        changed(ours.CopyPaste(), 0, bare)
    assert error.value.problems == (
        "augment: copy_paste cuts objects out by their masks, and the data have none; set data.masks=true where they "
        "can be read, or leave copy_paste out",
    )


GUIDE = Path(__file__).parents[2] / "docs" / "transforms.md"
RECIPE = """
task: det
data: {name: shapes}
model: {name: yolox}
train: {length: 1 steps, batch_size: 2, optimizer: {name: sgd, lr: 0.1}}
"""


@pytest.mark.parametrize("block", re.findall(r"```yaml\n(.*?)```", GUIDE.read_text(encoding="utf-8"), re.DOTALL))
def test_every_recipe_of_the_guide_is_read(block: str) -> None:
    recipe = from_text(RECIPE + block, "guide").recipe
    for config in recipe.augment:
        if not isinstance(config, ours.Albumentations):
            config.build()


def test_the_guide_names_every_transform() -> None:
    text = GUIDE.read_text(encoding="utf-8")
    assert [name for name in plugins().names("transform", "det") if f"`{name}`" not in text] == []
