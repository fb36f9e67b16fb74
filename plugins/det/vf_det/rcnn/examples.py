"""What a head learns from: anchors or proposals that were matched to objects and drawn.

Legend: B images, S examples of a batch, P of them positive.
"""

from __future__ import annotations

from collections.abc import Sequence

import attrs
import torch
from torch import Tensor
from torch.nn import functional as F

from vf.nn.reduce import mean_over_processes
from vf_det.matching import Drawn, match, sample, uniformly
from vf_det.objects import Objects


@attrs.frozen(kw_only=True)
class Learning:
    """How a head chooses its examples, and how it weighs a box that is beside."""

    positive: float
    """IoU from which on a box is its object's."""
    negative: float
    """IoU below which it is background."""
    low_quality: bool
    """Whether the boxes that fit an object best are its own in any case."""
    lowest: float
    """IoU that they must have."""
    size: int
    """Examples of an image, at most."""
    positive_share: float
    """Largest part of them that are positive."""
    beta: float
    """Of the smooth L1 loss, in offsets; 0: L1."""
    drawn: Drawn = uniformly


@attrs.frozen
class Examples:
    """Examples of a batch, image by image, positives first."""

    image: Tensor
    """int64 [S]."""
    row: Tensor
    """int64 [S], place among the boxes of its image."""
    object: Tensor
    """int64 [P], place among the objects of the batch."""
    positive: Tensor
    """int64 [P], places among the examples."""
    count: Tensor
    """Number of examples, a mean over the processes and above 0: what losses are divided by."""


@torch.no_grad()
def choose(boxes: Sequence[Tensor], objects: Sequence[Objects], rule: Learning) -> Examples:
    """Match the boxes [N,4] of each image with its objects, and draw examples."""
    rows, images, found, places = [], [], [], []
    seen = start = 0
    for image, (own, wanted) in enumerate(zip(boxes, objects, strict=True)):
        matches = match(
            own,
            wanted.boxes,
            positive=rule.positive,
            negative=rule.negative,
            low_quality=rule.low_quality,
            lowest=rule.lowest,
        )
        positives, negatives = sample(matches, size=rule.size, positive_share=rule.positive_share, drawn=rule.drawn)
        rows += [positives, negatives]
        images.append(torch.full((len(positives) + len(negatives),), image, device=own.device))
        found.append(matches[positives] + seen)
        places.append(torch.arange(len(positives), device=own.device) + start)
        seen, start = seen + len(wanted.boxes), start + len(images[-1])
    count = mean_over_processes(torch.tensor(float(start), device=boxes[0].device), least_sum=1.0)
    return Examples(torch.cat(images), torch.cat(rows), torch.cat(found), torch.cat(places), count)


def box_loss(deltas: Tensor, wanted: Tensor, examples: Examples, rule: Learning) -> Tensor:
    """Return the smooth L1 loss of positives [P,4], a sum divided by the number of all examples."""
    return F.smooth_l1_loss(deltas, wanted, beta=rule.beta, reduction="sum") / examples.count
