"""Resize to several scales, with the ratio kept, and pad to one size."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Literal

import attrs
from torch import Tensor

from vf.data.resize import resize_sample
from vf.data.sample import Sample
from vf.errors import DataError
from vf_det.data.geometry import Window, centres_inside, crop, integer

Scale = tuple[int, int]
"""Most of the long side and of the short side, px."""
NOISE = (30, 10)
"""Of a crop's centre, px, in x and y, as in SimpleDet's form."""


class ResizeScales:
    """Fit the image into a scale drawn for it; the batch is padded to one size where that is given.

    Args:
        scales: long and short side of each.
        mode: "list" draws one of the scales, "range" draws each side between the two that there are.
        pad: long and short side of the padded batch; None: no padding but to the largest image of the batch.
        turn: pad portrait images to short × long; if not, they too must fit into long × short.
    """

    sets_size: ClassVar[Literal[True]] = True

    def __init__(
        self, *, scales: Sequence[Scale], mode: Literal["list", "range"], pad: Scale | None, turn: bool
    ) -> None:
        self._scales = tuple(scales)
        self._mode = mode
        self._pad = pad
        self._turn = turn

    def __call__(self, sample: Sample) -> Sample:
        """Resize one sample; its image is padded when it becomes part of a batch."""
        ratio = fitting(sample.size, self._draw())
        if self._pad is None:
            return resize_sample(sample, scaled(sample.size, ratio))
        pad = frame(self._pad, sample.size, turn=self._turn)
        ratio = min(ratio, pad[0] / sample.size[0], pad[1] / sample.size[1])
        return attrs.evolve(resize_sample(sample, scaled(sample.size, ratio)), pad=pad)

    def _draw(self) -> Scale:
        if self._mode == "list":
            return self._scales[integer(0, len(self._scales) - 1)]
        one, other = self._scales
        long, short = (integer(min(sides), max(sides)) for sides in zip(one, other, strict=True))
        return long, short


class RandResizeCrop:
    """Scale, then cut a part of one size around an object: the multi-scale form of SimpleDet.

    Args:
        scales: long and short side; the short side of the image gets that length, unless the long one is over it.
        size: long and short side of the part, which lies as the image does.
        pad: likewise, of the padded batch.
        turn: cut and pad portrait images to short × long; if not, all alike.
    """

    sets_size: ClassVar[Literal[True]] = True

    def __init__(self, *, scales: Sequence[Scale], size: Scale, pad: Scale, turn: bool) -> None:
        self._scales = tuple(scales)
        self._size = size
        self._pad = pad
        self._turn = turn

    def __call__(self, sample: Sample) -> Sample:
        """Resize and cut; objects stay whose centre lies inside."""
        scale = self._scales[integer(0, len(self._scales) - 1)]
        pad = frame(self._pad, sample.size, turn=self._turn)
        goal = frame(self._size, sample.size, turn=self._turn)
        sample = resize_sample(sample, scaled(sample.size, fitting(sample.size, scale)))
        window = self._window(sample, goal)
        boxes = sample.target.get("boxes")
        keep = None if boxes is None else centres_inside(boxes, window)
        return attrs.evolve(crop(sample, window, keep=keep), pad=pad)

    def _window(self, sample: Sample, goal: tuple[int, int]) -> Window:
        height, width = (min(side, most) for side, most in zip(sample.size, goal, strict=True))
        boxes = sample.target.get("boxes", ())
        if len(boxes):
            box = boxes[integer(0, len(boxes) - 1)].as_subclass(Tensor)
            x, y = ((box[:2] + box[2:]) / 2).tolist()
            left = round(x + integer(-NOISE[0], NOISE[0]) - width / 2)
            top = round(y + integer(-NOISE[1], NOISE[1]) - height / 2)
        else:
            left, top = integer(0, sample.size[1] - width), integer(0, sample.size[0] - height)
        left, top = min(max(left, 0), sample.size[1] - width), min(max(top, 0), sample.size[0] - height)
        return left, top, left + width, top + height


class PadTo:
    """Pad the batch to a size, or to sides that a number divides; the images themselves stay as they are."""

    sets_size: ClassVar[Literal[True]] = True

    def __init__(self, *, size: tuple[int, int] | None, divisor: int) -> None:
        self._size = size
        self._divisor = divisor

    def __call__(self, sample: Sample) -> Sample:
        """Say what the batch of one sample is padded to; DataError where the image is larger than that."""
        size = self._size or sample.size
        if sample.size[0] > size[0] or sample.size[1] > size[1]:
            raise DataError(
                f"{sample.id}: {sample.size[0]}×{sample.size[1]} px (height × width) is larger than pad_to.size "
                f"{size[0]}×{size[1]}; resize before it, for example with resize_scales"
            )
        high, wide = (-(-side // self._divisor) * self._divisor for side in size)
        return attrs.evolve(sample, pad=(high, wide))


def fitting(size: tuple[int, int], scale: Scale) -> float:
    """Return the largest factor with which an image (height, width) is no longer and no wider than a scale."""
    return min(max(scale) / max(size), min(scale) / min(size))


def scaled(size: tuple[int, int], ratio: float) -> tuple[int, int]:
    """Return height and width times a factor, rounded half up."""
    height, width = (max(1, int(side * ratio + 0.5)) for side in size)
    return height, width


def frame(sides: Scale, size: tuple[int, int], *, turn: bool) -> tuple[int, int]:
    """Return height and width of a long and a short side: upright for portrait images where ``turn`` says so."""
    long, short = max(sides), min(sides)
    return (long, short) if turn and size[0] > size[1] else (short, long)
