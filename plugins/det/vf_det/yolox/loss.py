"""What YOLOX minimises (section 2.1 and the code that the paper names).

Legend: B images, A cells of an image, C classes, P pairs of a cell and an object.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn import functional as F

from vf.nn.reduce import mean_over_processes
from vf_det.yolox.head import Output, decode, encode

if TYPE_CHECKING:
    from vf_det.yolox.assign import Objects, Pairs

BOX_WEIGHT = 5.0


def paired_iou(a: Tensor, b: Tensor) -> Tensor:
    """Return the IoU of boxes [...,4] XYXY, pair by pair (broadcast); 0 where both have no area."""
    overlap = (torch.minimum(a[..., 2:], b[..., 2:]) - torch.maximum(a[..., :2], b[..., :2])).clamp(min=0)
    shared = overlap.prod(-1)
    union = (a[..., 2:] - a[..., :2]).prod(-1) + (b[..., 2:] - b[..., :2]).prod(-1) - shared
    return shared / union.clamp(min=1e-9)


def losses(output: Output, objects: Objects, pairs: Pairs, *, with_l1: bool) -> dict[str, Tensor]:
    """Return scalar losses, weighted, each a sum over the batch divided by the number of pairs (at least 1).

    With several processes the number is the mean over them, so that their averaged gradients are those of one
    process with the whole batch. The passes of a step (``train.accumulate``) are divided each by its own number:
    that of the later ones is not known yet, so a pass with few objects counts as much as one with many.

    Args:
        output: the head's output in float32.
        objects: of the whole batch.
        pairs: from `vf_det.yolox.assign.assign`; none are fine: every loss stays finite and differentiable.
        with_l1: adds ``loss_l1`` on the head's raw boxes.
    """
    count = mean_over_processes(output.objects.new_full((), pairs.cell.numel()), least_sum=1.0)
    raw = output.boxes.flatten(0, 1)[pairs.cell]
    cells = output.cells.take(pairs.cell % output.cells.x.numel())
    wanted = objects.boxes[pairs.object]
    iou = paired_iou(decode(raw, cells), wanted)
    target = torch.zeros_like(output.objects).flatten()
    target[pairs.cell] = 1.0
    # The class learns how good the box is, so that score and overlap agree.
    soft = F.one_hot(objects.labels[pairs.object], output.classes.shape[-1]) * pairs.iou[:, None]
    terms = {
        "loss_box": BOX_WEIGHT * (1 - iou**2).sum(),
        "loss_obj": _cross_entropy(output.objects.flatten(), target),
        "loss_cls": _cross_entropy(output.classes.flatten(0, 1)[pairs.cell], soft),
    }
    if with_l1:
        terms["loss_l1"] = F.l1_loss(raw, encode(wanted, cells), reduction="sum")
    return {name: term / count for name, term in terms.items()}


def _cross_entropy(logits: Tensor, target: Tensor) -> Tensor:
    return F.binary_cross_entropy_with_logits(logits, target, reduction="sum")
