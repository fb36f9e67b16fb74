"""Measure a model on a split."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

import attrs
import torch
from torch import nn

from vf.console import Console
from vf.data.loader import RESTARTS, Batches, DeadWorkerError
from vf.data.sample import Batch
from vf.engine.precision import Precision
from vf.engine.ranks import Ranks
from vf.errors import ConfigError, RunError, VFError
from vf.protocols import DatasetInfo, Metric, MetricConfig

if TYPE_CHECKING:
    from vf.protocols import Prediction


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
    ranks: Ranks | None = None,
    stop: Callable[[], int] = lambda: 0,
    alive: Callable[[str], None] = lambda phase: None,
    see: Callable[[Batch, Sequence[Prediction]], None] = lambda batch, predictions: None,
) -> Evaluation | int:
    """Run ``model`` over ``batches`` (at most ``limit`` of them) and compute the metrics.

    Leaves the model in the mode that it was in. Every process brings the batches of its own samples; they are
    neither padded nor repeated, and one that has none left goes on answering the others.

    Args:
        stop: asked after every batch; the exit code that a signal asked for, else 0.
        alive: called before every batch.
        see: called with every batch and what the model said of it.

    Returns:
        the metrics, or the exit code where any process was asked to stop.

    Raises:
        VFError: a sample cannot be read or measured; in every process, and the one in which it happened says it.
    """
    ranks = ranks or Ranks()
    training = model.training
    model.eval()
    [rounds] = ranks.agree(len(batches) if limit is None else min(limit, len(batches)))
    bar = console.bar(label, rounds)
    source = _surviving(batches, console)
    code = 0
    for done in range(1, rounds + 1):
        alive("evaluating")
        failure: VFError | None = None
        try:
            if limit is None or done <= limit:
                _evaluate_next(model, source, metrics, precision, console, see)
        except VFError as error:
            failure = error
        code, failed = ranks.agree(stop(), failure is not None)
        if failed:
            raise failure or VFError()  # the process that failed says why
        if code:
            break
        bar.update(done)
    bar.close()
    model.train(training)
    return code or _summarised(metrics, ranks)


def _evaluate_next(
    model: nn.Module,
    source: Iterator[Batch],
    metrics: Mapping[str, Metric],
    precision: Precision,
    console: Console,
    see: Callable[[Batch, Sequence[Prediction]], None],
) -> None:
    batch = next(source, None)
    if batch is None:
        return
    for problem in batch.skipped:
        console.say(f"warning: not evaluated: {problem}")
    with precision.autocast():
        predictions = model(batch.to(precision.device))
    see(batch, predictions)
    targets = batch.per_image() if metrics else ()
    for metric in metrics.values():
        metric.update(predictions, targets)


def _surviving(batches: Batches, console: Console) -> Iterator[Batch]:
    """Yield the batches; where a data worker dies, new ones begin again, and what was seen is passed over."""
    seen = restarts = 0
    while True:
        try:
            for batch in itertools.islice(batches, seen, None):
                seen += 1
                yield batch
        except DeadWorkerError as death:
            restarts += 1
            if restarts > RESTARTS or death.hopeless:
                raise RunError(f"evaluating: {death.problems[0]}") from None
            console.say(f"warning: evaluating: {death.problems[0]}; started new ones")
        else:
            return


def _summarised(metrics: Mapping[str, Metric], ranks: Ranks) -> Evaluation:
    """Merge what the processes saw on rank 0, compute there, and tell all."""
    if not ranks.many:
        return summarise(metrics)
    seen = ranks.gather_on_first({name: metric.state() for name, metric in metrics.items()})
    if seen:
        for name, metric in metrics.items():
            metric.merge([states[name] for states in seen])
    return ranks.from_first(lambda: summarise(metrics))


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
