"""What heads are made of.

Legend for all heads: levels come fine to coarse, each float [B,·,h,w]; logits are [B,C,h,w] at the size of the finest
level that a head takes.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vf.nn.norms import make_norm
from vf.nn.tracing import tracing


def block(
    inputs: int,
    outputs: int,
    kernel: int = 1,
    *,
    norm: str = "bn",
    stride: int = 1,
    dilation: int = 1,
    groups: int = 1,
    relu: bool = True,
) -> nn.Sequential:
    """Return a convolution that keeps the size (but for ``stride``), a norm and, where asked, a ReLU."""
    padding = dilation * (kernel // 2)
    conv = nn.Conv2d(inputs, outputs, kernel, stride, padding, dilation, groups, bias=False)
    parts: list[nn.Module] = [conv, make_norm(norm, outputs)]
    return nn.Sequential(*parts, *([nn.ReLU(inplace=True)] if relu else []))


def separable(
    inputs: int, outputs: int, *, norm: str = "bn", stride: int = 1, dilation: int = 1, relu: bool = True
) -> nn.Sequential:
    """Return a 3×3 convolution of each channel by itself, then a 1×1 one; a norm after both, a ReLU after the last.

    Args:
        inputs: channels.
        outputs: channels.
        norm: by key.
        stride: of the 3×3 convolution.
        dilation: likewise.
        relu: whether there is one after the 3×3 convolution too.
    """
    return nn.Sequential(
        block(inputs, inputs, 3, norm=norm, stride=stride, dilation=dilation, groups=inputs, relu=relu),
        block(inputs, outputs, norm=norm),
    )


def like(x: Tensor, other: Tensor) -> Tensor:
    """Resize a map to the height and width of another one, bilinearly."""
    size = other.shape[-2:]
    # Whether they are equal is not known of a graph with open sides; where they are, resizing changes nothing.
    if not tracing() and x.shape[-2:] == size:
        return x
    return F.interpolate(x, size=size, mode="bilinear")


class Head(nn.Module):
    """What ends in a 1×1 convolution to the classes, after dropout of whole channels.

    Args:
        width: channels before it.
        classes: C.
        dropout: chance of a channel to be left out.
    """

    def __init__(self, width: int, classes: int, *, dropout: float) -> None:
        super().__init__()
        self.dropout = nn.Dropout2d(dropout)
        self.classes = nn.Conv2d(width, classes, 1)

    def initialise(self) -> None:
        """Draw weights: every layer keeps the variance of gradients, and all classes begin alike."""
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
                if module.bias is not None:
                    nn.init.zeros_(module.bias)
        nn.init.normal_(self.classes.weight, std=0.01)

    def classified(self, x: Tensor) -> Tensor:
        """Return logits of features."""
        logits: Tensor = self.classes(self.dropout(x))
        return logits


class Pyramid(nn.ModuleList):
    """Pyramid pooling (arXiv 1612.01105): means over grids of bins.

    Args:
        inputs: channels of the map.
        outputs: channels of each grid.
        bins: cells of each grid along a side.
        norm: by key.
    """

    def __init__(self, inputs: int, outputs: int, *, bins: Sequence[int], norm: str) -> None:
        super().__init__(nn.Sequential(GridMean(count), block(inputs, outputs, norm=norm)) for count in bins)
        self.pools_to_one = 1 in bins

    def forward(self, x: Tensor) -> list[Tensor]:
        """Return the grids, [B,outputs,bins,bins] each."""
        return [grid(x) for grid in self]


class GridMean(nn.AdaptiveAvgPool2d):
    """Means over a grid of so many cells along each side; also of maps whose sides are open in a graph."""

    def forward(self, x: Tensor) -> Tensor:
        """Return [B,C,count,count] of [B,C,h,w]."""
        if not tracing():
            return super().forward(x)
        if self.output_size == 1:
            return x.mean((-2, -1), keepdim=True)
        rows, columns = (self._shares(x.shape[axis], x) for axis in (-2, -1))
        return torch.einsum("bchw,ih,jw->bcij", x, rows, columns)

    def _shares(self, length: int, like: Tensor) -> Tensor:
        """Return [count,length]: what each pixel counts in each cell."""
        count = self.output_size
        assert isinstance(count, int)
        cell, pixel = torch.arange(count, device=like.device)[:, None], torch.arange(length, device=like.device)
        first, last = cell * length // count, ((cell + 1) * length + count - 1) // count
        inside = ((pixel >= first) & (pixel < last)).to(like.dtype)
        return inside / inside.sum(1, keepdim=True)


class Fuse(nn.Sequential):
    """A 3×3 convolution, norm and ReLU of a map and of grids that are resized to it, joined along the channels.

    A grid has few cells, and both resizing and the convolution are linear: its channels are mixed in the grid, for each
    of the nine places of the kernel, and what comes of it is spread over the map. The same sums, in an order that
    needs a thousandth of the products; in PSPNet that was a fifth of all.

    Args:
        inputs: channels of the map.
        grids: channels of each grid.
        outputs: channels that it gives.
        norm: by key.
    """

    def __init__(self, inputs: int, grids: Sequence[int], outputs: int, *, norm: str) -> None:
        super().__init__(*block(inputs + sum(grids), outputs, 3, norm=norm))
        self._parts = [inputs, *grids]

    def forward(self, x: Tensor, grids: Sequence[Tensor] = ()) -> Tensor:
        """Return [B,outputs,h,w] for a map [B,inputs,h,w] and grids."""
        conv, norm, relu = self
        own, *others = conv.get_parameter("weight").split(self._parts, 1)
        total, spread = F.conv2d(x, own, padding=1), None
        height, width = x.shape[-2:]
        for grid, weight in zip(grids, others, strict=True):
            # b image, c and o channels, v and u places of the kernel, i and j cells, y and x pixels
            mixed = torch.einsum("bcij,ocvu->bovuij", grid, weight)
            rows, columns = shares(grid.shape[-2], height, x), shares(grid.shape[-1], width, x)
            rows, columns = rows.to(mixed.dtype), columns.to(mixed.dtype)
            if tracing() and grid.shape[-2:] == (1, 1):  # of axes of one, einsum asks how long the others are
                part = torch.einsum("bovu,vy,ux->boyx", mixed[..., 0, 0], rows[:, 0], columns[:, 0])
            else:
                across = torch.einsum("bovuij,ujx->bovix", mixed, columns)
                part = torch.einsum("bovix,viy->boyx", across, rows)
            spread = part if spread is None else spread + part
        out: Tensor = relu(norm(total if spread is None else total + spread))
        return out


def shares(cells: int, length: int, like: Tensor) -> Tensor:
    """Return how much of each cell of a grid is in what each place of a kernel of 3 sees at each pixel of a side.

    Resizing is bilinear; the kernel sees 0 outside.

    Args:
        cells: of the grid along the side.
        length: of the map, px.
        like: on its device, at least of its exactness.

    Returns:
        float [3,cells,length].
    """
    exact = torch.promote_types(like.dtype, torch.float32)
    if cells == 1 and tracing():  # torch asks whether one cell is many
        inside = torch.ones(1, length, dtype=exact, device=like.device)
    else:
        inside = F.interpolate(torch.eye(cells, dtype=exact, device=like.device)[None], size=length, mode="linear")[0]
    padded = F.pad(inside, (1, 1))
    return torch.stack([padded[:, place : place + length] for place in range(3)])
