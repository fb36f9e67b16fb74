"""What a camera and a file do to what was drawn: light, blur, noise, low resolution, JPEG."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from vf_ocr.generate.painting import Pixels


def photograph(image: Pixels, rng: np.random.Generator, *, difficulty: float, height: float) -> NDArray[np.uint8]:
    """Return what a camera makes of an image.

    Args:
        image: float RGB; is changed.
        rng: all that is drawn comes from it.
        difficulty: 0: nearly nothing; 1: blur and noise that make some texts hard.
        height: of the texts that are to stay legible, px: blur goes with it.
    """
    drawn = rng.random(6)
    if drawn[0] < 0.3:
        _light(image, rng, 60 * difficulty)
    if drawn[1] < 0.25 * difficulty:
        image = _coarse(image, float(rng.uniform(1.0, 1 + height / 22)))
    if drawn[2] < 0.5 * difficulty:
        sigma = float(rng.uniform(0.3, 0.35 + height / 40))
        image = np.asarray(cv2.GaussianBlur(image, (0, 0), sigma), np.float32)
    elif drawn[2] > 1 - 0.15 * difficulty:
        image = np.asarray(cv2.filter2D(image, -1, _motion(rng, max(3, round(height / 7)))), np.float32)
    if drawn[3] < 0.2 + 0.5 * difficulty:
        noise = rng.standard_normal(image.shape[:2] if drawn[4] < 0.6 else image.shape, dtype=np.float32)
        image += (noise if noise.ndim == 3 else noise[..., None]) * np.float32(rng.uniform(1, 2 + 16 * difficulty))
    pixels = np.clip(image, 0, 255).astype(np.uint8)
    if drawn[5] < 0.5 * difficulty:
        pixels = _jpeg(pixels, int(rng.integers(90 - int(70 * difficulty), 95)))
    return pixels


def _light(image: Pixels, rng: np.random.Generator, strength: float) -> None:
    """Lighten one side and darken the other."""
    height, width = image.shape[:2]
    across, down = rng.uniform(-strength, strength, 2).astype(np.float32)
    slope = np.linspace(-across, across, width, dtype=np.float32)[None]
    image += (slope + np.linspace(-down, down, height, dtype=np.float32)[:, None])[..., None]


def _coarse(image: Pixels, factor: float) -> Pixels:
    height, width = image.shape[:2]
    small = cv2.resize(
        image, (max(4, round(width / factor)), max(4, round(height / factor))), None, 0, 0, cv2.INTER_AREA
    )
    return np.asarray(cv2.resize(small, (width, height), interpolation=cv2.INTER_LINEAR), np.float32)


def _motion(rng: np.random.Generator, length: int) -> NDArray[np.float32]:
    """Return a kernel that smears along a line."""
    side = length | 1
    kernel = np.zeros((side, side), np.float32)
    angle = rng.uniform(0, np.pi)
    reach = np.array([np.cos(angle), np.sin(angle)]) * (side // 2)
    middle = side // 2
    first, second = (np.round(middle + sign * reach).astype(int).tolist() for sign in (-1, 1))
    cv2.line(kernel, first, second, 1.0)
    return np.asarray(kernel / kernel.sum(), np.float32)


def _jpeg(pixels: NDArray[np.uint8], quality: int) -> NDArray[np.uint8]:
    _, coded = cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, quality])
    return np.asarray(cv2.imdecode(coded, cv2.IMREAD_COLOR), np.uint8)
