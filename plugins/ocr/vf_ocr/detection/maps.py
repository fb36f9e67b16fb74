"""Maps that DBNet, PSENet and PAN learn, made of polygons.

Each class is small plain data, so that it travels to the workers. Called with polygons float [N,K,2] in pixels, flags
bool [N] of those that nobody is to learn, and the size (height, width) of the image, it returns maps by name.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Protocol

import attrs
import numpy as np
from numpy.typing import NDArray

from vf_ocr.detection import kernels
from vf_ocr.detection.kernels import IGNORE
from vf_ocr.geometry import Numbers

Flags = NDArray[np.bool_]
STEPS = 200
"""Of a band's map: its level in whole parts."""


class Maps(Protocol):
    """Makes maps by name, of one type and size."""

    names: ClassVar[tuple[str, ...]]

    @property
    def stride(self) -> int:
        """Of the maps, px."""
        ...

    def __call__(
        self, polygons: Numbers, ignored: Flags, size: tuple[int, int]
    ) -> Mapping[str, NDArray[np.integer]]: ...


@attrs.frozen
class DBMaps:
    """``kernel_map``: 1 in shrunk text, 0 outside; ``band_map``: 0 … 200 near outlines, the highest on them.

    Text too small, and text that shrinks to nothing, is ignored like what is flagged.
    """

    ratio: float = 0.4
    smallest: float = 8.0
    """Short side, px."""
    stride: int = 1
    names: ClassVar[tuple[str, ...]] = ("kernel_map", "band_map")

    def __call__(self, polygons: Numbers, ignored: Flags, size: tuple[int, int]) -> Mapping[str, NDArray[np.integer]]:
        """Make the maps of one image."""
        height, width = kernels.grid_size(size, self.stride)
        kernel = np.zeros((height, width), np.uint8)
        level = np.full((height, width), -1, np.float32)
        cells = kernels.on_grid(polygons, self.stride)
        distances = kernels.shrink_distances(cells, self.ratio)
        small = kernels.short_sides(cells) * self.stride < self.smallest if len(cells) else ignored
        unknown = ignored | small
        for place in np.flatnonzero(~unknown):
            core = kernels.shrunk(cells[place], distances[place])
            if core is None:
                unknown[place] = True
                continue
            kernels.fill(kernel, core, 1)
            kernels.band(cells[place], distances[place], level)
        for place in np.flatnonzero(unknown):
            kernels.fill(kernel, cells[place], IGNORE)
        bands = np.where(level < 0, IGNORE, np.rint(level * STEPS)).astype(np.uint8)
        return {"kernel_map": kernel, "band_map": bands}


@attrs.frozen
class PSEMaps:
    """``level_map``: how many of the nested kernels cover a cell; all of them cover the middle of text."""

    ratios: tuple[float, ...] = (1.0, 0.9, 0.8, 0.7, 0.6, 0.5, 0.4)
    most: float = 20.0
    """That an outline moves, px."""
    stride: int = 1
    names: ClassVar[tuple[str, ...]] = ("level_map",)

    def __call__(self, polygons: Numbers, ignored: Flags, size: tuple[int, int]) -> Mapping[str, NDArray[np.integer]]:
        """Make the map of one image."""
        levels = np.zeros(kernels.grid_size(size, self.stride), np.uint8)
        cells = kernels.on_grid(polygons, self.stride)
        known = np.flatnonzero(~ignored)
        for number, ratio in enumerate(
            self.ratios, 1
        ):  # from the whole text inwards, so that kernels of all are nested
            distances = np.minimum(kernels.shrink_distances(cells, ratio), self.most / self.stride)
            for place in known:
                core = kernels.shrunk(cells[place], distances[place])
                if core is not None:
                    kernels.fill(levels, core, number)
        for place in np.flatnonzero(ignored):
            kernels.fill(levels, cells[place], IGNORE)
        return {"level_map": levels}


@attrs.frozen
class PANMaps:
    """``text_map``: number of the text that covers a cell, from 1, without 255; ``core_map``: 1 in shrunk text."""

    ratio: float = 0.5
    most: float = 20.0
    """That an outline moves, px."""
    stride: int = 1
    names: ClassVar[tuple[str, ...]] = ("text_map", "core_map")

    def __call__(self, polygons: Numbers, ignored: Flags, size: tuple[int, int]) -> Mapping[str, NDArray[np.integer]]:
        """Make the maps of one image."""
        shape = kernels.grid_size(size, self.stride)
        text, core_map = np.zeros(shape, np.int32), np.zeros(shape, np.uint8)
        cells = kernels.on_grid(polygons, self.stride)
        distances = np.minimum(kernels.shrink_distances(cells, self.ratio), self.most / self.stride)
        for number, place in enumerate(np.flatnonzero(~ignored), 1):
            kernels.fill(text, cells[place], number + (number >= IGNORE))
            core = kernels.shrunk(cells[place], distances[place])
            if core is not None:
                kernels.fill(core_map, core, 1)
        for place in np.flatnonzero(ignored):
            kernels.fill(text, cells[place], IGNORE)
            kernels.fill(core_map, cells[place], IGNORE)
        return {"text_map": text, "core_map": core_map}
