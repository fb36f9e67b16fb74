"""Cut words out of images by perspective: each quad becomes an upright crop.

Legend: N quads, corners x, y in px clockwise from the upper left of the text. B images.
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F


def side_lengths(quads: Tensor) -> tuple[Tensor, Tensor]:
    """Return widths and heights [N] of quads [N,4,2]: of two opposite sides, the longer one."""
    steps = torch.linalg.vector_norm(quads.roll(-1, 1) - quads, dim=-1)
    return steps[:, 0::2].amax(1), steps[:, 1::2].amax(1)


def grown(quads: Tensor, sides: Tensor) -> Tensor:
    """Move the sides of quads outwards.

    Args:
        quads: [N,4,2].
        sides: [N,4], how far the left, upper, right and lower side moves, px.
    """
    p0, p1, p2, p3 = quads.unbind(1)
    across = F.normalize(p1 - p0 + p2 - p3, dim=1)
    down = F.normalize(p3 - p0 + p2 - p1, dim=1)
    left, up, right, low = (sides[:, k : k + 1] for k in range(4))
    upper, lower = -up * down, low * down
    moves = (upper - left * across, upper + right * across, lower + right * across, lower - left * across)
    return quads + torch.stack(moves, 1)


def turned(quads: Tensor, quarters: int) -> Tensor:
    """Return quads [N,4,2] whose crops are those of before, turned clockwise by so many quarters."""
    return quads.roll(quarters, 1)


def projective(quads: Tensor) -> Tensor:
    """Return the maps [N,3,3] that bring the unit square onto quads [N,4,2] (Heckbert, 1989, section 2.2.3).

    Quads without area, or with three corners in a line, bring a part of the square to infinity; it is kept finite.
    """
    p0, p1, p2, p3 = quads.double().unbind(1)
    first, second, rest = p1 - p2, p3 - p2, p0 - p1 + p2 - p3
    area = _cross(first, second)
    area = torch.where(area.abs() < 1e-9, 1e-9, area)
    g, h = _cross(rest, second) / area, _cross(first, rest) / area
    x_row = p1 - p0 + g[:, None] * p1
    y_row = p3 - p0 + h[:, None] * p3
    maps = torch.stack((x_row, y_row, p0), -1)  # [N,2,3]: rows x and y
    last = torch.stack((g, h, torch.ones_like(g)), -1)
    return torch.cat((maps, last[:, None]), 1)


def _cross(a: Tensor, b: Tensor) -> Tensor:
    return a[:, 0] * b[:, 1] - a[:, 1] * b[:, 0]


def rectified(
    images: Tensor,
    quads: Tensor,
    counts: Sequence[int],
    *,
    height: int,
    widths: Sequence[int],
    fill: int,
) -> Tensor:
    """Cut quads out of images, bilinearly: [N,3,height,max of widths] in 0..255, padded on the right.

    On a CPU OpenCV does it, which takes a fifth of the time of a grid and rounds to whole numbers and 1/32 px.

    Args:
        images: uint8 or float [B,3,H,W]; what lies outside of one repeats its edge.
        quads: [N,4,2] in px of ``images``, those of the first image first.
        counts: how many belong to each image.
        height: of the crops, px.
        widths: of each crop, px.
        fill: grey level of the padding, 0..255.

    Returns:
        uint8 where OpenCV did it, else float32.
    """
    by_opencv = images.device.type == "cpu" and images.dtype == torch.uint8
    cut = _warped if by_opencv else _sampled
    size = height, max(widths, default=1)
    own = torch.tensor(list(widths), dtype=torch.long, device=quads.device).split(list(counts))
    parts = zip(images, quads.split(list(counts)), own, strict=True)
    crops = [cut(image, some, wide, size, fill) for image, some, wide in parts if len(some)]
    return torch.cat(crops) if crops else images.new_zeros(0, 3, *size)


def _warped(image: Tensor, quads: Tensor, widths: Tensor, size: tuple[int, int], fill: int) -> Tensor:
    """Cut uint8 crops [n,3,*size] out of one image [3,H,W] on a CPU."""
    height = size[0]
    # Both count px from the middle of the first one; the square counts from its corner.
    centre = np.array([[1, 0, -0.5], [0, 1, -0.5], [0, 0, 1]])
    maps = centre @ projective(quads).numpy()
    pixels = cv2.merge(list(image.contiguous().numpy()))
    crops = np.full((len(quads), *size, 3), fill, np.uint8)
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    for crop, own, width in zip(crops, maps, widths.tolist(), strict=True):
        to_square = np.array([[1 / width, 0, 0.5 / width], [0, 1 / height, 0.5 / height], [0, 0, 1]])
        crop[:, :width] = cv2.warpPerspective(
            pixels, own @ to_square, (width, height), flags=flags, borderMode=cv2.BORDER_REPLICATE
        )
    return torch.from_numpy(crops).permute(0, 3, 1, 2)


def _sampled(image: Tensor, quads: Tensor, widths: Tensor, size: tuple[int, int], fill: int) -> Tensor:
    """Cut float crops [n,3,*size] out of one image [3,H,W] on any device."""
    height, width = size
    rows = (torch.arange(height, device=quads.device) + 0.5) / height
    columns = (torch.arange(width, device=quads.device) + 0.5) / widths[:, None]  # [n,width]
    across, down = columns[:, None].expand(-1, height, -1), rows[None, :, None].expand(len(quads), -1, width)
    square = torch.stack((across, down, torch.ones_like(across)), -1).flatten(1, 2)
    at = square @ projective(quads).float().transpose(1, 2)  # [n,height·width,3]
    depth = at[..., 2:]
    full = at.new_tensor([image.shape[-1], image.shape[-2]])
    grid = at[..., :2] / torch.where(depth.abs() < 1e-6, 1e-6, depth) * (2 / full) - 1
    # The crops lie below each other: one call, and no copy of the image for each.
    strip = grid.reshape(1, -1, width, 2)
    cut = F.grid_sample(image[None].float(), strip, mode="bilinear", padding_mode="border", align_corners=False)
    crops = cut[0].unflatten(1, (len(quads), height)).transpose(0, 1)
    return torch.where((columns < 1)[:, None, None], crops, float(fill))
