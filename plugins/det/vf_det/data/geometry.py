"""What mosaic, mixup and affine share: placing an image, moving its labels, dropping what fell out."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torchvision import tv_tensors

from vf.data.pipeline import select_rows
from vf.data.sample import Sample


def uniform(low: float, high: float) -> float:
    """Draw a number; the sample's private generator stands behind torch's global one."""
    return low + (high - low) * float(torch.rand(()))


def labels_of(
    sample: Sample, boxes: Tensor, size: tuple[int, int], *, smallest: float, masks: Tensor | None
) -> dict[str, Any]:
    """Return the target with ``boxes`` cut at an image of ``size``; rows that lost too much are dropped.

    Args:
        boxes: [N,4] XYXY in the new frame, before cutting.
        size: height and width of the new frame.
        smallest: part of its area that a box must keep.
        masks: [N,H,W] in the new frame, where the sample has masks.
    """
    height, width = size
    cut = boxes.clone()
    cut[:, 0::2] = cut[:, 0::2].clamp(0, width)
    cut[:, 1::2] = cut[:, 1::2].clamp(0, height)
    before, after = area(boxes), area(cut)
    keep = (after >= smallest * before) & (after > 0)
    target: dict[str, Any] = {}
    for key, value in sample.target.items():
        if key == "boxes":
            target[key] = tv_tensors.BoundingBoxes(cut[keep], format="XYXY", canvas_size=size)
        elif key == "area":
            old = area(sample.target["boxes"].as_subclass(Tensor)).clamp(min=1e-6)
            target[key] = (value * after / old)[keep]
        elif key == "masks" and masks is not None:
            target[key] = tv_tensors.Mask(masks[keep])
        else:
            target[key] = select_rows(value, keep, len(boxes))
    return target


def area(boxes: Tensor) -> Tensor:
    """Areas of XYXY boxes, [N]."""
    return (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])


def join(targets: list[dict[str, Any]], size: tuple[int, int]) -> dict[str, Any]:
    """Join the objects of several targets that lie in one frame; keys that not all of them have are left out."""
    joined: dict[str, Any] = {}
    for key in targets[0]:
        if not all(key in t for t in targets) or not isinstance(targets[0][key], Tensor):
            continue
        value = torch.cat([t[key].as_subclass(Tensor) for t in targets])
        if key == "boxes":
            joined[key] = tv_tensors.BoundingBoxes(value, format="XYXY", canvas_size=size)
        else:
            joined[key] = tv_tensors.Mask(value) if key == "masks" else value
    return joined
