"""What the transforms share: moving the labels of an image, dropping what fell out, joining."""

from __future__ import annotations

from typing import Any

import attrs
import numpy as np
import torch
from torch import Tensor
from torchvision import tv_tensors
from torchvision.transforms.v2 import functional as TF

from vf.data.follow import IGNORE, box_areas, hide_outside, maps_of, scaled_area, select_objects, select_rows
from vf.data.pixels import image_of, integer, pixels_of, uniform
from vf.data.sample import Sample
from vf.errors import ConfigError

__all__ = [
    "Window",
    "boxes_of_masks",
    "centres_inside",
    "crop",
    "image_of",
    "integer",
    "join",
    "labels_of",
    "lay",
    "mirror",
    "pixels_of",
    "uniform",
]

Window = tuple[int, int, int, int]
"""x1, y1, x2, y2 in pixels."""


def labels_of(
    sample: Sample,
    boxes: Tensor,
    size: tuple[int, int],
    *,
    smallest: float,
    masks: Tensor | None = None,
    points: Tensor | None = None,
) -> dict[str, Any]:
    """Return the target with ``boxes`` cut at an image of ``size``; rows that lost too much are dropped.

    Args:
        sample: before the move.
        boxes: [N,4] XYXY in the new frame, before cutting.
        size: height and width of the new frame.
        smallest: part of its area that a box must keep.
        masks: [N,H,W] in the new frame, where the sample has masks.
        points: [N,K,2] in the new frame, where the sample has keypoints.
    """
    height, width = size
    cut = boxes.clone()
    cut[:, 0::2] = cut[:, 0::2].clamp(0, width)
    cut[:, 1::2] = cut[:, 1::2].clamp(0, height)
    before, after = box_areas(boxes), box_areas(cut)
    keep = (after >= smallest * before) & (after > 0)
    target: dict[str, Any] = {}
    for key, value in sample.target.items():
        if key == "boxes":
            target[key] = tv_tensors.BoundingBoxes(cut[keep], format="XYXY", canvas_size=size)
        elif key == "area":
            target[key] = scaled_area(value, sample.target["boxes"], cut)[keep]
        elif key == "masks" and masks is not None:
            target[key] = tv_tensors.Mask(masks[keep])
        elif key == "keypoints" and points is not None:
            target[key] = tv_tensors.KeyPoints(points[keep], canvas_size=size)
        elif key == "visible" and points is not None:
            target[key] = hide_outside(value, points, size)[keep]
        else:
            target[key] = select_rows(value, keep, len(boxes))
    return target


def join(targets: list[dict[str, Any]], size: tuple[int, int]) -> dict[str, Any]:
    """Join the objects of several targets that lie in one frame; what is no tensor with rows is the first one's.

    Raises:
        ConfigError: there is a map of the whole image, which cannot be joined.
    """
    joined: dict[str, Any] = {}
    for key in maps_of(targets[0]):
        raise ConfigError(
            f"augment: mosaic, mixup and copy_paste cannot join the map {key!r} of images; leave them out"
        )
    for key, value in targets[0].items():
        if not isinstance(value, Tensor) or value.ndim == 0:
            joined[key] = value
        elif all(key in t for t in targets):
            rows = torch.cat([t[key].as_subclass(Tensor) for t in targets])
            joined[key] = _like(value, rows, size)
    return joined


def _like(value: Tensor, rows: Tensor, size: tuple[int, int]) -> Tensor:
    if isinstance(value, tv_tensors.BoundingBoxes | tv_tensors.KeyPoints):
        moved: Tensor = tv_tensors.wrap(rows, like=value, canvas_size=size)
        return moved
    return tv_tensors.Mask(rows) if isinstance(value, tv_tensors.Mask) else rows


def crop(sample: Sample, window: Window, *, keep: Tensor | None = None) -> Sample:
    """Cut a window that lies inside the image.

    Args:
        sample: image and target.
        window: x1, y1, x2, y2.
        keep: bool [N], the objects that stay at all; nothing: those with any part inside.
    """
    x1, y1, x2, y2 = window
    image = tv_tensors.Image(sample.image.as_subclass(Tensor)[:, y1:y2, x1:x2])
    if "boxes" not in sample.target:
        return attrs.evolve(sample, image=image)
    if keep is not None:
        sample = attrs.evolve(sample, target=select_objects(sample.target, keep))
    boxes = sample.target["boxes"].as_subclass(Tensor) - torch.tensor([x1, y1, x1, y1])
    masks, points = sample.target.get("masks"), sample.target.get("keypoints")
    target = labels_of(
        sample,
        boxes,
        (y2 - y1, x2 - x1),
        smallest=0.0,
        masks=None if masks is None else masks.as_subclass(Tensor)[:, y1:y2, x1:x2],
        points=None if points is None else points.as_subclass(Tensor) - torch.tensor([x1, y1]),
    )
    target |= {key: tv_tensors.Mask(value[y1:y2, x1:x2]) for key, value in maps_of(target).items()}
    return attrs.evolve(sample, image=image, target=target)


def centres_inside(boxes: Tensor, window: Window) -> Tensor:
    """Say of which boxes [N,4] XYXY the centre lies in a window: bool [N]."""
    plain = boxes.as_subclass(Tensor)
    centres = (plain[:, :2] + plain[:, 2:]) / 2
    return ((centres > torch.tensor(window[:2])) & (centres < torch.tensor(window[2:]))).all(1)


def lay(sample: Sample, *, top: int, left: int, size: tuple[int, int], fill: tuple[int, int, int]) -> Sample:
    """Lay the image on a ground of ``size`` and one RGB colour that is large enough for it."""
    height, width = sample.size
    pixels = np.full((*size, 3), fill, np.uint8)
    pixels[top : top + height, left : left + width] = pixels_of(sample.image)
    if "boxes" not in sample.target:
        return attrs.evolve(sample, image=image_of(pixels))
    boxes = sample.target["boxes"].as_subclass(Tensor) + torch.tensor([left, top, left, top])
    masks, points = sample.target.get("masks"), sample.target.get("keypoints")
    target = labels_of(
        sample,
        boxes,
        size,
        smallest=0.0,
        masks=None if masks is None else _padded(masks.as_subclass(Tensor), top, left, size, fill=0),
        points=None if points is None else points.as_subclass(Tensor) + torch.tensor([left, top]),
    )
    for key, value in maps_of(target).items():
        target[key] = tv_tensors.Mask(_padded(value[None], top, left, size, fill=IGNORE)[0])
    return attrs.evolve(sample, image=image_of(pixels), target=target)


def _padded(masks: Tensor, top: int, left: int, size: tuple[int, int], *, fill: int) -> Tensor:
    out = masks.new_full((len(masks), *size), fill)
    out[:, top : top + masks.shape[1], left : left + masks.shape[2]] = masks
    return out


def mirror(sample: Sample) -> Sample:
    """Swap left and right."""
    width = sample.size[1]
    target = dict(sample.target)
    for key, value in sample.target.items():
        if isinstance(value, tv_tensors.KeyPoints):
            plain = value.as_subclass(Tensor)
            target[key] = tv_tensors.wrap(torch.stack([width - plain[..., 0], plain[..., 1]], -1), like=value)
        elif isinstance(value, tv_tensors.BoundingBoxes | tv_tensors.Mask):
            target[key] = TF.horizontal_flip(value)
    return attrs.evolve(sample, image=tv_tensors.Image(sample.image.as_subclass(Tensor).flip(-1)), target=target)


def boxes_of_masks(masks: Tensor) -> Tensor:
    """Return the tight boxes [N,4] XYXY float32 of bool masks [N,H,W]; zeros where a mask is empty."""
    columns, rows = masks.any(1), masks.any(2)
    out = torch.zeros(len(masks), 4)
    for box, column, row in zip(out, columns, rows, strict=True):
        if column.any():
            xs, ys = column.nonzero()[:, 0], row.nonzero()[:, 0]
            box[:] = torch.tensor([xs[0], ys[0], xs[-1] + 1, ys[-1] + 1])
    return out
