"""From scored boxes to predictions: suppression of what overlaps, and the frame of the decoded image."""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs
import torch
from torch import Tensor
from torchvision.ops import nms

from vf.data.sample import Batch
from vf_det.coding import clip
from vf_det.matching import overlaps

if TYPE_CHECKING:
    from vf.protocols import Prediction

LARGE = 16_000
"""So many boxes go through the GPU's suppression at once, whose cost is quadratic; more go group by group."""


@attrs.frozen(kw_only=True)
class Suppression:
    """What becomes of boxes that overlap a better one; see `vf_det.suppression.NMS` for what the names mean."""

    kind: str = "hard"
    iou: float = 0.5
    agnostic: bool = False
    sigma: float = 0.5
    min_score: float = 0.001


def suppress(
    boxes: Tensor,
    scores: Tensor,
    labels: Tensor,
    rule: Suppression,
    *,
    most: int,
    images: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """Return which boxes stay, int64 [K], and their scores [K], which soft suppression changes.

    They are ordered by image, then by falling score. Boxes of different images never suppress each other.

    Args:
        boxes: [N,4] XYXY.
        scores: [N], finite.
        labels: int64 [N].
        rule: how.
        most: kept for one image, the best first.
        images: int64 [N], the image of each box; None: all are of one.
    """
    if images is None:
        images = torch.zeros_like(labels)
    groups = _groups(labels, images, agnostic=rule.agnostic)
    if rule.kind == "hard":
        keep = _hard(boxes, scores, groups, rule.iou)
    else:
        keep, scores = _soft(boxes, scores, groups, images, rule, most)
    keep = keep[scores[keep].argsort(descending=True, stable=True)]
    keep = keep[images[keep].argsort(stable=True)]
    keep = keep[_place_in_run(images[keep]) < most]
    return keep, scores[keep]


def _groups(labels: Tensor, images: Tensor, *, agnostic: bool) -> Tensor:
    """Return numbers that are equal for boxes that may suppress each other."""
    if agnostic or not len(labels):
        return images
    return images * (labels.max() + 1) + labels


def _place_in_run(values: Tensor) -> Tensor:
    """Return, for sorted values, how many equal ones come before each."""
    place = torch.arange(len(values), device=values.device)
    return place - torch.searchsorted(values, values)


def _hard(boxes: Tensor, scores: Tensor, groups: Tensor, iou: float) -> Tensor:
    if boxes.is_cuda and len(boxes) <= LARGE:
        # Groups side by side, far apart. In float32 the last of hundreds would be rounded to a tenth of a pixel.
        wide = boxes.double()
        apart = wide.amax() - wide.amin() + 1 if len(boxes) else 0
        kept: Tensor = nms(wide + (groups * apart)[:, None], scores.double(), iou)
        return kept
    order = groups.argsort(stable=True)
    counts = groups.unique(return_counts=True)[1].tolist()
    parts = (order.split(counts), boxes[order].split(counts), scores[order].split(counts))
    return torch.cat([order[:0], *(place[nms(b, s, iou)] for place, b, s in zip(*parts, strict=True))])


def _soft(
    boxes: Tensor, scores: Tensor, groups: Tensor, images: Tensor, rule: Suppression, most: int
) -> tuple[Tensor, Tensor]:
    """Take the best box of an image, lower those of its group that overlap it, and so on; on the CPU, as it is short.

    The order is that of the lowered scores, which only fall: after ``most`` boxes no better one can come.
    """
    own_scores, own_groups, own_boxes = scores.cpu().clone(), groups.cpu(), boxes.cpu()
    keep: list[int] = []
    for image in images.unique().tolist():
        rows = (images.cpu() == image).nonzero()[:, 0]
        left, of_image, group = own_scores[rows], own_boxes[rows], own_groups[rows]
        for _ in range(min(most, len(rows))):
            best = int(left.argmax())
            if left[best] < rule.min_score:
                break
            row = int(rows[best])
            keep.append(row)
            own_scores[row] = left[best]
            iou = overlaps(of_image[best : best + 1], of_image)[0].masked_fill_(group != group[best], 0)
            left *= _factor(iou, rule)
            left[best] = -1
    return torch.tensor(keep, dtype=torch.long, device=boxes.device), own_scores.to(scores.device)


def _factor(iou: Tensor, rule: Suppression) -> Tensor:
    if rule.kind == "soft_linear":
        return torch.where(iou > rule.iou, 1 - iou, 1)
    return (-(iou**2) / rule.sigma).exp()


def to_original(boxes: Tensor, size: Tensor, original: Tensor) -> Tensor:
    """Scale boxes [...,4] XYXY from the network's frame to that of the decoded image, and cut them to it.

    Args:
        boxes: px of the resized image.
        size: [2] or [...,2], height and width of the resized image.
        original: likewise, of the decoded image.
    """
    scale = (original / size).flip(-1)
    return clip(boxes * torch.cat((scale, scale), -1), original)


def as_predictions(boxes: Tensor, scores: Tensor, labels: Tensor, images: Tensor, batch: Batch) -> list[Prediction]:
    """Return a prediction of boxes, scores and labels for each image of the batch, on the CPU.

    Boxes that have no area in the decoded image are kept, so that rows go on to belong to other tensors.

    Args:
        boxes: [K,4] XYXY px in the network's frame.
        scores: [K].
        labels: [K].
        images: int64 [K], rising.
        batch: what was predicted.
    """
    boxes = to_original(boxes, batch.sizes[images], batch.original[images])
    # One copy from the device for the whole batch.
    table = torch.cat((boxes, scores[:, None], labels[:, None], images[:, None]), 1).cpu()
    counts = torch.bincount(table[:, 6].long(), minlength=len(batch)).tolist()
    return [
        {"boxes": rows[:, :4].contiguous(), "scores": rows[:, 4].contiguous(), "labels": rows[:, 5].long()}
        for rows in table.split(counts)
    ]
