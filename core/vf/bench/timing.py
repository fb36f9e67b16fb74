"""Time by stage: from a file to a prediction, batch by batch."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import attrs
import torch
from torch import Tensor

from vf.bench.subject import Subject
from vf.data.collate import Collate
from vf.data.pipeline import Fitted
from vf.data.sample import Batch, Sample

STAGES = ("decode", "preprocess", "model", "postprocess")
WARM_UP = 2
"""Batches that do not count."""
LEAST = 5
"""Batches that count, at least."""


@attrs.frozen
class Timed:
    """Batches of one size."""

    batch_size: int
    seconds: dict[str, list[float]]
    """Stage -> what each batch took."""
    memory: int | None
    """Most bytes of the GPU that were in use; None on a CPU."""

    @property
    def whole(self) -> list[float]:
        """What each batch took in all, s."""
        return [sum(parts) for parts in zip(*self.seconds.values(), strict=True)]

    @property
    def images_per_second(self) -> float:
        """Images from file to prediction, one batch after another."""
        return self.batch_size * len(self.whole) / sum(self.whole)

    def share(self, stage: str) -> float:
        """Part of the time that a stage takes, 0 to 1."""
        return sum(self.seconds[stage]) / sum(self.whole)

    def plain(self) -> dict[str, Any]:
        """Return figures: latencies in ms."""
        return {
            "batch_size": self.batch_size,
            "batches": len(self.whole),
            "images_per_second": round(self.images_per_second, 2),
            "model_images_per_second": round(self.batch_size * len(self.whole) / sum(self.seconds["model"]), 2),
            "latency_ms": {f"p{q}": round(1e3 * percentile(self.whole, q), 3) for q in (50, 90, 99)},
            "stages_ms": {stage: round(1e3 * percentile(own, 50), 3) for stage, own in self.seconds.items()},
            "gpu_bytes": self.memory,
        }


def percentile(values: Sequence[float], part: int) -> float:
    """Return the smallest value that ``part`` per cent of the values do not exceed."""
    return sorted(values)[max(0, math.ceil(len(values) * part / 100) - 1)]


class Stopwatch:
    """Measures blocks of code, with what they leave to a GPU."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self.spent = 0.0

    @contextmanager
    def running(self) -> Iterator[None]:
        """Add what the block takes."""
        self._wait()
        start = time.perf_counter()
        yield
        self._wait()
        self.spent += time.perf_counter() - start

    def _wait(self) -> None:
        if self._device.type == "cuda":
            torch.cuda.synchronize(self._device)


def timed(subject: Subject, batch_size: int, seconds: float) -> Timed:
    """Predict batches of one size for so long, and at least ``LEAST`` of them."""
    device = subject.predictor.device
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    spent: dict[str, list[float]] = {stage: [] for stage in STAGES}
    start = 0.0
    for number, own in enumerate(_batches(subject, batch_size)):
        if number < WARM_UP:
            start = time.perf_counter()
            continue
        for stage, value in own.items():
            spent[stage].append(value)
        if len(spent["model"]) >= LEAST and time.perf_counter() - start > seconds:
            break
    memory = torch.cuda.max_memory_allocated(device) if device.type == "cuda" else None
    return Timed(batch_size, spent, memory)


def _batches(subject: Subject, batch_size: int) -> Iterator[dict[str, float]]:
    """Yield what each stage of a batch took, without end."""
    place = 0
    while True:
        watches = {stage: Stopwatch(subject.predictor.device) for stage in STAGES}
        with watches["decode"].running():
            samples = [subject.images(place + k) for k in range(batch_size)]
        place += batch_size
        with watches["preprocess"].running():
            batch = batch_of(subject, samples).to(subject.predictor.device)
        whole = Stopwatch(subject.predictor.device)
        with whole.running(), network_timed(subject.predictor.model, watches["model"]) as apart:
            subject.predictor.forward(batch)
        if not apart:
            watches["model"].spent = whole.spent
        watches["postprocess"].spent = whole.spent - watches["model"].spent
        yield {stage: watch.spent for stage, watch in watches.items()}


def batch_of(subject: Subject, samples: Sequence[Sample]) -> Batch:
    """Fit images to the model and lay them together."""
    rules = subject.predictor.preprocess
    batch = Collate(fill=rules.pad_value)([Fitted(rules.fit(s, with_target=False), s.size) for s in samples])
    assert isinstance(batch, Batch)
    return batch


@contextmanager
def network_timed(model: Any, watch: Stopwatch) -> Iterator[bool]:
    """Measure the network of a model inside the block; give whether it can be told from what comes after it."""
    raw: Callable[[Tensor, Tensor], Any] | None = getattr(model, "raw", None)
    if raw is None:
        yield False
        return
    network = raw

    def measured(images: Tensor, sizes: Tensor) -> Any:
        with watch.running():
            return network(images, sizes)

    own = "raw" in vars(model)
    model.raw = measured
    try:
        yield True
    finally:
        if own:
            model.raw = network
        else:
            del model.raw
