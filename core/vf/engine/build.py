"""Turn a resolved recipe into the live objects of a training."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import attrs
from torch import nn

from vf.console import Console, metric
from vf.data.loader import Batches, eval_batches, train_batches, usable_cores
from vf.data.on_device import is_for_batches
from vf.data.pipeline import EvalView, TrainView
from vf.data.sampler import TrainSampler, pass_size
from vf.data.seeding import mix, seed_everything
from vf.engine.callbacks import Callback
from vf.engine.evaluate import build_metrics
from vf.engine.log import Log
from vf.engine.optim import build_optimizer, scaled_lr
from vf.engine.parallel import forward_of, prepare
from vf.engine.precision import make_precision, pick_device, set_numerics
from vf.engine.ranks import Ranks
from vf.engine.room import check_room
from vf.engine.saver import Saver
from vf.engine.snapshot import resume
from vf.engine.state import State
from vf.errors import ConfigError, DataError, PluginError, listed
from vf.nn.norms import able_on
from vf.preflight import preflight
from vf.protocols import Dataset, DatasetConfig, DatasetInfo, Metric, Preprocess, Split
from vf.recipes import Resolved
from vf.weights import init_from


@attrs.frozen
class Training:
    """Everything that the loop needs."""

    state: State
    console: Console
    callbacks: tuple[Callback, ...]
    saver: Saver
    """The last of the callbacks."""
    batches: Callable[..., Batches]
    """(start, final_from) -> the passes of the training from optimizer step ``start``."""
    eval_batches: Callable[[], Batches]
    limit_eval: int | None

    def call(self, point: str) -> None:
        """Call every callback at a named point of the loop."""
        for callback in self.callbacks:
            getattr(callback, point)(self.state)

    def metrics(self) -> dict[str, Metric]:
        """Fresh metrics for one evaluation."""
        return build_metrics(self.state.resolved.recipe.metrics, self.state.info)

    def shown_metrics(self) -> str:
        """The first metrics of the last evaluation, for a line."""
        return "  ".join(f"{k} {metric(v)}" for k, v in list(self.state.metrics.items())[:3])


def build_training(
    resolved: Resolved,
    folder: Path,
    console: Console,
    *,
    ranks: Ranks | None = None,
    checkpoint: Path | None = None,
    steps: int | None = None,
    limit_eval: int | None = None,
) -> Training:
    """Build model, data, optimizer and callbacks.

    Args:
        folder: the run folder; exists.
        ranks: the processes of this training; alone where it is not given.
        checkpoint: a checkpoint folder to go on from.
        steps: length of the training, instead of the recipe's.
        limit_eval: evaluate so many batches only.

    Raises:
        VFError: the data or the recipe cannot be trained on.
    """
    recipe, ranks = resolved.recipe, ranks or Ranks()
    info = inspect(recipe.data, console)
    train_set, val_set = recipe.data.build("train"), recipe.data.build(validation_split(info))
    state = _build_state(resolved, folder, console, ranks, info, len(train_set), fresh=checkpoint is None)
    if steps is not None:
        state.total_steps = steps
    preprocess = preprocess_of(state.model)
    state.eval_batches = lambda: split_batches(val_set, preprocess, resolved, state.precision.device.type, ranks)
    batches = _train_batches(train_set, preprocess, state)
    state.train_batches = lambda count: batches(start=0, final_from=0, steps=count)
    own = (*(config.build() for config in recipe.callbacks), Log(console))
    _introduce(state, console, len(train_set), len(val_set))
    for callback in own:
        callback.on_build(state)
    check_room(state, preprocess)
    if checkpoint is not None:
        for line in resume(state, own, checkpoint):
            console.say(f"note: {line}")
        console.say(f"resumed from {checkpoint} at step {state.step} of {state.total_steps}")
    state.forward = forward_of(state.model, recipe.train, ranks, state.precision.device)
    saver = Saver(own, console)
    return Training(state, console, (*own, saver), saver, batches, state.eval_batches, limit_eval)


def _build_state(
    resolved: Resolved,
    folder: Path,
    console: Console,
    ranks: Ranks,
    info: DatasetInfo,
    num_train: int,
    *,
    fresh: bool,
) -> State:
    recipe, train = resolved.recipe, resolved.recipe.train
    set_numerics(tf32=train.tf32, deterministic=train.deterministic)
    seed_everything(train.seed)  # every process makes the same weights …
    device = pick_device(train.device, local_rank=ranks.world.local_rank)
    sharded = train.strategy == "fsdp" and ranks.many  # FSDP2 takes contiguous weights only
    model = place(recipe.model.build(info), device_is_channels_last=train.channels_last and not sharded).to(device)
    if train.init_from:
        console.say(f"model {init_from(model, train.init_from, allow_partial=train.allow_partial)}")
    elif fresh:
        load_pretrained(model, console.say)
    if ranks.many and not train.sync_batchnorm:  # which sees to it for all norms
        model = able_on(model, device)
    model = prepare(model, train, ranks, console.say)
    if ranks.many:
        seed_everything(mix(train.seed, ranks.world.rank))  # … and draws its own dropout
    return State(
        resolved=resolved,
        folder=folder,
        info=info,
        model=model,
        optimizer=build_optimizer(model, train),
        precision=make_precision(train.precision, device),
        total_steps=train.length.steps(num_train / train.batch_size),
        steps_per_epoch=num_train / train.batch_size,
        say=console.say,
        ranks=ranks,
    )


def load_pretrained(model: nn.Module, say: Callable[[str], None]) -> None:
    """Let a model load the weights that its backbone starts from, where it has any."""
    load: Callable[[Callable[[str], None]], None] | None = getattr(model, "load_pretrained", None)
    if load is not None:
        load(say)


def inspect(data: DatasetConfig, console: Console) -> DatasetInfo:
    """Look for what would spoil a training; say notes and warnings, raise DataError for errors."""
    findings = preflight(data)
    errors = [f.text for f in findings if f.level == "error"]
    if errors:
        raise DataError(*errors)
    for finding in findings:
        console.say(f"data  {'warning: ' if finding.level == 'warning' else ''}{finding.text}")
    info = data.info()
    if not info.num_samples.get("train"):
        raise DataError(f"the data has no split 'train'; it has {listed(info.num_samples)}")
    return info


def validation_split(info: DatasetInfo) -> Split:
    """Return the split that is evaluated during training."""
    wanted: tuple[Split, ...] = ("val", "test")
    for split in wanted:
        if info.num_samples.get(split):
            return split
    raise DataError(f"the data has no split to validate on; it has {listed(info.num_samples)}")


def preprocess_of(model: nn.Module) -> Preprocess:
    """Return a model's own image rules; PluginError where its author gave it none."""
    preprocess: Preprocess | None = getattr(model, "preprocess", None)
    if preprocess is None:
        raise PluginError(
            f"model {type(model).__name__}: has no attribute 'preprocess'; expected one like vf.nn.preprocess.Letterbox"
        )
    return preprocess


def place(model: nn.Module, *, device_is_channels_last: bool) -> nn.Module:
    """Lay the weights out as asked."""
    import torch

    return model.to(memory_format=torch.channels_last) if device_is_channels_last else model


def split_batches(
    dataset: Dataset, preprocess: Preprocess, resolved: Resolved, device: str, ranks: Ranks | None = None
) -> Batches:
    """Batches of one split for evaluation: every process takes each N-th sample, none is padded or repeated."""
    loader, world = resolved.recipe.loader, (ranks or Ranks()).world
    if resolved.recipe.train.strategy == "fsdp" and world.size > 1 and len(dataset) % world.size:
        raise ConfigError(
            f"train.strategy: fsdp evaluates in step on all {world.size} processes; {len(dataset)} images cannot be "
            "shared out evenly; use ddp"
        )
    return eval_batches(
        EvalView(dataset, preprocess),
        range(world.rank, len(dataset), world.size),
        batch_size=loader.eval_batch_size,
        fill=preprocess.pad_value,
        workers=min(loader.workers, max(1, len(dataset) // loader.eval_batch_size)),
        prefetch=loader.prefetch,
        pin=device == "cuda",
        skip_broken=loader.on_error == "skip",
    )


def _train_batches(dataset: Dataset, preprocess: Preprocess, state: State) -> Callable[..., Batches]:
    recipe = state.resolved.recipe
    built = [t.build() for t in recipe.augment]
    state.batch_transforms = tuple(t for t in built if is_for_batches(t))
    transforms = [t for t in built if not is_for_batches(t)]
    skip = recipe.loader.on_error == "skip"
    view = TrainView(dataset, transforms, preprocess, seed=recipe.train.seed, skip_broken=skip)
    order = recipe.loader.sampler.build(dataset, batch_size=recipe.train.batch_size, seed=recipe.train.seed)

    def batches(*, start: int, final_from: int, steps: int | None = None) -> Batches:
        sampler = TrainSampler(
            num_samples=len(dataset),
            batch_size=recipe.train.batch_size,
            steps=state.total_steps if steps is None else steps,
            seed=recipe.train.seed,
            start=start,
            final_from=final_from,
            accumulate=recipe.train.accumulate,
            rank=state.ranks.world.rank,
            world=state.ranks.world.size,
            order=order,
        )
        return train_batches(
            view,
            sampler,
            fill=preprocess.pad_value,
            workers=recipe.loader.workers,
            prefetch=recipe.loader.prefetch,
            pin=state.precision.device.type == "cuda",
        )

    return batches


def _introduce(state: State, console: Console, num_train: int, num_val: int) -> None:
    recipe, train = state.resolved.recipe, state.resolved.recipe.train
    each = pass_size(train.batch_size, train.accumulate, state.ranks.world.size) * train.accumulate
    parameters = sum(p.numel() for p in state.model.parameters())
    console.say(f"run   {state.folder}")
    console.say(
        f"model {type(recipe.model).__name__}, {parameters / 1e6:.2f} M parameters, {state.precision.device} "
        f"({usable_cores()} cores), {state.precision.name}"
    )
    console.say(
        f"data  {num_train} images to train on, {num_val} to validate on, {len(state.info.classes)} classes: "
        f"{listed(state.info.classes)}"
    )
    passes = f" in {train.accumulate} passes" if train.accumulate > 1 else ""
    console.say(
        f"train {state.total_steps} steps of {train.batch_size} images{passes} "
        f"({state.total_steps / state.steps_per_epoch:.1f} epochs), lr {scaled_lr(train)[0]:g}"
    )
    if train.auto_scale_lr is not None:
        console.say(f"train {scaled_lr(train)[1]}")
    if state.ranks.many:
        console.say(f"ranks {state.ranks.world}; {each} images a step each, {train.strategy}")
