"""The keys under ``train:`` and ``loader:``."""

from __future__ import annotations

from typing import Literal

from vf.optimizers import Optimizer
from vf.samplers import Sampler, Shuffle
from vf.schedules import Constant, Schedule
from vf.schema import NEVER, Duration, at_least, config, field, positive

__all__ = ["Loader", "Optimizer", "Sampler", "Schedule", "Train"]


@config
class Train:
    """How to train: everything of the loop that does not depend on the task."""

    length: Duration = field(help="of the whole training, like '300 epochs' or '9000 steps'")
    batch_size: int = field(help="global: over all processes and accumulation", unit="images", validator=positive())
    optimizer: Optimizer = field(
        help="one of torch.optim by its name in lower case, like sgd or adamw, with its options"
    )
    schedule: Schedule = field(
        default=Constant(), help="of the learning rate: constant, cosine, multistep, onecycle …, with its options"
    )
    momentum_schedule: Schedule | None = field(
        default=None, help="factor on momentum (beta1), chosen like schedule; nothing: it stays as it is"
    )
    auto_scale_lr: int | None = field(
        default=None,
        help="batch size that lr was tuned for: lr is multiplied by batch_size / auto_scale_lr; nothing: lr as it is",
        unit="images",
        validator=positive(),
    )
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
    best_mode: Literal["max", "min"] = field(
        default="max", help="whether a larger or a smaller value of best is better"
    )
    save_minutes: float | None = field(
        default=None,
        help="save also when this time has passed since the last checkpoint",
        unit="min",
        validator=positive(),
    )
    strategy: Literal["ddp", "fsdp"] = field(
        default="ddp", help="of many processes; ddp: each holds the model; fsdp: weights and optimizer are sharded"
    )
    sync_batchnorm: bool = field(default=False, help="batch norm over the images of all processes")
    compile: bool = field(default=False, help="torch.compile the forward pass")
    checkpoint_activations: tuple[str, ...] = field(
        default=(), help="modules that compute their activations again instead of keeping them, as globs of names"
    )
    tf32: bool = field(default=True, help="let float32 products of a GPU use TF32")
    deterministic: bool = field(
        default=False, help="only algorithms that give the same bits each time; slower on a GPU"
    )
    stall_timeout: float = field(
        default=1800.0, help="end a process that makes no progress for so long", unit="s", validator=positive()
    )
    init_from: str = field(default="", help="start from the weights of this file, run or http(s) address")
    allow_partial: bool = field(default=False, help="let init_from fill less than half of the model")

    def __attrs_post_init__(self) -> None:
        own, other = self.schedule.momentum_at(0, 1) is not None, self.momentum_schedule
        momentum, name = self.optimizer.base_momentum(), type(self.optimizer).__name__.lower()
        if own and other is not None:
            raise ValueError("schedule.momentum and momentum_schedule both set the momentum; leave one of them out")
        if other is not None and other.momentum_at(0, 1) is not None:
            raise ValueError(
                "momentum_schedule.momentum: a momentum_schedule is a factor; set schedule.momentum instead"
            )
        if own and momentum is None:
            raise ValueError(f"schedule.momentum: {name} has no momentum; leave it out or take another optimizer")
        if other is not None and not momentum:
            raise ValueError(f"momentum_schedule: {name} has no momentum here; set one or leave the schedule out")
        if self.strategy == "fsdp" and not self.optimizer.steps_shards:
            raise ValueError(f"strategy: {name} cannot step sharded weights; take ddp or another optimizer")


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
    on_error: Literal["stop", "skip"] = field(
        default="stop", help="at an image that cannot be read; skip: train on another one instead, and list it"
    )
    sampler: Sampler = field(
        default=Shuffle(), help="order of the training samples: shuffle, aspect_ratio, class_aware, with its options"
    )
