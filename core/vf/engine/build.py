"""Turn a resolved recipe into the live objects of a training."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import attrs
from torch import nn

from vf.console import Console, metric
from vf.data.loader import Batches, eval_batches, train_batches, usable_cores
from vf.data.pipeline import EvalView, TrainView
from vf.data.sampler import TrainSampler
from vf.data.seeding import seed_everything
from vf.engine.callbacks import Callback
from vf.engine.evaluate import build_metrics
from vf.engine.log import Log
from vf.engine.optim import build_optimizer
from vf.engine.precision import make_precision, pick_device
from vf.engine.saver import Saver, resume
from vf.engine.state import State
from vf.errors import ConfigError, DataError, PluginError, listed
from vf.preflight import preflight
from vf.protocols import Dataset, DatasetConfig, DatasetInfo, Metric, Preprocess, Split
from vf.recipes import Resolved


@attrs.frozen
class Training:
    """Everything that the loop needs."""

    state: State
    console: Console
    callbacks: tuple[Callback, ...]
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
    checkpoint: Path | None = None,
    steps: int | None = None,
    limit_eval: int | None = None,
) -> Training:
    """Build model, data, optimizer and callbacks.

    Args:
        folder: the run folder; exists.
        checkpoint: a checkpoint folder to go on from.
        steps: length of the training, instead of the recipe's.
        limit_eval: evaluate so many batches only.

    Raises:
        VFError: the data or the recipe cannot be trained on.
    """
    recipe = resolved.recipe
    info = inspect(recipe.data, console)
    train_set, val_set = recipe.data.build("train"), recipe.data.build(validation_split(info))
    seed_everything(recipe.train.seed)
    device = pick_device(recipe.train.device)
    model = place(recipe.model.build(info), device_is_channels_last=recipe.train.channels_last).to(device)
    preprocess = preprocess_of(model)
    steps_per_epoch = len(train_set) / recipe.train.batch_size
    state = State(
        resolved=resolved,
        folder=folder,
        info=info,
        model=model,
        optimizer=build_optimizer(model, recipe.train),
        precision=make_precision(recipe.train.precision, device),
        total_steps=steps or recipe.train.length.steps(steps_per_epoch),
        steps_per_epoch=steps_per_epoch,
    )
    own = tuple(config.build() for config in recipe.callbacks)
    _introduce(state, console, len(train_set), len(val_set))
    for callback in own:
        callback.on_build(state)
    if checkpoint is not None:
        resume(state, own, checkpoint)
        console.say(f"resumed from {checkpoint} at step {state.step} of {state.total_steps}")
    return Training(
        state=state,
        console=console,
        callbacks=(*own, Log(console), Saver(own, console)),
        batches=_train_batches(train_set, preprocess, state),
        eval_batches=lambda: split_batches(val_set, preprocess, resolved, device.type),
        limit_eval=limit_eval,
    )


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


def split_batches(dataset: Dataset, preprocess: Preprocess, resolved: Resolved, device: str) -> Batches:
    """Batches of one split for evaluation."""
    loader = resolved.recipe.loader
    return eval_batches(
        EvalView(dataset, preprocess),
        range(len(dataset)),
        batch_size=loader.eval_batch_size,
        fill=preprocess.pad_value,
        workers=min(loader.workers, max(1, len(dataset) // loader.eval_batch_size)),
        prefetch=loader.prefetch,
        pin=device == "cuda",
    )


def _train_batches(dataset: Dataset, preprocess: Preprocess, state: State) -> Callable[..., Batches]:
    recipe = state.resolved.recipe
    view = TrainView(dataset, [t.build() for t in recipe.augment], preprocess, seed=recipe.train.seed)

    def batches(*, start: int, final_from: int) -> Batches:
        sampler = TrainSampler(
            num_samples=len(dataset),
            batch_size=recipe.train.batch_size,
            steps=state.total_steps,
            seed=recipe.train.seed,
            start=start,
            final_from=final_from,
            accumulate=recipe.train.accumulate,
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
    if train.batch_size % train.accumulate:
        raise ConfigError(
            f"train.batch_size: {train.batch_size} images cannot be cut into {train.accumulate} passes "
            f"(train.accumulate); make it a multiple"
        )
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
        f"({state.total_steps / state.steps_per_epoch:.1f} epochs), lr {train.optimizer.lr:g}"
    )
