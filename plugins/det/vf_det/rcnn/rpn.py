"""Region proposal network (arXiv 1506.01497, section 3.1) on the levels of a pyramid (arXiv 1612.03144, section 4.1).

Legend: B images, L levels, N anchors of a level, A of all levels, K proposals of the batch.
"""

from __future__ import annotations

from collections.abc import Sequence

import attrs
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vf_det.anchors import Anchors
from vf_det.coding import decode, encode
from vf_det.objects import Objects
from vf_det.postprocess import Suppression, suppress
from vf_det.rcnn.examples import Learning, box_loss, choose


@attrs.frozen(kw_only=True)
class Proposing:
    """How many boxes of an image go on."""

    candidates: int
    """The best of each level that go into the suppression."""
    kept: int
    """The best of all levels after it."""
    iou: float
    """Boxes of one level that overlap a better one by more are dropped."""


@attrs.frozen
class Raw:
    """What the network says of every anchor, in float32."""

    objects: list[Tensor]
    """[B,N] of each level, logits."""
    deltas: list[Tensor]
    """[B,N,4] of each level."""
    anchors: list[Tensor]
    """[N,4] of each level, XYXY px."""


@attrs.frozen
class Regions:
    """Boxes of a batch, ordered by image."""

    boxes: Tensor
    """float32 [K,4] XYXY px in the network's frame."""
    image: Tensor
    """int64 [K]."""

    def per_image(self, images: int) -> list[Tensor]:
        """Return the boxes of each image."""
        return list(self.boxes.split(torch.bincount(self.image, minlength=images).tolist()))


class RPNHead(nn.Module):
    """One 3×3 convolution, then one 1×1 for objects and one for boxes, shared by all levels.

    Args:
        channels: of each level.
        per_cell: anchors at a cell.
    """

    def __init__(self, channels: int, per_cell: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, padding=1)
        self.objects = nn.Conv2d(channels, per_cell, 1)
        self.boxes = nn.Conv2d(channels, 4 * per_cell, 1)
        for layer in (self.conv, self.objects, self.boxes):
            nn.init.normal_(layer.weight, std=0.01)
            nn.init.zeros_(layer.get_parameter("bias"))

    def forward(self, levels: Sequence[Tensor]) -> tuple[list[Tensor], list[Tensor]]:
        """Return logits [B,N] and deltas [B,N,4] of each level: rows, then columns, then anchors."""
        features = [F.relu(self.conv(x)) for x in levels]
        objects = [self.objects(x).permute(0, 2, 3, 1).flatten(1).float() for x in features]
        return objects, [self.boxes(x).permute(0, 2, 3, 1).reshape(x.shape[0], -1, 4).float() for x in features]


class RPN(nn.Module):
    """Proposes boxes that may hold an object, of whatever class.

    Args:
        channels: of each level.
        anchors: as many at a cell of each level.
        learning: how anchors are chosen for the loss.
        train: how many proposals in training.
        test: how many in evaluation.
    """

    def __init__(
        self, channels: int, *, anchors: Anchors, learning: Learning, train: Proposing, test: Proposing
    ) -> None:
        super().__init__()
        assert len(set(anchors.per_cell)) == 1, f"one head, but {anchors.per_cell} anchors at a cell of the levels"
        self.head = RPNHead(channels, anchors.per_cell[0])
        self.anchors = anchors
        self.learning, self._train, self.test = learning, train, test

    def forward(self, levels: Sequence[Tensor], image: tuple[int, int]) -> Raw:
        """Look at every anchor of the levels [B,C,H,W] of padded images of this height and width, px."""
        objects, deltas = self.head(levels)
        return Raw(objects, deltas, self.anchors([(x.shape[-2], x.shape[-1]) for x in levels], image))

    @torch.no_grad()
    def propose(self, raw: Raw, sizes: Tensor) -> tuple[Regions, Tensor]:
        """Return the proposals of each image, the best first, and their scores [K] in 0..1.

        Args:
            raw: of :meth:`forward`.
            sizes: int64 [B,2], height and width of each image without padding, px.
        """
        rule = self._train if self.training else self.test
        scores, deltas, anchors, level = [], [], [], []
        for number, (objects, own, boxes) in enumerate(zip(raw.objects, raw.deltas, raw.anchors, strict=True)):
            # What does not come through is not decoded either.
            value, place = objects.topk(min(rule.candidates, objects.shape[1]), dim=1)
            scores.append(value)
            deltas.append(own.gather(1, place[..., None].expand(-1, -1, 4)))
            anchors.append(boxes[place])
            level.append(torch.full_like(place, number))
        score, where = torch.cat(scores, 1).flatten(), torch.cat(level, 1)
        image = torch.arange(len(sizes), device=score.device)[:, None].expand_as(where).flatten()
        boxes = decode(torch.cat(deltas, 1).flatten(0, 1), torch.cat(anchors, 1).flatten(0, 1), limit=sizes[image])
        alive = (boxes[:, 2:] > boxes[:, :2]).all(1).nonzero()[:, 0]  # an anchor may lie in the padding
        boxes, score, image, label = boxes[alive], score[alive], image[alive], where.flatten()[alive]
        keep, score = suppress(boxes, score, label, Suppression(iou=rule.iou), most=rule.kept, images=image)
        return Regions(boxes[keep], image[keep]), score.sigmoid()

    def losses(self, raw: Raw, objects: Sequence[Objects]) -> dict[str, Tensor]:
        """Return ``loss_rpn_cls`` and ``loss_rpn_box``; each is a sum divided by the number of examples."""
        anchors = torch.cat(raw.anchors)
        examples = choose([anchors] * len(objects), objects, self.learning)
        image, row, positive = examples.image, examples.row, examples.positive
        target = torch.zeros_like(row, dtype=torch.float32)
        target[positive] = 1.0
        logits = torch.cat(raw.objects, 1)[image, row]
        deltas = torch.cat(raw.deltas, 1)[image[positive], row[positive]]
        boxes = torch.cat([o.boxes for o in objects])[examples.object]
        wanted = encode(boxes, anchors[row[positive]])
        entropy = F.binary_cross_entropy_with_logits(logits, target, reduction="sum")
        return {
            "loss_rpn_cls": entropy / examples.count,
            "loss_rpn_box": box_loss(deltas, wanted, examples, self.learning),
        }
