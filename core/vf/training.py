"""The keys under ``train:`` and ``loader:``, with the optimizers and schedules that they choose from."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from vf.schema import NEVER, Duration, at_least, config, each, field, positive, within

if TYPE_CHECKING:
    import torch


class Optimizer:
    """What ``train.optimizer`` chooses from by ``name``."""

    noun: ClassVar = "optimizer"
    lr: float
    weight_decay: float
    decay_norm_and_bias: bool

    @staticmethod
    def choices() -> Mapping[str, type[Any]]:
        """Name -> config class."""
        return {"sgd": SGD, "adamw": AdamW}

    def build(self, groups: list[dict[str, Any]]) -> torch.optim.Optimizer:
        """Make the torch optimizer for parameter groups."""
        raise TypeError(f"{type(self).__name__} does not build an optimizer")


@config
class SGD(Optimizer):
    """Stochastic gradient descent with momentum."""

    lr: float = field(help="peak learning rate for the global batch size", validator=positive())
    momentum: float = field(default=0.9, help="of the velocity", validator=within(0, 1))
    nesterov: bool = field(default=False, help="look ahead along the velocity")
    weight_decay: float = field(default=0.0, help="L2 decay of convolution and linear weights", validator=at_least(0))
    decay_norm_and_bias: bool = field(default=False, help="decay norms and biases too")

    def build(self, groups: list[dict[str, Any]]) -> torch.optim.Optimizer:
        import torch

        return torch.optim.SGD(groups, lr=self.lr, momentum=self.momentum, nesterov=self.nesterov, foreach=True)


@config
class AdamW(Optimizer):
    """Adam with decoupled weight decay (arXiv 1711.05101)."""

    lr: float = field(help="peak learning rate for the global batch size", validator=positive())
    betas: tuple[float, float] = field(default=(0.9, 0.999), help="of the two moments", validator=each(within(0, 1)))
    eps: float = field(default=1e-8, help="added to the denominator", validator=positive())
    weight_decay: float = field(default=0.01, help="decay of convolution and linear weights", validator=at_least(0))
    decay_norm_and_bias: bool = field(default=False, help="decay norms and biases too")

    def build(self, groups: list[dict[str, Any]]) -> torch.optim.Optimizer:
        import torch

        return torch.optim.AdamW(groups, lr=self.lr, betas=self.betas, eps=self.eps, foreach=True)


@config
class Schedule:
    """What ``train.schedule`` chooses from by ``name``: a factor on every learning rate, a function of the step."""

    noun: ClassVar = "schedule"

    warmup: Duration = field(default=NEVER, help="length of the rise from warmup_start to 1")
    warmup_start: float = field(default=0.001, help="factor at the first step of the warm-up", validator=within(0, 1))
    warmup_power: float = field(default=1.0, help="shape of the rise: 1 linear, 2 quadratic", validator=positive())

    @staticmethod
    def choices() -> Mapping[str, type[Any]]:
        """Name -> config class."""
        return {"constant": Constant, "cosine": Cosine, "multistep": MultiStep, "poly": Poly}

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
class Constant(Schedule):
    """The peak learning rate all the way."""

    def after_warmup(self, step: int, total: int, steps_per_epoch: float, offset: int) -> float:
        return 1.0


@config
class Cosine(Schedule):
    """Half a cosine from 1 down to ``end`` (arXiv 1608.03983 without restarts), then flat."""

    end: float = field(default=0.05, help="factor at the end", validator=within(0, 1))
    flat: Duration = field(default=NEVER, help="length of the flat piece at the end")

    def after_warmup(self, step: int, total: int, steps_per_epoch: float, offset: int) -> float:
        fall = max(1, total - self.flat.steps(steps_per_epoch))
        progress = min(1.0, step / fall)
        return self.end + (1 - self.end) * 0.5 * (1 + math.cos(math.pi * progress))


@config
class MultiStep(Schedule):
    """Multiply by ``gamma`` at each milestone, counted from the start of the training."""

    milestones: tuple[Duration, ...] = field(help="when to fall, as lengths from the start")
    gamma: float = field(default=0.1, help="factor of each fall", validator=within(0, 1))

    def after_warmup(self, step: int, total: int, steps_per_epoch: float, offset: int) -> float:
        passed = sum(step + offset >= m.steps(steps_per_epoch) for m in self.milestones)
        factor: float = self.gamma**passed
        return factor


@config
class Poly(Schedule):
    """(1 - progress) ** power, not below ``end``."""

    power: float = field(default=0.9, help="exponent", validator=positive())
    end: float = field(default=0.0, help="smallest factor", validator=within(0, 1))

    def after_warmup(self, step: int, total: int, steps_per_epoch: float, offset: int) -> float:
        return float(max(self.end, (1 - min(1.0, step / total)) ** self.power))


@config
class Train:
    """How to train: everything of the loop that does not depend on the task."""

    length: Duration = field(help="of the whole training, like '300 epochs' or '9000 steps'")
    batch_size: int = field(help="global: over all processes and accumulation", unit="images", validator=positive())
    optimizer: Optimizer = field(help="sgd or adamw, with its options")
    schedule: Schedule = field(default=Constant(), help="constant, cosine, multistep or poly, with its options")
    accumulate: int = field(default=1, help="split a batch into so many passes", validator=positive())
    clip_grad: float | None = field(
        default=None, help="largest norm of the gradient; nothing: no limit", validator=positive()
    )
    precision: Literal["auto", "fp32", "bf16", "fp16"] = field(
        default="auto", help="of the forward pass; auto: bf16 or fp16 on a GPU that has it, else fp32"
    )
    channels_last: bool = field(default=True, help="memory layout NHWC, faster for convolutions")
    device: str = field(default="auto", help="auto, cpu, cuda or cuda:N")
    final: Duration = field(default=NEVER, help="at the end, without transforms that mix images (mosaic, mixup)")
    eval_every: Duration = field(
        default=Duration(1, "epochs"), help="distance between evaluations; 0 steps: only at the end"
    )
    save_every: Duration = field(
        default=Duration(1, "epochs"), help="distance between checkpoints; 0 steps: only at the end"
    )
    keep: int = field(default=2, help="newest checkpoints to keep; the best one is kept besides", validator=at_least(1))
    best: str = field(
        default="", help="metric that chooses the best checkpoint, larger is better; empty: the first one"
    )
    log_every: int = field(default=20, help="distance between lines of log.jsonl", unit="steps", validator=positive())
    seed: int = field(default=0, help="of weights, order and augmentation", validator=at_least(0))


@config
class Loader:
    """How samples reach the loop."""

    workers: int = field(
        default=2,
        help="processes that decode and augment, at most one per core; 0: in the training process",
        validator=at_least(0),
    )
    prefetch: int = field(default=2, help="batches that each worker prepares ahead", validator=positive())
    eval_batch_size: int = field(default=16, help="of test and validation", unit="images", validator=positive())
