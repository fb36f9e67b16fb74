"""Resize a sample: image, boxes, masks and keypoints to one whole number of pixels."""

from __future__ import annotations

from typing import Any

import attrs
import cv2
import numpy as np
import torch
from torch import Tensor
from torchvision import tv_tensors
from torchvision.transforms.v2 import functional as TF

from vf.data.follow import scaled_area
from vf.data.sample import Sample


def resize_sample(sample: Sample, size: tuple[int, int]) -> Sample:
    """Return the sample at ``size`` (height, width): bilinear without antialiasing, masks by nearest neighbour."""
    old = sample.size
    if old == size:
        return sample
    pixels = sample.image.as_subclass(Tensor).permute(1, 2, 0).contiguous().numpy()
    image = cv2.resize(pixels, size[::-1], interpolation=cv2.INTER_LINEAR)
    target = {key: _resized(value, old, size) for key, value in sample.target.items()}
    if "area" in target and "boxes" in target:
        target["area"] = scaled_area(target["area"], sample.target["boxes"], target["boxes"])
    return attrs.evolve(sample, image=tv_tensors.Image(torch.from_numpy(image).permute(2, 0, 1)), target=target)


def resize_masks(masks: Tensor, size: tuple[int, int]) -> Tensor:
    """Resize bool or uint8 [N,H,W] by nearest neighbour; a tenth of the time that torch takes.

    torch's ``nearest`` gives the same pixels.
    """
    out = torch.zeros(len(masks), *size, dtype=torch.uint8)
    for to, mask in zip(out.numpy(), masks.as_subclass(Tensor).contiguous().view(torch.uint8).numpy(), strict=True):
        cv2.resize(np.ascontiguousarray(mask), size[::-1], dst=to, interpolation=cv2.INTER_NEAREST)
    return out.view(masks.dtype)


def _resized(value: Any, old: tuple[int, int], size: tuple[int, int]) -> Any:
    if isinstance(value, tv_tensors.Mask):
        if value.ndim == 2:  # a map of the whole image
            plain = value.dtype == torch.uint8
            return tv_tensors.Mask(resize_masks(value[None], size)[0]) if plain else TF.resize(value, list(size))
        return tv_tensors.Mask(resize_masks(value, size))
    if isinstance(value, tv_tensors.BoundingBoxes | tv_tensors.KeyPoints):
        ratio = torch.tensor([size[1] / old[1], size[0] / old[0]]).repeat(value.shape[-1] // 2)
        return tv_tensors.wrap(value.as_subclass(Tensor) * ratio, like=value, canvas_size=size)
    return value
