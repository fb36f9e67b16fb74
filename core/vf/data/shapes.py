"""Generated images: rotated, overlapping shapes on textured grounds. No files, no download, the same on every machine.

Image ``index`` of a split is a pure function of (seed, split, index) and the settings. Class is told by outline
alone: colours, sizes, angles, grounds and light are drawn without regard to it.
"""

from __future__ import annotations

import math

import attrs
import cv2
import numpy as np
from numpy.typing import NDArray

CLASSES = ("circle", "square", "triangle", "star", "cross")
_STREAMS = {"train": 0, "val": 1, "test": 2}


@attrs.frozen
class Scene:
    """One generated image with its objects, back to front."""

    image: NDArray[np.uint8]
    """[H,W,3] RGB."""
    boxes: NDArray[np.float32]
    """[N,4] XYXY pixels: the whole object, cut at the image's edge."""
    labels: NDArray[np.int64]
    """[N] indices into CLASSES."""
    masks: NDArray[np.bool_]
    """[N,H,W] what is seen of each object."""
    seen: NDArray[np.uint8]
    """[H,W] 0 on the ground, else 1 + the label of what is seen there, be it of an object that is left out."""


@attrs.frozen(kw_only=True)
class Settings:
    """What scenes look like. Sides and object counts are drawn uniformly."""

    size: int
    min_objects: int
    max_objects: int
    min_side: float
    """Smallest diameter, as a part of ``size``."""
    max_side: float
    seed: int


def scene(settings: Settings, split: str, index: int) -> Scene:
    """Generate one image. An object that others cover by more than 70 % is left out."""
    rng = np.random.default_rng([settings.seed, _STREAMS[split], index])
    size = settings.size
    image = _ground(rng, size)
    count = int(rng.integers(settings.min_objects, settings.max_objects + 1))
    owner = np.full((size, size), -1, np.int16)
    whole, labels = [], []
    for number in range(count):
        label = int(rng.integers(len(CLASSES)))
        side = size * rng.uniform(settings.min_side, settings.max_side)
        x, y = rng.uniform(0.3 * side, size - 0.3 * side, 2)
        outline = _outline(label, rng) * (side / 2) + (x, y)
        mask = np.zeros((size, size), np.uint8)
        cv2.fillPoly(mask, [np.round(outline * 16).astype(np.int32)], 1, shift=4)
        _paint(image, mask, rng)
        owner[mask > 0] = number
        whole.append(mask > 0)
        labels.append(label)
    return _visible(image, owner, whole, labels)


def _visible(
    image: NDArray[np.uint8], owner: NDArray[np.int16], whole: list[NDArray[np.bool_]], labels: list[int]
) -> Scene:
    boxes, kept, masks = [], [], []
    for number, (mask, label) in enumerate(zip(whole, labels, strict=True)):
        seen = owner == number
        if seen.sum() < 0.3 * mask.sum() or not mask.any():
            continue
        columns, rows = np.flatnonzero(mask.any(0)), np.flatnonzero(mask.any(1))
        boxes.append((columns[0], rows[0], columns[-1] + 1, rows[-1] + 1))
        kept.append(label)
        masks.append(seen)
    return Scene(
        image=image,
        boxes=np.array(boxes, np.float32).reshape(-1, 4),
        labels=np.array(kept, np.int64),
        masks=np.array(masks, bool).reshape(-1, *owner.shape),
        seen=np.array([0, *(label + 1 for label in labels)], np.uint8)[owner + 1],
    )


def _outline(label: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """Vertices [V,2] of a class around the origin, within the unit circle, turned and squeezed at random."""
    points = _POLYGONS[CLASSES[label]]
    angle = rng.uniform(0, 2 * math.pi)
    squeeze = np.array([1.0, rng.uniform(0.75, 1.0)])
    cos, sin = math.cos(angle), math.sin(angle)
    turned: NDArray[np.float64] = (points * squeeze) @ np.array([[cos, sin], [-sin, cos]])
    return turned


def _regular(corners: int) -> NDArray[np.float64]:
    angles = 2 * np.pi * np.arange(corners) / corners
    return np.stack([np.cos(angles), np.sin(angles)], 1)


def _star() -> NDArray[np.float64]:
    return _regular(10) * np.where(np.arange(10) % 2, 0.42, 1.0)[:, None]


def _cross() -> NDArray[np.float64]:
    arm = 0.3
    quarter = np.array([(0.95, -arm), (0.95, arm), (arm, arm)])
    turn = np.array([[0.0, 1.0], [-1.0, 0.0]])
    return np.concatenate([quarter @ np.linalg.matrix_power(turn, k) for k in range(4)])


_POLYGONS = {
    "circle": _regular(48),
    "square": _regular(4),
    "triangle": _regular(3),
    "star": _star(),
    "cross": _cross(),
}


def _ground(rng: np.random.Generator, size: int) -> NDArray[np.uint8]:
    """Noise of a random grain and contrast on a slope of two colours."""
    grain = int(rng.integers(2, 10))
    noise = rng.normal(0, 1, (size // grain + 2, size // grain + 2, 3)).astype(np.float32)
    texture = cv2.resize(noise, (size, size), interpolation=cv2.INTER_LINEAR) * rng.uniform(4, 30)
    first, second = rng.uniform(20, 235, (2, 3))
    ramp = np.linspace(0, 1, size, dtype=np.float32)
    ramp = ramp[:, None] if rng.random() < 0.5 else ramp[None, :]
    slope = first + (second - first) * np.broadcast_to(ramp, (size, size))[..., None]
    ground: NDArray[np.uint8] = np.clip(slope + texture, 0, 255).astype(np.uint8)
    return ground


def _paint(image: NDArray[np.uint8], mask: NDArray[np.uint8], rng: np.random.Generator) -> None:
    """Fill with a colour that stands out from what lies under it, with a little grain and an edge at times."""
    colour = rng.uniform(0, 255, 3)
    under = np.array(cv2.mean(image, mask)[:3])
    if np.abs(colour - under).max() < 60:
        colour = (colour + 128) % 256
    where = mask > 0
    grain = rng.normal(0, rng.uniform(0, 12), (int(where.sum()), 1))
    image[where] = np.clip(colour + grain, 0, 255).astype(np.uint8)
    if rng.random() < 0.5:
        outline, _ = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
        cv2.drawContours(image, outline, -1, rng.uniform(0, 255, 3).tolist(), 1)
