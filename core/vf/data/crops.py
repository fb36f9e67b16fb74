"""Cut a random part and resize it: torchvision's draw, and pixels by the quickest of equal ways."""

from __future__ import annotations

from typing import Any, Literal

import cv2
import torch
from torch import Tensor
from torchvision import tv_tensors
from torchvision.transforms import v2
from torchvision.transforms.v2 import functional as TF

Interpolation = Literal["bilinear", "bicubic"]
_OPENCV = {"bilinear": cv2.INTER_LINEAR, "bicubic": cv2.INTER_CUBIC}


class ResizedCrop(v2.RandomResizedCrop):  # type: ignore[misc]
    """torchvision's RandomResizedCrop; without antialiasing OpenCV reads the pixels, in less than half the time.

    Args:
        size: height and width of the result.
        scale: smallest and largest part of the image's area.
        ratio: smallest and largest width / height of the part.
        interpolation: of images.
        antialias: whether each pixel of a smaller result is the mean of all that it covers.
    """

    sets_size = True

    def __init__(
        self,
        *,
        size: tuple[int, int],
        scale: tuple[float, float],
        ratio: tuple[float, float],
        interpolation: Interpolation,
        antialias: bool,
    ) -> None:
        mode = v2.InterpolationMode(interpolation)
        super().__init__(list(size), scale=scale, ratio=ratio, interpolation=mode, antialias=antialias)
        self._opencv = None if antialias else _OPENCV[interpolation]

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        """Change the image, or what moves with it."""
        if not isinstance(inpt, tv_tensors.Image):
            return super().transform(inpt, params)
        top, left, height, width = (params[key] for key in ("top", "left", "height", "width"))
        part = inpt.as_subclass(Tensor)[:, top : top + height, left : left + width]
        if self._opencv is None:
            return tv_tensors.Image(TF.resize(part, self.size, self.interpolation, antialias=True))
        pixels = cv2.resize(part.permute(1, 2, 0).numpy(), self.size[::-1], interpolation=self._opencv)
        return tv_tensors.Image(torch.from_numpy(pixels).permute(2, 0, 1))
