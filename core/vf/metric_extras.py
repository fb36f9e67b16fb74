"""What single metrics want or give beside numbers in a test: another split first, and a picture."""

from __future__ import annotations

import re
import string
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from vf.console import Console
from vf.data.relabel import relabel
from vf.data.sample import Batch
from vf.engine.build import split_batches
from vf.engine.evaluate import evaluate
from vf.engine.ranks import Ranks
from vf.errors import DataError, RunError, listed
from vf.predict import Predictor
from vf.protocols import Metric, Split

if TYPE_CHECKING:
    from vf.protocols import Prediction


@torch.no_grad()
def look_first(metrics: Mapping[str, Metric], predictor: Predictor, ranks: Ranks, console: Console) -> None:
    """Show metrics the split that they learn from, once for all that learn from the same one.

    Raises:
        DataError: the data have no such split.
    """
    learners: dict[Split, list[Any]] = {}
    for metric in metrics.values():
        if (split := getattr(metric, "learns_from", None)) is not None:
            learners.setdefault(split, []).append(metric)
    for split, those in learners.items():
        _show(split, those, predictor, ranks, console)


def _show(split: Split, learners: Sequence[Any], predictor: Predictor, ranks: Ranks, console: Console) -> None:
    data = predictor.resolved.recipe.data
    facts = data.info()
    if not facts.num_samples.get(split):
        names = listed(type(metric).__name__.lower() for metric in learners)
        raise DataError(f"metric {names}: the data have no split {split!r}; they have {listed(facts.num_samples)}")
    dataset, _ = relabel(data.build(split), theirs=facts.classes, ours=predictor.info.classes)
    batches = split_batches(dataset, predictor.preprocess, predictor.resolved, predictor.device.type, ranks)

    def see(batch: Batch, predictions: Sequence[Prediction]) -> None:
        targets = batch.per_image()
        for metric in learners:
            metric.learn(predictions, targets)

    evaluate(predictor.model, batches, {}, predictor.precision, console=console, label=f"{split}", ranks=ranks, see=see)


def save_pictures(metrics: Mapping[str, Metric], folder: str) -> list[str]:
    """Save what metrics draw, like confusion_matrix.png, where there is a folder; return what to say."""
    lines = []
    for name, metric in metrics.items() if folder else ():
        draw: Any = getattr(metric, "picture", None)
        if draw is None:
            continue
        path = Path(folder) / f"{re.sub('(?<=[a-z])(?=[A-Z])', '_', name).rstrip(string.digits).lower()}.png"
        while path.exists():
            path = path.with_stem(f"{path.stem}_again")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            draw().save(path)
        except OSError as error:
            raise RunError(f"{path}: cannot be written: {error.strerror or error}") from None
        lines.append(f"wrote {path}")
    return lines
