"""Proposals and detections as a graph can make them: as many for every image, whatever their values.

What is not there has the score ``NONE``. Suppression is the same as `vf_det.postprocess.suppress`, reached by going
over all pairs until nothing changes.

Legend: B images, L levels, N boxes, K proposals of an image, C classes.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from vf_det.coding import decode
from vf_det.rcnn.rpn import Proposing, Raw

NONE = -1e4
"""Score of what is not there; logits and probabilities are above."""
ROUNDS = 48
"""A box is suppressed by a better one, unless that one is suppressed itself, and so on: so many times. Such chains are
a handful of boxes long; the comparison with the model says where they are longer."""
CANDIDATES = 1000
"""Best pairs of a box and a class that go into the last suppression."""


def propose(raw: Raw, sizes: Tensor, rule: Proposing) -> tuple[Tensor, Tensor]:
    """Return proposals [B,K,4] XYXY px, the best first, and their logits [B,K].

    Args:
        raw: of every anchor.
        sizes: int64 [B,2], height and width of each image, px.
        rule: how many.
    """
    scores, boxes = [], []
    more = rule.candidates  # so that there are as many on the coarsest level too
    for objects, deltas, anchors in zip(raw.objects, raw.deltas, raw.anchors, strict=True):
        value, place = F.pad(objects, (0, more), value=NONE).topk(more, dim=1)
        rows = place[..., None].expand(-1, -1, 4)
        own = F.pad(deltas, (0, 0, 0, more)).gather(1, rows)
        around = F.pad(anchors, (0, 0, 0, more))[place]
        found = decode(own.flatten(0, 1), around.flatten(0, 1)).unflatten(0, (-1, more))
        found = _clipped(found, sizes)
        scores.append(torch.where((found[..., 2:] > found[..., :2]).all(-1), value, NONE))
        boxes.append(found)
    score, box = torch.stack(scores, 1), torch.stack(boxes, 1)  # [B,L,more], [B,L,more,4]
    stays = kept(box.flatten(0, 1), rule.iou).unflatten(0, (-1, len(scores)))
    score = torch.where(stays, score, NONE).flatten(1)
    best, place = score.topk(rule.kept, dim=1)
    return box.flatten(1, 2).gather(1, place[..., None].expand(-1, -1, 4)), best


def detect(
    scores: Tensor, boxes: Tensor, *, threshold: float, iou: float, agnostic: bool, most: int
) -> tuple[Tensor, Tensor, Tensor]:
    """Return detections [B,most,4] XYXY px, the best first, their scores [B,most] and classes [B,most], -1: none.

    Args:
        scores: [B,K,C] in 0..1, or ``NONE``.
        boxes: [B,K,C,4], or [B,K,1,4] for one of all classes, cut to their images.
        threshold: scores must be above.
        iou: boxes that overlap a better one by more are dropped.
        agnostic: whatever their classes.
        most: of an image.
    """
    classes = scores.shape[-1]
    visible = (boxes[..., 2:] > boxes[..., :2]).all(-1)  # [B,K,C] or [B,K,1]
    usable = torch.where(visible & (scores > threshold), scores, NONE).flatten(1)
    best, place = F.pad(usable, (0, CANDIDATES), value=NONE).topk(CANDIDATES, dim=1)
    place = place.clamp(max=usable.shape[1] - 1)  # of what is not there
    label = place % classes
    row = place if boxes.shape[2] > 1 else place // classes
    box = boxes.flatten(1, 2).gather(1, row[..., None].expand(-1, -1, 4))
    stays = kept(box, iou, None if agnostic else label)
    final, order = torch.where(stays, best, NONE).topk(most, dim=1)
    there = final > NONE
    box = box.gather(1, order[..., None].expand(-1, -1, 4)) * there[..., None]
    return box, final, torch.where(there, label.gather(1, order), -1)


def kept(boxes: Tensor, iou: float, labels: Tensor | None = None) -> Tensor:
    """Return which boxes no better one of their class suppresses, bool [B,N].

    Args:
        boxes: [B,N,4] XYXY, the best first.
        iou: from beyond which on a better box suppresses.
        labels: [B,N]; None: all are of one class.
    """
    low = torch.maximum(boxes[:, :, None, :2], boxes[:, None, :, :2])
    high = torch.minimum(boxes[:, :, None, 2:], boxes[:, None, :, 2:])
    common = (high - low).clamp(min=0).prod(-1)
    area = (boxes[..., 2:] - boxes[..., :2]).prod(-1)
    over = common > iou * (area[:, :, None] + area[:, None] - common)
    place = torch.arange(boxes.shape[1], device=boxes.device)
    over = over & (place[:, None] < place)
    if labels is not None:
        over = over & (labels[:, :, None] == labels[:, None])
    suppresses = over.to(boxes.dtype)
    stays = torch.ones_like(area)
    for _ in range(ROUNDS):
        stays = (torch.bmm(stays[:, None], suppresses)[:, 0] < 0.5).to(boxes.dtype)
    return stays > 0.5


def _clipped(boxes: Tensor, sizes: Tensor) -> Tensor:
    """Cut boxes [B,N,4] XYXY to the heights and widths [B,2] of their images."""
    most = sizes.flip(-1).to(boxes.dtype)[:, None]
    return torch.minimum(boxes.clamp(min=0), torch.cat((most, most), -1))


def by_image(values: Tensor, like: Tensor) -> Tensor:
    """[B*K,...] -> [B,K,...], with K as ``like`` [B,K,...] has it."""
    rows: Tensor = values.unflatten(0, (-1, like.shape[1]))
    return rows


def images_of(boxes: Tensor) -> Tensor:
    """Return the image of each of [B,K,4] boxes in a row, int64 [B*K]."""
    image = torch.arange(boxes.shape[0], device=boxes.device)
    return image[:, None].expand(-1, boxes.shape[1]).flatten()


def mean_scores(logits: Sequence[Tensor]) -> Tensor:
    """Return probabilities [N,C] of logits [N,C+1], background last, the mean of several stages'."""
    joined = torch.stack(list(logits)).mean(0) if len(logits) > 1 else logits[0]
    scores: Tensor = joined.softmax(1)[:, :-1]
    return scores
