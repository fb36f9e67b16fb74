"""Scale and cut an image with its maps, without making pixels that are cut off again."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar, Literal

import attrs
import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torchvision import tv_tensors

from vf.data.follow import IGNORE, maps_of
from vf.data.pixels import image_of, integer, pixels_of, uniform
from vf.data.sample import Sample

Size = tuple[int, int]
"""Height and width."""
Window = tuple[int, int, int, int]
"""x1, y1, x2, y2 in pixels of the source."""
TRIES = 10
"""Windows that are drawn before one that a class fills is taken."""


def scaled(size: Size, scale: Size, factor: float) -> Size:
    """Return height and width of an image that fits into a scale (long and short side) times a factor."""
    ratio = min(int(max(scale) * factor) / max(size), int(min(scale) * factor) / min(size))
    height, width = (max(1, int(side * ratio + 0.5)) for side in size)
    return height, width


def cut(sample: Sample, window: Window, size: Size) -> Sample:
    """Cut a window and resize it: images bilinearly, maps to the nearest pixel; other keys of the target stay."""
    image = _resized(_part(pixels_of(sample.image), window), size, cv2.INTER_LINEAR)
    target = dict(sample.target)
    for key, value in maps_of(sample.target).items():
        target[key] = tv_tensors.Mask(torch.from_numpy(_cut_map(value.numpy(), window, size)))
    return attrs.evolve(sample, image=image_of(image), target=target)


def _cut_map(values: NDArray[Any], window: Window, size: Size) -> NDArray[Any]:
    return _resized(_part(values, window), size, cv2.INTER_NEAREST_EXACT)


def _part(pixels: NDArray[Any], window: Window) -> NDArray[Any]:
    x1, y1, x2, y2 = window
    return pixels[y1:y2, x1:x2]


def _resized(pixels: NDArray[Any], size: Size, interpolation: int) -> NDArray[Any]:
    if pixels.shape[:2] == size:
        return np.ascontiguousarray(pixels)
    return np.asarray(cv2.resize(pixels, size[::-1], interpolation=interpolation))


def fills(values: NDArray[Any], most: float) -> bool:
    """Whether one class has ``most`` of the pixels that are not ignored, or more, or all of them."""
    plain = values.dtype == np.uint8  # OpenCV takes a fifth of the time
    counts = cv2.calcHist([values], [0], None, [256], [0, 256]) if plain else np.bincount(values.reshape(-1))
    counts = counts.reshape(-1)[: IGNORE + 1]
    counts[IGNORE:] = 0
    total, present = int(counts.sum()), int((counts > 0).sum())
    return present < 2 or int(counts.max()) >= most * total


class RandomScale:
    """Fit an image into a scale times a random factor, with its ratio kept.

    Args:
        scale: long and short side.
        ratio: smallest and largest factor.
    """

    sets_size: ClassVar[Literal[True]] = True

    def __init__(self, *, scale: Size, ratio: tuple[float, float]) -> None:
        self._scale = scale
        self._ratio = ratio

    def __call__(self, sample: Sample) -> Sample:
        """Resize one sample."""
        height, width = sample.size
        return cut(sample, (0, 0, width, height), scaled(sample.size, self._scale, uniform(*self._ratio)))


class RandomCrop:
    """Cut a part of one size; where the image is smaller, the batch is padded to that size.

    Args:
        size: height and width.
        most: a part of which one class has more is drawn again, up to ten times; 1: none is.
    """

    sets_size: ClassVar[Literal[True]] = True

    def __init__(self, *, size: Size, most: float) -> None:
        self._size = size
        self._most = most

    def __call__(self, sample: Sample) -> Sample:
        """Cut one sample."""
        height, width = (min(a, b) for a, b in zip(self._size, sample.size, strict=True))
        draw = lambda: _window(sample.size, (height, width))  # noqa: E731 - one use
        window = chosen(sample, draw, (height, width), self._most)
        return attrs.evolve(cut(sample, window, (height, width)), pad=self._size)


class RandomScaleCrop:
    """Resize by a random factor and cut, in one step: only what stays is resized.

    The window is cut at whole pixels of the source. So a result is that of a resize and a crop whose place differs by
    half a pixel of the source at most, and whose factor by what rounding the window's sides makes.

    Args:
        scale: long and short side that a factor of 1 fits the image into.
        ratio: smallest and largest factor.
        size: height and width of the result; where the resized image is smaller, the batch is padded to it.
        most: as of RandomCrop.
    """

    sets_size: ClassVar[Literal[True]] = True

    def __init__(self, *, scale: Size, ratio: tuple[float, float], size: Size, most: float) -> None:
        self._scale = scale
        self._ratio = ratio
        self._size = size
        self._most = most

    def __call__(self, sample: Sample) -> Sample:
        """Resize and cut one sample."""
        whole = scaled(sample.size, self._scale, uniform(*self._ratio))
        size = (min(self._size[0], whole[0]), min(self._size[1], whole[1]))
        source = [
            max(1, min(side, round(part * side / all_)))
            for part, side, all_ in zip(size, sample.size, whole, strict=True)
        ]
        draw = lambda: _window(sample.size, (source[0], source[1]))  # noqa: E731 - one use
        return attrs.evolve(cut(sample, chosen(sample, draw, size, self._most), size), pad=self._size)


def _window(size: Size, part: Size) -> Window:
    left, top = integer(0, size[1] - part[1]), integer(0, size[0] - part[0])
    return left, top, left + part[1], top + part[0]


def chosen(sample: Sample, draw: Callable[[], Window], size: Size, most: float) -> Window:
    """Draw windows until no class fills one; after ten that are filled, the next is taken as it is.

    Args:
        sample: whose map counts; without one the first window is taken.
        draw: gives a window.
        size: that the window is resized to.
        most: part of the pixels that are not ignored.
    """
    maps = maps_of(sample.target) if most < 1 else {}
    window = draw()
    for values in list(maps.values())[:1]:
        for _ in range(TRIES):
            if not fills(_cut_map(values.numpy(), window, size), most):
                break
            window = draw()
    return window


class ResizeToMultiple:
    """Resize both sides up to the next multiple of a number."""

    sets_size: ClassVar[Literal[True]] = True

    def __init__(self, *, divisor: int) -> None:
        self._divisor = divisor

    def __call__(self, sample: Sample) -> Sample:
        """Resize one sample."""
        height, width = sample.size
        size = tuple(-(-side // self._divisor) * self._divisor for side in sample.size)
        return cut(sample, (0, 0, width, height), (size[0], size[1]))
