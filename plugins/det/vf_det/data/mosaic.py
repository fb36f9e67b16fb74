"""Transforms that join images. Each source is resized straight to its place: no larger canvas is ever made."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar, Literal

import attrs
import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torchvision import tv_tensors

from vf.data.sample import Sample
from vf_det.data.geometry import Window, image_of, join, labels_of, pixels_of, uniform

GREY = 114


@attrs.frozen
class _Place:
    """Where an image goes: it is scaled by ``ratio`` and its top left corner moved to (``left``, ``top``)."""

    ratio: float
    left: int
    top: int


class Mosaic:
    """Four images meet at a random point; each fills its quarter from that point outwards.

    Args:
        size: height and width of the result.
        scale: range of the zoom of each image, relative to a fit into ``size``.
        p: probability.
        smallest: part of its area that a box must keep inside the result.
    """

    mixes: ClassVar[Literal[True]] = True

    def __init__(self, *, size: tuple[int, int], scale: tuple[float, float], p: float, smallest: float) -> None:
        self._size = size
        self._scale = scale
        self._p = p
        self._smallest = smallest

    def __call__(self, sample: Sample, pick: Callable[[], Sample]) -> Sample:
        """Join ``sample`` with three picked ones."""
        if float(torch.rand(())) >= self._p:
            return sample
        height, width = self._size
        x, y = round(uniform(0.25, 0.75) * width), round(uniform(0.25, 0.75) * height)
        canvas = np.full((height, width, 3), GREY, np.uint8)
        targets = []
        for quarter, source in enumerate([sample, pick(), pick(), pick()]):
            right, below = bool(quarter % 2), bool(quarter // 2)
            window = (x if right else 0, y if below else 0, width if right else x, height if below else y)
            targets.append(self._lay(canvas, source, window, right=right, below=below))
        return Sample(image_of(canvas), join(targets, self._size), sample.id)

    def _lay(
        self, canvas: NDArray[np.uint8], source: Sample, window: Window, *, right: bool, below: bool
    ) -> dict[str, Any]:
        """Draw one source into its window, its inner corner at the meeting point; return its moved labels."""
        height, width = source.size
        fit = min(self._size[0] / height, self._size[1] / width)
        ratio = fit * uniform(*self._scale)
        left = window[0] if right else window[2] - round(width * ratio)
        top = window[1] if below else window[3] - round(height * ratio)
        place = _Place(ratio, left, top)
        paste(canvas, source.image, place, window)
        return moved_labels(source, place, self._size, window, smallest=self._smallest)


class Mixup:
    """The mean of this image and another one that is zoomed, mirrored at times, and cut or padded to its size."""

    mixes: ClassVar[Literal[True]] = True

    def __init__(self, *, p: float, scale: tuple[float, float], smallest: float) -> None:
        self._p = p
        self._scale = scale
        self._smallest = smallest

    def __call__(self, sample: Sample, pick: Callable[[], Sample]) -> Sample:
        """Blend ``sample`` with a picked one."""
        if float(torch.rand(())) >= self._p:
            return sample
        other = pick()
        if len(other.target["boxes"]) == 0:
            return sample
        other = place_in(other, sample.size, scale=self._scale, smallest=self._smallest)
        pixels = cv2.addWeighted(pixels_of(sample.image), 0.5, pixels_of(other.image), 0.5, 0)
        return Sample(
            image_of(np.asarray(pixels, np.uint8)), join([sample.target, other.target], sample.size), sample.id
        )


def place_in(sample: Sample, size: tuple[int, int], *, scale: tuple[float, float], smallest: float) -> Sample:
    """Zoom an image at random, beside the fit into ``size``, and cut or pad it to that at a random place."""
    height, width = size
    ratio = min(height / sample.size[0], width / sample.size[1]) * uniform(*scale)
    spare = (width - sample.size[1] * ratio, height - sample.size[0] * ratio)
    left, top = (round(uniform(min(0.0, s), max(0.0, s))) for s in spare)
    place, window = _Place(ratio, left, top), (0, 0, width, height)
    canvas = np.full((height, width, 3), GREY, np.uint8)
    paste(canvas, sample.image, place, window)
    return Sample(image_of(canvas), moved_labels(sample, place, size, window, smallest=smallest), sample.id)


def paste(canvas: NDArray[np.uint8], image: Tensor, place: _Place, window: Window) -> None:
    """Scale and draw only what lies in ``window`` (x1, y1, x2, y2), by one warp of the source's pixels."""
    height, width = image.shape[-2:]
    x1, y1 = max(window[0], place.left), max(window[1], place.top)
    x2 = min(window[2], place.left + round(width * place.ratio))
    y2 = min(window[3], place.top + round(height * place.ratio))
    if x2 <= x1 or y2 <= y1:
        return
    # Source pixels that are seen, cut first: cropping a [3,H,W] view is free.
    sx1, sy1 = int((x1 - place.left) / place.ratio), int((y1 - place.top) / place.ratio)
    sx2 = min(width, max(sx1 + 1, int(np.ceil((x2 - place.left) / place.ratio))))
    sy2 = min(height, max(sy1 + 1, int(np.ceil((y2 - place.top) / place.ratio))))
    part = pixels_of(image[:, sy1:sy2, sx1:sx2])
    cv2.resize(part, (x2 - x1, y2 - y1), dst=canvas[y1:y2, x1:x2], interpolation=cv2.INTER_LINEAR)


def moved_labels(
    source: Sample, place: _Place, size: tuple[int, int], window: Window, *, smallest: float
) -> dict[str, Any]:
    """Return the labels of a source that was pasted into ``window``."""
    corner = torch.tensor([place.left - window[0], place.top - window[1]])
    boxes = source.target["boxes"].as_subclass(Tensor) * place.ratio + corner.repeat(2)
    masks = _moved_masks(source, place, size, window) if "masks" in source.target else None
    points = source.target.get("keypoints")
    if points is not None:
        points = points.as_subclass(Tensor) * place.ratio + corner
    # Cut at the window first, then say where the window lies.
    inner = (window[3] - window[1], window[2] - window[0])
    moved = labels_of(source, boxes, inner, smallest=smallest, masks=masks, points=points)
    for key, kind in (("boxes", tv_tensors.BoundingBoxes), ("keypoints", tv_tensors.KeyPoints)):
        if isinstance(moved.get(key), kind):
            inside = torch.tensor(window[:2]).repeat(moved[key].shape[-1] // 2)
            moved[key] = tv_tensors.wrap(moved[key].as_subclass(Tensor) + inside, like=moved[key], canvas_size=size)
    return moved


def _moved_masks(source: Sample, place: _Place, size: tuple[int, int], window: Window) -> Tensor:
    masks = source.target["masks"].as_subclass(Tensor)
    out = torch.zeros(len(masks), *size, dtype=masks.dtype)
    height, width = source.size
    shape = (max(1, round(width * place.ratio)), max(1, round(height * place.ratio)))
    x1, y1 = max(window[0], place.left), max(window[1], place.top)
    x2, y2 = min(window[2], place.left + shape[0]), min(window[3], place.top + shape[1])
    if x2 <= x1 or y2 <= y1:
        return out
    for i, mask in enumerate(masks.to(torch.uint8).numpy()):
        scaled = cv2.resize(mask, shape, interpolation=cv2.INTER_NEAREST)
        part = scaled[y1 - place.top : y2 - place.top, x1 - place.left : x2 - place.left]
        out[i, y1:y2, x1:x2] = torch.from_numpy(part).to(masks.dtype)
    return out
