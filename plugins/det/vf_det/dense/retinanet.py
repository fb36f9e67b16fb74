"""RetinaNet (arXiv 1708.02002): anchors at every cell, trained with the focal loss."""

from __future__ import annotations

import attrs
import torch
from torch import Tensor
from torch.nn import functional as F
from torchvision.ops import generalized_box_iou_loss

from vf.data.sample import Batch
from vf.nn.reduce import mean_over_processes
from vf_det.anchors import Anchors
from vf_det.coding import decode, encode
from vf_det.dense.candidates import Choice
from vf_det.dense.detector import DenseDetector, Features, Targets, targets_of
from vf_det.dense.focal import focal_loss
from vf_det.dense.heads import AnchorHead, Output
from vf_det.matching import match
from vf_det.objects import objects_of


@attrs.frozen(kw_only=True)
class RetinaRules:
    """What RetinaNet's anchors learn."""

    positive: float = 0.5
    """IoU from which on an anchor is its object's."""
    negative: float = 0.4
    """IoU below which it is background; between the two it does not count."""
    alpha: float = 0.25
    gamma: float = 2.0
    box_loss: str = "l1"
    """``l1`` of the offsets, or ``giou`` of the boxes."""
    box_weight: float = 1.0


class RetinaNet(DenseDetector):
    """See :class:`DenseDetector`.

    Args:
        features: image rules, backbone and neck.
        head: with as many anchors at a cell as ``anchors``.
        anchors: of the neck's levels.
        rules: what they learn.
        choice: what becomes a detection.
    """

    def __init__(
        self, *, features: Features, head: AnchorHead, anchors: Anchors, rules: RetinaRules, choice: Choice
    ) -> None:
        super().__init__(features=features, head=head, choice=choice)
        self.anchors = anchors
        self.rules = rules

    def losses(self, output: Output, batch: Batch, size: tuple[int, int]) -> dict[str, Tensor]:
        """Return ``loss_cls`` and ``loss_box``, sums over the number of anchors that have an object."""
        anchors = torch.cat(self.anchors(output.grids, size))
        targets = self._targets(anchors, batch)
        count = mean_over_processes(anchors.new_full((), len(targets.positive)), least_sum=1.0)
        labels = targets.labels.split([level.shape[1] for level in output.classes], 1)
        rules = self.rules
        classes = [
            focal_loss(level.flatten(0, 1), own.flatten(), alpha=rules.alpha, gamma=rules.gamma)
            for level, own in zip(output.classes, labels, strict=True)
        ]
        offsets = torch.cat(output.boxes, 1).flatten(0, 1)[targets.positive].float()
        box = self._box_loss(offsets, anchors[targets.cell], targets.boxes)
        return {
            "loss_cls": torch.stack(classes).sum() / count,
            "loss_box": rules.box_weight * box / count,
            "_num_pos": anchors.new_tensor(len(targets.positive)),
        }

    @torch.no_grad()
    def _targets(self, anchors: Tensor, batch: Batch) -> Targets:
        objects, rules = objects_of(batch, self.preprocess), self.rules
        matches = [
            match(anchors, own.boxes, positive=rules.positive, negative=rules.negative, low_quality=True)
            for own in objects
        ]
        return targets_of(matches, objects)

    def _box_loss(self, offsets: Tensor, anchors: Tensor, boxes: Tensor) -> Tensor:
        if self.rules.box_loss == "l1":
            return F.l1_loss(offsets, encode(boxes, anchors), reduction="sum")
        loss: Tensor = generalized_box_iou_loss(decode(offsets, anchors), boxes, reduction="sum")
        return loss

    def located(self, output: Output, size: tuple[int, int]) -> Tensor:
        """Decode the offsets from the anchors."""
        return decode(torch.cat(output.boxes, 1).float(), torch.cat(self.anchors(output.grids, size))[None])
