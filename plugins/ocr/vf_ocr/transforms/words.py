"""Transforms of word images: warps of the plane and of the line, blur, noise, colour; tens of microseconds each."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Literal

import attrs
import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torchvision import tv_tensors

from vf.data.sample import Sample

Pixels = NDArray[np.uint8]
"""[H,W,3] RGB."""
Warp = Literal["affine", "perspective", "distort", "stretch"]
WARPS: tuple[Warp, ...] = ("affine", "perspective", "distort", "stretch")
Fault = Literal["coarse", "blur", "motion", "noise", "jpeg"]
FAULTS: tuple[Fault, ...] = ("coarse", "blur", "motion", "noise", "jpeg")


def _drawn(count: int) -> list[float]:
    values: list[float] = torch.rand(count).tolist()
    return values


def _changed(sample: Sample, pixels: Any) -> Sample:
    image = tv_tensors.Image(torch.from_numpy(np.ascontiguousarray(pixels, np.uint8)).permute(2, 0, 1))
    return attrs.evolve(sample, image=image)


def _pixels(sample: Sample) -> Pixels:
    return np.asarray(sample.image.permute(1, 2, 0).numpy(), np.uint8)


class WordWarp:
    """Warp a word in one of some ways, drawn evenly.

    ``distort`` and ``stretch`` move cuts across the line, as arXiv 2003.06606 does; here what lies between two cuts is
    interpolated linearly, where that paper moves the whole plane with each point.

    Args:
        kinds: ways.
        strength: of all of them; 1 is as strong as is still read easily.
        segments: between cuts.
        p: probability.
    """

    def __init__(self, *, kinds: tuple[Warp, ...], strength: float, segments: int, p: float) -> None:
        self._kinds, self._strength, self._segments, self._p = kinds, strength, segments, p

    def __call__(self, sample: Sample) -> Sample:
        """Warp one word."""
        take, which = _drawn(2)
        height, width = sample.size
        if take >= self._p or min(height, width) < 4:
            return sample
        kind = self._kinds[int(which * len(self._kinds))]
        return _changed(sample, _WARPS[kind](_pixels(sample), self._strength, self._segments))


def _affine(pixels: Pixels, strength: float, segments: int) -> Any:
    """Turn, shear and scale around the centre; the image grows to hold all of the word."""
    turn, shear, wide = ((2 * v - 1) * strength for v in _drawn(3))
    height, width = pixels.shape[:2]
    angle = turn * min(15.0, 40.0 * height / width + 4.0) * np.pi / 180
    cos, sin = np.cos(angle), np.sin(angle)
    matrix = np.array([[cos, sin], [-sin, cos]]) @ np.array([[1.0, 0.5 * shear], [0.0, 1.0]])
    matrix = matrix @ np.diag([1.0 + 0.25 * wide, 1.0])
    return _around(pixels, matrix)


def _around(pixels: Pixels, matrix: NDArray[np.float64]) -> Any:
    height, width = pixels.shape[:2]
    corners = np.array([(0, 0), (width, 0), (width, height), (0, height)], np.float64) @ matrix.T
    low, size = corners.min(0), np.ptp(corners, axis=0)
    full = np.concatenate([matrix, -low[:, None]], 1)
    to = (max(4, round(size[0])), max(4, round(size[1])))
    return cv2.warpAffine(pixels, full, to, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)


def _perspective(pixels: Pixels, strength: float, segments: int) -> Any:
    """Move each corner inwards or outwards."""
    height, width = pixels.shape[:2]
    moves = (2 * np.array(_drawn(8), np.float32).reshape(4, 2) - 1) * strength
    corners = np.array([(0, 0), (width, 0), (width, height), (0, height)], np.float32)
    moved = corners + moves * np.array([0.3 * min(height, width), 0.2 * height], np.float32)
    matrix = cv2.getPerspectiveTransform(corners, moved)
    return cv2.warpPerspective(pixels, matrix, (width, height), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)


def _cuts(width: int, segments: int) -> NDArray[np.float32]:
    return np.linspace(0, width - 1, segments + 1, dtype=np.float32)


def _stretch(pixels: Pixels, strength: float, segments: int) -> Any:
    """Move the cuts along the line: parts of the word become wider, others narrower."""
    height, width = pixels.shape[:2]
    cuts = _cuts(width, segments)
    moved = cuts.copy()
    moved[1:-1] += (2 * np.array(_drawn(segments - 1), np.float32) - 1) * strength * 0.35 * width / segments
    columns = np.interp(np.arange(width, dtype=np.float32), moved, cuts).astype(np.float32)
    xs = np.broadcast_to(columns, (height, width))
    ys = np.broadcast_to(np.arange(height, dtype=np.float32)[:, None], (height, width))
    return _remapped(pixels, xs, ys)


def _distort(pixels: Pixels, strength: float, segments: int) -> Any:
    """Move the upper and the lower ends of the cuts, each by itself."""
    height, width = pixels.shape[:2]
    cuts = _cuts(width, segments)
    moves = (2 * np.array(_drawn(4 * (segments + 1)), np.float32).reshape(2, 2, -1) - 1) * strength
    moves *= np.array([0.3 * width / segments, 0.3 * height], np.float32)[None, :, None]
    columns = np.arange(width, dtype=np.float32)
    (up_x, up_y), (low_x, low_y) = ([np.interp(columns, cuts, axis) for axis in end] for end in moves)
    down = np.linspace(0, 1, height, dtype=np.float32)[:, None]
    xs = columns + (1 - down) * up_x + down * low_x
    ys = np.arange(height, dtype=np.float32)[:, None] + (1 - down) * up_y + down * low_y
    return _remapped(pixels, xs, ys)


def _remapped(pixels: Pixels, xs: NDArray[Any], ys: NDArray[Any]) -> Any:
    maps = np.ascontiguousarray(xs, np.float32), np.ascontiguousarray(ys, np.float32)
    return cv2.remap(pixels, *maps, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)


_WARPS: Mapping[Warp, Callable[[Pixels, float, int], Any]] = {
    "affine": _affine,
    "perspective": _perspective,
    "distort": _distort,
    "stretch": _stretch,
}


class WordFault:
    """Do to a word what cameras and files do, in one of some ways, drawn evenly.

    Args:
        kinds: ways: few pixels, blur, motion, noise, JPEG.
        strength: of all of them; goes with the height of the image.
        p: probability.
    """

    def __init__(self, *, kinds: tuple[Fault, ...], strength: float, p: float) -> None:
        self._kinds, self._strength, self._p = kinds, strength, p

    def __call__(self, sample: Sample) -> Sample:
        """Spoil one word."""
        take, which, much = _drawn(3)
        if take >= self._p or min(sample.size) < 4:
            return sample
        kind = self._kinds[int(which * len(self._kinds))]
        return _changed(sample, _FAULTS[kind](_pixels(sample), self._strength * (0.2 + 0.8 * much)))


def _coarse(pixels: Pixels, strength: float) -> Any:
    height, width = pixels.shape[:2]
    factor = 1 + strength * height / 16
    to = (max(4, round(width / factor)), max(4, round(height / factor)))
    small = cv2.resize(pixels, to, interpolation=cv2.INTER_AREA)
    return cv2.resize(small, (width, height), interpolation=cv2.INTER_LINEAR)


def _blur(pixels: Pixels, strength: float) -> Any:
    return cv2.GaussianBlur(pixels, (0, 0), max(0.2, strength * pixels.shape[0] / 22))


def _motion(pixels: Pixels, strength: float) -> Any:
    side = max(3, round(strength * pixels.shape[0] / 5)) | 1
    kernel = np.zeros((side, side), np.float32)
    angle = _drawn(1)[0] * np.pi
    reach = np.array([np.cos(angle), np.sin(angle)]) * (side // 2)
    first, second = (np.round(side // 2 + sign * reach).astype(int).tolist() for sign in (-1, 1))
    cv2.line(kernel, first, second, 1.0)
    return cv2.filter2D(pixels, -1, kernel / kernel.sum())


def _noise(pixels: Pixels, strength: float) -> Any:
    noise = torch.randn(pixels.shape[:2]).numpy() * (25 * strength)
    return np.clip(pixels + noise[..., None], 0, 255)


def _jpeg(pixels: Pixels, strength: float) -> Any:
    quality = int(np.clip(70 - 60 * strength, 5, 95))
    return cv2.imdecode(cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, quality])[1], cv2.IMREAD_COLOR)


_FAULTS: Mapping[Fault, Callable[[Pixels, float], Any]] = {
    "coarse": _coarse,
    "blur": _blur,
    "motion": _motion,
    "noise": _noise,
    "jpeg": _jpeg,
}


class WordColour:
    """Change brightness, contrast, saturation and hue in one step, and swap dark for light at times.

    Args:
        brightness: most that is added or taken, as a part of 255.
        contrast: most of the factor's change.
        saturation: likewise.
        invert: probability of the negative.
        p: probability of the others.
    """

    def __init__(self, *, brightness: float, contrast: float, saturation: float, invert: float, p: float) -> None:
        self._brightness, self._contrast, self._saturation = brightness, contrast, saturation
        self._invert, self._p = invert, p

    def __call__(self, sample: Sample) -> Sample:
        """Colour one word."""
        take, turn, *rest = _drawn(5)
        bright, contrast, colour = (2 * v - 1 for v in rest)
        matrix, shift = np.eye(3), 0.0
        if take < self._p:
            # Towards grey or away from it, then around the middle of the scale, then up or down.
            grey = np.array([0.299, 0.587, 0.114])
            factor, scale = 1 + self._saturation * colour, 1 + self._contrast * contrast
            matrix = scale * (factor * matrix + (1 - factor) * grey)
            shift = 127.5 * (1 - scale) + 255 * self._brightness * bright
        if turn < self._invert:
            matrix, shift = -matrix, 255 - shift
        elif take >= self._p:
            return sample
        table = np.concatenate([matrix, np.full((3, 1), shift)], 1)
        return _changed(sample, cv2.transform(_pixels(sample), table))


class WordCrop:
    """Cut a little off the edges, as a detector does that is not exact; or lay a little around.

    Args:
        most: cut off at each edge, as a part of the height.
        p: probability.
    """

    def __init__(self, *, most: float, p: float) -> None:
        self._most, self._p = most, p

    def __call__(self, sample: Sample) -> Sample:
        """Cut one word."""
        take, *edges = _drawn(5)
        height, width = sample.size
        if take >= self._p:
            return sample
        left, top, right, bottom = (int((2 * v - 1) * self._most * height) for v in edges)
        pixels = _pixels(sample)
        rows = slice(max(0, top), max(max(0, top) + 1, height - max(0, bottom)))
        columns = slice(max(0, left), max(max(0, left) + 1, width - max(0, right)))
        cut = pixels[rows, columns]
        if min(left, top, right, bottom) < 0:
            up, down, west, east = (max(0, -v) for v in (top, bottom, left, right))
            return _changed(sample, cv2.copyMakeBorder(cut, up, down, west, east, cv2.BORDER_REPLICATE))
        return _changed(sample, cut)


class RescaleHeight:
    """Scale to one height; the ratio is kept where the width stays within bounds.

    Args:
        height: of the result, px.
        width: least and most, px.
        divisor: the width is rounded up to a multiple of this, by stretching.
    """

    sets_size = True
    """The model's own resize is left out in training."""

    def __init__(self, *, height: int, width: tuple[int, int], divisor: int) -> None:
        self._height, self._width, self._divisor = height, width, divisor

    def __call__(self, sample: Sample) -> Sample:
        """Scale one word."""
        height, width = sample.size
        wide = min(max(round(width * self._height / height), self._width[0]), self._width[1])
        wide = -(-wide // self._divisor) * self._divisor
        if (height, width) == (self._height, wide):
            return sample
        shrinks = 2 * self._height <= height
        how = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
        return _changed(sample, cv2.resize(_pixels(sample), (wide, self._height), interpolation=how))
