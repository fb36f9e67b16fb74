"""``vf run test``: measure a checkpoint, or saved predictions, on a split of its data or of other data."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

import attrs
import numpy as np

from vf.console import Console, metric
from vf.data.relabel import id_of, relabel, target_of
from vf.data.sample import Batch
from vf.data.wrappers import Picked
from vf.engine.build import split_batches
from vf.engine.checkpoint import read_weights
from vf.engine.evaluate import Evaluation, build_metrics, evaluate, summarise
from vf.engine.precision import pick_device
from vf.engine.ranks import Ranks
from vf.errors import ConfigError, DataError, listed
from vf.explained import explainer
from vf.export import is_exported
from vf.launch import Measurement
from vf.metric_extras import look_first, save_pictures
from vf.numbers_file import write_numbers
from vf.outputs import Outputs, Tested, check
from vf.predict import Predictor
from vf.prediction_files import Saved, open_saved
from vf.protocols import Dataset, DatasetInfo, Metric, Predicted, Split
from vf.recipes import Recipe, Resolved, from_text
from vf.runs import find_weights
from vf.wrapper_configs import results_of

if TYPE_CHECKING:
    from vf.protocols import Prediction

AT_A_TIME = 16
"""Saved predictions that a metric takes at once."""


@attrs.frozen
class Measured:
    """The numbers of a checkpoint on one split."""

    model: str
    """The weight file, or the file of predictions."""
    split: Split
    images: int
    evaluation: Evaluation
    """Without numbers where nothing was to be measured."""


class Watch(Protocol):
    """Looks on as a split is measured by one process."""

    def begin(self, tested: Tested, recipe: Recipe) -> None:
        """Hear what is measured, before the first image."""
        ...

    def take(self, place: int, predicted: Predicted, target: Mapping[str, Any]) -> None:
        """See what was said of the image at ``place`` of ``tested.dataset``, and its target with its ``id``."""
        ...


def measure(
    asked: Measurement,
    console: Console,
    ranks: Ranks | None = None,
    *,
    images: int | None = None,
    watch: Watch | None = None,
) -> Measured:
    """Measure, and write what is asked for. Every process of ``ranks`` calls it and gets the same.

    Args:
        asked: what for.
        console: where to say how it goes.
        ranks: the processes.
        images: measure so many, evenly spread over the split; nothing: all.
        watch: sees every image of this process.

    Raises:
        DataError: the split does not exist, or no class is in common; or saved predictions are not those of its images.
        VFError: anything else that the user can mend, once.
    """
    ranks = ranks or Ranks()
    if asked.predictions:
        return _measure_saved(asked, console, images, watch)
    predictor, tested = ranks.together(lambda: _load(asked, console, ranks))
    tested, recipe = _spread(tested, images), predictor.resolved.recipe
    if watch is not None:
        watch.begin(tested, recipe)
    console.say(f"test  {tested.model} on {len(tested.dataset)} images of split {tested.split!r}")
    batches = split_batches(tested.dataset, predictor.preprocess, predictor.resolved, predictor.device.type, ranks)
    metrics = _metrics(asked, tested, recipe)
    explain = explainer(predictor) if asked.cam else None
    look_first(metrics, predictor, ranks, console)
    with Outputs(asked, tested, ranks, explain=explain) as outputs:

        def see(batch: Batch, predictions: Sequence[Prediction]) -> None:
            outputs.see(batch, predictions)
            if watch is not None:
                _show(watch, batch, predictions)

        result = evaluate(
            predictor.model,
            batches,
            metrics,
            predictor.precision,
            console=console,
            label="test",
            limit=asked.limit,
            ranks=ranks,
            see=see,
        )
        for line in [*outputs.finish(), *ranks.from_first(lambda: save_pictures(metrics, asked.show_dir))]:
            console.say(line)
    assert isinstance(result, Evaluation)  # nothing asks it to stop
    return _measured(asked, tested, result)


def _spread(tested: Tested, images: int | None) -> Tested:
    """Take so many images, evenly spread: those of one class may lie together."""
    count = len(tested.dataset)
    if images is None or images >= count:
        return tested
    return attrs.evolve(tested, dataset=Picked(tested.dataset, np.arange(images) * count // images))


def _show(watch: Watch, batch: Batch, predictions: Sequence[Prediction]) -> None:
    sizes = [(height, width) for height, width in batch.original.tolist()]
    for place, size, prediction, target in zip(batch.places, sizes, predictions, batch.per_image(), strict=True):
        watch.take(place, Predicted(id=target["id"], size=size, prediction=prediction), target)


def _measured(asked: Measurement, tested: Tested, result: Evaluation) -> Measured:
    split: Any = tested.split
    return Measured(asked.predictions or tested.model, split, len(tested.dataset), result)


def _load(asked: Measurement, console: Console, ranks: Ranks) -> tuple[Predictor, Tested]:
    weights = asked.checkpoint if is_exported(asked.checkpoint) else find_weights(asked.checkpoint)
    device = asked.device if is_exported(weights) else str(pick_device(asked.device, local_rank=ranks.world.local_rank))
    predictor = Predictor.load(weights, device=device, data=asked.data, overrides=asked.overrides)
    if asked.tta:
        options = {"merge": asked.tta_merge} if asked.tta_merge else {}
        predictor = predictor.with_tta(scales=asked.tta, flip=asked.tta_flip, **options)
    return predictor, _tested(asked, predictor.resolved, predictor.info, str(weights), console)


def _tested(
    asked: Measurement, resolved: Resolved, info: DatasetInfo, model: str, console: Console, *, saved: str = ""
) -> Tested:
    """Find the split and bring its labels into the model's order; ``saved`` is that of a file of predictions."""
    data = resolved.recipe.data
    facts = data.info()
    for note in facts.notes:
        console.say(f"data  {note}")
    split = _choose(asked, facts, saved)
    dataset, note = relabel(data.build(split), theirs=facts.classes, ours=info.classes)
    if note:
        console.say(f"data  {note}")
    results = results_of(data)
    check(asked, results)
    labelled = split not in facts.unlabelled
    if not (labelled or asked.writes):
        raise DataError(
            f"split {split!r} has no labels: it can be predicted, not measured; say where to: --out FILE, "
            "--out-prefix P or --show-dir DIR"
        )
    if not labelled:
        console.say(f"data  split {split!r} has no labels: it is predicted, not measured")
    return Tested(
        dataset=dataset,
        labelled=labelled,
        info=info,
        data=facts,
        split=split,
        recipe=resolved.yaml(),
        model=model,
        results=results,
    )


def _choose(asked: Measurement, info: DatasetInfo, saved: str) -> Split:
    wanted: tuple[Split, ...] = (asked.split,) if asked.split else ("test", "val")
    if saved and not asked.split:
        return _known(saved, info)
    have = [name for name in wanted if info.num_samples.get(name)]
    if not have:
        raise DataError(f"the data has no split {' or '.join(map(repr, wanted))}; it has {listed(info.num_samples)}")
    return next((name for name in have if name not in info.unlabelled), have[0])


def _known(saved: str, info: DatasetInfo) -> Split:
    split: Any = saved
    if not info.num_samples.get(saved):
        raise DataError(f"the data has no split {saved!r}, which was predicted; it has {listed(info.num_samples)}")
    return split  # type: ignore[no-any-return]


def _metrics(asked: Measurement, tested: Tested, recipe: Recipe) -> dict[str, Metric]:
    if asked.format_only or not tested.labelled:
        return {}
    return build_metrics(recipe.metrics, tested.info)


def _measure_saved(
    asked: Measurement, console: Console, images: int | None = None, watch: Watch | None = None
) -> Measured:
    """Measure a file of predictions: the same numbers as when the model ran, without it."""
    saved = open_saved(asked.predictions)
    resolved, model = _recipe_of(asked, saved)
    whole = _tested(asked, resolved, saved.head.info, model, console, saved=saved.head.split)
    tested = _spread(whole, images)
    if watch is not None:
        watch.begin(tested, resolved.recipe)
    console.say(f"test  {asked.predictions} on {len(tested.dataset)} images of split {tested.split!r}")
    lenient = resolved.recipe.loader.on_error == "skip"
    places = _places(saved, tested, console, lenient=lenient, some=tested is not whole)
    metrics = _metrics(asked, tested, resolved.recipe)
    with Outputs(asked, tested, Ranks()) as outputs:
        for group in console.track(_grouped(saved, tested, places), "test", -(-len(places) // AT_A_TIME)):
            for one in group:
                outputs.take(places[one.id], one)
            targets = [_target(tested.dataset, places[one.id], one) for one in group] if metrics or watch else []
            for each in metrics.values():
                each.update([one.prediction for one in group], targets)
            if watch is not None:
                for one, target in zip(group, targets, strict=True):
                    watch.take(places[one.id], one, target)
        result = summarise(metrics)
        for line in [*outputs.finish(), *save_pictures(metrics, asked.show_dir)]:
            console.say(line)
    return _measured(asked, tested, result)


def _recipe_of(asked: Measurement, saved: Saved) -> tuple[Resolved, str]:
    """Return the recipe of the checkpoint that is named, else that of the file; and what the predictions come from."""
    if asked.checkpoint:
        weights = read_weights(path := find_weights(asked.checkpoint))
        if weights.info.classes != saved.head.info.classes:
            raise DataError(
                f"{saved.path}: its classes ({listed(saved.head.info.classes)}) are not those of {path} "
                f"({listed(weights.info.classes)}); name the run that predicted, or none"
            )
        text, name, model = weights.recipe, f"recipe in {path}", str(path)
    else:
        text, name, model = saved.head.recipe, f"recipe in {saved.path}", saved.head.model
    if not text:
        raise ConfigError(
            f"{saved.path}: holds no recipe that says data and metrics; name a run too: "
            f"vf run test RUN --predictions {saved.path}"
        )
    return from_text(text, name, data=asked.data, overrides=asked.overrides), model


def _places(saved: Saved, tested: Tested, console: Console, *, lenient: bool, some: bool = False) -> Mapping[str, int]:
    """Return the place in the split of each image that was predicted; ``some``: of more, which do not count.

    Raises:
        DataError: the images of the file are not those of the split, each once.
    """
    known = {id_of(tested.dataset, place): place for place in range(len(tested.dataset))}
    seen: dict[str, int] = {}
    twice, unknown = [], []
    for entry in saved:
        id_ = entry.get("id") if isinstance(entry, dict) else None
        if not isinstance(id_, str):
            raise DataError(f"{saved.path}: expected entries with a text under 'id', got {str(entry)[:60]}")
        if id_ in seen:
            twice.append(id_)
        elif id_ not in known:
            unknown += [] if some else [id_]
        else:
            seen[id_] = known[id_]
    missing = [id_ for id_ in known if id_ not in seen]
    where, problems = f"split {tested.split!r}", []
    if unknown:
        problems.append(f"{saved.path}: {len(unknown)} images are not in {where}: {listed(unknown, limit=4)}")
    if twice:
        problems.append(f"{saved.path}: {len(twice)} images are predicted twice: {listed(twice, limit=4)}")
    if missing:
        line = f"{saved.path}: {len(missing)} of the {len(known)} images of {where} are not predicted: "
        problems.append(line + listed(missing, limit=4))
    if problems and (unknown or twice or not lenient):
        raise DataError(*problems)
    for problem in problems:
        console.say(f"warning: {problem}")
    return seen


def _grouped(saved: Saved, tested: Tested, places: Mapping[str, int]) -> Iterator[list[Predicted]]:
    group: list[Predicted] = []
    for one in saved.read(tested.restore):
        if one.id not in places:
            continue
        group.append(one)
        if len(group) == AT_A_TIME:
            yield group
            group = []
    if group:
        yield group


def _target(dataset: Dataset, place: int, one: Predicted) -> dict[str, Any]:
    return {"id": one.id, **target_of(dataset, place, one.size)}


def report(measured: Measured, asked: Measurement, console: Console) -> None:
    """Print the numbers: a table for people, or one JSON object on stdout; and keep them where that is asked for."""
    numbers = measured.evaluation.numbers
    key = "predictions" if asked.predictions else "checkpoint"
    facts = {key: measured.model, "split": measured.split, "images": measured.images}
    if asked.out and asked.out_item == "metrics":
        write_numbers(asked.out, facts, measured.evaluation)
        console.say(f"wrote {asked.out}: the numbers")
    if asked.as_json:
        Console().say(json.dumps(facts | numbers))
        return
    if not numbers:
        return
    console.table([("metric", measured.split)] + [(k, metric(v)) for k, v in numbers.items()])
    for rows in measured.evaluation.tables.values():
        console.table([(f"  {name}", metric(value)) for name, value in rows])
