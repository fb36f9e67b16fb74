"""``vf run bench``: parameters, FLOPs, latency by stage and batch size, memory, input pipeline, and what is slowest."""

from __future__ import annotations

import json
import resource
import sys
import time
from collections.abc import Sequence
from typing import Any

import attrs
import torch
from torch.utils.data import Dataset as TorchDataset
from torch.utils.flop_counter import FlopCounterMode

from vf.bench.subject import Subject, subject_of
from vf.bench.timing import STAGES, Timed, batch_of, timed
from vf.console import Console, megabytes
from vf.data.loader import eval_batches, usable_cores
from vf.data.on_device import is_for_batches
from vf.data.pipeline import EvalView, Failure, Fitted, TrainView
from vf.data.sampler import Draw
from vf.engine.build import validation_split
from vf.errors import DataError
from vf.orders import BenchOrder
from vf.surroundings import surroundings


@attrs.define
class Figures:
    """What was measured, as far as it went."""

    model: str
    on: str
    """The images."""
    parameters: int = 0
    flops: int | None = None
    """Of one image, multiplications and additions; None: they cannot be counted."""
    input: tuple[int, int] = (0, 0)
    """Height and width that these are of, px."""
    timed: list[Timed] = attrs.field(factory=list)
    pipelines: dict[str, float] = attrs.field(factory=dict)
    """Train or val -> images a second."""
    workers: int = 0
    memory: int = 0
    """Most bytes that this process had, RSS."""
    notes: list[str] = attrs.field(factory=list)
    made_on: dict[str, Any] = attrs.field(factory=dict)

    def plain(self) -> dict[str, Any]:
        """Return plain data."""
        own = attrs.asdict(self, recurse=False)
        return {**own, "timed": [one.plain() for one in self.timed], "bottleneck": bottleneck(self)}


def bench(asked: BenchOrder, console: Console) -> Figures:
    """Measure, say it as it comes, and return it.

    Raises:
        VFError: there is no such model, data set or image.
        KeyboardInterrupt: the user stopped it; what was measured until then was said.
    """
    subject = subject_of(asked)
    predictor = subject.predictor
    figures = Figures(model=asked.model, on=subject.source, notes=list(subject.notes))
    figures.made_on = surroundings(predictor.device)
    for note in figures.notes:
        console.say(f"note  {note}")
    _count(subject, figures, console)
    try:
        for size in asked.batch_sizes:
            figures.timed.append(timed(subject, size, asked.seconds))
            _say(figures.timed[-1], console)
        _pipelines(asked, subject, figures, console)
    except KeyboardInterrupt:
        console.say("interrupted")
        raise
    finally:
        figures.memory = peak()
        _conclude(figures, console)
    return figures


def peak() -> int:
    """Return the most bytes of memory that this process had."""
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most if sys.platform == "darwin" else most * 1024


@torch.no_grad()
def _count(subject: Subject, figures: Figures, console: Console) -> None:
    predictor = subject.predictor
    model: Any = predictor.model
    figures.parameters = sum(p.numel() for p in model.parameters())
    batch = batch_of(subject, [subject.images(0)]).to(predictor.device)
    figures.input = (int(batch.images.shape[-2]), int(batch.images.shape[-1]))
    if figures.parameters:  # a graph keeps its own to itself
        with FlopCounterMode(display=False) as counter:
            predictor.forward(batch)
        figures.flops = int(counter.get_total_flops())
    size = f"{figures.input[0]}×{figures.input[1]} px"
    parts = [f"{figures.parameters / 1e6:.2f} M parameters"] if figures.parameters else ["an exported graph"]
    parts += [f"{figures.flops / 1e9:.2f} GFLOPs for an image of {size}"] if figures.flops else [f"images of {size}"]
    console.say(f"model {figures.model}: {type(model).__name__}, {', '.join(parts)}")
    console.say(f"time  on {predictor.device}, {predictor.precision.name}, {figures.on}; medians in ms a batch")


def _say(one: Timed, console: Console) -> None:
    plain = one.plain()
    stages = ", ".join(f"{stage} {value:.1f}" for stage, value in plain["stages_ms"].items())
    latency = " / ".join(f"{value:.1f}" for value in plain["latency_ms"].values())
    memory = f", {megabytes(one.memory)} of the GPU" if one.memory is not None else ""
    console.say(
        f"batch {one.batch_size}: {one.images_per_second:.1f} images/s; p50 / p90 / p99 {latency}; {stages}{memory}"
    )


class _Drawn(TorchDataset[Fitted | Failure]):
    """Samples of the first epoch, augmented."""

    def __init__(self, view: TrainView) -> None:
        self._view = view

    def __getitem__(self, index: int) -> Fitted | Failure:
        return self._view[Draw(epoch=0, index=index, final=False)]


def _pipelines(asked: BenchOrder, subject: Subject, figures: Figures, console: Console) -> None:
    """Measure how fast the loader gives batches that nobody uses."""
    recipe, rules = subject.predictor.resolved.recipe, subject.predictor.preprocess
    if asked.images:
        return
    try:
        info = recipe.data.info()
    except DataError:
        console.say("data  not here: no input pipeline to measure; --data PATH names some")
        return
    workers = min(recipe.loader.workers if asked.workers is None else asked.workers, usable_cores())
    figures.workers = workers
    splits = ["train"] * bool(info.num_samples.get("train")) + [validation_split(info)]
    for split in dict.fromkeys(splits):
        dataset = recipe.data.build(split)  # type: ignore[arg-type]
        view: Any = EvalView(dataset, rules)
        if split == "train":
            transforms = [t for t in (config.build() for config in recipe.augment) if not is_for_batches(t)]
            view = _Drawn(TrainView(dataset, transforms, rules, seed=0))
        rate = _rate(view, len(dataset), asked.seconds, workers=workers, fill=rules.pad_value)
        if rate is not None:
            figures.pipelines[split] = rate
            what = "decode, augment, fit" if split == "train" else "decode, fit"
            console.say(f"data  split {split!r}: {rate:.1f} images/s of {what}, with {workers} workers")


def _rate(view: Any, count: int, seconds: float, *, workers: int, fill: int, batch_size: int = 8) -> float | None:
    """Return images a second after the first batch; None where there is but one."""
    batches = eval_batches(
        view, range(count), batch_size=batch_size, fill=fill, workers=workers, prefetch=2, pin=False, skip_broken=True
    )
    start, done = 0.0, 0
    for number, batch in enumerate(batches):
        if number == 0:
            start = time.perf_counter()
            continue
        done += len(batch)
        if time.perf_counter() - start > seconds:
            break
    return done / (time.perf_counter() - start) if done else None


def _conclude(figures: Figures, console: Console) -> None:
    console.say(f"memory {megabytes(figures.memory)} of this process at its peak")
    if said := bottleneck(figures):
        console.say(f"so    {said}")


def bottleneck(figures: Figures) -> str:
    """Say in one sentence what limits prediction and, where its pipeline was measured, training."""
    if not figures.timed:
        return ""
    best = max(figures.timed, key=lambda one: one.images_per_second)
    slowest = max(STAGES, key=best.share)
    text = (
        f"of {1e3 / best.images_per_second:.1f} ms an image at batch {best.batch_size}, {slowest} takes "
        f"{best.share(slowest):.0%}"
    )
    model = best.batch_size * len(best.whole) / sum(best.seconds["model"])
    return text + _of_training(figures.pipelines, model, figures.workers)


def _of_training(pipelines: dict[str, float], model: float, workers: int) -> str:
    """Compare the input pipeline with the network, which takes about thrice as long when it trains."""
    given = pipelines.get("train")
    if given is None:
        return ""
    eaten = model / 3
    if given < eaten:
        return (
            f"; a training would wait for data: {workers} workers give {given:.1f} images/s, and the network could "
            f"take about {eaten:.1f} (a third of {model:.1f} forward)"
        )
    return (
        f"; a training would not wait for data: {workers} workers give {given:.1f} images/s, and the network takes "
        f"about {eaten:.1f} (a third of {model:.1f} forward)"
    )


def as_json(figures: Figures) -> str:
    """Return the figures as one object."""
    return json.dumps(figures.plain(), ensure_ascii=False)


__all__: Sequence[str] = ("Figures", "as_json", "bench", "bottleneck")
