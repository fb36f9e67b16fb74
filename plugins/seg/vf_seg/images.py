"""Image rules of segmenters: images as they are, or with their short side brought to a length."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from vf.data.sample import Sample
from vf.nn.frame import Frame, Side
from vf.nn.resize import MEAN, STD, KeepRatio

LEAST = 32
"""Height and width, px, that images are padded to in any case: a cell of the coarsest levels."""


class Images(KeepRatio):
    """Like :class:`vf.nn.resize.KeepRatio`, and may leave sizes alone.

    Args:
        short: goal of the short side, px; None: images stay as they are.
        long: most that the long side may get, px; None: anything.
        divisor: what images are padded to a multiple of, px.
        mean: of each channel in the order that the network eats, in 0..255.
        std: likewise.
        bgr: whether the network eats blue, green, red.
    """

    def __init__(
        self,
        *,
        short: int | None = None,
        long: int | None = None,
        divisor: int = 1,
        mean: Sequence[float] = MEAN,
        std: Sequence[float] = STD,
        bgr: bool = False,
    ) -> None:
        super().__init__(
            short=short or 1, long=long or 2**31, divisor=divisor, pad_value=0, mean=mean, std=std, bgr=bgr
        )
        self.whole = short is None

    def fit(self, sample: Sample, *, with_target: bool) -> Sample:
        """Resize one uint8 sample, or leave it; where asked, as in training, its map follows."""
        if self.whole and (with_target or self.box is None):
            return sample
        return super().fit(sample, with_target=with_target)

    def goal(self, height: int, width: int) -> tuple[int, int]:
        """Return what a batch of this size is padded to."""
        return super().goal(max(height, LEAST), max(width, LEAST))

    @property
    def frame(self) -> Frame:
        """Sides are multiples of the divisor, and not too short."""
        if self.box is not None:
            return super().frame
        # Of what is shorter the coarsest level is one cell, which torch makes another graph of.
        least = -(-(2 * LEAST + 1) // self.divisor) * self.divisor
        side = Side(least=least, step=self.divisor, shortest=least)
        return Frame(side, side)

    def described(self) -> dict[str, Any]:
        """Say what is done to an image before it lies in a batch."""
        said = super().described()
        if self.whole and self.box is None:
            said = {
                "resize": "none",
                "least": LEAST,
                **{k: v for k, v in said.items() if k not in ("resize", "short", "long")},
            }
        return said
