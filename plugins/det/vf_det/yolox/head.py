"""The decoupled head: one cell of each map gives one box, whether it holds an object, and the class.

Legend: B images, A cells of all maps in a row (stride 8 first, each map row by row), C classes.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import attrs
import torch
from torch import Tensor, nn

from vf_det.yolox.csp import ConvBlock, spatial_block

STRIDES = (8, 16, 32)
PRIOR = 0.01
"""The probability that a new head gives everything: few cells hold objects (arXiv 1708.02002, section 4.1)."""
MAX_LOG_SCALE = 10.0
"""Limit of log(box side / stride). Nothing real reaches it; it keeps a diverging network's losses finite."""


@attrs.define  # torch.compile cannot trace how a frozen class sets its fields
class Cells:
    """The cells that predict, in the order of the head's output."""

    x: Tensor
    """float32 [A], the column in the cell's own map."""
    y: Tensor
    """float32 [A], the row."""
    stride: Tensor
    """float32 [A], pixels from one cell to the next."""
    shapes: tuple[tuple[int, int], ...]
    """Rows and columns of each map."""

    @classmethod
    def of(cls, shapes: Sequence[tuple[int, int]], *, device: torch.device) -> Cells:
        """Lay out maps of the given rows and columns, one for each of ``STRIDES``."""
        columns: list[Tensor] = []
        rows: list[Tensor] = []
        strides: list[Tensor] = []
        for (height, width), stride in zip(shapes, STRIDES, strict=True):
            y, x = torch.meshgrid(
                torch.arange(height, device=device, dtype=torch.float32),
                torch.arange(width, device=device, dtype=torch.float32),
                indexing="ij",
            )
            columns.append(x.flatten())
            rows.append(y.flatten())
            strides.append(torch.full_like(columns[-1], stride))
        return cls(torch.cat(columns), torch.cat(rows), torch.cat(strides), tuple(shapes))

    def take(self, index: Tensor) -> Cells:
        """Return the cells at ``index`` (int64, any shape); ``shapes`` stays that of the whole."""
        return Cells(self.x[index], self.y[index], self.stride[index], self.shapes)


@attrs.define
class Output:
    """What the head says, before any sigmoid."""

    boxes: Tensor
    """[B,A,4]: centre as an offset from the cell in strides, log of width and height in strides."""
    objects: Tensor
    """[B,A], logits."""
    classes: Tensor
    """[B,A,C], logits."""
    cells: Cells

    def float(self) -> Output:
        """Return the same in float32, for losses and scores."""
        return Output(self.boxes.float(), self.objects.float(), self.classes.float(), self.cells)


def decode(boxes: Tensor, cells: Cells) -> Tensor:
    """Turn the head's boxes [...,4] into XYXY pixels of the network's input; ``cells`` broadcast to [...]."""
    stride = cells.stride[..., None]
    centre = (boxes[..., :2] + torch.stack((cells.x, cells.y), dim=-1)) * stride
    half = boxes[..., 2:].clamp(max=MAX_LOG_SCALE).exp() * (stride / 2)
    return torch.cat((centre - half, centre + half), dim=-1)


def encode(boxes: Tensor, cells: Cells) -> Tensor:
    """Turn XYXY pixels [...,4] into what the head should have said in ``cells``: the inverse of `decode`."""
    stride = cells.stride[..., None]
    low, high = boxes[..., :2], boxes[..., 2:]
    centre = (low + high) / (2 * stride) - torch.stack((cells.x, cells.y), dim=-1)
    side = ((high - low) / stride).clamp(min=1e-4).log()
    return torch.cat((centre, side), dim=-1)


class Head(nn.Module):
    """A stem for each stride, then one branch for the class and one for box and object.

    Args:
        num_classes: C.
        channels: of the maps at strides 8, 16, 32.
        hidden: channels of the branches.
        depthwise: depthwise separable convolutions instead of 3×3 ones.
    """

    def __init__(self, *, num_classes: int, channels: Sequence[int], hidden: int, depthwise: bool) -> None:
        super().__init__()
        self.num_classes = num_classes

        def branch() -> nn.Sequential:
            return nn.Sequential(*(spatial_block(hidden, hidden, depthwise=depthwise) for _ in range(2)))

        def predict(outputs: int) -> nn.ModuleList:
            return nn.ModuleList(nn.Conv2d(hidden, outputs, kernel_size=1) for _ in channels)

        self.stems = nn.ModuleList(ConvBlock(inputs, hidden, kernel=1) for inputs in channels)
        self.class_branches = nn.ModuleList(branch() for _ in channels)
        self.box_branches = nn.ModuleList(branch() for _ in channels)
        self.classes = predict(num_classes)
        self.boxes = predict(4)
        self.objects = predict(1)
        for layer in (*self.classes, *self.objects):
            nn.init.constant_(layer.get_parameter("bias"), math.log(PRIOR / (1 - PRIOR)))

    def forward(self, maps: Sequence[Tensor]) -> Output:
        """Map features [B,channels,H,W] of each stride to predictions for all cells."""
        boxes: list[Tensor] = []
        objects: list[Tensor] = []
        classes: list[Tensor] = []
        for i, x in enumerate(maps):
            x = self.stems[i](x)
            classes.append(_rows(self.classes[i](self.class_branches[i](x))))
            feature = self.box_branches[i](x)
            boxes.append(_rows(self.boxes[i](feature)))
            objects.append(_rows(self.objects[i](feature)))
        cells = Cells.of([(m.shape[-2], m.shape[-1]) for m in maps], device=maps[0].device)
        return Output(torch.cat(boxes, 1), torch.cat(objects, 1).squeeze(-1), torch.cat(classes, 1), cells)


def _rows(x: Tensor) -> Tensor:
    """[B,K,H,W] -> [B,H*W,K]; a view where the memory is channels_last."""
    return x.permute(0, 2, 3, 1).flatten(1, 2)
