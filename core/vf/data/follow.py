"""What must follow when boxes move: their areas, keypoints that left the image, rows of boxes that are gone."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor
from torchvision import tv_tensors

IGNORE = 255
"""Of a map [H,W] of the whole image (a Mask without N): nobody knows what is there."""


def maps_of(target: Mapping[str, Any]) -> dict[str, Tensor]:
    """Return the maps [H,W] of the whole image in a target."""
    return {k: v.as_subclass(Tensor) for k, v in target.items() if isinstance(v, tv_tensors.Mask) and v.ndim == 2}


def select_rows(value: Any, keep: Tensor, count: int) -> Any:
    """Return the kept rows of a tensor that has ``count`` of them; anything else unchanged.

    What is no tensor and has rows says so by ``follows_boxes``; a Mask [H,W] is a map of the image and has none.
    """
    if getattr(value, "follows_boxes", False):
        return value[keep]
    if not isinstance(value, Tensor) or value.ndim == 0 or len(value) != count:
        return value
    if isinstance(value, tv_tensors.Mask) and value.ndim == 2:
        return value
    if isinstance(value, tv_tensors.TVTensor):
        return tv_tensors.wrap(value.as_subclass(Tensor)[keep], like=value)
    return value[keep]


def select_objects(target: Mapping[str, Any], keep: Tensor) -> dict[str, Any]:
    """Keep some of a target's objects, by a bool tensor [N] or by indices."""
    return {key: select_rows(value, keep, len(target["boxes"])) for key, value in target.items()}


def box_areas(boxes: Tensor) -> Tensor:
    """Areas of XYXY boxes, [N]."""
    plain = boxes.as_subclass(Tensor)
    return (plain[:, 2] - plain[:, 0]) * (plain[:, 3] - plain[:, 1])


def scaled_area(area: Tensor, old: Tensor, new: Tensor) -> Tensor:
    """Scale the areas [N] of objects as the areas of their boxes [N,4] changed."""
    return area * box_areas(new) / box_areas(old).clamp(min=1e-6)


def hide_outside(visible: Tensor, keypoints: Tensor, size: tuple[int, int]) -> Tensor:
    """Return ``visible`` [N,K] with 0 (not labelled) for keypoints [N,K,2] outside an image of ``size``."""
    points = keypoints.as_subclass(Tensor)
    inside = ((points >= 0) & (points < points.new_tensor([size[1], size[0]]))).all(-1)
    return visible * inside


def raised(target: Mapping[str, Any]) -> dict[str, Any]:
    """Return the target with 1 added to its maps, so that the 0 that torchvision fills with means outside."""
    wide = {
        key: value.to(torch.int16 if value.dtype == torch.uint8 else torch.int64)
        for key, value in maps_of(target).items()
    }
    return {**target, **{key: tv_tensors.Mask(value + 1) for key, value in wide.items()}}


def lowered(target: dict[str, Any], before: Mapping[str, Any]) -> dict[str, Any]:
    """Return a target that was :func:`raised` with maps of the kind that they were before; 0 is ignored."""
    for key, value in maps_of(target).items():
        target[key] = tv_tensors.Mask(torch.where(value == 0, IGNORE, value - 1).to(before[key].dtype))
    return target


def settle(target: dict[str, Any], before: Mapping[str, Any], size: tuple[int, int]) -> dict[str, Any]:
    """Finish what a transform of torchvision did to a target.

    Args:
        target: after the transform; has as many rows as before.
        before: the target before it.
        size: height and width of the image after it.
    """
    for key, value in target.items():
        if isinstance(value, tv_tensors.BoundingBoxes | tv_tensors.KeyPoints):  # a turn may miscount by a pixel
            target[key] = tv_tensors.wrap(value.as_subclass(Tensor), like=value, canvas_size=size)
    if "visible" in target and "keypoints" in target:
        target["visible"] = hide_outside(target["visible"], target["keypoints"], size)
    if "boxes" not in target or not len(target["boxes"]):
        return target
    boxes = target["boxes"].as_subclass(Tensor)
    boxes = boxes.minimum(boxes.new_tensor([size[1], size[0], size[1], size[0]]))  # a resize rounds beyond the edge
    target["boxes"] = tv_tensors.wrap(boxes, like=target["boxes"])
    if "area" in target:
        target["area"] = scaled_area(target["area"], before["boxes"], boxes)
    keep = (boxes[:, 2:] > boxes[:, :2]).all(1)
    return target if bool(keep.all()) else select_objects(target, keep)
