"""Label maps: PNG files whose pixels name classes or segments."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torchvision import tv_tensors

from vf.data.follow import IGNORE
from vf.data.storage import Storage
from vf.errors import DataError

__all__ = ["IGNORE", "check_size", "for_target", "read_map"]

_PALETTE = 3


def read_map(place: Storage, name: str, *, channels: int = 1) -> NDArray[np.uint8] | NDArray[np.uint16]:
    """Read a PNG as it is: [H,W] of 8 or 16 bits, or with 3 channels [H,W,3] RGB.

    Raises:
        DataError: it is missing, broken, or of another kind.
    """
    where, data = place.where(name), place.read(name)
    if data[:8] != b"\x89PNG\r\n\x1a\n" or data.rfind(b"IEND") < 0:
        raise DataError(f"{where}: expected a PNG of labels; it is none, or cut off after {len(data)} bytes")
    level = cv2.utils.logging.setLogLevel(0)  # it would print what the caller says
    try:
        pixels = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    finally:
        cv2.utils.logging.setLogLevel(level)
    came = "what cannot be decoded" if pixels is None else "a palette" if data[25] == _PALETTE else ""
    if pixels is not None and (pixels.ndim, pixels.shape[-1]) != ((3, 3) if channels == 3 else (2, pixels.shape[-1])):
        came = came or f"{pixels.shape[-1] if pixels.ndim == 3 else 1} channels"
    if came or pixels is None:
        kind = "one channel of labels" if channels == 1 else "three channels of segment ids"
        raise DataError(f"{where}: expected a PNG with {kind}, got {came}")
    if channels == 3:
        return np.asarray(cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB), np.uint8)
    return pixels  # type: ignore[return-value]  # uint8 or uint16, as PNG has it


def check_size(where: str, pixels: NDArray[Any], size: tuple[int, int]) -> None:
    """Raise DataError where a map is not of the ``size`` (height, width) of its image."""
    height, width = pixels.shape[:2]
    if (height, width) != size:
        raise DataError(f"{where}: is {height}×{width} (height × width), its image is {size[0]}×{size[1]}")


def for_target(pixels: NDArray[Any], *, evaluation: bool) -> tv_tensors.Mask | NDArray[Any]:
    """Return a map [H,W] as a Mask, which transforms move; for evaluation as an array.

    What is a tensor is padded to the size of its batch, and a metric wants it as it is.
    """
    return pixels if evaluation else tv_tensors.Mask(torch.from_numpy(pixels))
