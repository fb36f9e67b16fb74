"""FCOS (arXiv 1904.01355, with the improvements of 2006.09214): a box from every point inside of an object."""

from __future__ import annotations

from collections.abc import Mapping

import attrs
import torch
from torch import Tensor
from torch.nn import functional as F
from torchvision.ops import generalized_box_iou_loss

from vf.data.sample import Batch
from vf.nn.reduce import mean_over_processes, num_processes
from vf_det.dense.candidates import Candidates, Choice, candidates
from vf_det.dense.detector import DenseDetector, Features, Targets, by_level, targets_of
from vf_det.dense.focal import focal_loss
from vf_det.dense.heads import Output, PointHead
from vf_det.dense.points import Points, assign, points_of
from vf_det.objects import objects_of
from vf_det.yolox.loss import paired_iou

LEAST_IOU = 1e-6
"""Of the logarithm in the IoU loss."""


@attrs.frozen(kw_only=True)
class PointRules:
    """What FCOS's points learn and how they score."""

    radius: float | None = None
    """Centre sampling: points learn within so many strides of an object's centre; None: everywhere inside."""
    alpha: float = 0.25
    gamma: float = 2.0
    box_loss: str = "iou"
    """``iou``: -log(IoU), or ``giou``: 1 - GIoU."""
    weighted: bool = True
    """Whether a box's loss is weighted by the centre-ness of its point."""
    score: str = "product"
    """Of class and centre-ness: ``product`` (the class alone decides which are candidates) or its ``root``."""
    as_torchvision: bool = False
    """Where points lie, see :func:`points_of`."""


class FCOS(DenseDetector):
    """See :class:`DenseDetector`.

    Args:
        features: image rules, backbone and neck.
        head: for the neck's levels.
        strides: of the neck's levels, px.
        rules: what points learn and how they score.
        choice: what becomes a detection.
    """

    def __init__(
        self,
        *,
        features: Features,
        head: PointHead,
        strides: tuple[int, ...],
        rules: PointRules,
        choice: Choice,
    ) -> None:
        super().__init__(features=features, head=head, choice=choice)
        self.strides = strides
        self.rules = rules

    def _points(self, output: Output, size: tuple[int, int]) -> Points:
        device = output.boxes[0].device
        return points_of(output.grids, size, self.strides, device=device, as_torchvision=self.rules.as_torchvision)

    def losses(self, output: Output, batch: Batch, size: tuple[int, int]) -> dict[str, Tensor]:
        """Return ``loss_cls`` and ``loss_center`` over the number of positives, ``loss_box`` over its weights."""
        points = self._points(output, size)
        targets = self._targets(points, batch)
        at, rules = targets.cell, self.rules
        wanted = sides_of(points.xy[at], targets.boxes)
        center = centerness_of(wanted)
        weight = center if rules.weighted else torch.ones_like(center)
        mean = mean_over_processes(torch.stack((weight.new_full((), len(at)), weight.sum())))
        labels = targets.labels.split([level.shape[1] for level in output.classes], 1)
        classes = [
            focal_loss(level.flatten(0, 1), own.flatten(), alpha=rules.alpha, gamma=rules.gamma)
            for level, own in zip(output.classes, labels, strict=True)
        ]
        sides = torch.cat(output.boxes, 1).flatten(0, 1)[targets.positive] * points.stride[at, None]
        box = self._box_loss(boxes_of(points.xy[at], sides), targets.boxes)
        assert output.centerness is not None
        said = torch.cat(output.centerness, 1).flatten()[targets.positive].float()
        count = mean[0].clamp(min=1 / num_processes())
        return {
            "loss_cls": torch.stack(classes).sum() / count,
            "loss_box": (box * weight).sum() / mean[1].clamp(min=LEAST_IOU),
            "loss_center": F.binary_cross_entropy_with_logits(said, center, reduction="sum") / count,
            "_num_pos": center.new_tensor(len(at)),
        }

    @torch.no_grad()
    def _targets(self, points: Points, batch: Batch) -> Targets:
        objects = objects_of(batch, self.preprocess)
        return targets_of([assign(points, own.boxes, radius=self.rules.radius) for own in objects], objects)

    def _box_loss(self, boxes: Tensor, wanted: Tensor) -> Tensor:
        """Return the loss of each pair, [P]."""
        if self.rules.box_loss == "iou":
            return -paired_iou(boxes, wanted).clamp(min=LEAST_IOU).log()
        loss: Tensor = generalized_box_iou_loss(boxes, wanted)
        return loss

    def values(self, output: Output) -> dict[str, Tensor]:
        """Return logits of classes and centre-ness."""
        assert output.centerness is not None
        return {**super().values(output), "centerness": torch.cat(output.centerness, 1)}

    def scored(self, raw: Mapping[str, Tensor]) -> Candidates:
        """Score by class and centre-ness."""
        threshold, most = self.choice.threshold, self.choice.candidates
        if self.rules.score == "product":
            found = super().scored(raw)
            found.score *= raw["centerness"][found.image, found.cell].float().sigmoid()
            return found
        centerness = by_level(raw, "centerness")

        def root(level: int, value: Tensor, image: Tensor, cell: Tensor) -> Tensor:
            return (value.sigmoid() * centerness[level][image, cell].float().sigmoid()).sqrt()

        # The centre-ness is at most 1, so a class below the square cannot make it.
        least = torch.tensor(threshold**2, dtype=torch.float64).logit().item()
        return candidates(by_level(raw, "classes"), root, above=least, threshold=threshold, most=most)

    def located(self, output: Output, size: tuple[int, int]) -> Tensor:
        """Go from the points to the sides."""
        points = self._points(output, size)
        sides = torch.cat(output.boxes, 1) * points.stride[:, None]
        return torch.cat((points.xy - sides[..., :2], points.xy + sides[..., 2:]), -1)


def sides_of(xy: Tensor, boxes: Tensor) -> Tensor:
    """Return the distances [P,4] from points [P,2] to left, top, right and bottom of boxes [P,4] XYXY."""
    return torch.cat((xy - boxes[:, :2], boxes[:, 2:] - xy), 1)


def boxes_of(xy: Tensor, sides: Tensor) -> Tensor:
    """Undo :func:`sides_of`."""
    return torch.cat((xy - sides[:, :2], xy + sides[:, 2:]), 1)


def centerness_of(sides: Tensor) -> Tensor:
    """Return 1 in the middle of a box, 0 at its edge, [P], for distances > 0 (equation 3)."""
    across, along = sides[:, 0::2], sides[:, 1::2]
    return (across.amin(1) * along.amin(1) / (across.amax(1) * along.amax(1))).sqrt()
