"""Schedules in tables worked by hand."""

from __future__ import annotations

from typing import Any

import pytest

from vf.schema import Duration
from vf.training import SGD, AdamW, Constant, Cosine, MultiStep, Optimizer, Poly, Schedule


def steps(count: int) -> Duration:
    return Duration(count, "steps")


def epochs(count: float) -> Duration:
    return Duration(count, "epochs")


# 10 steps in all, 5 steps an epoch: step -> factor.
TABLES: list[tuple[Schedule, dict[int, float]]] = [
    (Constant(), {0: 1, 5: 1, 9: 1}),
    # rises by a quarter of (1 - 0.2) a step, and is whole at the last step of the warm-up
    (Constant(warmup=steps(4), warmup_start=0.2), {0: 0.4, 1: 0.6, 2: 0.8, 3: 1, 4: 1}),
    (Constant(warmup=steps(4), warmup_start=0.0, warmup_power=2.0), {0: 1 / 16, 1: 4 / 16, 2: 9 / 16, 3: 1}),
    (Constant(warmup=epochs(0.4), warmup_start=0.0), {0: 0.5, 1: 1, 2: 1}),
    (Cosine(end=0.0), {0: 1, 5: 0.5, 9: 0.0244717}),  # 9: (1 + cos(162 degrees)) / 2
    (Cosine(end=0.2), {0: 1, 5: 0.6, 10: 0.2}),
    (Cosine(end=0.0, warmup=steps(2), warmup_start=0.0), {0: 0.5, 1: 1, 2: 1, 6: 0.5}),
    (Cosine(end=0.1, flat=steps(2)), {0: 1, 4: 0.55, 8: 0.1, 9: 0.1}),
    (Cosine(end=0.1, flat=steps(20)), {0: 1, 1: 0.1, 9: 0.1}),  # flat longer than the run
    (MultiStep(milestones=(steps(4), steps(8)), gamma=0.5), {0: 1, 3: 1, 4: 0.5, 7: 0.5, 8: 0.25, 9: 0.25}),
    # milestones count from the start, not from the end of the warm-up
    (MultiStep(milestones=(epochs(1),), warmup=steps(2), warmup_start=0.0), {0: 0.5, 1: 1, 4: 1, 5: 0.1}),
    (MultiStep(milestones=()), {0: 1, 9: 1}),
    (Poly(power=1.0), {0: 1, 3: 0.7, 9: 0.1, 10: 0}),
    (Poly(power=2.0, end=0.2), {0: 1, 2: 0.64, 5: 0.25, 6: 0.2, 9: 0.2}),
    (Poly(power=1.0, warmup=steps(5)), {4: 1, 5: 1, 6: 0.8, 9: 0.2}),
    (Poly(warmup=steps(20), warmup_start=0.0), {0: 0.05, 9: 0.5}),  # a run that ends inside its warm-up
]


@pytest.mark.parametrize(("schedule", "table"), TABLES)
def test_schedules(schedule: Schedule, table: dict[int, float]) -> None:
    got = {step: schedule.factor(step, 10, 5) for step in table}
    assert got == pytest.approx(table, abs=1e-6)


def test_every_choice_has_a_factor_and_a_word() -> None:
    assert list(Schedule.choices()) == ["constant", "cosine", "multistep", "poly"]
    assert list(Optimizer.choices()) == ["sgd", "adamw"]
    with pytest.raises(TypeError, match=r"^Schedule has no factor$"):
        Schedule().factor(0, 1, 1)
    with pytest.raises(TypeError, match=r"^Optimizer does not build an optimizer$"):
        Optimizer().build([])


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        (SGD(lr=0.1, momentum=0.8, nesterov=True), {"lr": 0.1, "momentum": 0.8, "nesterov": True}),
        (AdamW(lr=0.1, betas=(0.8, 0.9), eps=1e-6), {"lr": 0.1, "betas": (0.8, 0.9), "eps": 1e-6}),
    ],
)
def test_optimizers_pass_their_keys_on(config: Any, expected: dict[str, Any]) -> None:
    import torch

    parameter = torch.nn.Parameter(torch.zeros(1))
    (group,) = config.build([{"params": [parameter], "weight_decay": 0.25}]).param_groups
    assert {key: group[key] for key in expected} == expected
    assert group["weight_decay"] == 0.25
