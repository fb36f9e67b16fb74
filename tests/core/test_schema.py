"""Validators and durations."""

from __future__ import annotations

from typing import Any

import attrs
import pytest

import vf
from vf.schema import Duration


@pytest.mark.parametrize(
    ("rule", "good", "bad", "sentence"),
    [
        (vf.positive(), [1, 0.1], 0, "must be > 0, got 0"),
        (vf.at_least(1), [1, 2], 0, "must be >= 1, got 0"),
        (vf.at_least(0.5), [0.5], 0.25, "must be >= 0.5, got 0.25"),
        (vf.within(0, 1), [0, 0.5, 1], 1.5, "must be from 0 to 1, got 1.5"),
        (vf.within(0, 1), [], float("nan"), "must be from 0 to 1, got nan"),
        (vf.each(vf.positive()), [[], [1, 2]], [1, -1], "must be > 0, got -1"),
        (vf.each(vf.positive(), length=2), [[1, 2]], [1], "must have 2 items, got 1"),
    ],
)
def test_validators(rule: Any, good: list[Any], bad: Any, sentence: str) -> None:
    for value in good:
        rule(None, None, value)
    with pytest.raises(ValueError, match=f"^{sentence}$"):
        rule(None, None, bad)


@pytest.mark.parametrize(
    ("text", "amount", "unit", "written"),
    [
        ("12 epochs", 12, "epochs", "12 epochs"),
        ("1 epoch", 1, "epochs", "1 epoch"),
        ("0.5 epochs", 0.5, "epochs", "0.5 epochs"),
        ("9000 steps", 9000, "steps", "9000 steps"),
        (" 1 step ", 1, "steps", "1 step"),
        ("0 steps", 0, "steps", "0 steps"),
        ("1234567 steps", 1234567, "steps", "1234567 steps"),
        ("0.333333333333 epochs", 0.333333333333, "epochs", "0.333333333333 epochs"),
        ("0.00000001 epochs", 1e-8, "epochs", "0.00000001 epochs"),
        ("12345678 steps", 12345678, "steps", "12345678 steps"),
    ],
)
def test_durations_are_read_and_written(text: str, amount: float, unit: str, written: str) -> None:
    duration = Duration.parse(text)
    assert (duration.amount, duration.unit, str(duration)) == (amount, unit, written)
    assert Duration.parse(str(duration)) == duration


@pytest.mark.parametrize("text", ["12", "epochs", "12epochs", "-1 epochs", "12 hours", "1e3 steps", ""])
def test_durations_without_number_and_unit(text: str) -> None:
    with pytest.raises(
        ValueError, match=r"^expected a number with its unit like '12 epochs' or '9000 steps', got "
    ) as e:
        Duration.parse(text)
    assert repr(text) in str(e.value)


def test_half_a_step() -> None:
    with pytest.raises(ValueError, match=r"^expected a whole number of steps, got '0.5 steps'$"):
        Duration.parse("0.5 steps")


@pytest.mark.parametrize(
    ("text", "steps_per_epoch", "steps"),
    [("0 epochs", 10, 0), ("2 epochs", 10, 20), ("0.5 epochs", 3, 2), ("0.01 epochs", 3, 1), ("7 steps", 10, 7)],
)
def test_durations_in_steps(text: str, steps_per_epoch: float, steps: int) -> None:
    assert Duration.parse(text).steps(steps_per_epoch) == steps


def test_configs_are_frozen_and_keyword_only() -> None:
    @vf.config
    class Thing:
        size: int = vf.field(default=1, help="of it", unit="px")

    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        Thing().size = 2  # type: ignore[misc]
    with pytest.raises(TypeError):
        Thing(3)  # type: ignore[misc]
    assert repr(Thing(size=2)).endswith("Thing(size=2)")
    assert Thing() == Thing(size=1) != Thing(size=2)
    assert len({Thing(), Thing(size=1), Thing(size=2)}) == 2
    assert attrs.fields(Thing).size.metadata == {"help": "of it", "unit": "px", "stays": False}  # type: ignore[arg-type,misc]


@pytest.mark.parametrize(
    ("text", "steps_per_epoch", "expected"),
    [
        ("3 steps", 2.5, [3, 6, 9]),
        ("1 epochs", 2.5, [2, 5, 8, 10]),  # 2.5, 5, 7.5, 10; halves go to the even step
        ("2 epochs", 2.5, [5, 10]),
        ("10 epochs", 0.9, [9]),
        ("1 epochs", 0.4, [*range(1, 11)]),  # shorter than a step
        ("0 steps", 2.5, []),
    ],
)
def test_when_a_length_is_due(text: str, steps_per_epoch: float, expected: list[int]) -> None:
    length = Duration.parse(text)
    assert [step for step in range(1, 11) if length.due(step, steps_per_epoch)] == expected
