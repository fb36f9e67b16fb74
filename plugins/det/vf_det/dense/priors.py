"""SSD's priors: boxes of the sides and shapes of each level around the middle of its cells (arXiv 1512.02325, 2.2)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn


class Priors(nn.Module):
    """Of each cell: a square of the level's side, one of the geometric mean with the next level's, then the ratios.

    Args:
        scales: side of the squares of each level as a part of the image's, and one more.
        ratios: of each level, width by height; each comes lying, then upright.
        strides: of each level, px.
        inside: no side is longer than the image's, as torchvision has it.
    """

    def __init__(
        self,
        *,
        scales: Sequence[float],
        ratios: Sequence[Sequence[float]],
        strides: Sequence[int],
        inside: bool = False,
    ) -> None:
        super().__init__()
        self._strides = tuple(strides)
        self.per_cell = tuple(2 + 2 * len(own) for own in ratios)
        """Priors at a cell of each level."""
        for level, own in enumerate(ratios):
            sides = sides_of(scales[level], scales[level + 1], own)
            self.register_buffer(f"sides_{level}", sides.clamp(max=1) if inside else sides, persistent=False)

    def forward(self, grids: Sequence[tuple[int, int]], image: tuple[int, int]) -> Tensor:
        """Return float32 [N,4] XYXY px of all levels: rows, then columns, then shapes.

        Args:
            grids: height and width of each level.
            image: height and width of the batch, px.
        """
        out = []
        for level, (grid, stride) in enumerate(zip(grids, self._strides, strict=True)):
            sides = self.get_buffer(f"sides_{level}")
            y, x = ((torch.arange(n, device=sides.device) + 0.5) * stride for n in grid)
            centre = torch.stack(torch.meshgrid(x, y, indexing="xy"), -1)[:, :, None]
            half = sides * sides.new_tensor([image[1], image[0]]) / 2
            out.append(torch.cat((centre - half, centre + half), -1).view(-1, 4))
        return torch.cat(out)


def sides_of(scale: float, following: float, ratios: Sequence[float]) -> Tensor:
    """Return widths and heights as parts of the image's, float32 [2 + 2·len(ratios),2]."""
    sides = [(scale, scale), ((scale * following) ** 0.5,) * 2]
    for ratio in ratios:
        long, short = scale * ratio**0.5, scale / ratio**0.5
        sides += [(long, short), (short, long)]
    return torch.tensor(sides)
