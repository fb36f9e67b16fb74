"""Parts of a data set: sizes, groups, classes, and that nothing but names and the seed matters."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from vf.data.cutting import cut, groups_of
from vf.errors import ConfigError

NAMES = [f"{i:03d}.jpg" for i in range(100)]


@pytest.mark.parametrize(
    ("count", "fractions", "sizes"),
    [
        (10, (0.8, 0.1, 0.1), [8, 1, 1]),
        (100, (0.5, 0.3, 0.2), [50, 30, 20]),
        (3, (0.5, 0.5), [2, 1]),
        (1, (0.5, 0.5), [1, 0]),
        (0, (0.5, 0.5), [0, 0]),
    ],
)
def test_sizes(count: int, fractions: tuple[float, ...], sizes: list[int]) -> None:
    parts = cut(NAMES[:count], fractions, seed=0)
    assert [len(part) for part in parts] == sizes
    assert sorted(itertools.chain(*parts)) == list(range(count))
    assert all(part == sorted(part) for part in parts)


def test_the_seed_chooses_and_the_order_does_not() -> None:
    parts = cut(NAMES, (0.8, 0.2), seed=1)
    assert cut(NAMES, (0.8, 0.2), seed=1) == parts
    assert cut(NAMES, (0.8, 0.2), seed=2) != parts
    turned = cut(NAMES[::-1], (0.8, 0.2), seed=1)
    assert sorted(99 - place for place in turned[1]) == parts[1]


def test_groups_stay_together() -> None:
    groups = [str(i // 7) for i in range(100)]
    parts = cut(groups, (0.6, 0.4), seed=3)
    assert not {groups[i] for i in parts[0]} & {groups[i] for i in parts[1]}
    assert abs(len(parts[0]) - 60) <= 7


def test_every_part_gets_its_share_of_a_rare_class() -> None:
    rng = np.random.default_rng(0)
    classes = [np.array([2, *rng.choice(2, rng.integers(0, 3))][i % 10 != 0 :], np.int64) for i in range(100)]
    for seed in range(5):
        parts = cut(NAMES, (0.5, 0.3, 0.2), seed=seed, classes=classes)
        rare = [sum(2 in classes[i] for i in part) for part in parts]
        assert rare == [5, 3, 2]
        assert [abs(len(part) - size) <= 2 for part, size in zip(parts, (50, 30, 20), strict=True)] == [True] * 3
        for k in (0, 1):
            whole = sum(k in own for own in classes)
            shares = [sum(k in classes[i] for i in part) / whole for part in parts]
            assert np.allclose(shares, (0.5, 0.3, 0.2), atol=0.06)


def test_no_objects_at_all_are_stratified_by_number() -> None:
    parts = cut(NAMES[:10], (0.8, 0.2), seed=0, classes=[np.zeros(0, np.int64)] * 10)
    assert [len(part) for part in parts] == [8, 2]


def test_groups_of_names() -> None:
    assert groups_of(["a/1.jpg", "a/2.jpg", "b/1.jpg"], "^([^/]+)/") == ["a", "a", "b"]
    assert groups_of(["cam12_x", "cam3_y"], r"cam\d+") == ["cam12", "cam3"]
    assert groups_of(["x"], "") == ["x"]
    with pytest.raises(ConfigError, match=r"^--group-by \(: is no regular expression: "):
        groups_of(["x"], "(")
    with pytest.raises(ConfigError, match=r"^--group-by \\d: matches nothing in the image name 'x'$"):
        groups_of(["1", "x"], r"\d")
