"""What ``train.schedule`` and ``train.momentum_schedule`` choose from: factors that are pure functions of the step.

Nothing here remembers anything, so a run that resumes at a step goes on with exactly the rate of that step.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from vf.schema import NEVER, Duration, at_least, config, each, field, positive, within

if TYPE_CHECKING:
    import attrs


def _longer_than_nothing(instance: Any, attribute: attrs.Attribute[Any], value: Duration) -> None:
    if value.amount <= 0:
        raise ValueError(f"must be longer than nothing, got {value}")


@config
class Schedule:
    """What ``train.schedule`` chooses from by ``name``: a factor on every learning rate, a function of the step."""

    noun: ClassVar = "schedule"

    @staticmethod
    def choices() -> Mapping[str, type[Any]]:
        """Name -> config class."""
        listed = (Constant, Cosine, MultiStep, Poly, Step, Exponential, Linear, OneCycle)
        return {cls.__name__.lower(): cls for cls in listed}

    def factor(self, step: int, total: int, steps_per_epoch: float) -> float:
        """Return the factor for the optimizer step with index ``step`` (from 0) of ``total``."""
        raise TypeError(f"{type(self).__name__} has no factor")

    def momentum_at(self, step: int, total: int) -> float | None:
        """Return the momentum that goes with the factor of ``step``; None: the schedule leaves it alone."""
        return None


@config
class Warmed(Schedule):
    """A schedule with a warm-up before it."""

    warmup: Duration = field(default=NEVER, help="length of the rise from warmup_start to 1")
    warmup_start: float = field(default=0.001, help="factor at the first step of the warm-up", validator=within(0, 1))
    warmup_power: float = field(default=1.0, help="shape of the rise: 1 linear, 2 quadratic", validator=positive())

    def factor(self, step: int, total: int, steps_per_epoch: float) -> float:
        """Return the factor for the optimizer step with index ``step`` (from 0) of ``total``."""
        warmup = self.warmup.steps(steps_per_epoch)
        if step < warmup:
            rise: float = ((step + 1) / warmup) ** self.warmup_power
            return self.warmup_start + (1 - self.warmup_start) * rise
        return self.after_warmup(step - warmup, max(1, total - warmup), steps_per_epoch, warmup)

    def after_warmup(self, step: int, total: int, steps_per_epoch: float, offset: int) -> float:
        """Return the factor ``step`` steps after the warm-up, which took ``offset``, of ``total`` that are left."""
        raise TypeError(f"{type(self).__name__} has no factor")


@config
class Constant(Warmed):
    """The peak learning rate all the way."""

    def after_warmup(self, step: int, total: int, steps_per_epoch: float, offset: int) -> float:
        return 1.0


@config
class Cosine(Warmed):
    """Half a cosine from 1 down to ``end`` (arXiv 1608.03983 without restarts), then flat."""

    end: float = field(default=0.05, help="factor at the end", validator=within(0, 1))
    flat: Duration = field(default=NEVER, help="length of the flat piece at the end")

    def after_warmup(self, step: int, total: int, steps_per_epoch: float, offset: int) -> float:
        fall = max(1, total - self.flat.steps(steps_per_epoch))
        progress = min(1.0, step / fall)
        return self.end + (1 - self.end) * 0.5 * (1 + math.cos(math.pi * progress))


@config
class Linear(Warmed):
    """A straight line from 1 down to ``end``, then flat."""

    end: float = field(default=0.0, help="factor at the end", validator=within(0, 1))
    flat: Duration = field(default=NEVER, help="length of the flat piece at the end")

    def after_warmup(self, step: int, total: int, steps_per_epoch: float, offset: int) -> float:
        fall = max(1, total - self.flat.steps(steps_per_epoch))
        return 1 + (self.end - 1) * min(1.0, step / fall)


@config
class Poly(Warmed):
    """(1 - progress) ** power, not below ``end``."""

    power: float = field(default=0.9, help="exponent", validator=positive())
    end: float = field(default=0.0, help="smallest factor", validator=within(0, 1))

    def after_warmup(self, step: int, total: int, steps_per_epoch: float, offset: int) -> float:
        return float(max(self.end, (1 - min(1.0, step / total)) ** self.power))


@config
class MultiStep(Warmed):
    """Multiply by ``gamma`` at each milestone, counted from the start of the training."""

    milestones: tuple[Duration, ...] = field(help="when to fall, as lengths from the start")
    gamma: float = field(default=0.1, help="factor of each fall", validator=within(0, 1))

    def after_warmup(self, step: int, total: int, steps_per_epoch: float, offset: int) -> float:
        passed = sum(step + offset >= m.steps(steps_per_epoch) for m in self.milestones)
        factor: float = self.gamma**passed
        return factor


@config
class Step(Warmed):
    """Multiply by ``gamma`` after each ``every``, counted from the start of the training."""

    every: Duration = field(help="distance between two falls", validator=_longer_than_nothing)
    gamma: float = field(default=0.1, help="factor of each fall", validator=within(0, 1))

    def after_warmup(self, step: int, total: int, steps_per_epoch: float, offset: int) -> float:
        every, now = max(1.0, _exact(self.every, steps_per_epoch)), step + offset
        passed = int(now / every)
        passed += round((passed + 1) * every) <= now  # an epoch of 2.5 steps ends at step 2, as evaluations see it
        factor: float = self.gamma**passed
        return factor


@config
class Exponential(Warmed):
    """Fall smoothly, by ``gamma`` over each ``every``, from the end of the warm-up on; ``step`` falls in stairs."""

    gamma: float = field(help="factor over one length of every", validator=within(0, 1))
    every: Duration = field(
        default=Duration(1, "epochs"), help="length over which it falls by gamma", validator=_longer_than_nothing
    )

    def after_warmup(self, step: int, total: int, steps_per_epoch: float, offset: int) -> float:
        factor: float = self.gamma ** (step / _exact(self.every, steps_per_epoch))
        return factor


@config
class OneCycle(Schedule):
    """Up to the peak, then down far below the start, with momentum the other way round (arXiv 1708.07120).

    The rise is the warm-up, so there are no keys for another one. Two phases, as in fastai and torch.
    """

    peak_at: float = field(default=0.3, help="part of the training that rises", validator=within(0, 1))
    start_div: float = field(default=25.0, help="the first factor is 1 / start_div", validator=at_least(1))
    end_div: float = field(default=1e4, help="the last factor is 1 / (start_div * end_div)", validator=at_least(1))
    anneal: Literal["cosine", "linear"] = field(default="cosine", help="shape of the two pieces")
    momentum: tuple[float, float] | None = field(
        default=None,
        help="momentum (beta1) at both ends and at the peak, like [0.95, 0.85]; nothing: the optimizer's own",
        validator=each(within(0.001, 0.999)),
    )

    def factor(self, step: int, total: int, steps_per_epoch: float) -> float:
        """Return the factor for the optimizer step with index ``step`` (from 0) of ``total``."""
        low = 1 / self.start_div
        return self._through((low, 1.0, low / self.end_div), step, total)

    def momentum_at(self, step: int, total: int) -> float | None:
        """Return the momentum of ``step``: from its high value to the low one at the peak, and back."""
        if self.momentum is None:
            return None
        high, low = self.momentum
        return self._through((high, low, high), step, total)

    def _through(self, values: Sequence[float], step: int, total: int) -> float:
        """Go through three values: at the first step, at the peak and at the last step."""
        at = (0.0, self.peak_at * total - 1, total - 1.0)
        for (x0, y0), (x1, y1) in itertools.pairwise(zip(at, values, strict=True)):
            if x0 < x1 and step <= x1:
                part = (step - x0) / (x1 - x0)
                bent = part if self.anneal == "linear" else (1 - math.cos(math.pi * part)) / 2
                return y0 + (y1 - y0) * bent
        return values[-1]


def _exact(length: Duration, steps_per_epoch: float) -> float:
    return length.amount * (steps_per_epoch if length.unit == "epochs" else 1)
