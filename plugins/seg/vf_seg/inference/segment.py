"""Class maps at the size of the decoded image, from one view or the mean of several."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from vf_seg.inference.views import View, bands, class_map

if TYPE_CHECKING:
    from vf.protocols import Prediction

BAND = 32 * 2**20
"""Bytes of the logits that are at the size of the decoded images at one time."""


def segment(
    views: Sequence[View], size: tuple[int, int], *, classes: int, probabilities: bool, band: int = BAND
) -> list[Prediction]:
    """Return a prediction for each image of the views: ``semantic`` [H,W], the class of each pixel, on the CPU.

    Args:
        views: of the same images; of several, probabilities are averaged, of one, logits decide.
        size: height and width of the images as decoded.
        classes: C.
        probabilities: whether ``semantic_probabilities`` float32 [C,H,W] are wanted too.
        band: bytes of logits at full size to have at one time.
    """
    count = len(views[0])
    maps = torch.empty(count, *size, dtype=class_map(classes))
    shares = torch.empty(count, classes, *size) if probabilities else None
    for start, stop in bands(size[0], band // (4 * count * classes * size[1])):
        scores = _scores(views, start, stop, size, normed=probabilities)
        maps[:, start:stop] = scores.argmax(1)
        if shares is not None:
            shares[:, :, start:stop] = scores
    if shares is None:
        return [{"semantic": one} for one in maps]
    return [{"semantic": one, "semantic_probabilities": own} for one, own in zip(maps, shares, strict=True)]


def _scores(views: Sequence[View], start: int, stop: int, size: tuple[int, int], *, normed: bool) -> Tensor:
    """Return logits or, where asked or of several views, probabilities [B,C,stop-start,W]."""
    if len(views) == 1:
        logits = views[0].rows(start, stop, size)
        return logits.softmax(1) if normed else logits
    total = views[0].rows(start, stop, size).softmax(1)
    for view in views[1:]:
        total += view.rows(start, stop, size).softmax(1)
    return total / len(views)
