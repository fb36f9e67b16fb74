"""Generated words and pages: pure functions, exact corners, no overlaps, what the keys say."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import pytest
import torch
from shapely.geometry import Polygon

from vf.errors import DataError
from vf.testing import check_dataset
from vf_ocr.charsets import LOWER
from vf_ocr.generate.crops import rectangle
from vf_ocr.generate.fonts import Face, faces, glyph
from vf_ocr.generate.lettering import EXTRA, Lettering, line
from vf_ocr.generate.pages import PageSettings, draw_block, make_block, page
from vf_ocr.generate.painting import contrasting
from vf_ocr.generate.spelling import Speller
from vf_ocr.generated_configs import Pages, Words


def speller(characters: str = LOWER, **keys: Any) -> Speller:
    plain = {"min_length": 1, "max_length": 8, "scrambled": 0.1, "numbers": 0.1}
    return Speller(characters=tuple(characters), **(plain | keys))


def pages(**keys: Any) -> PageSettings:
    plain: dict[str, Any] = {
        "speller": speller(),
        "faces": faces(""),
        "size": (200, 300),
        "words": (3, 9),
        "heights": (8, 30),
        "max_angle": 25.0,
        "illegible": 0.2,
        "ignore_under": 0.0,
        "difficulty": 0.5,
        "seed": 3,
    }
    return PageSettings(**(plain | keys))


@pytest.mark.parametrize("config", [Words(train=3, val=2, test=1), Pages(train=3, val=2, test=1, charset="symbols")])
def test_contract(config: Any) -> None:
    check_dataset(config)


def test_a_word_is_a_function_of_seed_split_and_index() -> None:
    def images(split: Any, seed: int = 0) -> list[Any]:
        dataset = Words(seed=seed).build(split)
        return [dataset[k] for k in (2, 0, 1)]

    first, again = images("train"), images("train")
    assert all(torch.equal(a.image, b.image) and a.target == b.target for a, b in zip(first, again, strict=True))
    texts = {tuple(s.target["text"] for s in images(*of)) for of in (("train", 0), ("val", 0), ("train", 1))}
    assert len(texts) == 3


def test_words_are_of_their_characters_and_lengths() -> None:
    dataset = Words(charset="lower", min_length=3, max_length=5, train=60, height=(20, 30), max_width=64).build("train")
    for index in range(60):
        sample = dataset[index]
        assert 3 <= len(sample.target["text"]) <= 5
        assert set(sample.target["text"]) <= set(LOWER)
        assert sample.size[1] <= 64


@pytest.mark.parametrize("characters", ["0123456789", "x", LOWER, "ABC-"])
def test_speller_keeps_to_its_characters(characters: str) -> None:
    own, rng = speller(characters, min_length=2, max_length=6), np.random.default_rng(0)
    texts = [own(rng) for _ in range(300)]
    assert all(set(t) <= set(characters) and 2 <= len(t) <= 6 for t in texts)


def test_one_kind_of_word_alone() -> None:
    rng = np.random.default_rng(0)
    assert all(speller(scrambled=0.0, numbers=1.0)(rng).isdigit() for _ in range(50))
    assert not any(speller(scrambled=0.0, numbers=0.0, min_length=3)(rng)[0].isdigit() for _ in range(50))


def test_glyphs_make_a_line() -> None:
    drawn = line("Ab", Lettering(face=Face(), size=40), np.random.default_rng(0))
    tall = glyph("", 40, "A").alpha.shape[0]
    assert abs(drawn.rise - EXTRA - tall) <= 2
    assert drawn.coverage[:EXTRA].max() == 0
    assert drawn.coverage[EXTRA].max() > 0
    assert drawn.coverage[:, EXTRA].max() > 0
    height, width = drawn.coverage.shape
    assert rectangle(drawn.coverage).tolist() == [
        [2, 2], [width - 2, 2], [width - 2, height - 2], [2, height - 2]
    ]  # fmt: skip
    assert line("", Lettering(face=Face(), size=40), np.random.default_rng(0)).coverage.size == 0
    assert line(" ", Lettering(face=Face(), size=40), np.random.default_rng(0)).coverage.size == 0


def test_quads_lie_on_the_page_clockwise_and_apart() -> None:
    for index in range(12):
        made = page(pages(), "train", index)
        outlines = [Polygon(quad) for quad in made.quads]
        assert len(outlines) == len(made.texts) == len(made.ignored)
        assert (made.quads > -1).all()
        assert (made.quads < np.array([301, 201])).all()
        for number, one in enumerate(outlines):
            assert one.is_valid
            assert one.area > 4
            # On a screen, y grows downwards: clockwise there is what shapely calls counter-clockwise.
            assert one.exterior.is_ccw
            for other in outlines[:number]:
                assert one.intersection(other).area < 0.15 * min(one.area, other.area)


def test_quads_hold_the_ink_exactly() -> None:
    """What is painted touches every side of its quad and goes over none, but for a pixel of blending."""
    settings, tested = pages(difficulty=0.0), 0
    places = np.array([(40, 30), (180, 60), (170, 110), (30, 80)], np.float32)
    for seed in range(16):
        rng = np.random.default_rng(seed)
        image = np.full((200, 300, 3), 128, np.float32)
        block = make_block(rng, settings, 1, 40.0)
        (quad,) = draw_block(image, block, places, rng, 40.0, 0.0)
        points = np.argwhere(np.abs(image - 128).max(2) > 40)[:, ::-1] + 0.5
        if len(np.unique(image)) < 4 or not _within(places, points):  # a sign was painted under it
            continue
        tested += 1
        for first, second in zip(quad, np.roll(quad, -1, 0), strict=True):
            along = (second - first) / np.linalg.norm(second - first)
            inward = (points - first) @ np.array([-along[1], along[0]])
            assert -1.5 < inward.min() < 2.5
    assert tested >= 5


def _within(places: Any, points: Any) -> bool:
    outline = places.reshape(-1, 1, 2)
    return all(cv2.pointPolygonTest(outline, (float(x), float(y)), True) > -2 for x, y in points)


def test_what_is_illegible_is_marked() -> None:
    all_small = page(pages(illegible=1.0), "val", 0)
    assert set(all_small.texts) == {"###"}
    assert all_small.ignored.all()
    under = [page(pages(illegible=0.0, ignore_under=15.0), "val", k) for k in range(6)]
    for made in under:
        heights = (np.linalg.norm(made.quads[:, 3] - made.quads[:, 0], axis=1)
                   + np.linalg.norm(made.quads[:, 2] - made.quads[:, 1], axis=1)) / 2  # fmt: skip
        assert ((heights < 15) == made.ignored).all()
    assert any(made.ignored.any() for made in under)


@pytest.mark.parametrize("ground", [(0, 0, 0), (255, 255, 255), (128, 128, 128), (0, 255, 0), (120, 140, 30)])
def test_ink_stands_out_from_its_ground(ground: tuple[int, int, int]) -> None:
    rng, luma = np.random.default_rng(0), np.array([0.299, 0.587, 0.114])
    for _ in range(100):
        colour = contrasting(rng, np.array(ground, np.float64), 60.0)
        assert ((colour >= 0) & (colour <= 255)).all()
        assert abs(float(colour @ luma) - float(np.array(ground) @ luma)) >= 53.9


def test_a_page_without_words() -> None:
    target = Pages(words=(0, 0), train=1).build("train")[0].target
    assert target["polygons"].shape == (0, 4, 2)
    assert target["boxes"].shape == (0, 4)
    assert target["texts"] == ()


def test_classes() -> None:
    assert Pages().info().classes == ("text",)
    assert Pages(charset="digits").info().classes == tuple("0123456789")
    assert Words().info().classes == tuple(LOWER)
    assert Words().info().task == "ocr"


def test_characters_that_no_font_has_are_named() -> None:
    (note,) = Words(charset="latin").info().notes
    assert note.startswith("Pillow's own font has no glyph for ")
    assert note.endswith(
        "which are never drawn (¡, ¢, £, ¤, ¥, ¦, §, ¨, ª, ¬, ®, ¯, … (215 in all)); data.fonts names others"
    )
    assert not Words(charset="symbols").info().notes


@pytest.mark.parametrize(
    ("config", "keys", "said"),
    [
        (Words, {"min_length": 5, "max_length": 4}, "min_length 5 > max_length 4"),
        (Words, {"scrambled": 0.6, "numbers": 0.5}, r"scrambled 0.6 \+ numbers 0.5 > 1"),
        (Words, {"charset": "data"}, "charset: generated text has no labels to take it from; name a set or a file"),
        (Words, {"charset": ""}, "charset: is empty; name a set or a file"),
        (Words, {"height": (9, 8)}, r"height: the first must not be larger than the second, got \[9, 8\]"),
        (Pages, {"words": (3, 2)}, r"words: the first must not be larger than the second, got \[3, 2\]"),
    ],
)
def test_wrong_keys(config: Any, keys: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=f"^{said}$"):
        config(**keys)


def test_fonts(tmp_path: Any) -> None:
    assert faces("") == (Face(),)
    with pytest.raises(DataError) as error:
        faces(str(tmp_path / "none.ttf"))
    assert str(error.value) == f"data.fonts: {str(tmp_path / 'none.ttf')!r} is no font, no folder, and not 'system'"
    (tmp_path / "broken.ttf").write_bytes(b"nothing")
    with pytest.raises(DataError) as error:
        faces(str(tmp_path))
    assert str(error.value) == f"data.fonts: {tmp_path}: no font with latin letters (.ttf, .otf, .ttc) among 1"
    assert faces("system")[0] == Face()
