"""``vf run test``: measure a checkpoint on a split of its data, or of other data."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import attrs

from vf.console import Console
from vf.data.relabel import relabel
from vf.engine.build import split_batches
from vf.engine.evaluate import Evaluation, build_metrics, evaluate
from vf.errors import DataError, listed
from vf.predict import Predictor
from vf.protocols import DatasetInfo, Split


@attrs.frozen
class Measured:
    """The numbers of a checkpoint on one split."""

    split: Split
    images: int
    evaluation: Evaluation


def measure(
    weights: Path,
    console: Console,
    *,
    data: str | None = None,
    split: Split | None = None,
    overrides: Sequence[str] = (),
    device: str = "auto",
    limit: int | None = None,
) -> Measured:
    """Measure ``model.safetensors``.

    Args:
        data: a folder to measure on instead of the training's data; classes are matched by name.
        split: default: test where there is one, else val.
        overrides: ``--set`` items on the checkpoint's recipe.
        limit: measure so many batches only.

    Raises:
        DataError: the split does not exist, or no class is in common.
    """
    predictor = Predictor.load(weights, device=device, data=data, overrides=overrides)
    recipe = predictor.resolved.recipe
    info = recipe.data.info()
    for note in info.notes:
        console.say(f"data  {note}")
    chosen = _choose(split, info)
    dataset, note = relabel(recipe.data.build(chosen), theirs=info.classes, ours=predictor.info.classes)
    if note:
        console.say(f"data  {note}")
    console.say(f"test  {weights} on {len(dataset)} images of split {chosen!r}")
    batches = split_batches(dataset, predictor.preprocess, predictor.resolved, predictor.device.type)
    metrics = build_metrics(recipe.metrics, predictor.info)
    result = evaluate(
        predictor.model, batches, metrics, predictor.precision, console=console, label="test", limit=limit
    )
    assert isinstance(result, Evaluation)  # nothing asks it to stop
    return Measured(chosen, len(dataset), result)


def _choose(split: Split | None, info: DatasetInfo) -> Split:
    wanted: tuple[Split, ...] = (split,) if split else ("test", "val")
    for name in wanted:
        if info.num_samples.get(name):
            return name
    raise DataError(f"the data has no split {' or '.join(map(repr, wanted))}; it has {listed(info.num_samples)}")
