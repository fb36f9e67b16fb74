"""Generated pages: words in lines and blocks on one ground, each with the four corners that it was drawn into."""

from __future__ import annotations

import attrs
import cv2
import numpy as np
from numpy.typing import NDArray

from vf_ocr.generate.camera import photograph
from vf_ocr.generate.crops import STREAMS, random_lettering, suited
from vf_ocr.generate.fonts import Face
from vf_ocr.generate.grounds import ground
from vf_ocr.generate.lettering import EXTRA, Coverage, Lettering, line
from vf_ocr.generate.painting import Pixels, paint, random_colour, random_ink
from vf_ocr.generate.spelling import Speller
from vf_ocr.texts import ILLEGIBLE

_CAPITALS = 0.72
"""Height of capitals, as a part of the font's size: what ``heights`` speaks of."""
_COARSE = 4
"""px of the page for one cell of the map of what is taken."""
_TRIES = 6
"""Places that are tried for a block before it is left out."""


@attrs.frozen(kw_only=True)
class PageSettings:
    """What generated pages look like."""

    speller: Speller
    faces: tuple[Face, ...]
    size: tuple[int, int]
    """Height and width, px."""
    words: tuple[int, int]
    """Fewest and most that are looked for a place for."""
    heights: tuple[int, int]
    """Least and largest height of capitals, px."""
    max_angle: float
    """Of lines, degrees."""
    illegible: float
    """Part of the blocks that are too small to be read."""
    ignore_under: float
    """Words lower than this are marked as illegible, px."""
    difficulty: float
    seed: int


@attrs.frozen(eq=False)
class Page:
    """One generated page with N words."""

    image: NDArray[np.uint8]
    """[H,W,3] RGB."""
    quads: NDArray[np.float32]
    """[N,4,2] px, clockwise from the upper left of the text."""
    texts: tuple[str, ...]
    ignored: NDArray[np.bool_]
    """[N] words that nobody can read; their text is ``###``."""


@attrs.frozen(eq=False)
class Block:
    """Words of one manner, drawn flat."""

    coverage: Coverage
    boxes: NDArray[np.float32]
    """[N,4] XYXY of each word's ink."""
    texts: tuple[str, ...]
    size: int
    """Of the font, px."""


def page(settings: PageSettings, split: str, index: int) -> Page:
    """Generate one page, a pure function of the arguments."""
    rng = np.random.default_rng([settings.seed, STREAMS[split], index, 2])
    height, width = settings.size
    image = ground(rng, height, width, busy=settings.difficulty)
    taken = np.zeros((height // _COARSE + 1, width // _COARSE + 1), np.uint8)
    left = int(rng.integers(settings.words[0], settings.words[1] + 1))
    tilt = float(rng.normal(0, 0.15 * settings.max_angle)) if rng.random() < 0.5 else 0.0
    quads: list[NDArray[np.float32]] = []
    texts: list[str] = []
    smallest = float(settings.heights[1])
    while left > 0:
        small = bool(rng.random() < settings.illegible)
        tall = _tallness(rng, settings, small=small)
        block = make_block(rng, settings, min(left, int(rng.choice((1, 1, 2, 3, 4, 6, 9)))), tall)
        left -= max(1, len(block.texts))
        corners = _place(block, rng, settings, taken, tall, tilt)
        if corners is None:
            continue
        smallest = smallest if small else min(smallest, tall)
        quads.append(draw_block(image, block, corners, rng, tall, settings.difficulty))
        texts += [ILLEGIBLE] * len(block.texts) if small else block.texts
    photo = photograph(image, rng, difficulty=settings.difficulty, height=smallest)
    return _finished(photo, np.concatenate([np.zeros((0, 4, 2), np.float32), *quads]), texts, settings)


def _tallness(rng: np.random.Generator, settings: PageSettings, *, small: bool) -> float:
    if small:
        return float(rng.uniform(3.5, 6))
    low, high = np.log(settings.heights)
    return float(np.exp(low + (high - low) * rng.random() ** 1.3))


def _finished(image: NDArray[np.uint8], quads: NDArray[np.float32], texts: list[str], settings: PageSettings) -> Page:
    sides = np.linalg.norm(quads[:, 3] - quads[:, 0], axis=1), np.linalg.norm(quads[:, 2] - quads[:, 1], axis=1)
    ignored = np.array([text == ILLEGIBLE for text in texts], bool) | (
        (sides[0] + sides[1]) / 2 < settings.ignore_under
    )
    marked = tuple(ILLEGIBLE if gone else text for text, gone in zip(texts, ignored.tolist(), strict=True))
    return Page(image, quads, marked, ignored)


def make_block(rng: np.random.Generator, settings: PageSettings, count: int, tall: float) -> Block:
    """Draw up to ``count`` words in lines that fit across the page."""
    letters = random_lettering(rng, settings.faces, tall / _CAPITALS, settings.difficulty, bends=False)
    size = letters.size
    widest = 0.8 * settings.size[1] * _CAPITALS * size / tall
    gap, pitch = rng.uniform(0.25, 0.6) * size, rng.uniform(1.0, 1.5) * size
    across = int(rng.integers(1, 1 + min(count, 4)))
    centred = rng.random() < 0.4
    rows = [
        _row(rng, settings, min(across, count - first), letters=letters, gap=gap, widest=widest)
        for first in range(0, count, across)
    ]
    longest = max((row[-1][1] + row[-1][2].shape[1] for row in rows if row), default=0.0)
    spread = np.zeros((int(pitch * len(rows) + 2 * size), int(longest) + 1), np.uint8)
    boxes, texts = [], []
    for number, row in enumerate(rows):
        indent = (longest - row[-1][1] - row[-1][2].shape[1]) / 2 if row and centred else 0.0
        for text, x, ink, rise in row:
            x0, y0 = int(x + indent), max(0, int(1.2 * size + number * pitch) - rise)
            part = spread[y0 : y0 + ink.shape[0], x0 : x0 + ink.shape[1]]
            np.maximum(part, ink[: part.shape[0], : part.shape[1]], out=part)
            boxes.append((x0, y0, x0 + part.shape[1], y0 + part.shape[0]))
            texts.append(text)
    ink_boxes = np.array(boxes, np.float32).reshape(-1, 4) + np.array([EXTRA, EXTRA, -EXTRA, -EXTRA], np.float32)
    if not texts:
        return Block(spread[:0], ink_boxes, (), size)
    top, bottom = int(ink_boxes[:, 1].min()) - EXTRA, int(ink_boxes[:, 3].max()) + EXTRA
    return Block(spread[top:bottom], ink_boxes - np.array([0, top, 0, top], np.float32), tuple(texts), size)


def _row(
    rng: np.random.Generator,
    settings: PageSettings,
    count: int,
    *,
    letters: Lettering,
    gap: float,
    widest: float,
) -> list[tuple[str, float, Coverage, int]]:
    """Draw words beside each other: text, x, ink and its rise of each; what would end too far right is left out."""
    row: list[tuple[str, float, Coverage, int]] = []
    x = 0.0
    for _ in range(count):
        text = settings.speller(rng)
        drawn = line(text, suited(letters, text, settings.faces), rng)
        if not drawn.coverage.size or x + drawn.coverage.shape[1] > widest:
            continue
        row.append((text, x, drawn.coverage, drawn.rise))
        x += drawn.coverage.shape[1] + gap
    return row


def _place(
    block: Block,
    rng: np.random.Generator,
    settings: PageSettings,
    taken: NDArray[np.uint8],
    tall: float,
    tilt: float,
) -> NDArray[np.float32] | None:
    """Take a free place for a block: where its corners come to lie, [4,2] px, clockwise; None: none was found."""
    if not block.texts:
        return None
    hard, limit = settings.difficulty, settings.max_angle
    page_size = np.array(settings.size[::-1], np.float64)
    scale = tall / (_CAPITALS * block.size)
    width, height = block.coverage.shape[1] * scale * np.exp(rng.normal(0, 0.1)), block.coverage.shape[0] * scale
    for _ in range(_TRIES):
        corners = np.array([(0, 0), (width, 0), (width, height), (0, height)])
        corners += rng.uniform(-0.12, 0.12, (4, 2)) * hard * min(width, height)
        own = rng.uniform(-limit, limit) if rng.random() < 0.2 else tilt + rng.normal(0, 0.05 * limit)
        angle = float(np.clip(own, -limit, limit)) * np.pi / 180
        corners = corners @ np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
        low, high = corners.min(0), corners.max(0)
        room = page_size - (high - low) - 4
        if (room < 0).any():
            continue
        corners = corners + (2 + rng.random(2) * room - low)
        spread = corners + 0.35 * tall * np.sign(corners - corners.mean(0))
        wanted = np.zeros_like(taken)
        cv2.fillConvexPoly(wanted, np.round(spread / _COARSE).astype(np.int32), 1)
        if not (wanted & taken).any():
            taken |= wanted
            return np.asarray(corners, np.float32)
    return None


def draw_block(
    image: Pixels, block: Block, corners: NDArray[np.float32], rng: np.random.Generator, tall: float, hard: float
) -> NDArray[np.float32]:
    """Paint a block into its place; return the corners [N,4,2] of its words."""
    height, width = block.coverage.shape
    flat = np.array([(0, 0), (width, 0), (width, height), (0, height)], np.float32)
    matrix = np.asarray(cv2.getPerspectiveTransform(flat, corners), np.float64)
    low = np.maximum(0, np.floor(corners.min(0)).astype(int) - 3)
    high = np.minimum(image.shape[1::-1], np.ceil(corners.max(0)).astype(int) + 3)
    shift = np.array([[1, 0, -low[0]], [0, 1, -low[1]], [0, 0, 1]], np.float64)
    part = image[low[1] : high[1], low[0] : high[0]]
    warped = cv2.warpPerspective(block.coverage, shift @ matrix, part.shape[1::-1], flags=_interpolation(block, tall))
    inked = (warped > 127).astype(np.uint8)
    under, spread = (np.asarray(v[:3, 0], np.float64) for v in cv2.meanStdDev(part, mask=inked))
    if rng.random() < (0.9 if spread.max() > 40 else 0.25):  # over an edge of two colours no ink can be seen
        _plate(image, matrix, (width, height), rng, pad=float(rng.uniform(0.05, 0.3)) * _CAPITALS * block.size)
        under = np.array(cv2.mean(part, inked)[:3])
    paint(part, np.asarray(warped, np.uint8), random_ink(rng, under, height=tall, difficulty=hard), rng)
    boxes = block.boxes
    # Pixel centres lie half a pixel from the corners of boxes, on the flat block as on the page.
    points = np.stack([boxes[:, [0, 1]], boxes[:, [2, 1]], boxes[:, [2, 3]], boxes[:, [0, 3]]], 1) - 0.5
    return np.asarray(cv2.perspectiveTransform(points.reshape(-1, 1, 2), matrix).reshape(-1, 4, 2) + 0.5, np.float32)


def _interpolation(block: Block, tall: float) -> int:
    """Text that is shrunk a lot would alias."""
    return cv2.INTER_AREA if block.size * _CAPITALS > 1.8 * tall else cv2.INTER_LINEAR


def _plate(
    image: Pixels, matrix: NDArray[np.float64], size: tuple[int, int], rng: np.random.Generator, *, pad: float
) -> None:
    """Paint a sign under a block, in its plane, with so much around it."""
    width, height = size
    flat = np.array([(-pad, -pad), (width + pad, -pad), (width + pad, height + pad), (-pad, height + pad)], np.float32)
    corners = cv2.perspectiveTransform(flat[:, None], matrix)[:, 0]
    points = np.round(corners * 8).astype(np.int32)
    cv2.fillConvexPoly(image, points, tuple(float(v) for v in random_colour(rng)), cv2.LINE_AA, shift=3)
    if rng.random() < 0.4:
        edge = tuple(float(v) for v in random_colour(rng))
        cv2.polylines(image, [points], True, edge, int(rng.integers(1, 4)), cv2.LINE_AA, shift=3)
