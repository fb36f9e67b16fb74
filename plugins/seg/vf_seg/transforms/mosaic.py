"""Four images around a point, with their maps."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torchvision import tv_tensors

from vf.data.follow import IGNORE
from vf.data.pixels import image_of, integer, pixels_of, uniform
from vf.data.sample import Sample
from vf.errors import DataError
from vf_seg.transforms.crops import cut

QUARTERS = 4


class Mosaic:
    """Four images meet at a random point; each is fitted into ``size`` and shows the corner that meets the others.

    Args:
        size: height and width of the result.
        centre: smallest and largest place of the point, as a part of height and width.
        fill: grey level where an image does not reach; the map is ignored there.
        p: probability.
    """

    mixes: ClassVar[Literal[True]] = True

    def __init__(self, *, size: tuple[int, int], centre: tuple[float, float], fill: int, p: float) -> None:
        self._size = size
        self._centre = centre
        self._fill = fill
        self._p = p

    def __call__(self, sample: Sample, pick: Callable[[], Sample]) -> Sample:
        """Join ``sample`` with three picked ones."""
        if float(torch.rand(())) >= self._p:
            return sample
        height, width = self._size
        x, y = (round(uniform(*self._centre) * side) for side in (width, height))
        pixels = np.full((height, width, 3), self._fill, np.uint8)
        values = np.full((height, width), IGNORE, np.uint8)
        for quarter, source in enumerate([sample, *(pick() for _ in range(QUARTERS - 1))]):
            columns = (x, width) if quarter % 2 else (0, x)
            rows = (y, height) if quarter // 2 else (0, y)
            self._lay(source, pixels, values, rows=rows, columns=columns)
        target = {**sample.target, "semantic": tv_tensors.Mask(torch.from_numpy(values))}
        return Sample(image_of(pixels), target, sample.id)

    def _lay(
        self,
        source: Sample,
        pixels: NDArray[np.uint8],
        values: NDArray[np.uint8],
        *,
        rows: tuple[int, int],
        columns: tuple[int, int],
    ) -> None:
        """Draw the inner corner of one source, at the scale at which it fits into the result."""
        if "semantic" not in source.target:
            raise DataError(f"{source.id}: has no map, which mosaic joins; leave it out of augment")
        ratio = min(self._size[0] / source.size[0], self._size[1] / source.size[1])
        high, wide = (max(1, round(side * ratio)) for side in source.size)
        high, wide = min(high, rows[1] - rows[0]), min(wide, columns[1] - columns[0])
        if not high or not wide:
            return
        own_high, own_wide = (
            max(1, min(side, round(part / ratio))) for side, part in zip(source.size, (high, wide), strict=True)
        )
        # The inner corner: what lies towards the meeting point.
        top = source.size[0] - own_high if rows[0] == 0 else 0
        left = source.size[1] - own_wide if columns[0] == 0 else 0
        part = cut(source, (left, top, left + own_wide, top + own_high), (high, wide))
        y = rows[1] - high if rows[0] == 0 else rows[0]
        x = columns[1] - wide if columns[0] == 0 else columns[0]
        pixels[y : y + high, x : x + wide] = pixels_of(part.image)
        values[y : y + high, x : x + wide] = part.target["semantic"].numpy()


class Cutout:
    """Paint rectangles at random places over the image, and where asked over its maps.

    Args:
        holes: fewest and most.
        shapes: heights and widths of which one is drawn for each, px or, under 1, parts of the image.
        fill: red, green, blue.
        ignore: whether the maps are ignored there; if not, they say what was there.
        p: probability.
    """

    def __init__(
        self,
        *,
        holes: tuple[int, int],
        shapes: tuple[tuple[float, float], ...],
        fill: tuple[int, int, int],
        ignore: bool,
        p: float,
    ) -> None:
        self._holes = holes
        self._shapes = shapes
        self._fill = fill
        self._ignore = ignore
        self._p = p

    def __call__(self, sample: Sample) -> Sample:
        """Paint over one sample."""
        if float(torch.rand(())) >= self._p:
            return sample
        height, width = sample.size
        pixels = pixels_of(sample.image).copy()
        target = dict(sample.target)
        if self._ignore and "semantic" in target:
            target["semantic"] = tv_tensors.Mask(target["semantic"].clone())
        for _ in range(integer(*self._holes)):
            high, wide = self._shapes[integer(0, len(self._shapes) - 1)]
            high, wide = high * height if high < 1 else high, wide * width if wide < 1 else wide
            top, left = integer(0, height - 1), integer(0, width - 1)
            rows, columns = slice(top, top + max(1, round(high))), slice(left, left + max(1, round(wide)))
            pixels[rows, columns] = self._fill
            if self._ignore and "semantic" in target:
                target["semantic"][rows, columns] = IGNORE
        return Sample(image_of(pixels), target, sample.id, sample.pad)
