"""What is at each cell: stuff, or some thing (arXiv 1901.02446, section 3.1 and figure 3).

Legend: B images, S classes of stuff, h×w the finest level.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vf.data.follow import IGNORE
from vf.nn.norms import conv_norm
from vf.nn.reduce import mean_over_processes


class SemanticHead(nn.Module):
    """Brings each level to the size of the finest by convolutions that double it, adds them up, classifies cells.

    Args:
        channels: of each level.
        hidden: of each branch.
        levels: taken from the finest on; strides double.
        stride: of the finest, px.
        num_things: the first so many categories are things, and one class together.
        num_stuff: S, the categories after them.
        weight: of the loss.
    """

    def __init__(
        self,
        channels: int,
        *,
        hidden: int,
        levels: int,
        stride: int,
        num_things: int,
        num_stuff: int,
        weight: float,
    ) -> None:
        super().__init__()
        self.num_stuff = num_stuff
        self._things, self._stride, self._weight = num_things, stride, weight
        self.branches = nn.ModuleList(_branch(channels, hidden, doublings) for doublings in range(levels))
        self.classes = nn.Conv2d(hidden, num_stuff + 1, 1)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
        nn.init.normal_(self.classes.weight, std=0.01)
        nn.init.zeros_(self.classes.get_parameter("bias"))

    def forward(self, levels: Sequence[Tensor]) -> Tensor:
        """Return logits [B,S+1,h,w] in float32: the stuff, then things."""
        size = levels[0].shape[-2:]
        total: Tensor | None = None
        for doublings, (blocks, level) in enumerate(zip(self.branches, levels, strict=False)):
            x = level
            assert isinstance(blocks, nn.ModuleList)
            for number, block in enumerate(blocks, 1):
                x = F.relu(block(x))
                if doublings:
                    goal = size if number == doublings else (2 * x.shape[-2], 2 * x.shape[-1])
                    x = F.interpolate(x, size=goal, mode="bilinear")
            total = x if total is None else total + x
        assert total is not None
        logits: Tensor = self.classes(total)
        return logits.float()

    def loss(self, logits: Tensor, maps: Tensor) -> Tensor:
        """Return the cross entropy, a mean over the cells that are labelled, weighted.

        Args:
            logits: of :meth:`forward`.
            maps: integers [B,H,W] of categories (things, then stuff), 255 where nobody knows; at most as large as
                what the network saw.
        """
        target = self._target(maps, (logits.shape[-2], logits.shape[-1]))
        known = (target != IGNORE).sum().float()
        entropy = F.cross_entropy(logits, target, ignore_index=IGNORE, reduction="sum")
        return self._weight * entropy / mean_over_processes(known, least_sum=1.0)

    def _target(self, maps: Tensor, size: tuple[int, int]) -> Tensor:
        """Return classes [B,h,w]: of the pixel in the middle of each cell."""
        first, step = self._stride // 2, self._stride
        category = maps[:, first::step, first::step].long()
        stuff = torch.where(category < self._things, self.num_stuff, category - self._things)
        target = torch.where(category == IGNORE, IGNORE, stuff)
        return F.pad(target, (0, size[1] - target.shape[-1], 0, size[0] - target.shape[-2]), value=IGNORE)


def _branch(channels: int, hidden: int, doublings: int) -> nn.ModuleList:
    """Return a convolution with group norm for each doubling, at least one."""
    widths = [channels, *[hidden] * max(1, doublings)]
    return nn.ModuleList(nn.Sequential(*conv_norm(a, hidden, 3, norm="gn")) for a in widths[:-1])
