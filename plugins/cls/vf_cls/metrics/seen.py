"""Predictions and labels of a batch as arrays."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vf.errors import DataError

Matrix = NDArray[np.int64]


def probabilities_of(predictions: Sequence[Mapping[str, Any]]) -> NDArray[np.float32]:
    """Return [B,C]."""
    rows = [np.asarray(prediction["probabilities"], np.float32) for prediction in predictions]
    return np.stack(rows) if rows else np.zeros((0, 1), np.float32)


def labelled(
    predictions: Sequence[Mapping[str, Any]], targets: Sequence[Mapping[str, Any]]
) -> tuple[list[Mapping[str, Any]], Matrix]:
    """Return the predictions of the images that have a label, and the one label of each [B].

    An image of a class that the model does not know has none, and cannot be measured.

    Raises:
        DataError: an image has several.
    """
    for target in targets:
        if len(target["labels"]) > 1:
            raise DataError(f"{target['id']}: expected one label, got {len(target['labels'])}")
    kept = [(p, int(t["labels"][0])) for p, t in zip(predictions, targets, strict=True) if len(t["labels"])]
    return [prediction for prediction, _ in kept], np.array([label for _, label in kept], np.int64)


def ratio(part: float, whole: float) -> float | None:
    """Return a part of a whole; None where there is none."""
    return float(part / whole) if whole else None


def mean(values: Sequence[float | None]) -> float | None:
    """Return the mean of those that are known; None where none is."""
    known = [value for value in values if value is not None]
    return float(np.mean(known)) if known else None


def harmonic(one: float | None, other: float | None) -> float | None:
    """Return the harmonic mean, 0 where both are 0; None where one is not known."""
    if one is None or other is None:
        return None
    return 2 * one * other / (one + other) if one + other else 0.0
