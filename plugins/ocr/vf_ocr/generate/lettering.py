"""A line of text as coverage: glyphs set beside each other, made bold or thin, slanted, bent."""

from __future__ import annotations

from typing import Any

import attrs
import cv2
import numpy as np
from numpy.typing import NDArray

from vf_ocr.generate.fonts import Face, glyph

Coverage = NDArray[np.uint8]
EXTRA = 2
"""px of nothing around what is drawn, so that what is interpolated has room."""


@attrs.frozen(kw_only=True)
class Lettering:
    """How the letters of one line, or of several, are set."""

    face: Face
    size: int
    """Of the font, px."""
    spacing: float = 0.0
    """Added between two letters, as a part of ``size``."""
    jitter: float = 0.0
    """How far letters leave the baseline, as a part of ``size``."""
    weight: int = 0
    """px that strokes grow, or shrink where it is negative."""
    slant: float = 0.0
    """px to the right for each px up."""
    bend: float = 0.0
    """Height of the arc that the baseline makes, as a part of the line's height; positive: its middle is higher."""


@attrs.frozen(eq=False)
class Line:
    """One drawn line, or word."""

    coverage: Coverage
    """[H,W], cut to its ink with ``EXTRA`` px around it; [0,0] where there is no ink."""
    rise: int
    """Rows from the first one down to the baseline, before it was bent."""


def line(text: str, how: Lettering, rng: np.random.Generator) -> Line:
    """Draw a line of text."""
    drawn = [glyph(how.face.file, how.size, character) for character in text]
    lift = rng.normal(0, how.jitter * how.size, len(drawn)).round().astype(int).tolist() if how.jitter else None
    top = min((g.top for g in drawn if g.alpha.size), default=0)
    bottom = max((g.top + g.alpha.shape[0] for g in drawn if g.alpha.size), default=0)
    room = int(3 * how.jitter * how.size) + abs(how.weight) + EXTRA
    pens, pen = [], 0.0
    for one in drawn:
        pens.append(round(pen) + one.left)
        pen += one.advance + how.spacing * how.size
    shift = room - min([0, *pens])
    ends = [p + g.alpha.shape[1] for p, g in zip(pens, drawn, strict=True)]
    canvas = np.zeros((bottom - top + 2 * room, shift + max([1, *ends]) + room), np.uint8)
    for k, (one, left) in enumerate(zip(drawn, pens, strict=True)):
        if one.alpha.size:
            y, x = one.top - top + room + (lift[k] if lift else 0), left + shift
            y = min(max(0, y), canvas.shape[0] - one.alpha.shape[0])
            part = canvas[y : y + one.alpha.shape[0], x : x + one.alpha.shape[1]]
            np.maximum(part, one.alpha[:, : part.shape[1]], out=part)
    if how.weight:
        canvas = _weighted(canvas, how.weight)
    cut, above = _trimmed(_bent(canvas, how.slant, how.bend))
    return Line(cut, room - top - above)


def _weighted(canvas: Coverage, weight: int) -> Coverage:
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * abs(weight) + 1,) * 2)
    if weight > 0:
        return np.asarray(cv2.dilate(canvas, kernel), np.uint8)
    thin = cv2.erode(canvas, np.ones((2, 2), np.uint8))
    return np.asarray(thin if thin.max(initial=0) > 128 else canvas, np.uint8)


def _bent(given: Coverage, slant: float, bend: float) -> Coverage:
    canvas: Any = given
    height, width = canvas.shape
    if bend:
        arc = bend * height * (1 - ((np.arange(width, dtype=np.float32) - width / 2) / (width / 2)) ** 2)
        room = int(abs(bend) * height) + 1
        canvas = cv2.copyMakeBorder(canvas, room, room, 0, 0, cv2.BORDER_CONSTANT, value=0)
        height = canvas.shape[0]
        xs, ys = np.meshgrid(np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32))
        canvas = cv2.remap(canvas, xs, ys + arc[None], cv2.INTER_LINEAR)
    if slant:
        room = int(abs(slant) * height) + 1
        matrix = np.array([[1, -slant, max(0.0, slant) * height], [0, 1, 0]], np.float32)
        canvas = cv2.warpAffine(canvas, matrix, (width + room, height))
    return np.asarray(canvas, np.uint8)


def _trimmed(canvas: Coverage) -> tuple[Coverage, int]:
    """Cut coverage to its ink, with ``EXTRA`` px around it; also return how many rows are gone at the top."""
    x, y, width, height = cv2.boundingRect(canvas)
    if not width or not height:
        return np.zeros((0, 0), np.uint8), 0
    ink = canvas[y : y + height, x : x + width]
    framed = cv2.copyMakeBorder(ink, EXTRA, EXTRA, EXTRA, EXTRA, cv2.BORDER_CONSTANT, value=0)
    return np.asarray(framed, np.uint8), y - EXTRA
