"""Distances to borders as a loss (arXiv 1812.07032). For the legend see `vf_seg.losses.pixelwise`."""

from __future__ import annotations

import cv2
import numpy as np
import torch
from torch import Tensor, nn

from vf.data.follow import IGNORE
from vf_seg.losses.pixelwise import divisor


class Boundary(nn.Module):
    """Sum over classes of probability times signed distance to the class's border, a mean over labelled pixels.

    Args:
        most: distances are cut here, px.
    """

    def __init__(self, *, most: float = 20.0) -> None:
        super().__init__()
        self._most = most

    def forward(self, logits: Tensor, target: Tensor) -> Tensor:
        """Return a scalar."""
        distances = signed_distances(target, logits.shape[1], most=self._most)
        known = (target != IGNORE).float()
        each = (logits.softmax(1) * distances).sum(1)
        return (each * known).sum() / divisor(known.sum())


def signed_distances(target: Tensor, classes: int, *, most: float) -> Tensor:
    """Return the distance of each pixel's middle to the nearest of the other side, negative inside of the class.

    Args:
        target: int64 [B,H,W].
        classes: C.
        most: distances are cut here, px; also what an image has for a class that is not in it, or all over it.

    Returns:
        float32 [B,C,H,W] px.
    """
    maps = target.cpu().numpy()
    out = np.empty((len(maps), classes, *maps.shape[1:]), np.float32)
    for image, distances in zip(maps, out, strict=True):
        for index in range(classes):
            distances[index] = _signed((image == index).astype(np.uint8), most)
    return torch.from_numpy(out).to(target.device)


def _signed(inside: np.ndarray, most: float) -> np.ndarray:
    if not inside.any():
        return np.full(inside.shape, most, np.float32)
    if inside.all():
        return np.full(inside.shape, -most, np.float32)
    away, within = (cv2.distanceTransform(mask, cv2.DIST_L2, cv2.DIST_MASK_PRECISE) for mask in (1 - inside, inside))
    signed: np.ndarray = np.clip(away - within, -most, most)
    return signed
