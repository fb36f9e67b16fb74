"""SSD (arXiv 1512.02325): priors at several levels, trained on all positives and the hardest negatives."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import attrs
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vf.data.sample import Batch
from vf.nn.reduce import mean_over_processes
from vf_det.coding import decode, encode
from vf_det.dense.candidates import Candidates, Choice, candidates
from vf_det.dense.detector import DenseDetector, Features, Targets, by_level, targets_of
from vf_det.dense.heads import Output, rows
from vf_det.dense.lite import light
from vf_det.dense.priors import Priors
from vf_det.matching import BACKGROUND, match, overlaps
from vf_det.objects import objects_of

STDS = (0.1, 0.1, 0.2, 0.2)
"""What offsets are divided by, as in the authors' code."""


@attrs.frozen(kw_only=True)
class PriorRules:
    """What SSD's priors learn."""

    positive: float = 0.5
    """IoU from which on a prior is its object's; below, it is background. An object's best prior always is its own."""
    negatives: float = 3.0
    """Negatives that count for each positive of an image: the hardest."""
    beta: float = 1.0
    """Offset from which on the box's loss is linear."""


class PriorHead(nn.Module):
    """One convolution for the classes and one for the offsets of each level; background is the last class.

    Args:
        inputs: channels of each level.
        priors: at a cell of each level.
        num_classes: C, without background.
        depthwise: depthwise 3×3 convolutions, then 1×1 ones (arXiv 1801.04381, section 6.2).
    """

    def __init__(
        self, *, inputs: Sequence[int], priors: Sequence[int], num_classes: int, depthwise: bool = False
    ) -> None:
        super().__init__()
        self._columns = num_classes + 1
        make = light if depthwise else _conv
        pairs = list(zip(inputs, priors, strict=True))
        self.classes = nn.ModuleList(make(n, count * self._columns) for n, count in pairs)
        self.boxes = nn.ModuleList(make(n, count * 4) for n, count in pairs)

    def forward(self, levels: Sequence[Tensor]) -> Output:
        """Take features [B,channels,H,W] of each level; classes are [B,N,C + 1]."""
        classes = [rows(conv(x), self._columns) for conv, x in zip(self.classes, levels, strict=True)]
        boxes = [rows(conv(x), 4) for conv, x in zip(self.boxes, levels, strict=True)]
        return Output(classes, boxes, [(x.shape[-2], x.shape[-1]) for x in levels])


def _conv(inputs: int, outputs: int) -> nn.Conv2d:
    conv = nn.Conv2d(inputs, outputs, 3, padding=1)
    nn.init.xavier_uniform_(conv.weight)
    nn.init.zeros_(conv.get_parameter("bias"))
    return conv


class SSD(DenseDetector):
    """See :class:`DenseDetector`.

    Args:
        features: image rules, backbone and, where there is one, neck.
        head: for the levels, with as many priors at their cells as ``priors``.
        priors: of the levels.
        rules: what they learn.
        choice: what becomes a detection.
    """

    def __init__(
        self, *, features: Features, head: PriorHead, priors: Priors, rules: PriorRules, choice: Choice
    ) -> None:
        super().__init__(features=features, head=head, choice=choice)
        self.priors = priors
        self.rules = rules

    def losses(self, output: Output, batch: Batch, size: tuple[int, int]) -> dict[str, Tensor]:
        """Return ``loss_cls`` and ``loss_box``, sums over the number of priors that have an object."""
        priors = self.priors(output.grids, size)
        targets = self._targets(priors, batch)
        count = mean_over_processes(priors.new_full((), len(targets.positive)), least_sum=1.0)
        logits = torch.cat(output.classes, 1).float()
        offsets = torch.cat(output.boxes, 1).flatten(0, 1)[targets.positive].float()
        wanted = encode(targets.boxes, priors[targets.cell], STDS)
        box = F.smooth_l1_loss(offsets, wanted, beta=self.rules.beta, reduction="sum")
        return {
            "loss_cls": self._class_loss(logits, targets.labels) / count,
            "loss_box": box / count,
            "_num_pos": priors.new_tensor(len(targets.positive)),
        }

    @torch.no_grad()
    def _targets(self, priors: Tensor, batch: Batch) -> Targets:
        objects = objects_of(batch, self.preprocess)
        return targets_of([assign(priors, own.boxes, positive=self.rules.positive) for own in objects], objects)

    def _class_loss(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Sum the cross entropy of positives and of the hardest negatives of each image (section 2.2)."""
        background = logits.shape[-1] - 1
        learnt = torch.where(labels >= 0, labels, background)
        loss = F.cross_entropy(logits.flatten(0, 1), learnt.flatten(), reduction="none").view_as(labels)
        positive = labels >= 0
        wanted = positive.sum(1, keepdim=True) * self.rules.negatives
        hardness = loss.detach().masked_fill(positive, -torch.inf)
        rank = hardness.argsort(1, descending=True).argsort(1)
        counts = positive | ((rank < wanted) & ~positive)
        return (loss * counts).sum()

    def values(self, output: Output) -> dict[str, Tensor]:
        """Return probabilities: softmax over the classes and background."""
        return {"scores": torch.cat(output.classes, 1).float().softmax(-1)[..., :-1]}

    def scored(self, raw: Mapping[str, Tensor]) -> Candidates:
        """Score by the probability of the class."""
        threshold = self.choice.threshold
        return candidates(
            by_level(raw, "scores"),
            lambda level, value, image, cell: value,
            above=threshold,
            threshold=threshold,
            most=self.choice.candidates,
        )

    def located(self, output: Output, size: tuple[int, int]) -> Tensor:
        """Decode the offsets from the priors."""
        return decode(torch.cat(output.boxes, 1).float(), self.priors(output.grids, size)[None], STDS)


def assign(priors: Tensor, boxes: Tensor, *, positive: float) -> Tensor:
    """Return the object of each prior, int64 [N]; an object's one best prior is its own even if it fits another more.

    Where several objects have one best prior, the last of them takes it.
    """
    out = match(priors, boxes, positive=positive, negative=positive, low_quality=False)
    if not len(boxes):
        return out
    # Of priors that fit an object equally the first alone: a small object lies inside of many.
    best, own = overlaps(boxes, priors).argmax(1), torch.arange(len(boxes), device=boxes.device)
    forced = torch.full_like(out, BACKGROUND).scatter_reduce_(0, best, own, "amax")
    return torch.where(forced >= 0, forced, out)
