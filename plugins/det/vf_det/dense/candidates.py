"""Which cells of a dense head may become detections, before any box is decoded."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import attrs
import torch
from torch import Tensor

from vf_det.postprocess import Suppression

Score = Callable[[int, Tensor, Tensor, Tensor], Tensor]
"""Takes a level, and of K places there the value, the image and the cell [K]; gives scores [K] in 0..1."""


@attrs.frozen(kw_only=True)
class Choice:
    """What becomes a detection."""

    threshold: float
    """Scores must be above."""
    candidates: int
    """Best so many of each level and image go on to the suppression."""
    suppression: Suppression
    most: int
    """Kept for one image, the best first."""


@attrs.define
class Candidates:
    """K places of a batch."""

    image: Tensor
    """int64 [K]."""
    cell: Tensor
    """int64 [K], counted over the cells (or anchors) of all levels in a row."""
    label: Tensor
    """int64 [K], class index."""
    score: Tensor
    """float32 [K]."""


def candidates(values: Sequence[Tensor], score: Score, *, above: float, threshold: float, most: int) -> Candidates:
    """Return, of each level and image, the best places whose score is above a threshold.

    Args:
        values: of each level, [B,N,C] for N cells.
        score: makes scores of values.
        above: a value that is not above this cannot score above the threshold; it is not looked at.
        threshold: of the score.
        most: places of each level and image.
    """
    parts, start = [], 0
    for level, value in enumerate(values):
        image, cell, label = (value > above).nonzero(as_tuple=True)
        points = score(level, value[image, cell, label].float(), image, cell)
        keep = _best(points, image, images=len(value), threshold=threshold, most=most)
        parts.append(Candidates(image[keep], cell[keep] + start, label[keep], points[keep]))
        start += value.shape[1]
    names = ("image", "cell", "label", "score")
    return Candidates(*(torch.cat([getattr(part, name) for part in parts]) for name in names))


def _best(points: Tensor, image: Tensor, *, images: int, threshold: float, most: int) -> Tensor:
    """Return the places of the best ``most`` above the threshold of each image, int64 [K]; ``image`` rises."""
    keep = (points > threshold).nonzero()[:, 0]
    counts = torch.bincount(image[keep], minlength=images).tolist()
    if max(counts) <= most:
        return keep
    parts = keep.split(counts)
    return torch.cat([part[points[part].topk(min(most, len(part))).indices] for part in parts])
