"""Ink on a ground: colours that can be told apart, outlines, shadows, wear."""

from __future__ import annotations

from typing import Any

import attrs
import cv2
import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[np.float32]
"""[H,W,3] RGB, 0..255."""
_LUMA = np.array([0.299, 0.587, 0.114])


@attrs.frozen(kw_only=True)
class Ink:
    """How a line, or several, are painted."""

    colour: NDArray[np.float64]
    """[3] RGB."""
    opacity: float = 1.0
    outline: NDArray[np.float64] | None = None
    """Colour of an edge around the letters."""
    hollow: bool = False
    """Only the edge is painted, not the letters."""
    edge: int = 1
    """Width of the edge, px."""
    shadow: tuple[int, int] | None = None
    """Right and down, px."""
    worn: float = 0.0
    """Part of the ink that is missing in spots."""
    shaded: float = 0.0
    """How much lighter the letters are at one end, in grey levels."""


def random_colour(rng: np.random.Generator) -> NDArray[np.float64]:
    """Draw a colour: greys and muted ones as often as bright ones."""
    colour = rng.uniform(0, 255, 3)
    grey = colour.mean()
    return np.asarray(grey + (colour - grey) * rng.uniform(0, 1.2) ** 1.5, np.float64)


def contrasting(rng: np.random.Generator, ground: NDArray[np.float64], least: float) -> NDArray[np.float64]:
    """Draw a colour whose luminance is at least so far from the ground's, lighter or darker where both are possible."""
    own = float(ground @ _LUMA)
    below, above = max(0.0, own - least), max(0.0, 255 - own - least)
    if rng.random() * (below + above) < below:
        wanted = rng.uniform(0, below)
    else:
        wanted = rng.uniform(min(255.0, own + least), 255)
    colour = random_colour(rng)
    colour = np.clip(colour + (wanted - float(colour @ _LUMA)), 0, 255)
    # What was cut at the ends of the scale is luminance lost: a grey has all of it.
    return colour if abs(float(colour @ _LUMA) - own) >= 0.9 * least else np.full(3, wanted)


def random_ink(rng: np.random.Generator, ground: NDArray[np.float64], *, height: float, difficulty: float) -> Ink:
    """Draw how text of a height in px is painted on a ground of a mean colour."""
    least = rng.uniform(110 - 75 * difficulty, 150)
    colour = contrasting(rng, ground, min(least, 120.0))
    drawn = rng.random(5)
    thick = max(1, round(height / 28))
    outline = contrasting(rng, colour, 60.0) if drawn[0] < 0.25 * difficulty else None
    shadow = None
    if drawn[1] < 0.3 * difficulty and height > 14:
        shadow = (int(rng.integers(-2, 3)) * thick, int(rng.integers(1, 3)) * thick)
    return Ink(
        colour=colour,
        opacity=1 - 0.3 * difficulty * float(drawn[2]) ** 2,
        outline=outline,
        hollow=outline is not None and height > 22 and rng.random() < 0.2,
        edge=thick,
        shadow=shadow,
        worn=0.35 * float(rng.random()) if drawn[3] < 0.15 * difficulty else 0.0,
        shaded=float(rng.uniform(-50, 50)) if drawn[4] < 0.3 else 0.0,
    )


def paint(ground: Pixels, coverage: NDArray[np.uint8], ink: Ink, rng: np.random.Generator) -> None:
    """Paint coverage [H,W] on a ground of the same size, in place."""
    if ink.shadow is not None:
        dx, dy = ink.shadow
        moved = cv2.warpAffine(coverage, np.array([[1, 0, dx], [0, 1, dy]], np.float32), coverage.shape[::-1])
        _lay(ground, cv2.GaussianBlur(moved, (0, 0), max(0.5, ink.edge)), np.full(3, float(rng.uniform(0, 60))), 0.7)
    if ink.outline is not None:
        wide = cv2.dilate(coverage, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * ink.edge + 1,) * 2))
        if ink.hollow:
            wide = cv2.subtract(wide, cv2.erode(coverage, np.ones((2, 2), np.uint8)))
        _lay(ground, wide, ink.outline, ink.opacity)
        if ink.hollow:
            return
    if ink.worn:
        coverage = _worn(coverage, ink.worn, rng)
    colour = ink.colour
    if ink.shaded:
        ramp = np.linspace(-ink.shaded / 2, ink.shaded / 2, coverage.shape[0], dtype=np.float32)
        colour = np.clip(colour + ramp[:, None, None], 0, 255)
    _lay(ground, coverage, colour, ink.opacity)


def _lay(ground: Pixels, coverage: NDArray[Any], colour: NDArray[np.float64], opacity: float) -> None:
    alpha = (coverage * np.float32(opacity / 255))[..., None]
    ground += alpha * (colour.astype(np.float32) - ground)


def _worn(coverage: NDArray[np.uint8], part: float, rng: np.random.Generator) -> NDArray[np.uint8]:
    height, width = coverage.shape
    coarse = rng.random((height // 3 + 2, width // 3 + 2), dtype=np.float32)
    spots = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_LINEAR)
    keep = np.clip((spots - part * 0.6) * 8, 0, 1)
    return np.asarray(coverage * keep, np.uint8)
