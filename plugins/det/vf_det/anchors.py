"""Anchors: boxes of given sizes and shapes at every cell of every level (arXiv 1506.01497, section 3.1.1)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn


class Anchors(nn.Module):
    """Boxes around the upper left corner of each cell; nothing of it is saved with a model.

    Args:
        sizes: of each level, square roots of the areas, px.
        ratios: of each level, height by width.
        strides: of each level, px.
        rounded: round the corners around cell 0 to whole px, as torchvision does.
        grid_strides: let a stride be the image's side by the grid's, cut to whole px, as torchvision does.
    """

    def __init__(
        self,
        *,
        sizes: Sequence[Sequence[float]],
        ratios: Sequence[Sequence[float]],
        strides: Sequence[int],
        rounded: bool = False,
        grid_strides: bool = False,
    ) -> None:
        super().__init__()
        assert len(sizes) == len(ratios) == len(strides), f"{len(sizes)}, {len(ratios)}, {len(strides)} levels"
        self._strides, self._by_grid = tuple(strides), grid_strides
        self.per_cell = tuple(len(s) * len(r) for s, r in zip(sizes, ratios, strict=True))
        """Anchors at a cell of each level."""
        for level, (own_sizes, own_ratios) in enumerate(zip(sizes, ratios, strict=True)):
            boxes = boxes_of(own_sizes, own_ratios)
            self.register_buffer(f"boxes_{level}", boxes.round() if rounded else boxes, persistent=False)

    def forward(self, grids: Sequence[tuple[int, int]], image: tuple[int, int]) -> list[Tensor]:
        """Return float32 [H*W*A,4] XYXY px for each level: rows, then columns, then anchors.

        Args:
            grids: height and width of each level.
            image: height and width of the padded batch, px.
        """
        out = []
        for level, (grid, stride) in enumerate(zip(grids, self._strides, strict=True)):
            steps = (image[0] // grid[0], image[1] // grid[1]) if self._by_grid else (stride, stride)
            boxes = self.get_buffer(f"boxes_{level}")
            y, x = (torch.arange(n, device=boxes.device) * step for n, step in zip(grid, steps, strict=True))
            corner = torch.stack(torch.meshgrid(x, y, indexing="xy"), -1).to(boxes.dtype)
            out.append((corner.repeat(1, 1, 2)[:, :, None] + boxes).view(-1, 4))
        return out


def boxes_of(sizes: Sequence[float], ratios: Sequence[float]) -> Tensor:
    """Return float32 [A,4] XYXY px around 0: all sizes for the first ratio, then for the next.

    Args:
        sizes: square roots of the areas, px.
        ratios: height by width.
    """
    root = torch.tensor(ratios, dtype=torch.float32).sqrt()
    scale = torch.tensor(sizes, dtype=torch.float32)
    width, height = (1 / root[:, None] * scale).flatten(), (root[:, None] * scale).flatten()
    return torch.stack((-width, -height, width, height), 1) / 2
