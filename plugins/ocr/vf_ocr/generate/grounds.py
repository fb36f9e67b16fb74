"""What text stands on: slopes of colour, grain, patches, lines, gratings."""

from __future__ import annotations

import cv2
import numpy as np

from vf_ocr.generate.painting import Pixels, random_colour


def ground(rng: np.random.Generator, height: int, width: int, *, busy: float) -> Pixels:
    """Draw a ground.

    Args:
        busy: 0: nearly plain; 1: with patches, lines and gratings.
    """
    first = random_colour(rng)
    second = first + rng.normal(0, 12 + 45 * busy * rng.random(), 3)
    ramp = np.linspace(0, 1, width, dtype=np.float32)[None] * rng.uniform(-1, 1)
    ramp = ramp + np.linspace(0, 1, height, dtype=np.float32)[:, None] * rng.uniform(-1, 1)
    image = first.astype(np.float32) + ramp[..., None] * (second - first).astype(np.float32)
    if rng.random() < 0.5 * busy:
        _patches(image, rng, int(rng.integers(1, 3 + height * width // 20_000)))
    if rng.random() < 0.35 * busy:
        _grating(image, rng)
    if rng.random() < 0.4 * busy:
        _lines(image, rng, int(rng.integers(1, 4 + height * width // 40_000)))
    if rng.random() < 0.7:
        _grain(image, rng, float(rng.uniform(2, 6 + 18 * busy)))
    return np.clip(image, 0, 255, out=image)


def _grain(image: Pixels, rng: np.random.Generator, strength: float) -> None:
    """Add noise of a random grain, coarser in one direction at times; the channels go together."""
    height, width = image.shape[:2]
    grain = rng.integers(2, 12, 2)
    small = rng.standard_normal((height // int(grain[0]) + 2, width // int(grain[1]) + 2), dtype=np.float32)
    image += (cv2.resize(small, (width, height), interpolation=cv2.INTER_LINEAR) * strength)[..., None]


def _patches(image: Pixels, rng: np.random.Generator, count: int) -> None:
    """Paint polygons and ellipses of other colours, over the edge too."""
    height, width = image.shape[:2]
    for _ in range(count):
        colour = tuple(float(v) for v in random_colour(rng))
        centre = rng.uniform((0, 0), (width, height))
        if rng.random() < 0.3:
            axes = rng.uniform(0.05, 0.5, 2) * max(height, width)
            box = (tuple(centre.tolist()), tuple((2 * axes).tolist()), float(rng.uniform(0, 180)))
            cv2.ellipse(image, box, colour, -1, cv2.LINE_AA)
            continue
        corners = int(rng.integers(3, 6))
        angles = np.sort(rng.uniform(0, 2 * np.pi, corners))
        reach = rng.uniform(0.1, 0.8, (corners, 1)) * max(height, width)
        points = centre + reach * np.stack([np.cos(angles), np.sin(angles)], 1)
        cv2.fillPoly(image, [np.round(points * 8).astype(np.int32)], colour, cv2.LINE_AA, shift=3)


def _grating(image: Pixels, rng: np.random.Generator) -> None:
    """Add waves, straight or crossed, as bricks, blinds and fabric have them."""
    height, width = image.shape[:2]
    period = float(rng.uniform(4, 40))
    angle = float(rng.choice([0.0, np.pi / 2, rng.uniform(0, np.pi)]))
    ys, xs = np.mgrid[:height, :width].astype(np.float32)
    wave = np.sin((xs * np.cos(angle) + ys * np.sin(angle)) * (2 * np.pi / period))
    if rng.random() < 0.4:
        wave = np.maximum(wave, np.sin((ys * np.cos(angle) - xs * np.sin(angle)) * (2 * np.pi / (2 * period))))
    if rng.random() < 0.5:
        wave = np.sign(wave - rng.uniform(-0.5, 0.9))
    image += (wave * np.float32(rng.uniform(4, 30)))[..., None]


def _lines(image: Pixels, rng: np.random.Generator, count: int) -> None:
    height, width = image.shape[:2]
    for _ in range(count):
        ends = rng.uniform((-0.2 * width, -0.2 * height), (1.2 * width, 1.2 * height), (2, 2))
        if rng.random() < 0.5:  # along an edge of the image, as frames are
            side = int(rng.integers(2))
            ends[1, side] = ends[0, side]
        first, second = (np.round(end * 8).astype(int).tolist() for end in ends)
        colour = tuple(float(v) for v in random_colour(rng))
        cv2.line(image, first, second, colour, int(rng.integers(1, 5)), cv2.LINE_AA, shift=3)
