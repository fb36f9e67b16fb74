"""Precision over recall, from scores and whether each was right."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import attrs
import numpy as np
from numpy.typing import NDArray

RECALLS = np.linspace(0.0, 1.0, 101)
"""Where COCO reads a curve."""
SHOWN = 8
"""Curves that are drawn at first."""
MOST = 40
"""Curves of classes on a page, those with the most objects."""


@attrs.define
class Scored:
    """What was found of one class."""

    objects: int = 0
    """That there are."""
    scores: list[float] = attrs.field(factory=list)
    right: list[bool] = attrs.field(factory=list)

    def add(self, objects: int, scores: Sequence[float], right: Sequence[bool]) -> None:
        """Take what was found in one image, and how many objects there are."""
        self.objects += objects
        self.scores += scores
        self.right += right


@attrs.frozen
class Curve:
    """Precision over recall."""

    recall: NDArray[np.float64]
    precision: NDArray[np.float64]
    """The best at this recall or a larger one."""
    score: NDArray[np.float64]
    """From which on what is found is counted there."""

    def read(self) -> NDArray[np.float64]:
        """Return the precision at 101 recalls from 0 to 1, 0 where the recall is not reached."""
        place = np.searchsorted(self.recall, RECALLS, side="left")
        return np.append(self.precision, 0.0)[np.minimum(place, len(self.precision))]

    @property
    def average(self) -> float:
        """The mean of :meth:`read`: average precision as COCO takes it."""
        return float(self.read().mean())

    def points(self) -> list[list[Any]]:
        """Return [recall, precision, which score] at 101 recalls at most, for a chart."""
        place = np.searchsorted(self.recall, RECALLS, side="left")
        rows: list[list[Any]] = []
        for recall, at in zip(RECALLS.tolist(), place.tolist(), strict=True):
            if at < len(self.recall):
                rows.append([round(recall, 2), round(float(self.precision[at]), 4), f"score {self.score[at]:.3f}"])
        return rows


def curve_of(scored: Scored) -> Curve | None:
    """Return the curve; None where there are no objects."""
    if not scored.objects:
        return None
    scores, right = np.array(scored.scores, np.float64), np.array(scored.right, np.bool_)
    order = np.argsort(-scores, kind="stable")
    hits = right[order].cumsum()
    precision = hits / np.arange(1, len(hits) + 1)
    envelope = np.maximum.accumulate(precision[::-1])[::-1]
    return Curve(hits / scored.objects, envelope, scores[order])


def chart(title: str, scored: Mapping[str, Scored], *, mean: str = "") -> dict[str, Any] | None:
    """Return a chart of one curve for each name that has objects, those with the most first.

    Args:
        mean: name of a curve that is the mean of the others; empty: none.
    """
    curves = {name: (one.objects, curve) for name, one in scored.items() if (curve := curve_of(one)) is not None}
    if not curves:
        return None
    ordered = sorted(curves, key=lambda name: -curves[name][0])
    series: list[dict[str, Any]] = []
    if mean and len(curves) > 1:
        average = np.mean([curve.read() for _, curve in curves.values()], axis=0)
        points = [[round(r, 2), round(p, 4)] for r, p in zip(RECALLS.tolist(), average.tolist(), strict=True)]
        series.append({"name": f"{mean} · AP {average.mean():.3f}", "points": points})
    for place, name in enumerate(ordered[:MOST]):
        curve = curves[name][1]
        label = f"{name} · AP {curve.average:.3f}"
        series.append({"name": label, "points": curve.points(), "hidden": place >= SHOWN})
    return {
        "kind": "lines",
        "title": title,
        "unit": "recall",
        "x": [0, 1],
        "y": [0, 1.02],
        "series": series,
        "legend": True,
    }
