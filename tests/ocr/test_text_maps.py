"""Maps that text detectors learn: small ones worked by hand, and slow ways to make the same."""

from __future__ import annotations

import time

import numpy as np
import pytest
import shapely

from vf_ocr.detection import kernels
from vf_ocr.detection.maps import STEPS, DBMaps, PANMaps, PSEMaps

BAR = np.array([[10, 10], [50, 10], [50, 30], [10, 30]], np.float32)
"""40×20: area 800, length 120."""


def flags(*ignored: bool) -> np.ndarray:
    """As targets have them."""
    return np.array(ignored, np.bool_)


def test_outlines_move_in_by_area_times_one_minus_r_squared_over_length() -> None:
    assert kernels.shrink_distances(BAR[None], 0.4)[0] == pytest.approx(800 * 0.84 / 120)  # 5.6
    assert kernels.shrink_distances(BAR[None, ::-1], 1.0)[0] == 0


def test_a_kernel_is_the_shrunk_bar() -> None:
    kernel = DBMaps()(BAR[None], flags(False), (40, 60))["kernel_map"]
    y, x = np.nonzero(kernel)
    # 5.6 px in from each side: 15.6 … 44.4 by 15.6 … 24.4, to the nearest cell.
    assert (x.min(), x.max(), y.min(), y.max()) == (16, 44, 16, 24)
    assert kernel.sum() == 29 * 9
    assert set(np.unique(kernel)) == {0, 1}


def test_a_band_is_highest_on_the_outline_and_ends_at_the_distance() -> None:
    band = DBMaps()(BAR[None], flags(False), (40, 60))["band_map"]
    assert band[20, 10] == STEPS
    assert band[10, 30] == STEPS
    assert band[20, 13] == round((1 - 3 / 5.6) * STEPS)
    assert band[20, 7] == round((1 - 3 / 5.6) * STEPS)
    assert band[20, 30] == 0  # in the middle, 10 px from either side
    assert band[20, 4] == kernels.IGNORE  # 6 px outside
    assert band[7, 7] == round((1 - np.hypot(3, 3) / 5.6) * STEPS)


def test_bands_are_the_distances_that_shapely_measures() -> None:
    rng = np.random.default_rng(0)
    angles = np.sort(rng.uniform(0, 2 * np.pi, 7))
    polygon = np.stack([np.cos(angles), np.sin(angles)], 1) * rng.uniform(12, 18, (7, 1)) + 25
    polygon = np.concatenate([polygon, polygon[-1:]])  # one vertex twice
    into = np.full((50, 50), -1, np.float32)
    kernels.band(polygon, 6.0, into)
    shape = shapely.Polygon(polygon)
    for y, x in rng.integers(0, 50, (200, 2)):
        away = shape.exterior.distance(shapely.Point(x, y))
        if away < 5.9:
            assert into[y, x] == pytest.approx(1 - away / 6, abs=1e-5)
        elif away > 6.1 and shape.distance(shapely.Point(x, y)) > 1:
            assert into[y, x] < 0
        elif away > 6.1 and shape.contains(shapely.Point(x, y)):
            assert into[y, x] == 0


def test_of_two_bands_the_higher_counts() -> None:
    second = BAR + np.array([44, 0], np.float32)
    both = DBMaps()(np.stack([BAR, second]), flags(False, False), (40, 120))["band_map"]
    assert both[20, 52] == round((1 - 2 / 5.6) * STEPS)  # in the middle between the two


def test_ignored_small_and_vanishing_text_is_not_learnt() -> None:
    small = np.array([[70, 5], [90, 5], [90, 12], [70, 12]], np.float32)  # 7 px high
    line = np.array([[70, 20], [90, 20], [90, 20], [70, 20]], np.float32)
    maps = DBMaps()(np.stack([BAR, small, line]), flags(True, False, False), (40, 100))
    kernel = maps["kernel_map"]
    assert kernel[20, 30] == kernel[8, 80] == kernel[20, 80] == kernels.IGNORE
    assert not (kernel == 1).any()
    assert (maps["band_map"] == kernels.IGNORE).all()
    assert (DBMaps(smallest=7)(small[None], flags(False), (40, 100))["kernel_map"] == 1).any()


def test_no_text_and_text_outside() -> None:
    for polygons in (np.zeros((0, 4, 2), np.float32), BAR[None] + 500):
        maps = DBMaps()(polygons, flags(*[False] * len(polygons)), (40, 60))
        assert not maps["kernel_map"].any()
        assert (maps["band_map"] == kernels.IGNORE).all()


@pytest.mark.parametrize("maker", [DBMaps(stride=4), PSEMaps(stride=4), PANMaps(stride=4)])
def test_coarse_maps_see_the_middle_of_their_cells(maker: DBMaps | PSEMaps | PANMaps) -> None:
    fine = type(maker)(stride=1)
    polygon = np.array([[[20, 20], [180, 30], [176, 90], [16, 80]]], np.float32)
    coarse, full = maker(polygon, flags(False), (101, 203)), fine(polygon, flags(False), (101, 203))
    for name, values in coarse.items():
        assert values.shape == (26, 51)
        same = full[name][2::4, 2::4]
        mine = values[: same.shape[0], : same.shape[1]]
        if name == "band_map":  # the middle of a cell lies half a pixel beside the pixel that is looked at
            known = (mine != kernels.IGNORE) & (same != kernels.IGNORE)
            assert known.mean() > 0.5
            assert np.abs(mine.astype(int) - same)[known].max() < 0.05 * STEPS
        else:  # along the outlines, of which there are seven in levels
            assert (mine != same).mean() < (0.2 if name == "level_map" else 0.08)


def test_levels_are_how_many_kernels_cover_a_cell() -> None:
    maps = PSEMaps(ratios=(1.0, 0.7, 0.4))(BAR[None], flags(False), (40, 60))["level_map"]
    # 0, 800 × 0.51 / 120 = 3.4 and 5.6 px in: from 10, 13.4 and 15.6 on, to the nearest cell.
    assert maps[20, :60].tolist() == [0] * 10 + [1] * 3 + [2] * 3 + [3] * 29 + [2] * 3 + [1] * 3 + [0] * 9
    assert maps[0].tolist() == [0] * 60


def test_levels_of_neighbours_are_nested() -> None:
    second = BAR + np.array([30, 3], np.float32)  # they overlap by 10 px
    levels = PSEMaps()(np.stack([BAR, second]), flags(False, False), (60, 120))["level_map"]
    alone = [PSEMaps()(p[None], flags(False), (60, 120))["level_map"] for p in (BAR, second)]
    np.testing.assert_array_equal(levels, np.maximum(*alone))


def test_outlines_move_in_by_no_more_than_the_longest() -> None:
    big = BAR * 10
    level = PSEMaps(ratios=(1.0, 0.4), most=20)(big[None], flags(False), (400, 600))["level_map"]
    assert level[200, 100:122].tolist() == [1] * 20 + [2] * 2


def test_numbers_of_texts_leave_out_the_one_that_means_ignored() -> None:
    polygons = (
        np.array([[0, 0], [3, 0], [3, 3], [0, 3]]) + np.stack([5 * np.arange(300), np.zeros(300)], 1)[:, None]
    ).astype(np.float32)
    ignored = np.zeros(300, np.bool_)
    ignored[7] = True
    maps = PANMaps()(polygons, ignored, (4, 1500))
    numbers = maps["text_map"][1, 1::5]
    assert numbers[7] == kernels.IGNORE
    assert numbers[:7].tolist() == [1, 2, 3, 4, 5, 6, 7]
    assert numbers[8] == 8
    assert 255 not in np.delete(numbers, 7)
    assert len(set(numbers.tolist())) == 300
    assert maps["core_map"][1, 36] == kernels.IGNORE


def test_a_page_of_many_words_takes_milliseconds() -> None:
    rng = np.random.default_rng(0)
    corner = np.stack(np.meshgrid(np.arange(10) * 64, np.arange(20) * 32), -1).reshape(-1, 1, 2)
    polygons = corner + np.array([[2, 2], [58, 2], [58, 26], [2, 26]]) + rng.normal(0, 1, (200, 4, 2))
    ignored = rng.random(200) < 0.1
    began = time.process_time()
    DBMaps()(polygons.astype(np.float32), ignored, (640, 640))
    assert time.process_time() - began < 1, "measured: 0.03 s on an idle core"
