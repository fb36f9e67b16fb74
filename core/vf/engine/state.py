"""What the loop knows while it runs; callbacks read and steer by it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import attrs
import torch
from torch import Tensor, nn

from vf.engine.precision import Precision
from vf.protocols import DatasetInfo
from vf.recipes import Resolved

if TYPE_CHECKING:
    from vf.data.sample import Batch


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
    metrics: dict[str, float | None] = attrs.field(factory=dict)
    """Of the last evaluation."""
    tables: dict[str, list[tuple[str, float | None]]] = attrs.field(factory=dict)
    """Rows of the last evaluation for people, by metric."""
    best_value: float | None = None
    best_step: int | None = None
    stop: str = ""
    """Reason to stop at this step boundary; empty: go on."""

    @property
    def epoch(self) -> float:
        """Epochs done, with the part of the current one."""
        return self.step / self.steps_per_epoch

    @property
    def eval_model(self) -> nn.Module:
        """The weights that are evaluated and saved."""
        return self.averaged if self.averaged is not None else self.model

    def judge(self, key: str) -> bool:
        """Take the value of metric ``key`` of the last evaluation; True where it is a new best."""
        value = self.metrics.get(key)
        if value is None or (self.best_value is not None and value <= self.best_value):
            return False
        self.best_value, self.best_step = value, self.step
        return True


def best_key(wanted: str, metrics: Mapping[str, float | None]) -> str:
    """Return the name of the metric that chooses the best checkpoint; ``""`` where there is none."""
    return wanted or next(iter(metrics), "")
