"""Measure a model on a split."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import attrs
import torch
from torch import nn

from vf.console import Console
from vf.data.loader import Batches
from vf.engine.precision import Precision
from vf.errors import ConfigError
from vf.protocols import DatasetInfo, Metric, MetricConfig


@attrs.frozen
class Evaluation:
    """Numbers by name, and each metric's rows for people."""

    numbers: dict[str, float | None]
    tables: dict[str, list[tuple[str, float | None]]]


@torch.no_grad()
def evaluate(
    model: nn.Module,
    batches: Batches,
    metrics: Mapping[str, Metric],
    precision: Precision,
    *,
    console: Console,
    label: str,
    limit: int | None = None,
) -> Evaluation:
    """Run ``model`` over ``batches`` (at most ``limit`` of them) and compute the metrics.

    Leaves the model in the mode that it was in.
    """
    training = model.training
    model.eval()
    total = len(batches) if limit is None else min(limit, len(batches))
    bar = console.bar(label, total)
    for done, batch in enumerate(batches, 1):
        with precision.autocast():
            predictions = model(batch.to(precision.device))
        targets = batch.per_image()
        for metric in metrics.values():
            metric.update(predictions, targets)
        bar.update(done)
        if done == total:
            break
    bar.close()
    model.train(training)
    return summarise(metrics)


def summarise(metrics: Mapping[str, Metric]) -> Evaluation:
    """Compute every metric; ConfigError where two of them give one name."""
    numbers: dict[str, float | None] = {}
    for name, metric in metrics.items():
        values = metric.compute()
        twice = sorted(set(values) & set(numbers))
        if twice:
            raise ConfigError(f"metrics: {name} gives {twice[0]!r}, which another metric of the recipe gives too")
        numbers.update(values)
    return Evaluation(numbers, {name: list(metric.table()) for name, metric in metrics.items()})


def build_metrics(configs: Sequence[MetricConfig], info: DatasetInfo) -> dict[str, Metric]:
    """Build fresh metrics by the name of their class."""
    return {f"{type(c).__name__}{i or ''}": c.build(info) for i, c in enumerate(configs)}
