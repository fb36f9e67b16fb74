"""A stage says what is in a region, and where it is exactly (arXiv 1506.01497, section 3.2; cascade: 1712.00726).

Legend: K regions of a batch, C classes, R box regressions of a region: C, or 1 for all classes.
"""

from __future__ import annotations

from collections.abc import Sequence

import attrs
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vf_det.coding import decode, encode
from vf_det.objects import Objects
from vf_det.rcnn.examples import Examples, Learning, box_loss, choose
from vf_det.rcnn.rpn import Regions


@attrs.frozen
class Said:
    """What a stage says of regions, in float32."""

    logits: Tensor
    """[K,C+1], background last."""
    deltas: Tensor
    """[K,R,4]."""

    def deltas_of(self, classes: Tensor, rows: Tensor | None = None) -> Tensor:
        """Return the deltas [M,4] of classes [M], of all regions or of ``rows`` [M]."""
        if rows is None:
            rows = torch.arange(classes.shape[0], device=classes.device)
        return self.deltas[rows, classes if self.deltas.shape[1] > 1 else torch.zeros_like(classes)]


@attrs.frozen
class Lesson:
    """Regions that a stage trains on."""

    regions: Regions
    examples: Examples
    given: Tensor
    """bool [K]: the region is an object's own box."""


class Stage(nn.Module):
    """Two fully connected layers, then classes and boxes.

    Args:
        inputs: values of a pooled region.
        hidden: values of each layer.
        num_classes: C.
        agnostic: one box regression for all classes.
        stds: of dx, dy, dw, dh.
        learning: how regions are chosen for the loss.
        weight: of its losses.
    """

    def __init__(
        self,
        inputs: int,
        *,
        hidden: int,
        num_classes: int,
        agnostic: bool,
        stds: Sequence[float],
        learning: Learning,
        weight: float,
    ) -> None:
        super().__init__()
        self.num_classes, self.learning, self.weight, self._stds = num_classes, learning, weight, tuple(stds)
        self.fcs = nn.ModuleList((nn.Linear(inputs, hidden), nn.Linear(hidden, hidden)))
        self.classes = nn.Linear(hidden, num_classes + 1)
        self.boxes = nn.Linear(hidden, 4 if agnostic else 4 * num_classes)
        for layer in self.fcs:
            nn.init.xavier_uniform_(layer.get_parameter("weight"))
        nn.init.normal_(self.classes.weight, std=0.01)
        nn.init.normal_(self.boxes.weight, std=0.001)
        for layer in (*self.fcs, self.classes, self.boxes):
            nn.init.zeros_(layer.get_parameter("bias"))

    def forward(self, pooled: Tensor) -> Said:
        """Look at pooled regions [K,channels,h,w]."""
        x = pooled.flatten(1)
        for layer in self.fcs:
            x = F.relu(layer(x))
        return Said(self.classes(x).float(), self.boxes(x).float().unflatten(1, (-1, 4)))

    def choose(self, proposals: Sequence[Tensor], objects: Sequence[Objects]) -> Lesson:
        """Choose regions to train on, of the proposals [N,4] of each image and the boxes of its objects."""
        both = [torch.cat((own, wanted.boxes)) for own, wanted in zip(proposals, objects, strict=True)]
        examples = choose(both, objects, self.learning)
        device = examples.row.device
        counts = torch.tensor([len(b) for b in both], device=device)
        found = torch.tensor([len(p) for p in proposals], device=device)
        start = counts.cumsum(0) - counts
        regions = Regions(torch.cat(both)[start[examples.image] + examples.row], examples.image)
        return Lesson(regions, examples, examples.row >= found[examples.image])

    def losses(self, said: Said, lesson: Lesson, objects: Sequence[Objects]) -> tuple[Tensor, Tensor]:
        """Return the losses of classes and of boxes, weighted; each is a sum divided by the number of regions."""
        examples, positive = lesson.examples, lesson.examples.positive
        own = torch.cat([o.labels for o in objects])[examples.object]
        labels = torch.full_like(examples.row, self.num_classes)
        labels[positive] = own
        boxes = torch.cat([o.boxes for o in objects])[examples.object]
        wanted = encode(boxes, lesson.regions.boxes[positive], self._stds)
        entropy = F.cross_entropy(said.logits, labels, reduction="sum") / examples.count
        beside = box_loss(said.deltas_of(own, positive), wanted, examples, self.learning)
        return self.weight * entropy, self.weight * beside

    def decode(self, said: Said, regions: Regions, sizes: Tensor, classes: Tensor, rows: Tensor) -> Tensor:
        """Return the boxes [M,4] of ``classes`` [M] in the regions ``rows`` [M], cut to their images' sizes [B,2]."""
        deltas = said.deltas_of(classes, rows)
        return decode(deltas, regions.boxes[rows], self._stds, sizes[regions.image[rows]])

    def decode_all(self, said: Said, regions: Regions, sizes: Tensor) -> Tensor:
        """Return the boxes [K,R,4] of all classes in all regions, cut to their images' sizes [B,2]."""
        return decode(said.deltas, regions.boxes, self._stds, sizes[regions.image])

    @torch.no_grad()
    def refined(self, said: Said, regions: Regions, sizes: Tensor) -> Regions:
        """Return the regions moved to where this stage sees their most likely class."""
        rows = torch.arange(regions.boxes.shape[0], device=regions.boxes.device)
        classes = said.logits[:, :-1].argmax(1)
        return Regions(self.decode(said, regions, sizes, classes, rows), regions.image)
