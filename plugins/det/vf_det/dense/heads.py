"""Heads that every level passes: a tower of convolutions for the class, one for the box."""

from __future__ import annotations

import math
from collections.abc import Sequence

import attrs
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vf.nn.norms import make_norm

PRIOR = 0.01
"""The probability that a new head gives everything: few cells hold objects (arXiv 1708.02002, section 4.1)."""
MOST = 12.0
"""Limit of log(distance in px). Nothing real reaches it; it keeps a diverging network's losses finite."""


@attrs.define  # torch.compile cannot trace how a frozen class sets its fields
class Output:
    """What a head says of B images, level by level, fine to coarse; rows are cells row by row, then anchors."""

    classes: list[Tensor]
    """[B,N,C], logits."""
    boxes: list[Tensor]
    """[B,N,4]: offsets from anchors, or distances to the sides in units of the stride."""
    grids: list[tuple[int, int]]
    """Height and width of each level."""
    centerness: list[Tensor] | None = None
    """[B,N], logits, of FCOS."""


def rows(x: Tensor, columns: int) -> Tensor:
    """[B,A*columns,H,W] -> [B,H*W*A,columns]; a view where the memory is channels_last."""
    return x.permute(0, 2, 3, 1).reshape(x.shape[0], -1, columns)


def tower(inputs: int, width: int, depth: int, *, norm: str, bias: bool) -> nn.Sequential:
    """Return ``depth`` 3×3 convolutions with norms and ReLUs; tensors are named ``N.0`` and ``N.1``."""
    blocks = []
    for index in range(depth):
        conv = nn.Conv2d(inputs if index == 0 else width, width, 3, padding=1, bias=bias)
        norms = [] if norm == "none" else [make_norm(norm, width)]
        blocks.append(nn.Sequential(conv, *norms, nn.ReLU(inplace=True)))
    return nn.Sequential(*blocks)


def _initialise(head: nn.Module, classes: nn.Conv2d) -> None:
    """Begin with small weights, and with every class at ``PRIOR``."""
    for module in head.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.normal_(module.weight, std=0.01)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
    nn.init.constant_(classes.get_parameter("bias"), math.log(PRIOR / (1 - PRIOR)))


class AnchorHead(nn.Module):
    """RetinaNet's head (arXiv 1708.02002, section 4): class and offsets for each anchor of a cell.

    Args:
        inputs: channels of the levels.
        width: channels of the towers.
        depth: convolutions of a tower.
        norm: none, gn, bn or sync_bn, after each of these.
        anchors: of a cell.
        num_classes: C.
    """

    def __init__(self, *, inputs: int, width: int, depth: int, norm: str, anchors: int, num_classes: int) -> None:
        super().__init__()
        self.num_classes = num_classes
        last = width if depth else inputs
        self.class_tower = tower(inputs, width, depth, norm=norm, bias=norm == "none")
        self.box_tower = tower(inputs, width, depth, norm=norm, bias=norm == "none")
        self.classes = nn.Conv2d(last, anchors * num_classes, 3, padding=1)
        self.boxes = nn.Conv2d(last, anchors * 4, 3, padding=1)
        _initialise(self, self.classes)

    def forward(self, levels: Sequence[Tensor]) -> Output:
        """Take features [B,inputs,H,W] of each level."""
        classes = [rows(self.classes(self.class_tower(x)), self.num_classes) for x in levels]
        boxes = [rows(self.boxes(self.box_tower(x)), 4) for x in levels]
        return Output(classes, boxes, [(x.shape[-2], x.shape[-1]) for x in levels])


class PointHead(nn.Module):
    """FCOS's head (arXiv 1904.01355, figure 2): class, distances to the four sides, and centre-ness of a cell.

    Args:
        inputs: channels of the levels.
        width: channels of the towers.
        depth: convolutions of a tower.
        norm: none, gn, bn or sync_bn, after each of these; they have a bias besides.
        strides: of the levels, px.
        num_classes: C.
        centerness_on: which tower gives the centre-ness, ``class`` or ``box``.
        normed: distances are ReLU(s·x) strides, for the learnt scale s of a level; else exp(s·x) px.
    """

    def __init__(
        self,
        *,
        inputs: int,
        width: int,
        depth: int,
        norm: str,
        strides: Sequence[int],
        num_classes: int,
        centerness_on: str,
        normed: bool,
    ) -> None:
        super().__init__()
        self.num_classes = num_classes
        last = width if depth else inputs
        self.class_tower = tower(inputs, width, depth, norm=norm, bias=True)
        self.box_tower = tower(inputs, width, depth, norm=norm, bias=True)
        self.classes = nn.Conv2d(last, num_classes, 3, padding=1)
        self.boxes = nn.Conv2d(last, 4, 3, padding=1)
        self.centerness = nn.Conv2d(last, 1, 3, padding=1)
        self.scales = nn.ParameterList(nn.Parameter(torch.ones(1)) for _ in strides)
        self._strides, self._on_box, self._normed = tuple(strides), centerness_on == "box", normed
        _initialise(self, self.classes)

    def forward(self, levels: Sequence[Tensor]) -> Output:
        """Take features [B,inputs,H,W] of each level; distances are in strides, float32."""
        out = Output([], [], [(x.shape[-2], x.shape[-1]) for x in levels], [])
        assert out.centerness is not None
        for x, scale, stride in zip(levels, self.scales, self._strides, strict=True):
            classes, boxes = self.class_tower(x), self.box_tower(x)
            out.classes.append(rows(self.classes(classes), self.num_classes))
            out.centerness.append(rows(self.centerness(boxes if self._on_box else classes), 1).squeeze(-1))
            sides = rows(self.boxes(boxes), 4).float() * scale  # float16 holds no exponential
            out.boxes.append(F.relu(sides) if self._normed else sides.clamp(max=MOST).exp() / stride)
        return out
