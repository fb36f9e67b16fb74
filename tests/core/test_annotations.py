"""Flat annotations: what goes in comes out, and nothing grows with the number of objects but five arrays."""

from __future__ import annotations

import math
import pickle

import numpy as np

from vf.data.annotations import Annotations, Builder


def build(rows: dict[str, int]) -> Annotations:
    """Images by name with so many boxes each; box k of all is (k, k, k+1, k+2)."""
    builder, k = Builder(), 0
    for name, count in rows.items():
        builder.add(name, [((i, i, i + 1, i + 2), i % 3, i % 2 == 1, math.nan) for i in range(k, k + count)])
        k += count
    return builder.freeze()


def test_rows_come_out_as_they_went_in() -> None:
    flat = build({"a.jpg": 2, "ordner/ä.jpg": 0, "c.jpg": 1})
    assert len(flat) == 3
    assert [flat.name(i) for i in range(3)] == ["a.jpg", "ordner/ä.jpg", "c.jpg"]
    assert flat.counts.tolist() == [2, 0, 1]
    assert flat.boxes[flat.rows(0)].tolist() == [[0, 0, 1, 2], [1, 1, 2, 3]]
    assert flat.boxes[flat.rows(1)].shape == (0, 4)
    assert flat.labels[flat.rows(2)].tolist() == [2]
    assert flat.crowd.tolist() == [False, True, False]
    assert np.isnan(flat.areas).all()
    assert (flat.boxes.dtype, flat.labels.dtype, flat.crowd.dtype) == (np.float32, np.int32, bool)


def test_no_image_at_all() -> None:
    flat = build({})
    assert len(flat) == 0
    assert flat.boxes.shape == (0, 4)
    assert len(flat.select([])) == 0


def test_select_takes_images_in_the_order_given() -> None:
    flat = build({"a": 2, "b": 0, "c": 1, "d": 3}).select([3, 1, 0])
    assert [flat.name(i) for i in range(3)] == ["d", "b", "a"]
    assert flat.counts.tolist() == [3, 0, 2]
    assert flat.boxes[:, 0].tolist() == [3, 4, 5, 0, 1]
    assert flat.labels.tolist() == [0, 1, 2, 0, 1]


def test_fingerprint_changes_with_every_fact() -> None:
    prints = {
        build({"a": 2}).fingerprint(("x", "y")),
        build({"b": 2}).fingerprint(("x", "y")),
        build({"a": 1}).fingerprint(("x", "y")),
        build({"a": 1, "b": 1}).fingerprint(("x", "y")),
        build({"a": 2}).fingerprint(("x", "z")),
        build({"a": 2}).fingerprint(("xy",)),
    }
    assert len(prints) == 6
    assert all(len(p) == 16 for p in prints)
    assert build({"a": 2}).fingerprint(("x", "y")) in prints


def test_it_pickles_to_what_its_numbers_take() -> None:
    flat = build({f"{i:06d}.jpg": 7 for i in range(1000)})
    # 10 bytes of name and 16 of offsets an image, 25 bytes a box
    assert len(pickle.dumps(flat)) < 1000 * 26 + 7000 * 25 + 2000
    again = pickle.loads(pickle.dumps(flat))
    assert again.fingerprint(("a",)) == flat.fingerprint(("a",))
