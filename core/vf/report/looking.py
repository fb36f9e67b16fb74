"""What is found out by looking at predictions image by image: scores, counts, and the worst and best images."""

from __future__ import annotations

import bisect
import math
from collections.abc import Mapping, Sequence
from typing import Any

import attrs
import torch

from vf.engine.evaluate import build_metrics
from vf.outputs import Tested
from vf.protocols import DatasetInfo, MetricConfig, Predicted
from vf.recipes import Recipe
from vf.report.tallies import Tally, tallies

KEPT = 12
"""Worst and best images that are kept."""
ONE_BY_ONE = 20_000
"""Images that are scored one by one, at most."""


@attrs.frozen(kw_only=True)
class Seen:
    """One image with what was said of it."""

    place: int
    """In the split."""
    predicted: Predicted
    value: float
    """Of the metric, on this image alone."""
    sureness: float | None
    """How sure the model was, where it says so; among equals it tells which mistake is the worse one."""


@attrs.define
class Extremes:
    """The images with the smallest rank, a bounded number of them."""

    kept: list[tuple[tuple[float, ...], Seen]] = attrs.field(factory=list)

    def take(self, rank: tuple[float, ...], seen: Seen) -> None:
        """Take an image; its place in the split decides between equals."""
        bisect.insort(self.kept, ((*rank, seen.place), seen), key=lambda pair: pair[0])
        del self.kept[KEPT:]

    def images(self) -> list[Seen]:
        """Return them, the smallest rank first."""
        return [seen for _, seen in self.kept]


@attrs.define
class Looking:
    """Watches a measurement (`vf.measure.Watch`).

    An image is scored by the recipe's metric that chooses the best checkpoint, computed on that image alone; one of
    which the metric says nothing, as AP of an image without objects, is not ranked.
    """

    tested: Tested | None = None
    metric: str = ""
    """By which images are scored; empty: by none."""
    values: list[float] = attrs.field(factory=list)
    """The score of every image that has one."""
    count: int = 0
    worst: Extremes = attrs.field(factory=Extremes)
    best: Extremes = attrs.field(factory=Extremes)
    _tallies: list[Tally] | None = None
    _config: MetricConfig | None = None
    _wanted: str = ""
    _sign: int = 1

    def begin(self, tested: Tested, recipe: Recipe) -> None:
        """Hear what is measured."""
        self.tested, self._wanted = tested, recipe.train.best
        self._sign = -1 if recipe.train.best_mode == "min" else 1
        self._config = _chooser(recipe, tested.info, self._wanted) if tested.labelled else None

    def take(self, place: int, predicted: Predicted, target: Mapping[str, Any]) -> None:
        """See one image."""
        assert self.tested is not None
        self.count += 1
        if not self.tested.labelled:
            return
        if self._tallies is None:
            self._tallies = tallies(predicted.prediction, self.tested.info)
        for tally in self._tallies:
            tally.take(predicted.prediction, target)
        value = self._value(predicted, target) if self.count <= ONE_BY_ONE else None
        if value is None:
            return
        self.values.append(value)
        seen = Seen(place=place, predicted=predicted, value=value, sureness=sureness(predicted.prediction))
        rank = self._sign * value
        self.worst.take((rank, -(seen.sureness or 0.0)), seen)
        self.best.take((-rank, -(seen.sureness or 0.0)), seen)

    def _value(self, predicted: Predicted, target: Mapping[str, Any]) -> float | None:
        """Return what the metric says of one image alone."""
        if self._config is None or self.tested is None:
            return None
        [metric] = build_metrics((self._config,), self.tested.info).values()
        metric.update([predicted.prediction], [target])
        numbers = metric.compute()
        self.metric = self.metric or self._wanted or next(iter(numbers), "")
        value = numbers.get(self.metric)
        return None if value is None or not math.isfinite(value) else float(value)

    def charts(self) -> dict[str, dict[str, Any]]:
        """Return what was counted, as charts by key."""
        return {key: chart for tally in self._tallies or () for key, chart in tally.charts().items()}


def _chooser(recipe: Recipe, info: DatasetInfo, wanted: str) -> MetricConfig | None:
    """Return the metric of a recipe that chooses the best checkpoint, if it can be computed of one image."""
    usable = [config for config in recipe.metrics if not hasattr(config.build(info), "learns_from")]
    if not wanted:
        return next(iter(usable), None)
    # A metric has all its names, with None, before it has seen anything.
    return next((config for config in usable if wanted in config.build(info).compute()), None)


def sureness(prediction: Mapping[str, Any]) -> float | None:
    """Return how sure a model was of an image: of its class, its text, or its surest object; None: it does not say."""
    for key in ("probabilities", "score", "scores"):
        value = prediction.get(key)
        if isinstance(value, torch.Tensor) and value.numel():
            return float(value.max())
    return None


def spread(values: Sequence[float], bins: int = 20) -> list[int]:
    """Return how many of some values lie in each of as many equal parts from 0 to 1; larger ones in the last."""
    counts = [0] * bins
    for value in values:
        counts[min(bins - 1, max(0, int(value * bins)))] += 1
    return counts
