"""Schedules in tables worked by hand, and against torch's own schedulers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch.optim import lr_scheduler

from vf.schedules import (
    Constant,
    Cosine,
    Exponential,
    Linear,
    MultiStep,
    OneCycle,
    Poly,
    Schedule,
    Step,
    Warmed,
)
from vf.schema import Duration


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
    (Linear(), {0: 1, 3: 0.7, 9: 0.1, 10: 0}),
    (Linear(end=0.5, warmup=steps(2), warmup_start=0.0, flat=steps(4)), {0: 0.5, 1: 1, 2: 1, 4: 0.75, 6: 0.5, 9: 0.5}),
    (Linear(end=0.5, flat=epochs(9)), {0: 1, 1: 0.5}),
    (MultiStep(milestones=(steps(4), steps(8)), gamma=0.5), {0: 1, 3: 1, 4: 0.5, 7: 0.5, 8: 0.25, 9: 0.25}),
    # milestones count from the start, not from the end of the warm-up
    (MultiStep(milestones=(epochs(1),), warmup=steps(2), warmup_start=0.0), {0: 0.5, 1: 1, 4: 1, 5: 0.1}),
    (MultiStep(milestones=()), {0: 1, 9: 1}),
    (Step(every=steps(3), gamma=0.5), {0: 1, 2: 1, 3: 0.5, 5: 0.5, 6: 0.25, 9: 0.125}),
    (Step(every=epochs(1), warmup=steps(2), warmup_start=0.0), {0: 0.5, 1: 1, 4: 1, 5: 0.1, 9: 0.1, 10: 0.01}),
    (Step(every=epochs(0.5), gamma=0.5), {1: 1, 2: 0.5, 4: 0.5, 5: 0.25, 7: 0.25, 8: 0.125}),  # at 2.5, 5, 7.5
    (Step(every=epochs(0.05), gamma=0.5), {0: 1, 1: 0.5, 2: 0.25}),  # not more often than each step
    (Exponential(gamma=0.25), {0: 1, 5: 0.25, 10: 0.0625}),
    (Exponential(gamma=0.25, every=steps(2)), {0: 1, 1: 0.5, 2: 0.25, 3: 0.125}),
    # counted from the end of the warm-up, so that the peak is reached
    (Exponential(gamma=0.5, every=steps(1), warmup=steps(2), warmup_start=0.0), {0: 0.5, 1: 1, 2: 1, 3: 0.5}),
    (Poly(power=1.0), {0: 1, 3: 0.7, 9: 0.1, 10: 0}),
    (Poly(power=2.0, end=0.2), {0: 1, 2: 0.64, 5: 0.25, 6: 0.2, 9: 0.2}),
    (Poly(power=1.0, warmup=steps(5)), {4: 1, 5: 1, 6: 0.8, 9: 0.2}),
    (Poly(warmup=steps(20), warmup_start=0.0), {0: 0.05, 9: 0.5}),  # a run that ends inside its warm-up
    # the peak is the last step of the rising part: 0.5 * 10 - 1; half-way up (1/4 + 1) / 2
    (OneCycle(start_div=4.0, end_div=5.0, peak_at=0.5), {0: 0.25, 2: 0.625, 4: 1, 9: 0.05, 10: 0.05}),
    (OneCycle(start_div=4.0, end_div=5.0, peak_at=0.5, anneal="linear"), {0: 0.25, 1: 0.4375, 4: 1, 5: 0.81}),
    (OneCycle(start_div=4.0, end_div=1.0, peak_at=1.0, anneal="linear"), {0: 0.25, 3: 0.5, 9: 1}),
]


@pytest.mark.parametrize(("schedule", "table"), TABLES)
def test_schedules(schedule: Schedule, table: dict[int, float]) -> None:
    got = {step: schedule.factor(step, 10, 5) for step in table}
    assert got == pytest.approx(table, abs=1e-6)


@pytest.mark.parametrize("total", [1, 2, 3])
def test_a_cycle_of_a_few_steps_is_still_one(total: int) -> None:
    cycle = OneCycle(momentum=(0.95, 0.85))
    factors = [cycle.factor(step, total, 5) for step in range(total)]
    assert all(0 < factor <= 1 for factor in factors)
    assert factors[-1] == pytest.approx(1 / 25e4)


def torch_rates(make: Callable[[torch.optim.Optimizer], Any], count: int = 20) -> list[float]:
    """Return what a scheduler of torch makes of the learning rate 1, step by step."""
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0, momentum=0.9)
    scheduler = make(optimizer)
    rates = []
    for _ in range(count):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    return rates


@pytest.mark.parametrize(
    ("schedule", "make"),
    [
        (Cosine(end=0.05), lambda o: lr_scheduler.CosineAnnealingLR(o, 20, eta_min=0.05)),
        (
            MultiStep(milestones=(steps(3), epochs(3)), gamma=0.3),
            lambda o: lr_scheduler.MultiStepLR(o, [3, 15], gamma=0.3),
        ),
        (Step(every=epochs(1), gamma=0.5), lambda o: lr_scheduler.StepLR(o, 5, gamma=0.5)),
        (Exponential(gamma=0.9, every=steps(1)), lambda o: lr_scheduler.ExponentialLR(o, 0.9)),
        (Exponential(gamma=0.9**5), lambda o: lr_scheduler.ExponentialLR(o, 0.9)),
        (Poly(power=0.9), lambda o: lr_scheduler.PolynomialLR(o, 20, power=0.9)),
        (Linear(end=0.1, flat=steps(8)), lambda o: lr_scheduler.LinearLR(o, 1.0, 0.1, total_iters=12)),
        (OneCycle(), lambda o: lr_scheduler.OneCycleLR(o, 1.0, 20)),
        (
            OneCycle(start_div=10.0, end_div=100.0, peak_at=0.45, anneal="linear"),
            lambda o: lr_scheduler.OneCycleLR(
                o, 1.0, 20, div_factor=10, final_div_factor=100, pct_start=0.45, anneal_strategy="linear"
            ),
        ),
    ],
)
def test_schedules_are_those_of_torch(schedule: Schedule, make: Any) -> None:
    assert [schedule.factor(step, 20, 5) for step in range(20)] == pytest.approx(torch_rates(make), abs=1e-9)


@pytest.mark.parametrize("anneal", ["cosine", "linear"])
def test_the_momentum_of_a_cycle_is_that_of_torch(anneal: Any) -> None:
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0, momentum=0.9)
    scheduler = lr_scheduler.OneCycleLR(optimizer, 1.0, 20, anneal_strategy={"cosine": "cos"}.get(anneal, anneal))
    expected = []
    for _ in range(20):
        expected.append(optimizer.param_groups[0]["momentum"])
        optimizer.step()
        scheduler.step()
    cycle = OneCycle(momentum=(0.95, 0.85), anneal=anneal)
    assert [cycle.momentum_at(step, 20) for step in range(20)] == pytest.approx(expected)
    assert min(expected) == pytest.approx(0.85)


def test_only_a_cycle_with_momentum_has_one() -> None:
    assert OneCycle().momentum_at(0, 10) is None
    assert Cosine().momentum_at(0, 10) is None


def test_every_choice_has_a_factor_and_a_word() -> None:
    assert list(Schedule.choices()) == [
        "constant",
        "cosine",
        "multistep",
        "poly",
        "step",
        "exponential",
        "linear",
        "onecycle",
    ]
    with pytest.raises(TypeError, match=r"^Schedule has no factor$"):
        Schedule().factor(0, 1, 1)
    with pytest.raises(TypeError, match=r"^Warmed has no factor$"):
        Warmed().factor(0, 1, 1)


@pytest.mark.parametrize("cls", [Step, Exponential])
def test_a_fall_after_nothing_is_refused(cls: Any) -> None:
    with pytest.raises(ValueError, match=r"^must be longer than nothing, got 0 epochs$"):
        cls(every=epochs(0), gamma=0.5)
