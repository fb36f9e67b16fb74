"""How a config class is written: frozen attrs classes whose fields carry default, validator, unit and help."""

from __future__ import annotations

import re
from collections.abc import Callable
from decimal import Decimal
from typing import Any, Literal, TypeVar, dataclass_transform

import attrs

T = TypeVar("T")
Validator = Callable[[Any, "attrs.Attribute[Any]", Any], None]


def field(
    default: Any = attrs.NOTHING,
    *,
    help: str,
    unit: str = "",
    validator: Validator | None = None,
    stays: bool = False,
) -> Any:
    """Declare one key of a config class.

    Args:
        default: the only default that exists; a key without one is required. A list or dict is not allowed.
        help: one line for ``vf explain``.
        unit: of the value, for example ``px``; shown by ``vf explain``.
        validator: from this file (:func:`positive`, :func:`within` …) or any attrs validator that raises
            ValueError with a sentence of the form "must be > 0, got -1".
        stays: of a data set: what a recipe says here counts for the folder of ``--data`` too, where its format has the
            key. What is true or false always stays.
    """
    if validator is not None:
        validator = attrs.validators.optional(validator)  # whether nothing is allowed is a matter of the type
    return attrs.field(default=default, validator=validator, metadata={"help": help, "unit": unit, "stays": stays})


@dataclass_transform(frozen_default=True, kw_only_default=True, field_specifiers=(field, attrs.field))
def config(cls: type[T]) -> type[T]:
    """Make a config class: frozen, keyword-only, without a type conversion behind the user's back."""
    # There are hundreds, made at each start: what attrs would compile for each is written once, below.
    made = attrs.frozen(cls, kw_only=True, eq=False, repr=False)
    made.__eq__, made.__hash__, made.__repr__ = _same, _hash, _repr  # type: ignore[method-assign]
    return made


def _values(config: Any) -> tuple[Any, ...]:
    return tuple(getattr(config, attribute.name) for attribute in attrs.fields(type(config)))


def _same(self: Any, other: object) -> bool:
    return _values(self) == _values(other) if type(other) is type(self) else NotImplemented


def _hash(self: Any) -> int:
    return hash((type(self), _values(self)))


def _repr(self: Any) -> str:
    names = (attribute.name for attribute in attrs.fields(type(self)))
    return f"{type(self).__name__}({', '.join(f'{n}={v!r}' for n, v in zip(names, _values(self), strict=True))})"


def changed(config: T, **values: Any) -> T:
    """Return a config with other values of some keys."""
    other: T = attrs.evolve(config, **values)  # type: ignore[misc]
    return other


def _rule(holds: Callable[[Any], bool], sentence: str) -> Validator:
    def validate(instance: Any, attribute: attrs.Attribute[Any], value: Any) -> None:
        if not holds(value):
            raise ValueError(f"must be {sentence}, got {value!r}")

    return validate


def positive() -> Validator:
    """Accept numbers > 0."""
    return _rule(lambda v: v > 0, "> 0")


def at_least(low: float) -> Validator:
    """Accept numbers >= ``low``."""
    return _rule(lambda v: v >= low, f">= {low:g}")


def within(low: float, high: float) -> Validator:
    """Accept numbers from ``low`` to ``high``, both included."""
    return _rule(lambda v: low <= v <= high, f"from {low:g} to {high:g}")


def each(rule: Validator, *, length: int | None = None) -> Validator:
    """Apply ``rule`` to every item of a list, which has ``length`` items where that is given."""

    def validate(instance: Any, attribute: attrs.Attribute[Any], value: Any) -> None:
        if length is not None and len(value) != length:
            raise ValueError(f"must have {length} items, got {len(value)}")
        for item in value:
            rule(instance, attribute, item)

    return validate


_DURATION = re.compile(r"\s*(\d+(?:\.\d+)?)\s+(epoch|step)s?\s*")


@attrs.frozen
class Duration:
    """A length of training with its unit: ``"300 epochs"`` or ``"9000 steps"``."""

    amount: float
    unit: Literal["epochs", "steps"]

    @classmethod
    def parse(cls, text: str) -> Duration:
        """Read ``"<number> epochs"`` or ``"<number> steps"``; ValueError says what came instead."""
        match = _DURATION.fullmatch(text)
        if match is None:
            raise ValueError(f"expected a number with its unit like '12 epochs' or '9000 steps', got {text!r}")
        amount = float(match[1])
        if match[2] == "step" and not amount.is_integer():
            raise ValueError(f"expected a whole number of steps, got {text!r}")
        return cls(amount, "epochs" if match[2] == "epoch" else "steps")

    def steps(self, steps_per_epoch: float) -> int:
        """Convert to optimizer steps; at least one, unless the duration is zero."""
        if self.amount == 0:
            return 0
        exact = self.amount * (steps_per_epoch if self.unit == "epochs" else 1)
        return max(1, round(exact))

    def due(self, step: int, steps_per_epoch: float) -> bool:
        """Whether a whole number of these lengths ends at optimizer step ``step``; a length of zero never does."""
        exact = self.amount * (steps_per_epoch if self.unit == "epochs" else 1)
        return exact > 0 and round(round(step / max(exact, 1.0)) * max(exact, 1.0)) == step

    def __str__(self) -> str:
        number = f"{Decimal(repr(float(self.amount))):f}".removesuffix(".0")  # exact, and never 1e+06
        return f"{number} {self.unit if self.amount != 1 else self.unit[:-1]}"


NEVER = Duration(0, "steps")
