"""Colour jitter in HSV space."""

from __future__ import annotations

import attrs
import cv2
import numpy as np
import torch

from vf.data.sample import Sample
from vf_det.data.geometry import image_of, pixels_of, uniform


class HsvJitter:
    """Add a random amount to hue (a circle), saturation and value (cut at their ends); parts of the range.

    As YOLOX has it (arXiv 2107.08430), each of the three is left alone every second time.
    """

    def __init__(self, *, hue: float, saturation: float, value: float, p: float) -> None:
        self._most = (hue, saturation, value)
        self._p = p

    def __call__(self, sample: Sample) -> Sample:
        """Change one image."""
        if float(torch.rand(())) >= self._p:
            return sample
        hue, saturation, value = (uniform(-m, m) * int(torch.randint(2, ())) for m in self._most)
        hsv = cv2.cvtColor(pixels_of(sample.image), cv2.COLOR_RGB2HSV)
        steps = np.arange(256)
        tables = (
            (steps + round(hue * 180)) % 180,
            np.clip(steps + round(saturation * 255), 0, 255),
            np.clip(steps + round(value * 255), 0, 255),
        )
        table = np.stack(tables, 1).astype(np.uint8)[None]
        changed = cv2.cvtColor(cv2.LUT(hsv, table), cv2.COLOR_HSV2RGB)
        return attrs.evolve(sample, image=image_of(np.asarray(changed, np.uint8)))
