"""Images that are in memory already: arrays, tensors, pictures of PIL."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import ImageOps
from PIL.Image import Image as Picture
from torch import Tensor
from torchvision import tv_tensors

from vf.errors import DataError

CHANNELS = (1, 3, 4)


def is_image(source: Any) -> bool:
    """Whether a value is one image in memory."""
    return isinstance(source, Tensor | np.ndarray | Picture)


def as_image(source: Tensor | NDArray[Any] | Picture) -> tv_tensors.Image:
    """Return uint8 [3,H,W] RGB.

    Args:
        source: an array uint8 [H,W,3] RGB (not BGR, as OpenCV has it), [H,W,4] with alpha, which is dropped, or grey
            [H,W] or [H,W,1]; a tensor uint8 [3,H,W] RGB, or [1,H,W] or [H,W] grey, on any device; or a picture of PIL,
            of any mode, which is turned as its EXIF says.

    Raises:
        DataError: it is none of these.
    """
    if isinstance(source, Picture):
        upright: Any = ImageOps.exif_transpose(source)
        wide = upright.mode.startswith("I;16") or upright.mode in ("I", "F")
        array = _narrowed(np.asarray(upright)) if wide else np.asarray(upright.convert("RGB"))
        return _from_array(array)
    if isinstance(source, Tensor):
        return _from_tensor(source)
    return _from_array(source)


def _narrowed(values: NDArray[Any]) -> NDArray[np.uint8]:
    """Make 16 bits 8, as the decoder of files does."""
    return (values.astype(np.int64) >> 8).clip(0, 255).astype(np.uint8)


def _from_array(array: NDArray[Any]) -> tv_tensors.Image:
    good = array.ndim == 2 or (array.ndim == 3 and array.shape[2] in CHANNELS)
    if array.dtype != np.uint8 or not good or 0 in array.shape:
        raise DataError(
            f"array: expected uint8 [H,W,3] RGB or grey [H,W], got {array.dtype} {list(array.shape)}"
            f"{_hint(array.dtype == np.uint8, array.ndim == 4)}"
        )
    pixels = array if array.ndim == 3 else array[..., None]
    pixels = np.repeat(pixels, 3, axis=2) if pixels.shape[2] == 1 else pixels[..., :3]
    tensor = torch.from_numpy(np.array(pixels, order="C")).permute(2, 0, 1)  # a copy: who gave it may change it
    image: tv_tensors.Image = tensor.as_subclass(tv_tensors.Image)
    return image


def _from_tensor(tensor: Tensor) -> tv_tensors.Image:
    good = tensor.ndim == 2 or (tensor.ndim == 3 and tensor.shape[0] in CHANNELS)
    if tensor.dtype != torch.uint8 or not good or 0 in tensor.shape:
        raise DataError(
            f"tensor: expected uint8 [3,H,W] RGB or grey [H,W], got {str(tensor.dtype).removeprefix('torch.')} "
            f"{list(tensor.shape)}{_hint(tensor.dtype == torch.uint8, tensor.ndim == 4)}"
        )
    planes = tensor.detach().cpu().as_subclass(Tensor)
    planes = planes if planes.ndim == 3 else planes[None]
    planes = planes.expand(3, -1, -1) if planes.shape[0] == 1 else planes[:3]
    image: tv_tensors.Image = planes.clone().as_subclass(tv_tensors.Image)
    return image


def _hint(bytes_: bool, many: bool) -> str:
    if many:
        return "; give several images as a list"
    return "" if bytes_ else "; values go from 0 to 255, the model's own scaling comes after"
