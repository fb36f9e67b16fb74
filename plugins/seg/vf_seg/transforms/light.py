"""Change the light of an image: gamma, and contrast that is limited and local."""

from __future__ import annotations

import attrs
import cv2
import numpy as np
import torch

from vf.data.pixels import image_of, pixels_of, uniform
from vf.data.sample import Sample


class RandomGamma:
    """Raise values in 0..1 to the power of 1 / gamma, drawn evenly: above 1 is brighter."""

    def __init__(self, *, gamma: tuple[float, float], p: float) -> None:
        self._gamma = gamma
        self._p = p

    def __call__(self, sample: Sample) -> Sample:
        """Change one image."""
        if float(torch.rand(())) >= self._p:
            return sample
        steps = (np.arange(256) / 255) ** (1 / uniform(*self._gamma)) * 255
        table = np.round(steps).astype(np.uint8)
        return attrs.evolve(sample, image=image_of(np.asarray(cv2.LUT(pixels_of(sample.image), table), np.uint8)))


class Clahe:
    """Equalise the lightness of tiles, with limited contrast (CLAHE; Zuiderveld, Graphics Gems IV, 1994)."""

    def __init__(self, *, limit: float, tiles: tuple[int, int], p: float) -> None:
        self._limit = limit
        self._tiles = tiles
        self._p = p

    def __call__(self, sample: Sample) -> Sample:
        """Change one image."""
        if float(torch.rand(())) >= self._p:
            return sample
        lab = cv2.cvtColor(pixels_of(sample.image), cv2.COLOR_RGB2Lab)
        lab[..., 0] = cv2.createCLAHE(self._limit, self._tiles[::-1]).apply(np.ascontiguousarray(lab[..., 0]))
        return attrs.evolve(sample, image=image_of(np.asarray(cv2.cvtColor(lab, cv2.COLOR_Lab2RGB), np.uint8)))
