"""Orders are pure functions of the position: resume, ranks and workers agree."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Sequence
from typing import Any

import pytest
import torch

from vf.data.orders import AspectRatio, ClassAware, Order, Repeated, Shuffled
from vf.data.sampler import Draw, TrainSampler
from vf.errors import ConfigError, DataError
from vf.samplers import AspectRatio as AspectRatioConfig
from vf.samplers import ClassAware as ClassAwareConfig
from vf.samplers import Repeated as RepeatedConfig
from vf.samplers import Shuffle

GENERATOR = torch.Generator().manual_seed(0)
SIZES = torch.randint(20, 99, (37, 2), generator=GENERATOR)
CLASSES = [[0, 1, 2, 3, 4, 5, 6, 7], [3, 8], [9], []]


def shuffled() -> Order:
    return Shuffled(37, seed=1)


def by_ratio() -> Order:
    return AspectRatio(SIZES, batch_size=4, window=3, seed=1)


def by_class() -> Order:
    return ClassAware(CLASSES, seed=1)


def repeated() -> Order:
    return Repeated(37, times=3, seed=1)


def draws(order: Order, **changes: int) -> list[list[Draw]]:
    options: dict[str, Any] = {"num_samples": 37, "batch_size": 4, "steps": 40, "seed": 1} | changes
    return list(TrainSampler(**options, order=order))


@pytest.mark.parametrize("make", [shuffled, by_ratio, by_class, repeated])
@pytest.mark.parametrize("start", [0, 1, 2, 3, 11, 12, 13, 39])
def test_resume_at_any_step_goes_on_the_same(make: Any, start: int) -> None:
    assert draws(make(), start=start) == draws(make())[start:]


@pytest.mark.parametrize("make", [shuffled, by_ratio, by_class, repeated])
def test_ranks_and_passes_cut_each_global_batch(make: Any) -> None:
    ranks = [draws(make(), world=2, rank=rank, accumulate=2) for rank in range(2)]
    for step, batch in enumerate(draws(make())):
        parts = [ranks[rank][step * 2 + turn] for turn in range(2) for rank in range(2)]
        assert list(itertools.chain(*parts)) == batch


@pytest.mark.parametrize("make", [shuffled, by_ratio, by_class, repeated])
def test_positions_may_be_asked_for_in_any_order(make: Any) -> None:
    order = make()
    straight = [make()(position) for position in range(100)]
    assert [order(position) for position in reversed(range(100))] == straight[::-1]
    assert order(10_000_000) == make()(10_000_000)


@pytest.mark.parametrize("make", [shuffled, by_ratio, by_class, repeated])
def test_no_draw_looks_like_another(make: Any) -> None:
    order = make()
    seen = Counter(order(position) for position in range(2000))
    assert set(seen.values()) == {1}


@pytest.mark.parametrize("make", [shuffled, by_ratio])
def test_every_sample_comes_once_in_each_epoch(make: Any) -> None:
    order = make()
    window = 3 * 4
    whole = [order(position) for position in range(37 * window)]  # ends with an epoch and with a window
    assert sorted(whole) == [(epoch, index) for epoch in range(window) for index in range(37)]


def test_each_sample_comes_in_a_row_augmented_anew_and_an_epoch_is_as_long_as_before() -> None:
    order = repeated()
    for epoch in range(3):
        whole = [order(37 * epoch + place) for place in range(37)]
        indices = [index for _, index in whole]
        assert sorted(Counter(indices).values()) == [1, *[3] * 12]
        assert indices == [index for index in dict.fromkeys(indices) for _ in range(3)][:37]
        assert list(dict.fromkeys(indices)) == [Shuffled(37, seed=1)(37 * epoch + k)[1] for k in range(13)]
        assert [copy - 3 * epoch for copy, _ in whole] == [place % 3 for place in range(37)]
    once = Repeated(37, times=1, seed=1)
    assert [once(position) for position in range(100)] == [shuffled()(position) for position in range(100)]


def test_a_window_holds_the_samples_of_the_shuffled_order_sorted_into_batches() -> None:
    one, other = by_ratio(), shuffled()
    ratio = (SIZES[:, 0] / SIZES[:, 1]).tolist()
    for first in range(0, 240, 12):
        here = [one(position) for position in range(first, first + 12)]
        assert sorted(here) == sorted(other(position) for position in range(first, first + 12))
        batches = [sorted(ratio[index] for _, index in here[i : i + 4]) for i in (0, 4, 8)]
        batches.sort()
        assert list(itertools.chain(*batches)) == sorted(itertools.chain(*batches)), "batches do not interleave"


def test_batches_of_a_window_are_not_always_narrowest_first() -> None:
    order, ratio = by_ratio(), (SIZES[:, 0] / SIZES[:, 1]).tolist()
    ranks = set()
    for first in range(0, 600, 12):
        means = [sum(ratio[order(first + 4 * b + i)[1]] for i in range(4)) for b in range(3)]
        ranks.add(means.index(min(means)))
    assert ranks == {0, 1, 2}


def test_alike_shapes_need_less_padding() -> None:
    def padded(order: Order) -> float:
        cells = 0
        for batch in draws(order, steps=30):
            high, wide = SIZES[[d.index for d in batch]].amax(0).tolist()
            cells += high * wide * len(batch)
        return cells / float(sum(SIZES[d.index].prod() for batch in draws(order, steps=30) for d in batch))

    assert padded(AspectRatio(SIZES, batch_size=4, window=30, seed=1)) < padded(shuffled()) - 0.15


def test_at_most_one_batch_of_a_window_mixes_orientations() -> None:
    sizes = torch.tensor([[2, 3]] * 25 + [[3, 2]] * 12)
    order = AspectRatio(sizes, batch_size=4, window=16, seed=5)
    for window in range(6):
        kinds = [{int(order(window * 64 + b * 4 + i)[1]) < 25 for i in range(4)} for b in range(16)]
        assert sum(len(kind) == 2 for kind in kinds) <= 1


def test_classes_come_equally_often_and_images_of_a_class_too() -> None:
    order = by_class()
    seen = Counter(order(position)[1] for position in range(3 * 8))  # 8 rounds of 3 classes with images
    assert seen[9] == 8
    assert seen[8] == 4
    assert seen[3] == 4 + 1
    assert all(seen[index] == 1 for index in (0, 1, 2, 4, 5, 6, 7))


class Told:
    """A data set that tells what samplers ask for."""

    def __len__(self) -> int:
        return 10

    def __getitem__(self, index: int) -> Any:
        raise AssertionError("samplers decode nothing")

    def sizes(self) -> Any:
        return SIZES[:10].numpy()

    def labels_of(self, index: int) -> Sequence[int]:
        return [k for k, images in enumerate(CLASSES) if index in images]


class Empty(Told):
    def labels_of(self, index: int) -> Sequence[int]:
        return []


class Silent:
    def __len__(self) -> int:
        return 10

    def __getitem__(self, index: int) -> Any:
        raise AssertionError("samplers decode nothing")


def test_configs_ask_the_data_set() -> None:
    keys: dict[str, Any] = {"batch_size": 4, "seed": 1}
    assert ClassAwareConfig().build(Told(), **keys)(17) == by_class()(17)
    expected = AspectRatio(SIZES[:10], batch_size=4, window=3, seed=1)
    assert AspectRatioConfig(window=3).build(Told(), **keys)(17) == expected(17)
    assert Shuffle().build(Silent(), **keys)(17) == Shuffled(10, seed=1)(17)
    assert RepeatedConfig().build(Silent(), **keys)(17) == Repeated(10, times=3, seed=1)(17)


@pytest.mark.parametrize(
    ("config", "name", "what", "method"),
    [
        (AspectRatioConfig(), "aspect_ratio", "the sizes of its images", "sizes"),
        (ClassAwareConfig(), "class_aware", "the labels of its images", "labels_of"),
    ],
)
def test_a_data_set_that_does_not_tell_is_named(config: Any, name: str, what: str, method: str) -> None:
    with pytest.raises(ConfigError) as error:
        config.build(Silent(), batch_size=4, seed=1)
    assert error.value.problems == (
        f"loader.sampler: {name} needs {what}, which Silent does not tell without decoding them (it has no method "
        f"{method}); take another sampler",
    )


def test_data_without_objects_have_no_classes() -> None:
    with pytest.raises(DataError) as error:
        ClassAwareConfig().build(Empty(), batch_size=4, seed=1)
    assert error.value.problems == (
        "loader.sampler: class_aware: the training data have no object; expected at least one",
    )
