"""Config of the image rules of segmenters: ``resize`` of a model. Free of torch until ``build()``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import vf

if TYPE_CHECKING:
    from vf_seg.images import Images

__all__ = ["Resize"]


@vf.config
class Resize:
    """How a segmenter sizes, pads and normalises images; mean, std and bgr are those of its pretrained weights.

    In training, a transform that sets the size (crop, random_crop …) comes in the place of ``short`` and ``long``.
    """

    short: int | None = vf.field(
        default=None,
        help="goal of the short side; nothing: images stay as they are",
        unit="px",
        validator=vf.positive(),
    )
    long: int | None = vf.field(
        default=None, help="most that the long side may get; nothing: anything", unit="px", validator=vf.positive()
    )
    divisor: int = vf.field(
        default=1, help="images are padded to a multiple of this", unit="px", validator=vf.positive()
    )
    mean: tuple[float, float, float] = vf.field(
        default=(123.675, 116.28, 103.53), help="of the channels in the order that the network eats, in 0..255"
    )
    std: tuple[float, float, float] = vf.field(
        default=(58.395, 57.12, 57.375), help="likewise", validator=vf.each(vf.positive(), length=3)
    )
    bgr: bool = vf.field(default=False, help="the network eats blue, green, red")

    def __attrs_post_init__(self) -> None:
        if self.short is None and self.long is not None:
            raise ValueError("long has no effect without short; set short or leave long out")
        if self.short is not None and self.long is not None and self.short > self.long:
            raise ValueError(f"short {self.short} > long {self.long}")

    def build(self) -> Images:
        """Build the rules."""
        from vf_seg.images import Images

        return Images(
            short=self.short, long=self.long, divisor=self.divisor, mean=self.mean, std=self.std, bgr=self.bgr
        )
