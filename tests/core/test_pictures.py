"""What is drawn, pixel by pixel where it matters."""

from __future__ import annotations

import numpy as np
import torch
from PIL import Image

from vf.pictures import colour, draw, grid

BLACK = torch.zeros(3, 100, 100, dtype=torch.uint8)


def pixels(picture: Image.Image, x: int, y: int) -> tuple[int, ...]:
    return tuple(int(v) for v in np.asarray(picture)[y, x])


def test_a_box_has_the_colour_of_its_class() -> None:
    picture = draw(BLACK, {"boxes": torch.tensor([[20.0, 40, 80, 90]]), "labels": torch.tensor([1])}, ["a", "b"])
    assert pixels(picture, 80, 60) == colour(1)
    assert pixels(picture, 50, 90) == colour(1)
    assert pixels(picture, 50, 70) == (0, 0, 0)
    assert picture.size == (100, 100)


def test_a_palette_replaces_the_colours() -> None:
    labels = {"boxes": torch.tensor([[20.0, 40, 80, 90]]), "labels": torch.tensor([0])}
    assert pixels(draw(BLACK, labels, ["a"], palette=[(1, 2, 3)]), 80, 60) == (1, 2, 3)


def test_scores_below_the_threshold_are_left_out() -> None:
    labels = {
        "boxes": torch.tensor([[0.0, 50, 20, 90], [50.0, 50, 90, 90]]),
        "labels": torch.tensor([0, 1]),
        "scores": torch.tensor([0.2, 0.9]),
    }
    picture = draw(BLACK, labels, ["a", "b"], threshold=0.3)
    assert pixels(picture, 20, 70) == (0, 0, 0)
    assert pixels(picture, 90, 70) == colour(1)


def test_the_label_of_a_box_at_the_right_edge_stays_inside() -> None:
    labels = {"boxes": torch.tensor([[95.0, 40, 99, 60]]), "labels": torch.tensor([0])}
    array = np.asarray(draw(BLACK, labels, ["a long name"]))
    left = np.flatnonzero((array[30:40] == colour(0)).all(axis=2).any(axis=0)).min()
    assert left < 60  # the whole plate, not the four pixels right of the box's corner


def test_a_mask_tints() -> None:
    masks = torch.zeros(1, 100, 100, dtype=torch.bool)
    masks[0, 50:60, 50:60] = True
    labels = {"boxes": torch.tensor([[40.0, 40, 80, 80]]), "labels": torch.tensor([0]), "masks": masks}
    picture = draw(torch.full((3, 100, 100), 100, dtype=torch.uint8), labels, ["a"])
    assert pixels(picture, 55, 55) == tuple(int(0.55 * 100 + 0.45 * c) for c in colour(0))
    assert pixels(picture, 65, 65) == (100, 100, 100)


def test_nothing_to_draw() -> None:
    empty = {"boxes": torch.zeros(0, 4), "labels": torch.zeros(0, dtype=torch.long), "scores": torch.zeros(0)}
    assert not np.asarray(draw(BLACK, empty, ["a"])).any()
    assert not np.asarray(draw(BLACK, {}, [])).any()


def test_a_grid_has_as_many_cells_as_it_needs() -> None:
    pictures = [Image.new("RGB", (50, 100), (255, 0, 0))] * 5
    assert grid(pictures, cell=20).size == (60, 40)
    assert grid(pictures, cell=20, columns=5).size == (100, 20)
    assert pixels(grid(pictures, cell=20), 5, 5) == (255, 0, 0)
    assert pixels(grid(pictures, cell=20), 15, 5) == (32, 32, 32)  # half as wide as high


def test_neighbouring_classes_differ() -> None:
    assert len({colour(i) for i in range(200)}) == 200


def test_keypoints_are_full_where_they_are_seen() -> None:
    labels = {
        "boxes": torch.tensor([[10.0, 40, 90, 90]]),
        "labels": torch.tensor([0]),
        "keypoints": torch.tensor([[[30.0, 60], [50, 60], [70, 60]]]),
        "visible": torch.tensor([[2, 1, 0]]),
    }
    picture = draw(BLACK, labels, ["a"])
    assert [pixels(picture, x, 60) for x in (30, 50, 70)] == [colour(0), (0, 0, 0), (0, 0, 0)]
    assert colour(0) in [pixels(picture, x, 60) for x in range(45, 50)]
    assert not np.asarray(picture)[55:66, 65:76].any()


def test_a_map_tints_by_class_and_leaves_the_unknown() -> None:
    semantic = torch.full((100, 100), 255, dtype=torch.uint8)
    semantic[:50] = 1
    semantic[50:60] = 2
    picture = draw(BLACK, {"semantic": semantic}, ["a", "b"], palette=[(0, 0, 0), (100, 100, 100)])
    assert pixels(picture, 9, 9) == (45, 45, 45)
    assert pixels(picture, 9, 55) == tuple(int(0.45 * c) for c in colour(2))
    assert pixels(picture, 9, 90) == (0, 0, 0)


def test_what_is_said_of_the_whole_image_is_written_into_its_corner() -> None:
    grey = torch.full((3, 16, 24), 128, dtype=torch.uint8)
    for labels, tags in (
        ({"labels": torch.tensor([1])}, [1]),
        ({"labels": torch.tensor([], dtype=torch.int64)}, []),
        ({"probabilities": torch.tensor([0.2, 0.1, 0.7]), "label": torch.tensor(2)}, [2]),
        ({"probabilities": torch.tensor([0.6, 0.1, 0.7])}, [2, 0]),
    ):
        picture = draw(grey, labels, ("a", "b", "c"), threshold=0.5)
        assert picture.size == ((168, 112) if tags else (24, 16))  # small ones are enlarged to write on them
        column = [picture.getpixel((1, y)) for y in range(picture.height)]
        assert list(dict.fromkeys(column)) == [*(colour(tag) for tag in tags), (128, 128, 128)]


def test_outlines_are_drawn_and_those_that_are_ignored_are_grey() -> None:
    image = torch.zeros(3, 60, 60, dtype=torch.uint8)
    square = torch.tensor([[10.0, 20], [50, 20], [50, 50], [10, 50]])
    labels = {"polygons": square[None], "boxes": torch.tensor([[0.0, 0, 60, 60]]), "labels": torch.tensor([0])}
    picture = draw(image, labels, ("text",))
    assert picture.size == (60, 60)
    assert picture.getpixel((30, 50)) == colour(0)
    assert picture.getpixel((0, 30)) == (0, 0, 0)  # the box is not drawn
    assert draw(image, {**labels, "ignored": torch.tensor([True])}, ("text",)).getpixel((30, 50)) == (150, 150, 150)
    assert draw(image, {**labels, "scores": torch.tensor([0.1])}, ("text",), threshold=0.5).getbbox() is None
    named = draw(image, {**labels, "texts": ["ab"]}, ("text",))
    assert named.getpixel((11, 12)) == colour(0)
    assert draw(image, {"text": "ab", "score": torch.tensor(0.5)}, ()).getpixel((1, 1)) == colour(0)
