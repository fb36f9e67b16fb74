"""The order in which the words of an image are read."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from vf_ocr.geometry import Points

SAME_LINE = 0.5
"""Two words stand in one line where their middles are less than this apart, in heights of the lower one."""


def reading_order(quads: Points) -> NDArray[np.int64]:
    """Return indices [N] of quads [N,4,2]: line by line from above, in each from the left.

    Lines may run aslant: they are told apart after the median slope of the words is turned away.
    """
    if not len(quads):
        return np.empty(0, np.int64)
    quads = quads.astype(np.float64)
    along = quads[:, 1] - quads[:, 0] + quads[:, 2] - quads[:, 3]
    angle = float(np.median(np.arctan2(along[:, 1], along[:, 0])))
    cos, sin = math.cos(angle), math.sin(angle)
    level = quads @ np.array([[cos, -sin], [sin, cos]])
    x, y = level.mean(1).T
    heights = np.ptp(level[..., 1], axis=1)
    lines: list[list[int]] = []
    for word in np.argsort(y, kind="stable").tolist():
        near = lines[-1] if lines else []
        middle = np.median(y[near]) if near else -np.inf
        least = min(heights[word], np.median(heights[near])) if near else 0.0
        if near and y[word] - middle < SAME_LINE * least:
            near.append(word)
        else:
            lines.append([word])
    return np.array([word for line in lines for word in sorted(line, key=lambda word: float(x[word]))], np.int64)
