"""What metrics of maps share: the two maps of an image, and how often each pair of classes meets in them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from vf.errors import DataError

Map = NDArray[np.uint8]
LEVELS = 256
EXACT = 1 << 24
"""Pixels that OpenCV counts at once: it does so in float32."""


def maps_of(prediction: Mapping[str, Any], target: Mapping[str, Any], *, metric: str) -> tuple[Map, Map]:
    """Return what is there and what was found, uint8 [H,W] each.

    Raises:
        DataError: one of them has no map, or their sizes differ.
    """
    where = f"metric {metric}: image {target.get('id')!r}"
    for given, what, cure in (
        (prediction, "prediction", "use a model of task seg"),
        (target, "target", "the split must be labelled"),
    ):
        if given.get("semantic") is None:
            raise DataError(f"{where}: the {what} has no map 'semantic'; {cure}")
    labelled, found = _array(target["semantic"]), _array(prediction["semantic"])
    if labelled.shape != found.shape:
        sizes = " and ".join("×".join(map(str, one.shape)) for one in (labelled, found))
        raise DataError(
            f"{where}: the maps of labels and prediction are {sizes} (height × width), expected those of the image"
        )
    return labelled, found


def _array(given: Any) -> Map:
    values = given.detach().cpu().numpy() if isinstance(given, Tensor) else np.asarray(given)
    if values.dtype != np.uint8:
        values = np.where((values < 0) | (values >= LEVELS), LEVELS - 1, values).astype(np.uint8)
    return np.ascontiguousarray(values)


def pairs(labelled: Map, found: Map) -> NDArray[np.int64]:
    """Count how often each pair of values meets: [256,256], rows are what is there."""
    total = np.zeros((LEVELS, LEVELS), np.int64)
    rows = max(1, (EXACT - 1) // max(1, labelled.shape[1]))
    for top in range(0, labelled.shape[0], rows):
        parts = [np.ascontiguousarray(one[top : top + rows]) for one in (labelled, found)]
        if parts[0].size:
            bounds = [0, LEVELS, 0, LEVELS]
            total += cv2.calcHist(parts, [0, 1], None, [LEVELS, LEVELS], bounds).astype(np.int64)
    return total


def mean(values: NDArray[np.float64]) -> float | None:
    """Return the mean of what is no NaN; None where there is nothing else."""
    known = values[~np.isnan(values)]
    return float(known.mean()) if known.size else None


def ratio(part: NDArray[Any], whole: NDArray[Any]) -> NDArray[np.float64]:
    """Return part / whole, NaN where the whole is 0."""
    return np.asarray(np.divide(part, whole, out=np.full(np.shape(part), np.nan), where=np.asarray(whole) > 0))


def rows(label: str, names: tuple[str, ...], values: NDArray[np.float64]) -> list[tuple[str, float | None]]:
    """Return one row for each class."""
    return [(f"{label} {name}", None if np.isnan(v) else float(v)) for name, v in zip(names, values, strict=True)]
