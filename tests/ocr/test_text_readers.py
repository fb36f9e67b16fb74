"""Outlines from maps: what is drawn is found again; growing regions beside a cell-by-cell queue."""

from __future__ import annotations

import time
from collections import deque
from typing import Any

import cv2
import numpy as np
import pytest

from vf_ocr import geometry
from vf_ocr.detection import grow
from vf_ocr.detection.maps import DBMaps, PSEMaps
from vf_ocr.detection.outlines import KernelReader, mean_inside
from vf_ocr.detection.regions import AggregateReader, NestedReader, RegionRules


def page(count: int = 200, seed: int = 0) -> np.ndarray:
    """Words on 736×1280 px, slightly turned, that do not touch."""
    rng = np.random.default_rng(seed)
    corner = np.stack(np.meshgrid(np.arange(10) * 126, np.arange(20) * 36), -1).reshape(-1, 1, 2)[:count]
    size = np.stack([rng.uniform(40, 105, count), rng.uniform(14, 24, count)], 1)
    flat = (np.array([[0, 0], [1, 0], [1, 1], [0, 1]]) - 0.5) * size[:, None]
    angle = rng.uniform(-0.1, 0.1, count)
    turn = np.stack([np.stack([np.cos(angle), np.sin(angle)], -1), np.stack([-np.sin(angle), np.cos(angle)], -1)], -2)
    return (flat @ turn + size[:, None] / 2 + corner + 5).astype(np.float32)


def shares(polygons: np.ndarray, stride: int = 1) -> np.ndarray:
    """What a perfect DBNet would say."""
    flags = np.zeros(len(polygons), np.bool_)
    return DBMaps(smallest=0, stride=stride)(polygons, flags, (736, 1280))["kernel_map"][None].astype(np.float32)


def best_ious(polygons: np.ndarray, found: np.ndarray) -> np.ndarray:
    return geometry.ious(geometry.shapes(polygons), geometry.shapes(found)).max(1)


@pytest.mark.parametrize(("shape", "stride", "least"), [("quad", 1, 0.6), ("polygon", 1, 0.6), ("quad", 4, 0.5)])
def test_kernels_become_the_words_that_they_were_made_of(shape: Any, stride: int, least: float) -> None:
    words = page(40)
    found = KernelReader(shape=shape, stride=stride)(shares(words, stride))
    assert len(found.scores) == 40
    assert found.polygons.dtype == np.float32
    assert (best_ious(words, found.polygons) > least).all()
    assert found.scores.min() > 0.9  # a simpler contour cuts corners


def test_quads_begin_at_the_upper_left() -> None:
    words = page(5)
    found = KernelReader()(shares(words))
    order = np.argmax(geometry.ious(geometry.shapes(words), geometry.shapes(found.polygons)), 1)
    assert np.abs(found.polygons[order] - words).max() < 6


def test_a_score_is_the_mean_in_the_kernel_and_chooses() -> None:
    values = np.zeros((40, 60), np.float32)
    values[10:20, 10:30], values[10:20, 40:55] = 0.6, 0.35
    found = KernelReader(least_score=0.5, least_side=0)(values[None])
    assert found.scores.tolist() == [pytest.approx(0.6)]
    assert len(KernelReader(least_score=0.3, least_side=0)(values[None]).scores) == 2
    assert len(KernelReader(threshold=0.7, least_side=0)(values[None]).scores) == 0
    assert len(KernelReader(most=1, least_score=0.3, least_side=0)(values[None]).scores) == 1


def test_outlines_grow_by_area_times_unclip_over_length() -> None:
    values = np.zeros((60, 100), np.float32)
    values[20:31, 20:61] = 1  # a contour of 40×10: area 400, length 100, so 6 px out
    (quad,) = KernelReader(unclip=1.5)(values[None]).polygons
    np.testing.assert_allclose(quad, [[14, 14], [66, 14], [66, 36], [14, 36]], atol=0.01)


def test_what_is_too_small_or_nothing_is_not_found() -> None:
    values = np.zeros((40, 60), np.float32)
    assert KernelReader()(values[None]).polygons.shape == (0, 4, 2)
    assert KernelReader(shape="polygon")(values[None]).polygons.shape == (0, 4, 2)
    values[10, 10:14] = 1  # a line has no area to grow by
    assert len(KernelReader()(values[None]).scores) == 0
    values[20:24, 20:24] = 1  # 3×3 grow by 9 · 1.5 / 12 to 5.25
    assert len(KernelReader(least_side=4)(values[None]).scores) == 1
    assert len(KernelReader(least_side=8)(values[None]).scores) == 0


def test_the_mean_inside_of_a_triangle() -> None:
    values = np.arange(16, dtype=np.float32).reshape(4, 4)
    assert mean_inside(values, np.array([[0, 0], [2, 0], [0, 2]], np.int32)) == pytest.approx(
        (0 + 1 + 2 + 4 + 5 + 8) / 6
    )


def slow_flood(labels: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """One cell after the other, first come first served."""
    out = labels.copy()
    queue = deque(zip(*np.nonzero(out), strict=True))
    while queue:
        y, x = queue.popleft()
        for dy, dx in ((-1, 0), (1, 0), (0, -1), (0, 1)):
            v, u = y + dy, x + dx
            if 0 <= v < out.shape[0] and 0 <= u < out.shape[1] and mask[v, u] and not out[v, u]:
                out[v, u] = out[y, x]
                queue.append((v, u))
    return out


@pytest.mark.parametrize("seed", range(8))
def test_floods_are_those_of_a_queue(seed: int) -> None:
    rng = np.random.default_rng(seed)
    labels = np.zeros((30, 40), np.int32)
    labels[rng.integers(0, 30, 6), rng.integers(0, 40, 6)] = np.arange(1, 7)
    mask = rng.random((30, 40)) < 0.75
    np.testing.assert_array_equal(grow.flood(labels, mask), slow_flood(labels, mask))


def test_kernels_grow_one_level_after_the_other() -> None:
    # Two seeds at both ends of a bar; the left one has the middle kernel for itself.
    seed, middle, whole = (np.zeros((3, 11), np.bool_) for _ in range(3))
    seed[1, [0, 10]] = middle[1, :6] = middle[1, 10] = whole[1] = True
    grown = grow.expand(grow.components(seed), np.stack([middle, whole]))
    assert grown[1].tolist() == [1] * 8 + [2] * 3
    assert grow.flood(grow.components(seed), whole)[1].tolist() == [1] * 6 + [2] * 5
    assert not grown[[0, 2]].any()


def test_nested_kernels_part_words_that_touch() -> None:
    words = np.array(
        [[[8, 40], [240, 40], [240, 100], [8, 100]], [[8, 100], [240, 100], [240, 160], [8, 160]]], np.float32
    )
    levels = PSEMaps(stride=4, most=100)(words, np.zeros(2, np.bool_), (256, 256))["level_map"]
    maps = np.stack([(levels > k) * np.float32(0.9) for k in range(7)])
    found = NestedReader(rules=RegionRules())(maps)
    assert len(found.scores) == 2
    assert (best_ious(words, found.polygons) > 0.85).all()
    assert found.scores.tolist() == [pytest.approx(0.9)] * 2
    assert grow.components(maps[0] > 0.5).max() == 1


def test_regions_must_be_sure_and_large() -> None:
    maps = np.zeros((2, 30, 60), np.float32)
    maps[:, 5:9, 5:20], maps[:, 5:9, 30:33], maps[:, 20:24, 5:20] = 0.9, 0.9, 0.55
    assert len(NestedReader(rules=RegionRules())(maps).scores) == 2
    assert len(NestedReader(rules=RegionRules(least_cells=12))(maps).scores) == 3
    assert len(NestedReader(rules=RegionRules(least_score=0.6))(maps).scores) == 1
    assert len(NestedReader(rules=RegionRules(least_cells=1), least_kernel=13)(maps).scores) == 2
    (quad, *_) = NestedReader(rules=RegionRules(shape="polygon"))(maps).polygons
    np.testing.assert_array_equal(sorted(map(tuple, quad)), [(20, 20), (20, 32), (76, 20), (76, 32)])


def test_cells_go_to_the_kernel_whose_embedding_is_theirs() -> None:
    # One piece of text, two kernels at its ends; embeddings change in the middle.
    maps = np.zeros((4, 12, 60), np.float32)
    maps[0, 2:10, 2:58] = 0.9
    maps[1, 4:8, 4:10] = maps[1, 4:8, 50:56] = 0.9
    maps[2, :, :25], maps[2, :, 25:] = -5, 5
    found = AggregateReader(rules=RegionRules())(maps)
    ends = sorted((quad[:, 0].min() / 4, quad[:, 0].max() / 4) for quad in found.polygons)
    assert ends == [(2, 24), (25, 57)]
    assert len(AggregateReader(rules=RegionRules(), distance=11)(maps).scores) == 2
    assert not len(AggregateReader(rules=RegionRules())(maps * 0).scores)


def test_a_page_of_200_words_is_read_in_milliseconds() -> None:
    maps = cv2.GaussianBlur(shares(page())[0], (5, 5), 1)[None] * np.float32(0.95)
    began = time.process_time()
    assert len(KernelReader()(maps).scores) == 200
    assert time.process_time() - began < 0.5, "measured: 0.007 s on an idle core; wanted: 0.015 s"
