"""Polygons: corners in order, areas, offsets, overlaps. Values worked by hand."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import shapely

from vf_ocr import geometry

BOX = np.array([[0, 0], [10, 0], [10, 4], [0, 4]], np.float64)


def turned(points: np.ndarray, degrees: float) -> np.ndarray:
    """Turn points clockwise on the screen."""
    angle = np.deg2rad(degrees)
    return points @ np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])


def test_areas_are_positive_clockwise_and_lengths_are_of_the_whole_outline() -> None:
    pair = np.stack([BOX, BOX[::-1]])
    assert geometry.areas(pair).tolist() == [40, -40]
    assert geometry.perimeters(pair).tolist() == [28, 28]


def test_a_vertex_said_twice_changes_nothing() -> None:
    twice = np.concatenate([BOX, BOX[-1:], BOX[-1:]])
    assert geometry.areas(twice) == 40
    assert geometry.perimeters(twice) == 28


@pytest.mark.parametrize("degrees", [-44, -20, 0, 5, 30, 44])
@pytest.mark.parametrize("start", range(4))
@pytest.mark.parametrize("backwards", [False, True])
def test_corners_begin_where_upright_text_is_read_from(degrees: float, start: int, backwards: bool) -> None:
    quad = turned(BOX, degrees)
    given = np.roll(quad[::-1] if backwards else quad, start, 0)
    np.testing.assert_allclose(geometry.in_order(given[None])[0], quad, atol=1e-5)


def test_a_tall_quad_begins_at_its_upper_left_too() -> None:
    tall = np.array([[0, 0], [3, 0], [3, 30], [0, 30]], np.float64)
    for start in range(4):
        np.testing.assert_array_equal(geometry.in_order(np.roll(tall, start, 0)[None])[0], tall)


def test_no_quads_stay_none() -> None:
    assert geometry.in_order(np.zeros((0, 4, 2))).shape == (0, 4, 2)
    assert geometry.same_count([]).shape == (0, 4, 2)
    assert geometry.ious(geometry.shapes(np.zeros((0, 4, 2))), geometry.shapes(BOX[None])).shape == (0, 1)


def test_the_smallest_quad_of_points() -> None:
    quad, side = geometry.smallest_quad(turned(BOX, 30))
    np.testing.assert_allclose(quad, turned(BOX, 30), atol=1e-4)
    assert side == pytest.approx(4, abs=1e-4)


def test_outlines_move_in_until_nothing_is_left() -> None:
    (inner,) = geometry.offset(BOX, -1)
    assert set(map(tuple, inner)) == {(1, 1), (9, 1), (9, 3), (1, 3)}
    assert geometry.offset(BOX, -2.5) == []


def test_outlines_move_out_with_round_corners() -> None:
    (outer,) = geometry.offset(BOX, 2, precision=64)
    # A polygon grown by d has the area A + L d + π d²; its arcs are drawn by straight lines, to 0.25 px.
    assert 40 + 28 * 2 + 0.8 * np.pi * 4 < shapely.Polygon(outer).area <= 40 + 28 * 2 + np.pi * 4
    assert outer.min(0) == pytest.approx([-2, -2], abs=0.02)


def test_a_waist_falls_apart() -> None:
    bone = np.array([[0, 0], [10, 0], [10, 4], [20, 4], [20, 0], [30, 0], [30, 10], [20, 10], [20, 6], [10, 6]])
    bone = np.concatenate([bone, [[10, 10], [0, 10]]]).astype(np.float64)
    assert len(geometry.offset(bone, -2, precision=16)) == 2


def test_a_line_has_no_outline_to_move() -> None:
    assert geometry.offset(BOX[:2], -1) == []


def test_shorter_polygons_repeat_their_last_vertex() -> None:
    laid = geometry.same_count([BOX[:3], np.concatenate([BOX, [[5, 9]]])])
    assert laid.shape == (2, 5, 2)
    assert laid[0].tolist() == [[0, 0], [10, 0], [10, 4], [10, 4], [10, 4]]


def test_overlaps_and_ious() -> None:
    right = BOX + np.array([5, 0])
    far = BOX + np.array([10, 0])  # they touch
    shapes = geometry.shapes(np.stack([BOX, right, far]))
    np.testing.assert_allclose(geometry.overlaps(shapes[:1], shapes), [[40, 20, 0]])
    np.testing.assert_allclose(geometry.ious(shapes[:1], shapes), [[1, 20 / 60, 0]])


def test_a_bow_tie_is_mended_and_a_line_overlaps_nothing() -> None:
    bow = np.array([[0, 0], [10, 10], [10, 0], [0, 10]], np.float64)
    line = np.array([[0, 0], [10, 0], [10, 0], [0, 0]], np.float64)
    shapes = geometry.shapes(np.stack([bow, line]))
    assert shapely.area(shapes).tolist() == [50, 0]
    assert geometry.ious(shapes[1:], shapes[1:]).tolist() == [[0]]


def test_ious_of_random_quads_are_shapelys_one_by_one() -> None:
    rng = np.random.default_rng(0)
    quads = np.stack(
        [turned(BOX * rng.uniform(0.5, 2), rng.uniform(-90, 90)) + rng.uniform(0, 20, 2) for _ in range(20)]
    )
    found = geometry.ious(geometry.shapes(quads), geometry.shapes(quads))
    for i, j in itertools.product(range(20), repeat=2):
        a, b = shapely.Polygon(quads[i]), shapely.Polygon(quads[j])
        assert found[i, j] == pytest.approx(a.intersection(b).area / a.union(b).area, abs=1e-9)
