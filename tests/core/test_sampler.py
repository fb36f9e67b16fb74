"""The order of samples is a pure function of the step."""

from __future__ import annotations

import itertools

import pytest

from vf.data.sampler import Draw, TrainSampler
from vf.errors import ConfigError


def draws(**changes: int) -> list[list[Draw]]:
    options = {"num_samples": 5, "batch_size": 2, "steps": 10, "seed": 3} | changes
    return list(TrainSampler(**options))


def test_every_sample_comes_once_in_each_epoch_and_every_batch_is_full() -> None:
    batches = draws()
    assert [len(b) for b in batches] == [2] * 10
    for epoch in range(4):
        seen = [d.index for d in itertools.chain(*batches) if d.epoch == epoch]
        assert sorted(seen) == [0, 1, 2, 3, 4]


def test_epochs_differ_in_order() -> None:
    flat = list(itertools.chain(*draws(num_samples=50, steps=50)))
    assert [d.index for d in flat[:50]] != [d.index for d in flat[50:]]


@pytest.mark.parametrize("start", [0, 1, 2, 3, 7, 9, 10])
def test_starting_late_gives_the_tail(start: int) -> None:
    assert draws(start=start) == draws()[start:]


def test_a_batch_larger_than_the_data_spans_epochs() -> None:
    (batch,) = draws(batch_size=12, steps=1)
    assert [d.epoch for d in batch] == [0] * 5 + [1] * 5 + [2] * 2


def test_ranks_and_passes_cut_the_global_batch_without_overlap() -> None:
    whole = draws(batch_size=12, steps=3)
    ranks = [draws(batch_size=12, steps=3, world=2, rank=r, accumulate=3) for r in range(2)]
    for step, batch in enumerate(whole):
        passes = [ranks[r][step * 3 + turn] for turn in range(3) for r in range(2)]
        assert list(itertools.chain(*passes)) == batch


def test_final_phase_marks_its_draws() -> None:
    assert [b[0].final for b in draws(steps=4, final_from=2)] == [False, False, True, True]


def test_a_batch_that_cannot_be_cut_is_refused() -> None:
    with pytest.raises(ConfigError) as error:
        draws(batch_size=7, world=2)
    assert error.value.problems == (
        "train.batch_size: 7 images cannot be cut into 2 processes × 1 pass (train.accumulate); make it a multiple "
        "of 2",
    )


def test_steps_per_epoch_is_exact() -> None:
    assert TrainSampler(num_samples=5, batch_size=2, steps=1, seed=0).steps_per_epoch == 2.5


def test_a_step_far_away_is_reached_without_reading_what_lies_before() -> None:
    sampler = TrainSampler(num_samples=100, batch_size=4, steps=1_000_001, seed=0, start=1_000_000)
    (batch,) = list(sampler)
    assert batch[0].epoch == 40_000
