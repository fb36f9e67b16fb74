"""The loop."""

from __future__ import annotations

import time
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from vf.data.on_device import transformed
from vf.data.sample import Batch
from vf.engine import sharded
from vf.engine.build import Training
from vf.engine.evaluate import evaluate
from vf.engine.guard import Guard
from vf.engine.optim import hold_frozen_norms, set_rates
from vf.engine.parallel import gradients, refuse_unused
from vf.engine.passes import Passes
from vf.engine.ranks import naming_lost_contact
from vf.engine.signals import StopRequest
from vf.engine.state import State, best_key
from vf.engine.watchdog import Watchdog
from vf.errors import VFError
from vf.pictures import save_train_batch
from vf.runs import TRAIN_BATCH


def train(training: Training) -> State:
    """Train from ``state.step`` to the end, or to where a callback or a signal stops it.

    Raises:
        RunError: a loss or a weight is not finite, or another process is gone.
        DataError: a sample cannot be read.
    """
    state, train = training.state, training.state.resolved.recipe.train
    final_from = state.final_from
    where = lambda: f"step {state.step}, {state.phase}"  # noqa: E731
    with StopRequest() as asked, Watchdog(state, train.stall_timeout), naming_lost_contact(state.ranks, where):
        passes = Passes(training, final_from)
        guard = Guard(state)
        _train_mode(state.model)
        if state.step > final_from:
            _begin_final_phase(state.model)
        training.call("on_start")
        try:
            if state.owes_evaluation:
                _finish_step(training, asked)
            while state.step < state.total_steps and not state.stop:
                if state.step == final_from:
                    _begin_final_phase(state.model)
                batches = _fetch(training, passes, asked)
                if state.stop:
                    break
                _take_step(state, batches, guard)
                training.call("after_step")
                _finish_step(training, asked)
            passes.tell_skipped()
        finally:
            training.call("on_end")
    return state


def _fetch(training: Training, passes: Passes, asked: StopRequest) -> list[Batch]:
    """Get the passes of a step; here all processes agree whether one of them wants to stop, or cannot go on."""
    state = training.state
    state.enter("waiting for data")
    began = time.perf_counter()
    failure: VFError | None = None
    batches: list[Batch] = []
    try:
        batches = passes.next_step()
    except VFError as error:
        failure = error
    state.data_wait = time.perf_counter() - began
    code, failed, overdue = state.ranks.agree(asked.code, failure is not None, training.saver.overdue(state))
    if state.step and (code or failed or overdue):
        training.saver.save(state)
    if failed:
        raise failure or VFError()  # the process that failed says why
    if code:
        _stop(state, code, asked)
    return batches


def _take_step(state: State, batches: Sequence[Batch], guard: Guard) -> None:
    """One optimizer step over the passes that its batch is cut into."""
    train = state.resolved.recipe.train
    state.lr = set_rates(state.optimizer, train, state.step, state.total_steps, state.steps_per_epoch)
    state.losses = {}
    state.optimizer.zero_grad(set_to_none=True)
    for turn, loaded in enumerate(batches, 1):
        batch = _on_device(state, loaded, turn)
        if state.step == 0 and turn == 1 and state.ranks.world.first:
            save_train_batch(batch, state.info.classes, state.folder / TRAIN_BATCH)
        with gradients(state.forward, reduced=turn == len(batches)):
            _forward_backward(state, batch, guard, 1 / len(batches))
    if state.step == 0:
        refuse_unused(state.model, state.ranks)
    state.enter("optimizer")
    _update(state, train.clip_grad)
    state.step += 1


def _on_device(state: State, batch: Batch, turn: int) -> Batch:
    batch = batch.to(state.precision.device)
    if not state.batch_transforms or state.step >= state.final_from:
        return batch
    seed, rank = state.resolved.recipe.train.seed, state.ranks.world.rank
    return transformed(batch, state.batch_transforms, seed, state.step, turn, rank)


def _forward_backward(state: State, batch: Batch, guard: Guard, share: float) -> None:
    state.enter("forward")
    with state.precision.autocast():
        losses: dict[str, Tensor] = state.forward(batch)
    total = torch.stack([value.float() for name, value in losses.items() if not name.startswith("_")]).sum()
    state.batch = batch
    guard.check(total, losses)
    state.enter("backward")
    state.precision.scaler.scale(total * share).backward()
    for name, value in losses.items():
        part = value.detach() * share
        state.losses[name] = state.losses[name] + part if name in state.losses else part


def _update(state: State, clip: float | None) -> None:
    scaler, optimizer = state.precision.scaler, state.optimizer
    if clip is not None:
        scaler.unscale_(optimizer)
        norm = nn.utils.clip_grad_norm_(state.model.parameters(), clip, foreach=True).detach()
        state.grad_norm = sharded.whole(norm)
    scaler.step(optimizer)
    scaler.update()


def _finish_step(training: Training, asked: StopRequest) -> None:
    """Everything of a step after its update: evaluate and save where it is time."""
    state, train = training.state, training.state.resolved.recipe.train
    if state.step == state.total_steps or train.eval_every.due(state.step, state.steps_per_epoch):
        state.owes_evaluation = True
        if not _evaluate(training, asked):
            training.saver.save(state)
            return
        state.owes_evaluation = False
        training.call("after_evaluate")
    training.call("step_done")


def _evaluate(training: Training, asked: StopRequest) -> bool:
    """Evaluate; False where a signal came first, and nothing of the evaluation counts."""
    state = training.state
    state.ranks.broadcast_buffers(state.eval_model)
    training.call("before_evaluate")
    result = evaluate(
        state.eval_model,
        training.eval_batches(),
        training.metrics(),
        state.precision,
        console=training.console,
        label="val",
        limit=training.limit_eval,
        ranks=state.ranks,
        stop=lambda: asked.code,
        alive=state.enter,
    )
    if isinstance(result, int):
        _stop(state, result, asked)
        return False
    _train_mode(state.model)
    state.metrics, state.tables = result.numbers, result.tables
    key = best_key(state.resolved.recipe.train.best, state.metrics)
    mark = "  (best)" if state.judge(key) else ""
    training.console.say(f"val   step {state.step}  epoch {state.epoch:.1f}  {training.shown_metrics()}{mark}")
    return True


def _stop(state: State, code: int, asked: StopRequest) -> None:
    state.stop, state.exit_code = asked.name or "another process was asked to stop", code


def _train_mode(model: nn.Module) -> None:
    model.train()
    hold_frozen_norms(model)


def _begin_final_phase(model: nn.Module) -> None:
    begin = getattr(model, "begin_final_phase", None)
    if begin is not None:
        begin()
