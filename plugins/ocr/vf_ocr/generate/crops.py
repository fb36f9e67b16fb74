"""One generated word, cut out: what a recogniser is given."""

from __future__ import annotations

import attrs
import cv2
import numpy as np
from numpy.typing import NDArray

from vf_ocr.generate.camera import photograph
from vf_ocr.generate.fonts import Face
from vf_ocr.generate.grounds import ground
from vf_ocr.generate.lettering import EXTRA, Coverage, Lettering, line
from vf_ocr.generate.painting import paint, random_ink
from vf_ocr.generate.spelling import Speller

STREAMS = {"train": 0, "val": 1, "test": 2}
SIZES = (16, 20, 24, 32, 40, 48, 64, 80)
"""Of fonts, px; glyphs are drawn at these alone, and brought to other heights when they are put in place."""


@attrs.frozen(kw_only=True)
class WordSettings:
    """What generated words look like."""

    speller: Speller
    faces: tuple[Face, ...]
    heights: tuple[int, int]
    """Least and largest height of the letters, px."""
    max_width: int
    """Of an image, px: longer words are drawn narrower."""
    difficulty: float
    seed: int


def word(settings: WordSettings, split: str, index: int) -> tuple[NDArray[np.uint8], str]:
    """Generate one word: its image [H,W,3] RGB, and what was written; a pure function of the arguments."""
    rng = np.random.default_rng([settings.seed, STREAMS[split], index, 1])
    text = settings.speller(rng)
    low, high = settings.heights
    height = float(np.exp(rng.uniform(np.log(low), np.log(high))))
    letters = random_lettering(rng, settings.faces, height, settings.difficulty, bends=True)
    coverage = line(text, suited(letters, text, settings.faces), rng).coverage
    if not coverage.size:
        coverage = np.zeros((8, 8), np.uint8)
    corners, size = _placed(coverage, rng, height, settings)
    matrix = cv2.getPerspectiveTransform(rectangle(coverage), corners.astype(np.float32))
    warped = cv2.warpPerspective(coverage, matrix, size, flags=cv2.INTER_LINEAR)
    image = ground(rng, size[1], size[0], busy=settings.difficulty)
    mean = np.array(cv2.mean(image)[:3])
    paint(
        image, np.asarray(warped, np.uint8), random_ink(rng, mean, height=height, difficulty=settings.difficulty), rng
    )
    return photograph(image, rng, difficulty=settings.difficulty, height=height), text


def random_lettering(
    rng: np.random.Generator, faces: tuple[Face, ...], height: float, difficulty: float, *, bends: bool
) -> Lettering:
    """Draw a manner of letters that come out a little over so high, px."""
    size = next((s for s in SIZES if s >= 1.2 * height), SIZES[-1])
    drawn = rng.random(5)
    weight = int(rng.integers(-1, 2 + size // 32)) if drawn[0] < 0.5 else 0
    return Lettering(
        face=faces[int(rng.integers(len(faces)))],
        size=size,
        spacing=float(rng.normal(0.02, 0.05)) if drawn[1] < 0.6 else 0.0,
        jitter=0.03 * difficulty if drawn[2] < 0.15 else 0.0,
        weight=weight if size >= 20 else max(0, weight),
        slant=float(rng.uniform(-0.25, 0.4)) * difficulty if drawn[3] < 0.5 else 0.0,
        bend=float(rng.uniform(-0.45, 0.45)) * difficulty if bends and drawn[4] < 0.25 * difficulty else 0.0,
    )


def suited(letters: Lettering, text: str, faces: tuple[Face, ...]) -> Lettering:
    """Return the same manner with a font that has every character of a text, where there is one."""
    if len(faces) == 1 or all(map(letters.face.draws, text)):
        return letters
    start = faces.index(letters.face)
    turn = (*faces[start:], *faces[:start])
    return attrs.evolve(letters, face=next((face for face in turn if all(map(face.draws, text))), letters.face))


def rectangle(coverage: Coverage) -> NDArray[np.float32]:
    """Corners [4,2] of the ink of coverage, clockwise from the upper left."""
    height, width = coverage.shape
    left, top, right, bottom = EXTRA, EXTRA, width - EXTRA, height - EXTRA
    return np.array([(left, top), (right, top), (right, bottom), (left, bottom)], np.float32)


def _placed(
    coverage: Coverage, rng: np.random.Generator, height: float, settings: WordSettings
) -> tuple[NDArray[np.float64], tuple[int, int]]:
    """Return where the corners of the ink come to lie, [4,2] px, and the width and height of the image around them."""
    hard = settings.difficulty
    stretch = float(np.exp(rng.normal(0, 0.18)))
    width = max(3.0, (coverage.shape[1] - 2 * EXTRA) / max(1.0, coverage.shape[0] - 2 * EXTRA) * height * stretch)
    margins = rng.uniform(-0.02 * hard, 0.05 + 0.25 * hard, 4) * height
    width = min(width, max(3.0, settings.max_width - margins[0] - margins[2]))
    corners = np.array([(0, 0), (width, 0), (width, height), (0, height)], np.float64)
    corners += rng.normal(0, 0.05 * hard * height, (4, 2)).clip(-0.15 * height, 0.15 * height)
    angle = float(rng.normal(0, 5 * hard)) * np.pi / 180 if rng.random() < 0.6 else 0.0
    angle = float(np.clip(angle, -0.6 * height / width, 0.6 * height / width)) if width > height else angle
    cos, sin = np.cos(angle), np.sin(angle)
    corners = corners @ np.array([[cos, sin], [-sin, cos]])
    low, high = corners.min(0) - margins[:2], corners.max(0) + margins[2:]
    size = np.maximum(6, np.ceil(high - low)).astype(int)
    scale = min(1.0, settings.max_width / size[0])
    return (corners - low) * (scale, 1.0), (min(int(size[0]), settings.max_width), int(size[1]))
