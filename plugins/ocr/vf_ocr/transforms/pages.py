"""Transforms of pages: text is cut off nowhere, turned with its polygons, mirrored with their order kept."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import attrs
import cv2
import numpy as np
import shapely
import torch
from numpy.typing import NDArray
from torch import Tensor
from torchvision import tv_tensors

from vf.data.follow import select_objects
from vf.data.sample import Sample

Polygons = NDArray[np.float32]
"""[N,K,2] px, clockwise from the upper left of the text."""
Size = tuple[int, int]
"""Height and width, px."""


def _drawn(count: int) -> list[float]:
    values: list[float] = torch.rand(count).tolist()
    return values


def polygons_of(sample: Sample) -> Polygons:
    """Return the polygons of a page."""
    return np.asarray(sample.target["polygons"].as_subclass(Tensor).numpy(), np.float32)


def placed(sample: Sample, pixels: NDArray[np.uint8], polygons: Polygons, *, least: float = 0.5) -> Sample:
    """Return a page with other pixels [H,W,3] and polygons of the same texts.

    Texts that lie wholly outside are dropped; those of which less than ``least`` of the area is inside are ignored.
    """
    height, width = pixels.shape[:2]
    target: dict[str, Any] = {
        **sample.target,
        "polygons": tv_tensors.KeyPoints(torch.from_numpy(polygons), canvas_size=(height, width)),
    }
    if len(polygons):
        low, high = np.maximum(polygons.min(1), 0), np.minimum(polygons.max(1), (width, height))
        boxes = torch.from_numpy(np.concatenate([low, high], 1).astype(np.float32))
        target["ignored"] = target["ignored"] | torch.from_numpy(_mostly_outside(polygons, (height, width), least))
    else:
        boxes = torch.zeros(0, 4)
    target["boxes"] = tv_tensors.BoundingBoxes(boxes, format="XYXY", canvas_size=(height, width))
    keep = (boxes[:, 2:] > boxes[:, :2]).all(1)
    if not bool(keep.all()):
        target = select_objects(target, keep)
    image = tv_tensors.Image(torch.from_numpy(np.ascontiguousarray(pixels)).permute(2, 0, 1))
    return attrs.evolve(sample, image=image, target=target)


def _mostly_outside(polygons: Polygons, size: Size, least: float) -> NDArray[np.bool_]:
    """Which polygons [N] have less than ``least`` of their area within an image; only those over its edge are cut."""
    limit = np.array(size[::-1], np.float32)
    over = ((polygons < 0) | (polygons > limit)).any((1, 2))
    out = np.zeros(len(polygons), np.bool_)
    frame = shapely.box(0, 0, *limit.tolist())
    for row in np.flatnonzero(over).tolist():
        whole = shapely.make_valid(shapely.polygons(polygons[row]))
        out[row] = shapely.intersection(whole, frame).area < least * whole.area
    return out


def _pixels(sample: Sample) -> NDArray[np.uint8]:
    return np.asarray(sample.image.permute(1, 2, 0).numpy(), np.uint8)


class TextRotate:
    """Turn a page by a random angle; the image keeps its size, or grows to hold all of itself.

    Args:
        degrees: most, to either side.
        expand: whether the image grows.
        fill: grey level of what comes in from outside.
        p: probability.
    """

    def __init__(self, *, degrees: float, expand: bool, fill: int, p: float) -> None:
        self._degrees, self._expand, self._fill, self._p = degrees, expand, fill, p

    def __call__(self, sample: Sample) -> Sample:
        """Turn one page."""
        take, where = _drawn(2)
        if take >= self._p:
            return sample
        return turned(sample, (2 * where - 1) * self._degrees, expand=self._expand, fill=self._fill)


def turned(sample: Sample, degrees: float, *, expand: bool, fill: int) -> Sample:
    """Turn a page against the clock."""
    height, width = sample.size
    matrix = np.asarray(cv2.getRotationMatrix2D((width / 2, height / 2), degrees, 1.0), np.float64)
    size = (width, height)
    if expand:
        cos, sin = abs(matrix[0, 0]), abs(matrix[0, 1])
        size = (round(height * sin + width * cos), round(height * cos + width * sin))
        matrix[:, 2] += (size[0] / 2 - width / 2, size[1] / 2 - height / 2)
    polygons = (polygons_of(sample) @ matrix[:, :2].T + matrix[:, 2]).astype(np.float32)
    # Pixel centres lie half a pixel from the corners that polygons speak of.
    shifted = matrix.copy()
    shifted[:, 2] += matrix[:, :2] @ (0.5, 0.5) - 0.5
    pixels = cv2.warpAffine(_pixels(sample), shifted, size, flags=cv2.INTER_LINEAR, borderValue=(fill, fill, fill))
    return placed(sample, np.asarray(pixels, np.uint8), polygons)


class TextFlip:
    """Mirror a page left and right; polygons stay clockwise, from what is now the upper left of the text on.

    Args:
        p: probability.
    """

    def __init__(self, *, p: float) -> None:
        self._p = p

    def __call__(self, sample: Sample) -> Sample:
        """Mirror one page."""
        if _drawn(1)[0] >= self._p:
            return sample
        polygons = polygons_of(sample).copy()
        polygons[..., 0] = sample.size[1] - polygons[..., 0]
        return placed(
            sample,
            _pixels(sample)[:, ::-1],
            np.stack([mirrored(one) for one in polygons], 0) if len(polygons) else polygons,
        )


def mirrored(polygon: Polygons) -> Polygons:
    """Put the vertices [K,2] of a mirrored polygon in order: its upper line from left to right, its lower one back."""
    count = len(polygon)
    while count > 3 and (polygon[count - 1] == polygon[count - 2]).all():
        count -= 1
    own, half = polygon[:count], count // 2
    ordered = np.concatenate([own[:half][::-1], own[half:][::-1]]) if count % 2 == 0 else own[::-1]
    return np.concatenate([ordered, np.repeat(ordered[-1:], len(polygon) - count, 0)])


class TextCrop:
    """Cut out a random part whose edges go through no text (as EAST's authors do), and fit it into a size.

    Args:
        size: height and width of the result.
        least: shortest side of the part, as a part of the image's.
        aspect: smallest and largest factor on the ratio of its sides.
        tries: draws of a part; if none has a legible text in it, the whole image is taken.
        empty: probability that a part without text is taken as it comes.
        fill: grey level of the padding.
    """

    sets_size = True
    """The model's own resize is left out in training."""

    def __init__(
        self, *, size: Size, least: float, aspect: tuple[float, float], tries: int, empty: float, fill: int
    ) -> None:
        self._size, self._least, self._aspect = size, least, aspect
        self._tries, self._empty, self._fill = tries, empty, fill

    def __call__(self, sample: Sample) -> Sample:
        """Cut one page."""
        return self._fitted(sample, self._part(sample))

    def _part(self, sample: Sample) -> tuple[int, int, int, int]:
        """Left, top, right, bottom of what is cut out, px."""
        height, width = sample.size
        polygons, whole = polygons_of(sample), (0, 0, width, height)
        boxes = np.concatenate([polygons.min(1), polygons.max(1)], 1) if len(polygons) else np.zeros((0, 4))
        free_x, free_y = free(boxes[:, [0, 2]], width), free(boxes[:, [1, 3]], height)
        wanted = boxes[~sample.target["ignored"].numpy()]
        if len(free_x) < 2 or len(free_y) < 2:
            return whole
        any_text = _drawn(1)[0] >= self._empty
        for _ in range(self._tries):
            (left, right), (top, bottom) = self._span(free_x), self._span(free_y)
            if right - left < self._least * width or bottom - top < self._least * height:
                continue
            inside = (wanted[:, :2] >= (left, top)).all(1) & (wanted[:, 2:] <= (right, bottom)).all(1)
            if inside.any() or not any_text:
                return left, top, right, bottom
        return whole

    def _span(self, free_: NDArray[np.int64]) -> tuple[int, int]:
        """Draw two free lines."""
        first, second = _drawn(2)
        a, b = int(free_[int(first * len(free_))]), int(free_[int(second * len(free_))])
        return min(a, b), max(a, b)

    def _fitted(self, sample: Sample, part: Sequence[int]) -> Sample:
        left, top, right, bottom = part
        height, width = self._size
        stretch = self._aspect[0] * (self._aspect[1] / self._aspect[0]) ** _drawn(1)[0]
        tall, wide = (bottom - top) / stretch**0.5, (right - left) * stretch**0.5
        scale = min(height / tall, width / wide)
        to = (max(1, round(wide * scale)), max(1, round(tall * scale)))
        cut = _pixels(sample)[top:bottom, left:right]
        shrinks = to[0] < cut.shape[1] / 2
        small = cv2.resize(cut, to, interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)
        pixels = np.full((height, width, 3), self._fill, np.uint8)
        pixels[: to[1], : to[0]] = small
        factors = np.array([to[0] / (right - left), to[1] / (bottom - top)], np.float32)
        polygons = (polygons_of(sample) - np.array([left, top], np.float32)) * factors
        # What is behind the padding was not cut out: it is outside, as on the other sides.
        outside = (polygons.min(1, initial=np.inf) >= np.array(to)).any(1) | (
            polygons.max(1, initial=-np.inf) <= 0
        ).any(1)
        polygons[outside] = -1.0
        return placed(sample, pixels, polygons)


def free(spans: NDArray[Any], length: int) -> NDArray[np.int64]:
    """Return the whole numbers 0..length that lie within none of the spans [N,2]; their ends are free."""
    taken = np.zeros(length + 2, np.int64)
    if len(spans):
        first = np.clip(np.floor(spans[:, 0]).astype(np.int64) + 1, 0, length + 1)
        last = np.clip(np.ceil(spans[:, 1]).astype(np.int64), 0, length + 1)
        good = last > first
        np.add.at(taken, first[good], 1)
        np.add.at(taken, last[good], -1)
    return np.flatnonzero(taken.cumsum()[: length + 1] == 0)


class PadRatio:
    """Pad on the right or below until width to height is within bounds; of pages and words.

    Args:
        ratio: least and largest width, as a part of the height.
        fill: grey level of the padding.
    """

    def __init__(self, *, ratio: tuple[float, float], fill: int) -> None:
        self._ratio, self._fill = ratio, fill

    def __call__(self, sample: Sample) -> Sample:
        """Pad one image."""
        height, width = sample.size
        tall, wide = max(height, round(width / self._ratio[1])), max(width, round(height * self._ratio[0]))
        if (tall, wide) == (height, width):
            return sample
        image = torch.full((3, tall, wide), self._fill, dtype=torch.uint8)
        image[:, :height, :width] = sample.image
        target = {
            key: tv_tensors.wrap(value.as_subclass(Tensor), like=value, canvas_size=(tall, wide))
            if isinstance(value, tv_tensors.BoundingBoxes | tv_tensors.KeyPoints)
            else value
            for key, value in sample.target.items()
        }
        return attrs.evolve(sample, image=tv_tensors.Image(image), target=target)
