"""Turn, shear, zoom and move an image with its labels."""

from __future__ import annotations

import math
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torchvision import tv_tensors

from vf.data.follow import IGNORE, maps_of
from vf.data.sample import Sample
from vf_det.data.geometry import image_of, labels_of, pixels_of, uniform

GREY = (114, 114, 114)


class RandomAffine:
    """See the config class of the same name; angles in degrees, ``translate`` in parts of the image's side."""

    def __init__(
        self,
        *,
        degrees: float,
        shear: float,
        translate: float,
        scale: tuple[float, float],
        p: float,
        smallest: float,
        skips_final: bool,
    ) -> None:
        self._degrees = degrees
        self._shear = shear
        self._translate = translate
        self._scale = scale
        self._p = p
        self._smallest = smallest
        self.skips_final = skips_final

    def __call__(self, sample: Sample) -> Sample:
        """Warp about the image's centre; what comes in from outside is grey."""
        if float(torch.rand(())) >= self._p:
            return sample
        return warp(sample, self._matrix(sample.size), smallest=self._smallest)

    def _matrix(self, size: tuple[int, int]) -> NDArray[np.float64]:
        height, width = size
        angle = math.radians(uniform(-self._degrees, self._degrees))
        zoom = uniform(*self._scale)
        sx, sy = (math.tan(math.radians(uniform(-self._shear, self._shear))) for _ in range(2))
        turn = zoom * np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
        linear = np.array([[1.0, sx], [sy, 1.0]]) @ turn
        centre = np.array([width / 2, height / 2])
        move = np.array([uniform(-self._translate, self._translate) * side for side in (width, height)])
        return np.column_stack([linear, centre - linear @ centre + move])


def warp(sample: Sample, matrix: NDArray[np.float64], *, smallest: float) -> Sample:
    """Apply a 2×3 matrix (new = M·[x, y, 1] in pixel coordinates, corners of pixels) to image and labels."""
    height, width = sample.size
    # OpenCV counts from pixel centres, boxes from pixel corners.
    centred = matrix.copy()
    centred[:, 2] += matrix[:, :2] @ np.array([0.5, 0.5]) - 0.5
    warped = cv2.warpAffine(pixels_of(sample.image), centred, (width, height), flags=cv2.INTER_LINEAR, borderValue=GREY)
    image = image_of(np.asarray(warped, np.uint8))
    if "boxes" not in sample.target:
        return Sample(image, sample.target, sample.id)
    boxes = moved_boxes(sample.target["boxes"].as_subclass(Tensor), matrix)
    masks = _warp_masks(sample.target.get("masks"), centred, (width, height))
    points = sample.target.get("keypoints")
    if points is not None:
        points = moved_points(points.as_subclass(Tensor), matrix)
    target = labels_of(sample, boxes, sample.size, smallest=smallest, masks=masks, points=points)
    for key, value in maps_of(target).items():
        target[key] = tv_tensors.Mask(torch.from_numpy(_warp_map(value.numpy(), centred)).to(value.dtype))
    return Sample(image, target, sample.id)


def moved_boxes(boxes: Tensor, matrix: NDArray[np.float64]) -> Tensor:
    """Return the upright boxes [N,4] around the four moved corners of each box."""
    moved = moved_points(boxes[:, [0, 1, 2, 1, 2, 3, 0, 3]].reshape(-1, 4, 2), matrix)
    return torch.cat([moved.amin(1), moved.amax(1)], 1)


def moved_points(points: Tensor, matrix: NDArray[np.float64]) -> Tensor:
    """Return points [...,2], x and y, after a 2×3 matrix."""
    linear, move = torch.from_numpy(matrix[:, :2].copy()), torch.from_numpy(matrix[:, 2].copy())
    return (points.to(torch.float64) @ linear.T + move).to(points.dtype)


def _warp_map(values: NDArray[Any], matrix: NDArray[np.float64]) -> NDArray[np.int16]:
    height, width = values.shape
    cells = values.astype(np.int16)
    warped = cv2.warpAffine(cells, matrix, (width, height), flags=cv2.INTER_NEAREST, borderValue=IGNORE)
    return np.asarray(warped, np.int16)


def _warp_masks(masks: Any, matrix: NDArray[np.float64], shape: tuple[int, int]) -> Tensor | None:
    if masks is None:
        return None
    out = torch.zeros_like(masks.as_subclass(Tensor))
    for i, mask in enumerate(masks.as_subclass(Tensor).to(torch.uint8).numpy()):
        out[i] = torch.from_numpy(cv2.warpAffine(mask, matrix, shape, flags=cv2.INTER_NEAREST)).to(out.dtype)
    return out
