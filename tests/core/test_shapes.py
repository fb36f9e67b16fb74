"""Generated scenes: what is seen of them, pixel by pixel."""

from __future__ import annotations

import numpy as np

from vf.data.shapes import CLASSES, Settings, scene


def test_what_is_seen_agrees_with_the_masks() -> None:
    settings = Settings(size=64, min_objects=3, max_objects=8, min_side=0.2, max_side=0.7, seed=0)
    hidden = 0
    for index in range(40):
        made = scene(settings, "val", index)
        assert (made.seen.dtype, made.seen.shape) == (np.uint8, (64, 64))
        assert made.seen.max() <= len(CLASSES)
        for mask, label in zip(made.masks, made.labels, strict=True):
            assert (made.seen[mask] == label + 1).all()
        rest = made.seen[~made.masks.any(0)] > 0
        hidden += int(rest.any())
    assert hidden > 0  # of objects that others cover nearly whole, what is left is still seen
