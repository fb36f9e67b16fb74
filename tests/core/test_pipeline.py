"""What happens to a sample depends on (seed, epoch, index) alone."""

from __future__ import annotations

import random
from typing import Any

import attrs
import numpy as np
import pytest
import torch
from torchvision import tv_tensors
from torchvision.transforms import v2

from vf.data.loader import train_batches
from vf.data.pipeline import EvalView, Failure, Fitted, TrainView, apply_transform, drop_empty_boxes
from vf.data.sample import Sample
from vf.data.sampler import Draw, TrainSampler
from vf.data.seeding import mix, seeded
from vf.errors import DataError
from vf.nn.preprocess import Letterbox


class Boxes:
    """Four images of unlike sizes, with one box each."""

    def __len__(self) -> int:
        return 4

    def __getitem__(self, index: int) -> Sample:
        height, width = 10 + 2 * index, 20
        boxes = tv_tensors.BoundingBoxes(torch.tensor([[2.0, 1, 6, 5]]), format="XYXY", canvas_size=(height, width))
        image = tv_tensors.Image(torch.full((3, height, width), 10 * index, dtype=torch.uint8))
        return Sample(image, {"boxes": boxes, "labels": torch.tensor([index])}, str(index))


def noise(sample: Sample) -> Sample:
    image = sample.image + torch.randint(0, 9, ()) + random.randint(0, 9) + np.random.randint(0, 9)
    return attrs.evolve(sample, image=tv_tensors.Image(image.to(torch.uint8)))


class Blend:
    mixes = True

    def __call__(self, sample: Sample, pick: Any) -> Sample:
        return attrs.evolve(sample, id=f"{sample.id}+{pick().id}")


LETTERBOX = Letterbox(size=(20, 20))


def view(*transforms: Any, seed: int = 1) -> TrainView:
    return TrainView(Boxes(), transforms, LETTERBOX, seed=seed)


def fitted(item: Fitted | Failure) -> Sample:
    assert isinstance(item, Fitted)
    return item.sample


def test_a_draw_gives_the_same_sample_whatever_came_before() -> None:
    first = fitted(view(noise)[Draw(3, 2, False)])
    torch.rand(7)
    random.random()
    assert torch.equal(first.image, fitted(view(noise)[Draw(3, 2, False)]).image)


@pytest.mark.parametrize("draw", [Draw(4, 2, False), Draw(3, 1, False)])
def test_other_draws_give_other_samples(draw: Draw) -> None:
    assert mix(1, 3, 2) != mix(1, draw.epoch, draw.index)


def test_global_generators_are_left_alone() -> None:
    torch.manual_seed(0)
    expected = torch.rand(1)
    torch.manual_seed(0)
    with seeded(1, 2, 3):
        torch.rand(5)
    assert torch.equal(torch.rand(1), expected)


def test_every_generator_is_seeded_and_put_back_also_inside_another_block() -> None:
    def drawn() -> tuple[float, ...]:
        return float(torch.rand(())), random.random(), float(np.random.rand()), float(np.random.randn(2)[0])

    with seeded(1):
        once = drawn()
    with seeded(1):
        first = drawn()
        with seeded(2):
            inner = drawn()
        second = drawn()
    with seeded(1):
        assert drawn() == first == once
        assert drawn() == second
    with seeded(2):
        assert drawn() == inner
    np.random.seed(3)
    expected = np.random.RandomState(3).rand(4).tolist()
    found = [np.random.rand()]
    with seeded(1):
        drawn()
    assert [*found, *np.random.rand(3)] == expected


def test_transforms_are_handed_the_image_alone_where_nothing_moves_with_it() -> None:
    seen: list[int] = []

    class Count(v2.Transform):  # type: ignore[misc]
        def forward(self, *inputs: Any) -> Any:
            seen.append(len(inputs))
            return inputs if len(inputs) > 1 else inputs[0]

    sample = Boxes()[0]
    apply_transform(Count(), sample, Boxes().__len__, final=False)  # type: ignore[arg-type]
    plain = attrs.evolve(sample, target={"labels": torch.tensor([1, 2])})
    assert apply_transform(Count(), plain, Boxes().__len__, final=False).target is plain.target  # type: ignore[arg-type]
    assert seen == [2, 1]


def test_batches_are_loaded_with_one_thread_and_trained_with_all() -> None:
    seen: list[int] = []

    class Watch(Boxes):
        def __getitem__(self, index: int) -> Sample:
            seen.append(torch.get_num_threads())
            return super().__getitem__(index)

    before = torch.get_num_threads()
    torch.set_num_threads(3)
    try:
        sampler = TrainSampler(num_samples=4, batch_size=2, steps=2, seed=0)
        watched = TrainView(Watch(), [], Letterbox(size=(40, 40)), seed=0)
        for _ in train_batches(watched, sampler, fill=114, workers=0, prefetch=2, pin=False):
            seen.append(torch.get_num_threads())
    finally:
        torch.set_num_threads(before)
    assert seen == [1, 1, 3, 1, 1, 3]


@pytest.mark.parametrize("workers", [1, 2])
def test_workers_change_nothing(workers: int) -> None:
    def batches(count: int) -> list[torch.Tensor]:
        sampler = TrainSampler(num_samples=4, batch_size=2, steps=5, seed=0)
        loader = train_batches(view(noise), sampler, fill=114, workers=count, prefetch=2, pin=False)
        return [b.images for b in loader]

    for one, other in zip(batches(0), batches(workers), strict=True):
        assert torch.equal(one, other)


def test_mixing_is_off_in_the_final_phase() -> None:
    assert "+" in fitted(view(Blend())[Draw(0, 1, False)]).id
    assert fitted(view(Blend())[Draw(0, 1, True)]).id == "1"


def test_torchvision_transforms_move_the_boxes_too() -> None:
    sample = fitted(view(v2.RandomHorizontalFlip(1.0))[Draw(0, 0, False)])
    assert sample.target["boxes"].tolist() == [[14, 1, 18, 5]]


def test_training_targets_are_in_the_resized_frame_and_evaluation_targets_are_not() -> None:
    double = Letterbox(size=(40, 40))
    train = fitted(TrainView(Boxes(), (), double, seed=0)[Draw(0, 0, False)])
    val = fitted(EvalView(Boxes(), double)[0])
    assert train.image.shape == val.image.shape == (3, 20, 40)
    assert train.target["boxes"].tolist() == [[4, 2, 12, 10]]
    assert val.target["boxes"].tolist() == [[2, 1, 6, 5]]


def test_boxes_under_a_pixel_are_dropped_with_their_rows() -> None:
    boxes = tv_tensors.BoundingBoxes([[0.0, 0, 9, 9], [1, 1, 1.5, 9]], format="XYXY", canvas_size=(10, 10))
    target = {"boxes": boxes, "labels": torch.tensor([4, 5]), "masks": tv_tensors.Mask(torch.zeros(2, 10, 10)), "n": 2}
    sample = drop_empty_boxes(Sample(tv_tensors.Image(torch.zeros(3, 10, 10)), target, "x"))
    assert sample.target["labels"].tolist() == [4]
    assert sample.target["masks"].shape == (1, 10, 10)
    assert isinstance(sample.target["boxes"], tv_tensors.BoundingBoxes)
    assert sample.target["n"] == 2


class Broken(Boxes):
    def __getitem__(self, index: int) -> Sample:
        raise DataError(f"image {index}: is truncated")


@pytest.mark.parametrize("workers", [0, 1])
def test_an_error_of_the_data_leaves_a_worker_as_it_is(workers: int) -> None:
    sampler = TrainSampler(num_samples=4, batch_size=2, steps=1, seed=0)
    broken = TrainView(Broken(), (), LETTERBOX, seed=0)
    with pytest.raises(DataError, match=r"^image \d: is truncated$"):
        list(train_batches(broken, sampler, fill=0, workers=workers, prefetch=2, pin=False))


class Finishing(Letterbox):
    """Image rules that add to the target last."""

    def finish(self, sample: Sample) -> Sample:
        return attrs.evolve(sample, target={**sample.target, "seen": torch.tensor(sample.size)})


@pytest.mark.parametrize("sets_size", [False, True])
def test_what_a_transform_sized_is_finished_and_not_fitted(sets_size: bool) -> None:
    transform = v2.Resize([8, 12])
    transform.sets_size = sets_size  # type: ignore[assignment]
    view = TrainView(Boxes(), [transform], Finishing(size=(32, 32)), seed=0)
    fitted = view[Draw(epoch=0, index=1, final=False)]
    assert isinstance(fitted, Fitted)
    if sets_size:
        assert fitted.sample.size == (8, 12)
        assert fitted.sample.target["seen"].tolist() == [8, 12]
    else:
        assert max(fitted.sample.size) == 32
        assert "seen" not in fitted.sample.target


@pytest.mark.parametrize(("nothing", "same"), [(True, False), (False, True)])
def test_generators_are_not_seeded_where_nothing_is_drawn(nothing: bool, same: bool) -> None:
    class Noisy:
        draws_nothing = nothing

        def __len__(self) -> int:
            return 1

        def __getitem__(self, index: int) -> Sample:
            image = torch.randint(0, 256, (3, 4, 4), dtype=torch.uint8)
            return Sample(tv_tensors.Image(image), {}, "noise")

    class Plain:
        draws_nothing = True
        pad_value = 0

        def fit(self, sample: Sample, *, with_target: bool) -> Sample:
            return sample

        def __call__(self, images: torch.Tensor, sizes: torch.Tensor) -> torch.Tensor:
            return images

    given = TrainView(Noisy(), [], Plain(), seed=1)
    images = []
    for seed in (0, 1):
        torch.manual_seed(seed)
        images.append(fitted(given[Draw(0, 0, False)]).image)
    assert torch.equal(*images) is same
