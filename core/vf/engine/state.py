"""What the loop knows while it runs; callbacks read and steer by it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs
import torch
from torch import Tensor, nn

from vf.engine.precision import Precision
from vf.engine.ranks import Ranks
from vf.errors import ConfigError
from vf.protocols import DatasetInfo
from vf.recipes import Resolved

if TYPE_CHECKING:
    from vf.data.sample import Batch


def _silent(text: str) -> None:
    """Say nothing: what a state that no console stands behind does."""


@attrs.define(kw_only=True)
class State:
    """Counters and live objects of one training."""

    resolved: Resolved
    folder: Path
    info: DatasetInfo
    model: nn.Module
    optimizer: torch.optim.Optimizer
    precision: Precision
    total_steps: int
    steps_per_epoch: float
    step: int = 0
    """Optimizer steps done."""
    lr: float = 0.0
    losses: dict[str, Tensor] = attrs.field(factory=dict)
    """Of the last step, scalars on the device, without their graph."""
    grad_norm: Tensor | None = None
    batch: Batch | None = None
    """The last (micro-)batch, for messages about it."""
    data_wait: float = 0.0
    """Seconds that the last step waited for its batch."""
    averaged: nn.Module | None = None
    """The weights to evaluate and save, where a callback keeps an average."""
    averager: str = ""
    """The callback that sets ``averaged``, now or later; see :meth:`claim_average`."""
    train_batches: Callable[[int], Iterable[Batch]] | None = None
    """N -> the first N batches of a pass over the training data, without transforms that mix; always the same."""
    eval_batches: Callable[[], Iterable[Batch]] | None = None
    """The batches of an evaluation, in order, on the CPU."""
    say: Callable[[str], None] = _silent
    """Write a line for the user."""
    metrics: dict[str, float | None] = attrs.field(factory=dict)
    """Of the last evaluation."""
    tables: dict[str, list[tuple[str, float | None]]] = attrs.field(factory=dict)
    """Rows of the last evaluation for people, by metric."""
    best_value: float | None = None
    best_step: int | None = None
    stop: str = ""
    """Reason to stop at this step boundary; empty: go on."""
    exit_code: int = 0
    """Of the process, where a signal was the reason."""
    owes_evaluation: bool = False
    """Whether a signal came between the last step and its evaluation."""
    ranks: Ranks = attrs.field(factory=Ranks)
    forward: Callable[..., Any] = attrs.Factory(lambda self: self.model, takes_self=True)
    """What a step calls instead of the model: wrapped for many processes, compiled."""
    batch_transforms: tuple[Callable[..., Batch], ...] = ()
    """What a batch goes through on the device, until the final phase."""
    phase: str = "building"
    """What is being done, for messages."""
    beat: float = attrs.field(factory=time.monotonic)
    """When something was done last; see vf.engine.watchdog."""

    def enter(self, phase: str) -> None:
        """Note what is done from now on, as a sign of life."""
        self.phase, self.beat = phase, time.monotonic()

    @property
    def final_from(self) -> int:
        """The step with which ``train.final`` begins."""
        return self.total_steps - self.resolved.recipe.train.final.steps(self.steps_per_epoch)

    @property
    def epoch(self) -> float:
        """Epochs done, with the part of the current one."""
        return self.step / self.steps_per_epoch

    @property
    def eval_model(self) -> nn.Module:
        """The weights that are evaluated and saved."""
        return self.averaged if self.averaged is not None else self.model

    def claim_average(self, name: str) -> None:
        """Reserve ``averaged`` for the callback ``name``; ConfigError where another one has it."""
        if self.averager:
            raise ConfigError(
                f"callbacks: {self.averager} and {name} both choose the weights that are evaluated; keep one of them"
            )
        self.averager = name

    def judge(self, key: str) -> bool:
        """Take the value of metric ``key`` of the last evaluation; True where it is a new best."""
        value = self.metrics.get(key)
        if value is None:
            return False
        sign = -1 if self.resolved.recipe.train.best_mode == "min" else 1
        if self.best_value is not None and sign * value <= sign * self.best_value:
            return False
        self.best_value, self.best_step = value, self.step
        return True


def best_key(wanted: str, metrics: Mapping[str, float | None]) -> str:
    """Return the name of the metric that chooses the best checkpoint; ``""`` where there is none."""
    return wanted or next(iter(metrics), "")
