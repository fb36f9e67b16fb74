"""SVTR (arXiv 2205.00159): patches mixed with those near them, then with all; the height falls away in three stages."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from vf_ocr.recognition.attention import Attention, mlp

WINDOW = (7, 11)
"""Height and width, in patches, of what local mixing sees (section 3.3)."""


class SVTR(nn.Module):
    """Images [N,3,H,W] -> columns -> logits [N,W/4,classes].

    Args:
        in_channels: of images.
        classes: with the blank.
        size: height and width of images, px, multiples of 16 and 4.
        channels: of each stage.
        depths: blocks of each stage.
        heads: of the attention of each stage.
        local: how many blocks, from the first on, mix locally.
        out_channels: of the columns that are read.
        dropout: before the head, in training.
        drop_path: probability that the last block is passed by, in training; of those before it, linearly less.
    """

    def __init__(
        self,
        *,
        in_channels: int,
        classes: int,
        size: tuple[int, int],
        channels: Sequence[int],
        depths: Sequence[int],
        heads: Sequence[int],
        local: int,
        out_channels: int,
        dropout: float = 0.1,
        drop_path: float = 0.1,
    ) -> None:
        super().__init__()
        half = channels[0] // 2
        self.stem = nn.Sequential(
            *(nn.Conv2d(in_channels, half, 3, 2, 1, bias=False), nn.BatchNorm2d(half), nn.GELU()),
            *(nn.Conv2d(half, channels[0], 3, 2, 1, bias=False), nn.BatchNorm2d(channels[0]), nn.GELU()),
        )
        height, width = size[0] // 4, size[1] // 4
        self.places = nn.Parameter(torch.empty(1, height * width, channels[0]).normal_(std=0.02))
        self.stages = nn.ModuleList()
        self.merges = nn.ModuleList()
        total, done = sum(depths), 0
        for stage, (wide, depth, head) in enumerate(zip(channels, depths, heads, strict=True)):
            grids = [(height, width) if done + k < local else None for k in range(depth)]
            drops = [drop_path * (done + k) / max(1, total - 1) for k in range(depth)]
            blocks = [Mixing(wide, head, grid, drop_path=drop) for grid, drop in zip(grids, drops, strict=True)]
            self.stages.append(nn.Sequential(*blocks))
            done += depth
            if stage + 1 < len(channels):
                self.merges.append(Merging(wide, channels[stage + 1], (height, width)))
                height = (height + 1) // 2
        self.grid, self.width = (height, width), channels[-1]
        self.combine = nn.Sequential(nn.Linear(channels[-1], out_channels), nn.Hardswish(), nn.Dropout(dropout))
        self.head = nn.Linear(out_channels, classes)

    def features(self, images: Tensor) -> Tensor:
        """Return what is seen in each column, [N,W/4,width]."""
        x = self.stem(images).flatten(2).transpose(1, 2) + self.places
        for number, stage in enumerate(self.stages):
            x = stage(x)
            if number < len(self.merges):
                x = self.merges[number](x)
        columns: Tensor = x.unflatten(1, self.grid).mean(1)
        return columns

    def logits(self, features: Tensor) -> Tensor:
        """Return logits [N,W/4,classes] of columns [N,W/4,width]."""
        logits: Tensor = self.head(self.combine(features))
        return logits


class Mixing(nn.Module):
    """Attention among patches and an MLP, each added and normed after, as the authors train it.

    Args:
        channels: of patches.
        heads: of the attention.
        grid: height and width in patches, where each sees those near it alone; None: it sees all.
        drop_path: probability that a part is passed by.
    """

    near: Tensor | None

    def __init__(self, channels: int, heads: int, grid: tuple[int, int] | None, *, drop_path: float) -> None:
        super().__init__()
        self.attention, self.mlp = Attention(channels, heads), mlp(channels, 4 * channels)
        self.norm1, self.norm2 = nn.LayerNorm(channels), nn.LayerNorm(channels)
        self.drop_path = drop_path
        self.register_buffer("near", None if grid is None else neighbours(grid), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """[N,S,channels] -> the same."""
        x = self.norm1(x + self._dropped(self.attention(x, x, self.near)))
        out: Tensor = self.norm2(x + self._dropped(self.mlp(x)))
        return out

    def _dropped(self, x: Tensor) -> Tensor:
        if not self.training or not self.drop_path:
            return x
        keep = 1 - self.drop_path
        return x * x.new_empty(len(x), 1, 1).bernoulli_(keep) / keep


class Merging(nn.Module):
    """A 3×3 convolution that halves the height."""

    def __init__(self, before: int, after: int, grid: tuple[int, int]) -> None:
        super().__init__()
        self.grid = grid
        self.conv, self.norm = nn.Conv2d(before, after, 3, (2, 1), 1), nn.LayerNorm(after)

    def forward(self, x: Tensor) -> Tensor:
        """[N,H·W,before] -> [N,H/2·W,after]."""
        merged = self.conv(x.transpose(1, 2).unflatten(2, self.grid)).flatten(2).transpose(1, 2)
        out: Tensor = self.norm(merged)
        return out


def neighbours(grid: tuple[int, int]) -> Tensor:
    """Return bool [H·W,H·W]: which patches lie in the window around each."""
    rows, columns = (torch.arange(side) for side in grid)
    y = rows.repeat_interleave(grid[1])
    x = columns.repeat(grid[0])
    near_y = (y[:, None] - y).abs() <= WINDOW[0] // 2
    return near_y & ((x[:, None] - x).abs() <= WINDOW[1] // 2)
