"""What a run wrote down as it went: curves, evaluations, the best one, how long it took. Free of torch.

What is damaged is passed over and counted: a line of log.jsonl that a full disk or a kill cut in two must not hide the
others, nor one run of many all of them.
"""

from __future__ import annotations

import json
import math
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import attrs

from vf.errors import ConfigError
from vf.runs import CHECKPOINTS, ENVIRONMENT, FINISHED, LOG, RECIPE
from vf.schema import Duration
from vf.yaml12 import parse_file

Record = Mapping[str, Any]
NOT_VALUES = ("kind", "step", "epoch", "time")
"""Keys of a record that are neither a loss nor a metric."""
STEPS = "step_*"


@attrs.frozen
class Best:
    """The best evaluation of a run."""

    metric: str
    value: float
    step: int


@attrs.frozen(kw_only=True)
class History:
    """What the folder of one run tells, oldest first."""

    folder: Path
    train: tuple[Record, ...] = ()
    """Records of training: ``step``, ``epoch``, ``loss`` and its parts, ``lr``, ``images_per_s``, ``data_wait``."""
    val: tuple[Record, ...] = ()
    """Records of evaluations: ``step``, ``epoch`` and metrics."""
    starts: tuple[Record, ...] = ()
    """Lines of environment.jsonl: one for each time that the run was started or resumed."""
    damaged: int = 0
    """Lines of the log that cannot be read."""
    keys: Mapping[str, Any] = attrs.field(factory=dict)
    """What stands under ``train:`` of the recipe, as far as it can be read."""

    @classmethod
    def read(cls, folder: Path) -> History:
        """Read what is there; a folder without a log has an empty history."""
        records, damaged = _lines(folder / LOG)
        sound = [record for record in records if _is_sound(record)]
        # What a resumed run repeats stands in place of what it wrote before: keys keep the first one's place.
        latest = {(_kind(record), record["step"]): record for record in sound}
        ordered = sorted(latest.values(), key=lambda record: record["step"])
        starts, _ = _lines(folder / ENVIRONMENT)
        return cls(
            folder=folder,
            train=tuple(record for record in ordered if _kind(record) == "train"),
            val=tuple(record for record in ordered if _kind(record) == "val"),
            starts=tuple(start for start in starts if _number(start.get("time")) is not None),
            damaged=damaged + len(records) - len(sound),
            keys=_train_keys(folder / RECIPE),
        )

    @property
    def name(self) -> str:
        """Of the folder."""
        return self.folder.resolve().name

    @property
    def last(self) -> Record:
        """The newest record, an evaluation before the training of its step; empty where there is none."""
        return max((*self.train[-1:], *self.val[-1:]), key=lambda record: record["step"], default={})

    @property
    def step(self) -> int | None:
        """The last step that was logged."""
        return self.last.get("step")

    def metrics(self) -> list[str]:
        """Return the names of what was measured, in the order of the log."""
        return names(self.val)

    def best(self) -> Best | None:
        """Return the best evaluation by ``train.best``, else by the first metric; None where nothing was measured."""
        metric = str(self.keys.get("best") or next(iter(self.metrics()), ""))
        measured = [(value, r["step"]) for r in self.val if (value := _number(r.get(metric))) is not None]
        if not measured:
            return None
        sign = -1 if self.keys.get("best_mode") == "min" else 1
        # Of equals the first counts, which is the one that is kept.
        value, step = max(measured, key=lambda pair: (sign * pair[0], -pair[1]))
        return Best(metric, value, step)

    def at(self, step: int) -> dict[str, float | None]:
        """Return the metrics of the evaluation at a step."""
        record = next((r for r in self.val if r["step"] == step), {})
        return {key: _number(value) for key, value in record.items() if key not in NOT_VALUES}

    def images_per_s(self) -> float | None:
        """Return the median of the throughput of training."""
        rates = [rate for record in self.train if (rate := _number(record.get("images_per_s"))) is not None]
        return statistics.median(rates) if rates else None

    def seconds(self) -> float | None:
        """Return how long the run took, without the time between a stop and the resume that followed.

        None for a run that did not write when it was started.
        """
        begun = [float(start["time"]) for start in self.starts]
        times = [t for record in (*self.train, *self.val) if (t := _number(record.get("time"))) is not None]
        if not begun or not times:
            return None
        ends = (*begun[1:], math.inf)
        return sum(
            max((t for t in times if start <= t < end), default=start) - start
            for start, end in zip(begun, ends, strict=True)
        )

    def state(self) -> str:
        """Return ``finished``, ``can be resumed`` or ``no checkpoint``."""
        if (self.folder / FINISHED).is_file() or _is_over(self.last, self.keys.get("length")):
            return "finished"
        return "can be resumed" if any((self.folder / CHECKPOINTS).glob(STEPS)) else "no checkpoint"


def names(records: Sequence[Record]) -> list[str]:
    """Return the keys of records that are losses, rates or metrics, in the order of the log."""
    return [key for key in dict.fromkeys(key for record in records for key in record) if key not in NOT_VALUES]


def curve(records: Sequence[Record], key: str) -> list[tuple[int, float]]:
    """Return (step, value) of one key, where it is a finite number."""
    return [(record["step"], value) for record in records if (value := _number(record.get(key))) is not None]


def _number(value: object) -> float | None:
    return float(value) if isinstance(value, int | float) and math.isfinite(value) else None


def _is_sound(record: Record) -> bool:
    return type(record.get("step")) is int and _kind(record) in ("train", "val")


def _kind(record: Record) -> Any:
    return record.get("kind", "train")


def _lines(path: Path) -> tuple[list[dict[str, Any]], int]:
    """Return the objects of a file of JSON lines, and how many lines are none."""
    try:
        lines = path.read_text(encoding="utf-8", errors="replace").split("\n")
    except OSError:
        return [], 0
    parsed = [_parsed(line) for line in lines if line.strip()]
    found = [record for record in parsed if record is not None]
    return found, len(parsed) - len(found)


def _parsed(line: str) -> dict[str, Any] | None:
    try:
        record = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return record if isinstance(record, dict) else None


def _train_keys(recipe: Path) -> dict[str, Any]:
    try:
        train = parse_file(recipe).plain().get("train")
    except (ConfigError, AttributeError):
        return {}
    return train if isinstance(train, dict) else {}


def _is_over(last: Record, length: object) -> bool:
    step, epoch = last.get("step"), _number(last.get("epoch"))
    if not isinstance(step, int) or epoch is None or epoch <= 0:
        return False
    try:
        total = Duration.parse(str(length)).steps(step / epoch)
    except ValueError:
        return False
    # The log rounds epochs to four digits, and what is computed from them is off by as much.
    return step >= total * (1 - 5e-5 / epoch)
