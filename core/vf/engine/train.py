"""The loop."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Iterator

import torch
from torch import Tensor, nn

from vf.data.sample import Batch
from vf.engine.build import Training
from vf.engine.evaluate import evaluate
from vf.engine.optim import set_lr
from vf.engine.state import State, best_key
from vf.errors import RunError, listed
from vf.pictures import save_train_batch
from vf.runs import TRAIN_BATCH


def train(training: Training) -> State:
    """Train from ``state.step`` to the end, or to where a callback stops it.

    Raises:
        RunError: a loss is not finite.
        DataError: a sample cannot be read.
    """
    state, train = training.state, training.state.resolved.recipe.train
    final_from = state.total_steps - train.final.steps(state.steps_per_epoch)
    passes = iter(training.batches(start=state.step, final_from=final_from))
    state.model.train()
    if state.step > final_from:
        _begin_final_phase(state.model)
    training.call("on_start")
    try:
        while state.step < state.total_steps and not state.stop:
            if state.step == final_from:
                _begin_final_phase(state.model)
            _take_step(state, passes)
            training.call("after_step")
            if state.step == state.total_steps or train.eval_every.due(state.step, state.steps_per_epoch):
                _evaluate(training)
                training.call("after_evaluate")
            training.call("step_done")
    finally:
        training.call("on_end")
    return state


def _take_step(state: State, passes: Iterator[Batch]) -> None:
    """One optimizer step over ``accumulate`` passes."""
    train = state.resolved.recipe.train
    state.lr = train.optimizer.lr * train.schedule.factor(state.step, state.total_steps, state.steps_per_epoch)
    set_lr(state.optimizer, state.lr)
    state.losses, state.data_wait = {}, 0.0
    state.optimizer.zero_grad(set_to_none=True)
    for _ in range(train.accumulate):
        asked = time.perf_counter()
        batch = next(passes)
        state.data_wait += time.perf_counter() - asked
        if state.step == 0 and not state.losses:
            save_train_batch(batch, state.info.classes, state.folder / TRAIN_BATCH)
        _forward_backward(state, batch, 1 / train.accumulate)
    _update(state, train.clip_grad)
    state.step += 1


def _forward_backward(state: State, batch: Batch, share: float) -> None:
    with state.precision.autocast():
        losses: dict[str, Tensor] = state.model(batch.to(state.precision.device))
    total = torch.stack([value.float() for name, value in losses.items() if not name.startswith("_")]).sum()
    state.batch = batch
    _guard(state, total, losses)
    state.precision.scaler.scale(total * share).backward()
    for name, value in losses.items():
        part = value.detach() * share
        state.losses[name] = state.losses[name] + part if name in state.losses else part


def _update(state: State, clip: float | None) -> None:
    scaler, optimizer = state.precision.scaler, state.optimizer
    if clip is not None:
        scaler.unscale_(optimizer)
        state.grad_norm = nn.utils.clip_grad_norm_(state.model.parameters(), clip, foreach=True).detach()
    scaler.step(optimizer)
    scaler.update()


def _guard(state: State, total: Tensor, losses: dict[str, Tensor]) -> None:
    """Stop at the first loss that is not finite, before it reaches the weights."""
    if math.isfinite(total.item()):
        return
    terms = {name: value.item() for name, value in losses.items()}
    ids = list(state.batch.ids) if state.batch else []
    report = {"step": state.step + 1, "losses": terms, "lr": state.lr, "images": ids}
    path = state.folder / "nan_report.json"
    path.write_text(json.dumps(report, indent=1))
    shown = ", ".join(f"{name} {value:g}" for name, value in terms.items())
    raise RunError(
        f"step {state.step + 1}: the loss is not finite ({shown}) at lr {state.lr:g}, images {listed(ids, limit=3)}; "
        f"lower train.optimizer.lr or set train.clip_grad; see {path}"
    )


def _evaluate(training: Training) -> None:
    state = training.state
    result = evaluate(
        state.eval_model,
        training.eval_batches(),
        training.metrics(),
        state.precision,
        console=training.console,
        label="val",
        limit=training.limit_eval,
    )
    state.metrics, state.tables = result.numbers, result.tables
    key = best_key(state.resolved.recipe.train.best, state.metrics)
    mark = "  (best)" if state.judge(key) else ""
    training.console.say(f"val   step {state.step}  epoch {state.epoch:.1f}  {training.shown_metrics()}{mark}")


def _begin_final_phase(model: nn.Module) -> None:
    begin = getattr(model, "begin_final_phase", None)
    if begin is not None:
        begin()
