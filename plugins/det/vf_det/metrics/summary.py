"""Numbers and rows from COCO's curves."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vf_det.metrics.counting import Counted, Floats

SIZES = ("small", "medium", "large")


def known(values: NDArray[Any]) -> float | None:
    """Return the mean of what is not −1; None where there is nothing else."""
    rest = values[values > -1]
    return float(rest.mean()) if rest.size else None


def precisions(counted: Counted, ious: Floats) -> dict[str, float | None]:
    """Return AP, AP50 and AP75 of all sizes; None where that threshold is not among ``ious``."""
    values = {"AP": known(counted.precision[..., 0])}
    return values | {f"AP{t}": known(counted.precision[np.isclose(ious, t / 100), ..., 0]) for t in (50, 75)}


def class_rows(label: str, classes: Sequence[str], precision: Floats) -> list[tuple[str, float | None]]:
    """Return one row for each class from precision [T,R,K]."""
    return [(f"{label} {name}", known(precision[:, :, k])) for k, name in enumerate(classes)]
