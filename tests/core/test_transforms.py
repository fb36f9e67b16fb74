"""Lists of transforms, transforms that set the size, and the mistakes that one can make in their keys."""

from __future__ import annotations

from collections import Counter
from typing import Any

import attrs
import cv2
import pytest
import torch
from torchvision import tv_tensors
from torchvision.transforms import v2

from vf import color_configs as colors
from vf import transform_configs as moves
from vf.data.collate import Collate
from vf.data.compose import RandomApply, RandomChoice, RandomOrder
from vf.data.pipeline import Fitted, TrainView, apply_transform
from vf.data.sample import Batch, Sample
from vf.data.sampler import Draw
from vf.data.seeding import seeded
from vf.errors import ConfigError
from vf.nn.preprocess import Letterbox
from vf.recipes import structure
from vf.yaml12 import parse


class Named:
    """Writes its name into the sample's id."""

    def __init__(self, name: str, **marks: bool) -> None:
        self.name = name
        vars(self).update(marks)

    def __call__(self, sample: Sample, *_: Any) -> Sample:
        return attrs.evolve(sample, id=sample.id + self.name)


A, B, SIZING, MIXING = Named("a"), Named("b"), Named("s", sets_size=True), Named("m", mixes=True)


def blank(height: int = 10, width: int = 20) -> Sample:
    boxes = tv_tensors.BoundingBoxes([[2.0, 1, 6, 5]], format="XYXY", canvas_size=(height, width))
    image = tv_tensors.Image(torch.zeros(3, height, width, dtype=torch.uint8))
    return Sample(image, {"boxes": boxes, "labels": torch.tensor([0])}, "")


def ids(transform: Any, count: int = 200, *, final: bool = False) -> Counter[str]:
    seen: Counter[str] = Counter()
    for seed in range(count):
        with seeded(seed):
            seen[apply_transform(transform, blank(), blank, final=final).id] += 1
    return seen


def test_apply_is_all_or_nothing() -> None:
    seen = ids(RandomApply([A, B], p=0.25))
    assert set(seen) == {"", "ab"}
    assert 30 <= seen["ab"] <= 70


def test_choice_follows_the_weights() -> None:
    seen = ids(RandomChoice([[A], [B, A], []], weights=[1.0, 2.0, 1.0]))
    assert set(seen) == {"a", "ba", ""}
    assert 80 <= seen["ba"] <= 120


def test_order_is_drawn() -> None:
    assert set(ids(RandomOrder([A, B]))) == {"ab", "ba"}


def test_lists_hold_transforms_of_every_kind_and_the_final_phase_reaches_them() -> None:
    nested = RandomApply([RandomChoice([[MIXING, A]], weights=[1.0])], p=1.0)
    assert set(ids(nested, 3)) == {"ma"}
    assert set(ids(nested, 3, final=True)) == {"a"}


@pytest.mark.parametrize(
    ("transform", "sets"),
    [
        (RandomApply([A, SIZING], p=1.0), True),
        (RandomApply([A, SIZING], p=0.5), False),  # the other half still has to be fitted
        (RandomChoice([[SIZING], [A, SIZING]], weights=[1.0, 1.0]), True),
        (RandomChoice([[SIZING], [A]], weights=[1.0, 1.0]), False),
        (RandomOrder([A, SIZING]), True),
        (RandomOrder([A, B]), False),
    ],
)
def test_a_list_sets_the_size_where_it_always_does(transform: Any, sets: bool) -> None:
    assert transform.sets_size is sets


class Blanks:
    def __len__(self) -> int:
        return 1

    def __getitem__(self, index: int) -> Sample:
        return blank()


@pytest.mark.parametrize(
    ("transforms", "size"),
    [
        ([], (20, 40)),
        ([moves.HorizontalFlip()], (20, 40)),
        ([moves.Resize(size=(7, 9))], (7, 9)),
        ([moves.RandomChoice(choices=((moves.Crop(size=(8, 6)),),))], (8, 6)),
    ],
)
def test_the_models_fit_is_left_out_where_a_transform_sets_the_size(transforms: list[Any], size: Any) -> None:
    view = TrainView(Blanks(), [t.build() for t in transforms], Letterbox(size=(40, 40)), seed=0)
    item = view[Draw(0, 0, False)]
    assert isinstance(item, Fitted)
    assert item.sample.size == size
    assert item.original == (10, 20)


def test_images_larger_than_the_models_size_are_refused() -> None:
    with pytest.raises(ConfigError) as error:
        Letterbox(size=(40, 40))(torch.zeros(1, 3, 32, 64, dtype=torch.uint8), torch.tensor([[32, 64]]))
    assert error.value.problems == (
        "augment: gives images of up to 32×64 px (height × width), more than model.size 40×40; make one smaller or the "
        "other larger",
    )


def test_a_batch_is_padded_to_what_its_samples_ask_for() -> None:
    samples = [attrs.evolve(blank(), pad=(32, 24)), blank(8, 30)]
    for sample in samples:
        sample.target["semantic"] = tv_tensors.Mask(torch.zeros(sample.size, dtype=torch.uint8))
    batch = Collate(fill=7)([Fitted(sample, sample.size) for sample in samples])
    assert isinstance(batch, Batch)
    assert batch.images.shape == (2, 3, 32, 30)
    assert batch.sizes.tolist() == [[10, 20], [8, 30]]
    assert batch.images[0, 0, 10, 0] == batch.images[0, 0, 0, 20] == 7
    maps = batch.target("semantic")
    assert [m.shape for m in maps] == [(32, 30), (32, 30)]
    assert int((maps[1] == 255).sum()) == 32 * 30 - 8 * 30, "nobody knows what lies in the padding"


def test_boxes_that_left_the_image_go_with_their_rows() -> None:
    sample = blank(40, 40)
    sample.target["area"] = torch.tensor([16.0])
    half = apply_transform(moves.Pad(border=(0, 0, 0, 0)).build(), sample, blank, final=False)
    assert half.target["area"].tolist() == [16]
    gone = apply_transform(moves.CenterCrop(size=(10, 10)).build(), sample, blank, final=False)
    assert {key: len(value) for key, value in gone.target.items()} == {"boxes": 0, "labels": 0, "area": 0}


@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic"])
def test_a_resized_crop_is_torchvisions(interpolation: Any) -> None:
    pixels = torch.randint(0, 256, (3, 50, 70), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    plain = Sample(tv_tensors.Image(pixels), {"labels": torch.tensor([1])}, "")
    boxed = Sample(tv_tensors.Image(pixels), blank(50, 70).target, "")
    for seed in range(5):
        keys: dict[str, Any] = {"size": (24, 30), "scale": (0.2, 0.5)}
        reference = v2.RandomResizedCrop([24, 30], scale=(0.2, 0.5), interpolation=v2.InterpolationMode(interpolation))
        own = moves.ResizedCrop(interpolation=interpolation, **keys).build()
        quick = moves.ResizedCrop(interpolation=interpolation, antialias=False, **keys).build()
        with seeded(seed):
            expected = reference(plain.image)
        for sample in (plain, boxed):
            with seeded(seed):
                assert torch.equal(apply_transform(own, sample, blank, final=False).image, expected)
            with seeded(seed):
                part = reference.make_params([plain.image])
            top, left = part["top"], part["left"]
            cut = pixels[:, top : top + part["height"], left : left + part["width"]]
            mode = cv2.INTER_LINEAR if interpolation == "bilinear" else cv2.INTER_CUBIC
            by_hand = cv2.resize(cut.permute(1, 2, 0).numpy(), (30, 24), interpolation=mode)
            with seeded(seed):
                found = apply_transform(quick, sample, blank, final=False)
            assert torch.equal(found.image.permute(1, 2, 0), torch.from_numpy(by_hand))
    assert own.sets_size


@pytest.mark.parametrize(
    ("cls", "keys", "sentence"),
    [
        (moves.RandomResize, {"min": 9, "max": 8}, "min 9 > max 8"),
        (moves.ShortestSize, {"short": ()}, "short: is an empty list; expected at least one length"),
        (moves.IouCrop, {"ious": (0.5,)}, "ious: must hold 1, for images in which no other crop is found"),
        (
            moves.ScaleJitter,
            {"size": (9, 9), "scale": (2.0, 1.0)},
            "scale: the first must not be larger than the second, got [2.0, 1.0]",
        ),
        (moves.RandomChoice, {"choices": ()}, "choices: is an empty list; expected at least one list of transforms"),
        (moves.RandomChoice, {"choices": ((),), "weights": (1.0, 2.0)}, "weights: 2 of them for 1 choices"),
        (colors.GaussianBlur, {"kernel": 4}, "kernel: must be odd, got 4"),
        (
            colors.PhotometricDistort,
            {"hue": (0.1, -0.1)},
            "hue: the first must not be larger than the second, got [0.1, -0.1]",
        ),
    ],
)
def test_mistakes(cls: Any, keys: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ValueError) as error:  # noqa: PT011 - the sentence is compared whole
        cls(**keys)
    assert str(error.value) == sentence


RECIPE = """
task: fish
data: {name: pond, path: p}
model: {name: net, width: 1}
train: {length: 10 steps, batch_size: 4, optimizer: {name: sgd, lr: 0.1}}
loader: {sampler: {name: aspect_ratio, window: 8}}
augment:
  - name: random_choice
    choices: [[{name: horizontal_flip}, {name: resize, size: [8, 9]}], []]
    weights: [1, 2.5]
"""


def test_nested_lists_and_samplers_are_read_back_the_same(site: Any) -> None:
    site.fish()
    first = structure(parse(RECIPE, "f"), "f")
    (choice,) = first.recipe.augment
    assert choice == moves.RandomChoice(
        choices=((moves.HorizontalFlip(), moves.Resize(size=(8, 9))), ()), weights=(1.0, 2.5)
    )
    assert structure(parse(first.yaml(), "g"), "g").recipe == first.recipe


def test_a_mistake_deep_in_a_list_is_named(site: Any) -> None:
    site.fish()
    with pytest.raises(ConfigError) as error:
        structure(parse(RECIPE.replace("{name: horizontal_flip}", "{name: horizontal_flip, q: 1}"), "f"), "f")
    assert error.value.problems == ("f:9: augment[0].choices[0][0].q: unknown key; known: p",)


@pytest.mark.parametrize(("config", "turned"), [(moves.HorizontalFlip(p=1.0), -1), (moves.VerticalFlip(p=1.0), -2)])
@pytest.mark.parametrize("dtype", [torch.uint8, torch.int32])
def test_maps_are_mirrored_as_they_are(config: Any, turned: int, dtype: torch.dtype) -> None:
    values = torch.arange(200).reshape(10, 20).to(dtype)
    given = attrs.evolve(blank(), target={**blank().target, "semantic": tv_tensors.Mask(values)})
    result = apply_transform(config.build(), given, lambda: given, final=False)
    assert torch.equal(result.target["semantic"], values.flip(turned))
    assert result.target["semantic"].dtype == dtype
    assert isinstance(result.target["semantic"], tv_tensors.Mask)
    assert result.target["boxes"].shape == (1, 4)


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int32])
def test_what_comes_in_from_outside_is_ignored_in_maps(dtype: torch.dtype) -> None:
    values = torch.full((10, 20), 254).to(dtype)
    given = attrs.evolve(blank(), target={"semantic": tv_tensors.Mask(values)})
    result = apply_transform(moves.Pad(border=(1, 2, 3, 4)).build(), given, lambda: given, final=False)
    found = result.target["semantic"]
    assert (found.dtype, found.shape) == (dtype, (16, 24))
    assert (found[2:12, 1:21] == 254).all()
    assert found.unique().tolist() == [254, 255]
