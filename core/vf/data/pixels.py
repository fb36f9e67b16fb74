"""What transforms share: random numbers, and an image as rows of pixels."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torchvision import tv_tensors


def uniform(low: float, high: float) -> float:
    """Draw a number; the sample's private generator stands behind torch's global one."""
    return low + (high - low) * float(torch.rand(()))


def integer(low: int, high: int) -> int:
    """Draw a whole number from ``low`` to ``high``, both included."""
    return int(torch.randint(low, high + 1, ()))


def pixels_of(image: Tensor) -> NDArray[np.uint8]:
    """Return uint8 [3,H,W] as contiguous [H,W,3]."""
    array: NDArray[np.uint8] = image.as_subclass(Tensor).permute(1, 2, 0).contiguous().numpy()
    return array


def image_of(pixels: NDArray[np.uint8]) -> tv_tensors.Image:
    """Return uint8 [H,W,3] as an image [3,H,W]."""
    return tv_tensors.Image(torch.from_numpy(pixels).permute(2, 0, 1))
