"""SimOTA: which cells learn which object (YOLOX, section 2.1, after OTA: arXiv 2103.14259).

An object may be learnt by the 3×3 cells around its centre in each map. It takes as many of these as its
predictions are good (the sum of its ten best IoU), those with the least cost first; a cell that several objects
take goes to the one for which it costs least.

So an object has at most 27 candidates, and the costs of a whole batch fit in [G,27]: no loop over images.

Legend: B images, A cells of an image, C classes, G objects of the whole batch, P pairs that were made,
K = 27 candidates of an object. A flat cell is image * A + cell.
"""

from __future__ import annotations

import attrs
import torch
from torch import Tensor
from torch.nn import functional as F

from vf_det.yolox.head import STRIDES, Cells, Output, decode
from vf_det.yolox.loss import paired_iou

IOU_WEIGHT = 3.0
"""Of -log(IoU) beside the classification cost."""
BEST = 10
"""How many IoU are summed to say how many cells an object takes."""


@attrs.define  # torch.compile cannot trace how a frozen class sets its fields
class Objects:
    """The objects of a batch in a row."""

    boxes: Tensor
    """float32 [G,4] XYXY in pixels of the network's input."""
    labels: Tensor
    """int64 [G]."""
    image: Tensor
    """int64 [G], which image of the batch."""


@attrs.define
class Pairs:
    """Which cells learn which objects; a cell occurs at most once, in rising order."""

    cell: Tensor
    """int64 [P], flat cells."""
    object: Tensor
    """int64 [P], rows of `Objects`."""
    iou: Tensor
    """float32 [P], of the prediction with the object's box."""


@torch.no_grad()
def assign(output: Output, objects: Objects) -> Pairs:
    """Pair cells with objects.

    Args:
        output: the head's output in float32.
        objects: may be empty.
    """
    cell, valid = _candidates(objects, output.cells)
    own = output.cells.take(cell % output.cells.x.numel())
    predicted = decode(output.boxes.flatten(0, 1)[cell], own)
    iou = paired_iou(predicted, objects.boxes[:, None]) * valid
    cost = _class_cost(output, cell, objects.labels) - IOU_WEIGHT * torch.log(iou + 1e-8)
    cost = cost.masked_fill(~valid, torch.inf)
    wanted = iou.topk(BEST, dim=1).values.sum(1).int().clamp(min=1)
    rank = cost.argsort(dim=1, stable=True).argsort(dim=1)
    taken = (rank < wanted[:, None]) & valid
    owner = taken.nonzero()[:, 0]
    keep = _cheapest(cell[taken], cost[taken])
    return Pairs(cell[taken][keep], owner[keep], iou[taken][keep])


def _candidates(objects: Objects, cells: Cells) -> tuple[Tensor, Tensor]:
    """Return the flat cells [G,K] around each centre, and which of them exist (cells outside are cell 0)."""
    device = objects.boxes.device
    centre = (objects.boxes[:, :2] + objects.boxes[:, 2:]) / 2
    step = torch.arange(-1, 2, device=device)
    index: list[Tensor] = []
    valid: list[Tensor] = []
    start = 0
    for (height, width), stride in zip(cells.shapes, STRIDES, strict=True):
        at = torch.floor(centre / stride).long()
        x = (at[:, :1] + step)[:, None, :].expand(-1, 3, -1)
        y = (at[:, 1:] + step)[:, :, None].expand(-1, -1, 3)
        inside = ((x >= 0) & (x < width) & (y >= 0) & (y < height)).flatten(1)
        index.append(torch.where(inside, (y * width + x).flatten(1) + start, 0))
        valid.append(inside)
        start += height * width
    return torch.cat(index, 1) + objects.image[:, None] * start, torch.cat(valid, 1)


def _class_cost(output: Output, cell: Tensor, labels: Tensor) -> Tensor:
    """Return the cross entropy [G,K] of sqrt(object × class) and the one-hot label, summed over C."""
    rows, inverse = torch.unique(cell, return_inverse=True)  # neighbours share cells: compute each once
    classes = output.classes.flatten(0, 1)[rows]
    log_p = (F.logsigmoid(classes) + F.logsigmoid(output.objects.flatten()[rows])[:, None]) / 2
    log_rest = torch.log(-torch.expm1(log_p)).clamp(min=-100)
    all_wrong = -log_rest.sum(1)
    swap = log_rest - log_p.clamp(min=-100)
    return all_wrong[inverse] + swap[inverse, labels[:, None]]


def _cheapest(cell: Tensor, cost: Tensor) -> Tensor:
    """Return, by rising cell, the position of each cell's least cost; of equal costs the first position."""
    order = torch.argsort(cost, stable=True)
    order = order[torch.argsort(cell[order], stable=True)]
    ordered = cell[order]
    first = torch.ones_like(ordered, dtype=torch.bool)
    first[1:] = ordered[1:] != ordered[:-1]
    return order[first]
