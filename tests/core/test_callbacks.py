"""What recipes may add to the loop: each does what it says, and a run that is gone on with ends the same."""

from __future__ import annotations

import importlib.util
import json
import shutil
from io import StringIO
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from torch import nn

from vf import pictures
from vf.builtin_configs import EarlyStop as EarlyStopConfig
from vf.builtin_configs import Sizes
from vf.console import Console
from vf.data.sample import Batch
from vf.engine.build import Training, build_training
from vf.engine.checkpoint import read_trainer, read_weights
from vf.engine.early_stop import EarlyStop
from vf.engine.image_log import CELL, ImageLog
from vf.engine.precise_bn import recalibrate
from vf.errors import ConfigError, DataError
from vf.plugins import plugins
from vf.recipes import from_text
from vf.schema import Duration

_spec = importlib.util.spec_from_file_location("loop", Path(__file__).with_name("test_train.py"))
assert _spec is not None
assert _spec.loader is not None
loop = importlib.util.module_from_spec(_spec)  # its recipe of nine steps, and how it runs one
_spec.loader.exec_module(loop)

EMA = {"name": "ema", "decay": 0.9, "ramp": 3.0}
SWA = {"name": "swa", "start": "3 steps", "every": "2 steps", "batches": 2}
SCALES = {"name": "multi_scale", "sizes": {"min": 8, "max": 16, "step": 4}, "every": "2 steps"}


def built(folder: Path, *callbacks: dict[str, Any], out: StringIO | None = None, **changes: Any) -> Training:
    folder.mkdir(exist_ok=True)
    text = loop.recipe(callbacks=list(callbacks), **changes)
    return build_training(from_text(text, "r.yaml"), folder, Console(out or StringIO()))


def refused(folder: Path, *callbacks: dict[str, Any]) -> str:
    with pytest.raises(ConfigError) as error:
        built(folder, *callbacks)
    (line,) = error.value.problems
    return line


def saved(folder: Path, step: int) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
    """Return the weights that predict, and the rest of a checkpoint."""
    checkpoint = folder / "checkpoints" / f"step_{step:08d}"
    return read_weights(checkpoint / "model.safetensors").tensors, read_trainer(checkpoint)


@pytest.fixture
def elastic(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the toy network train at other sizes."""
    config = plugins().lookup("model", "net")
    build = config.build

    def wrapped(self: Any, info: Any) -> nn.Module:
        model: nn.Module = build(self, info)
        model.input_stride = 4
        return model

    monkeypatch.setattr(config, "build", wrapped)


@pytest.mark.usefixtures("elastic")
@pytest.mark.parametrize(
    "callbacks",
    [
        [{**EMA, "kind": "constant", "every": 2}],
        [SWA],
        [{**SWA, "batches": 0}],
        [{"name": "freeze", "pattern": "conv.*", "until": "5 steps"}],
        [{"name": "freeze", "pattern": p, "until": f"{n} steps"} for p, n in (("norm.*", 3), ("conv.*", 5))],
        [{"name": "freeze", "pattern": "norm.*"}, {"name": "precise_bn", "batches": 2}],
        [{"name": "precise_bn", "batches": 2}],
        [EMA, {"name": "precise_bn", "batches": 2}],
        [{"name": "early_stop", "metric": "accuracy", "patience": 5}, {"name": "early_stop", "patience": 6}],
        [SCALES],
        [EMA, {"name": "image_log"}, {"name": "lr_monitor"}, {"name": "profiler", "start": 2, "steps": 2}],
    ],
    ids=lambda callbacks: "+".join(c["name"] for c in callbacks),
)
def test_a_run_that_is_gone_on_with_ends_bitwise_the_same(tmp_path: Path, callbacks: list[dict[str, Any]]) -> None:
    text = loop.recipe(callbacks=callbacks)
    loop.run(tmp_path / "whole", text)
    whole = saved(tmp_path / "whole", 9)
    for at in (2, 3, 5, 6):
        again = tmp_path / f"from_{at}"
        shutil.copytree(tmp_path / "whole", again, symlinks=True)
        loop.run(again, text, checkpoint=again / "checkpoints" / f"step_{at:08d}")
        assert loop.same(whole, saved(again, 9)), at


def test_who_only_watches_changes_nothing(tmp_path: Path) -> None:
    watchers = [{"name": "image_log"}, {"name": "lr_monitor"}, {"name": "profiler", "start": 2, "steps": 2}]
    loop.run(tmp_path / "without", loop.recipe(callbacks=[]))
    loop.run(tmp_path / "with", loop.recipe(callbacks=watchers))
    ends = [saved(tmp_path / name, 9) for name in ("without", "with")]
    for _, trainer in ends:
        del trainer["callbacks"]
    assert loop.same(*ends)


def test_ema_moves_every_few_steps_with_a_constant_decay(tmp_path: Path) -> None:
    training = built(tmp_path, {"name": "ema", "decay": 0.75, "kind": "constant", "every": 2})
    state, (ema, *_) = training.state, training.callbacks
    assert state.averaged is not None
    bias = [m.get_parameter("head.bias") for m in (state.model, state.averaged)]
    for tensor, value in zip(bias, (8.0, 0.0), strict=True):
        nn.init.constant_(tensor, value)
    seen = []
    for state.step in (1, 2, 3, 4):
        ema.after_step(state)
        seen.append(bias[1][0].item())
    assert seen == [0.0, 2.0, 2.0, 3.5]


def test_swa_is_the_mean_of_its_moments(tmp_path: Path) -> None:
    loop.run(tmp_path, loop.recipe(callbacks=[SWA]))
    moments = [saved(tmp_path, step)[1]["callbacks"]["swa"]["weights"] for step in (3, 5, 7, 9)]
    average, trainer = saved(tmp_path, 9)
    assert trainer["callbacks"]["swa"]["count"] == 4
    for name in ("conv.weight", "norm.weight", "head.bias"):
        mean = torch.stack([m[name] for m in moments]).mean(0)
        torch.testing.assert_close(average[name], mean)
        assert not torch.equal(average[name], moments[-1][name])
    assert saved(tmp_path, 2)[1]["callbacks"]["swa"] == {"count": 0}


def test_swa_is_evaluated_with_statistics_of_its_own(tmp_path: Path) -> None:
    training = built(tmp_path, SWA)
    state, (swa, *_) = training.state, training.callbacks
    swa.before_evaluate(state)
    assert state.averaged is None
    state.step = 3
    swa.after_step(state)
    assert state.averaged is not None
    swa.before_evaluate(state)
    expected = built(tmp_path, SWA).state.model
    recalibrate(state, state.model, 2)
    assert loop.same(dict(state.averaged.state_dict()), dict(state.model.state_dict()))
    assert not torch.equal(state.averaged.get_buffer("norm.running_var"), expected.get_buffer("norm.running_var"))


def test_two_averages_are_refused(tmp_path: Path) -> None:
    both = "both choose the weights that are evaluated; keep one of them"
    assert refused(tmp_path, EMA, SWA) == f"callbacks: ema and swa {both}"
    assert refused(tmp_path, SWA, EMA) == f"callbacks: swa and ema {both}"


def watched(values: list[float | None], **options: Any) -> list[str]:
    """Return the reasons to stop after each evaluation that gives one of the values."""
    stop = EarlyStop(after=Duration(0, "steps"), **options)
    state: Any = SimpleNamespace(metrics={}, best_step=None, step=1, steps_per_epoch=1.0, stop="")
    reasons = []
    for value in values:
        state.metrics, state.stop = {"loss": value}, ""
        stop.after_evaluate(state)
        reasons.append(state.stop)
    return reasons


@pytest.mark.parametrize(
    ("values", "options", "stale"),
    [
        ([1.0, 2.0, 2.0, 3.0], {}, [0, 0, 1, 0]),
        ([1.0, 2.0, 0.5, 0.5], {"mode": "min"}, [0, 1, 0, 1]),
        ([1.0, 1.5, 1.75, 1.25], {"min_delta": 0.5}, [0, 1, 0, 1]),
        ([None, 1.0, None, 2.0], {}, [1, 0, 1, 0]),
    ],
)
def test_early_stop_watches_a_metric(values: list[float | None], options: dict[str, Any], stale: list[int]) -> None:
    reasons = watched(values, metric="loss", patience=1, **options)
    assert reasons == ["no better loss in 1 evaluations" if count else "" for count in stale]


def test_early_stop_refuses_a_metric_that_nobody_measures() -> None:
    with pytest.raises(ConfigError) as error:
        watched([1.0], metric="los", patience=1)
    assert error.value.problems == (
        "callbacks: early_stop.metric: 'los' is not measured; the recipe's metrics give loss",
    )


def test_options_that_contradict_each_other_are_refused() -> None:
    with pytest.raises(ValueError, match=r"^mode and min_delta belong to a metric; set metric too$"):
        EarlyStopConfig(min_delta=0.1)
    with pytest.raises(ValueError, match=r"^min 64 > max 32$"):
        Sizes(min=64, max=32)


@pytest.mark.parametrize("optimizer", [{"name": "sgd", "momentum": 0.9}, {"name": "adamw"}])
def test_frozen_weights_stay_bitwise_and_train_afterwards(tmp_path: Path, optimizer: dict[str, Any]) -> None:
    changes = {"train__optimizer": {**optimizer, "lr": 0.05, "weight_decay": 0.1}}
    frozen = [{"name": "freeze", "pattern": pattern, "until": "5 steps"} for pattern in ("conv.*", "norm.*")]
    before = {k: v.clone() for k, v in built(tmp_path / "new", *frozen, **changes).state.model.state_dict().items()}
    loop.run(tmp_path / "run", loop.recipe(callbacks=frozen, **changes))
    held = [name for name in before if name.startswith(("conv.", "norm."))]
    assert "norm.running_var" in held
    for step in (1, 3, 4, 5):  # an evaluation comes after step 3
        weights = saved(tmp_path / "run", step)[0]
        assert all(torch.equal(weights[name], before[name]) for name in held), step
        assert not torch.equal(weights["head.weight"], before["head.weight"])
    weights = saved(tmp_path / "run", 6)[0]
    assert not any(torch.equal(weights[name], before[name]) for name in held)


def test_freeze_refuses_patterns_without_sense(tmp_path: Path) -> None:
    def line(*patterns: str) -> str:
        return refused(tmp_path, *({"name": "freeze", "pattern": p} for p in patterns))

    none = "matches no parameter that trains; their names begin with"
    assert line("backbone.*") == f"callbacks: freeze.pattern: 'backbone.*' {none} conv, norm, head"
    assert line("conv.*", "conv.w*") == f"callbacks: freeze.pattern: 'conv.w*' {none} norm, head"
    assert line("*") == "callbacks: freeze.pattern: '*' matches every parameter; none would train"


def test_freeze_for_a_while_needs_one_process(tmp_path: Path) -> None:
    training = built(tmp_path, {"name": "freeze", "pattern": "conv.*", "until": "5 steps"})
    training.state.model.requires_grad_(True)
    training.state.ranks = SimpleNamespace(many=True)  # type: ignore[assignment]
    with pytest.raises(ConfigError) as error:
        training.callbacks[0].on_build(training.state)
    assert error.value.problems == (
        "callbacks: freeze.until: needs one process; leave it out to freeze for the whole training",
    )


def test_precise_bn_is_the_true_average(tmp_path: Path) -> None:
    state = built(tmp_path, {"name": "precise_bn", "batches": 3}).state
    met: list[torch.Tensor] = []
    norm = state.model.get_submodule("norm")
    handle = norm.register_forward_pre_hook(lambda _, inputs: met.append(inputs[0]))
    norm.get_buffer("running_mean").fill_(float("nan"))  # what was there does not matter
    random, counted = torch.get_rng_state(), norm.get_buffer("num_batches_tracked").clone()
    recalibrate(state, state.model, 3)
    handle.remove()
    values = torch.cat(met).detach().transpose(0, 1).flatten(1).double()
    assert len(met) == 3
    torch.testing.assert_close(norm.get_buffer("running_mean"), values.mean(1).float())
    torch.testing.assert_close(norm.get_buffer("running_var"), values.var(1).float())
    assert torch.equal(torch.get_rng_state(), random)
    assert torch.equal(norm.get_buffer("num_batches_tracked"), counted)
    assert all(module.training for module in state.model.modules())
    assert isinstance(norm, nn.BatchNorm2d)
    assert norm.momentum == 0.1
    assert not norm._forward_hooks


def test_precise_bn_leaves_alone_what_is_held_still_and_what_meets_nothing(tmp_path: Path) -> None:
    state = built(tmp_path, {"name": "precise_bn", "batches": 3}).state
    state.model.add_module("idle", nn.BatchNorm2d(2))
    nn.init.constant_(state.model.get_buffer("idle.running_mean"), 3.0)
    state.model.get_submodule("norm").eval()
    before = {name: buffer.clone() for name, buffer in state.model.named_buffers()}
    recalibrate(state, state.model, 3)
    assert loop.same(before, dict(state.model.named_buffers()))


def test_precise_bn_says_where_it_has_nothing_to_do(tmp_path: Path) -> None:
    said: list[str] = []
    training = built(tmp_path, {"name": "precise_bn"}, model__plain=True)
    training.state.say = said.append
    training.callbacks[0].on_start(training.state)
    training.callbacks[0].before_evaluate(training.state)
    assert said == ["precise_bn: the model has no batch norm that keeps statistics; nothing to do"]


def test_lr_monitor_writes_every_group(tmp_path: Path) -> None:
    loop.run(tmp_path, loop.recipe(callbacks=[{"name": "lr_monitor"}], train__log_every=4))
    events = EventAccumulator(str(tmp_path / "lr_monitor")).Reload()
    assert set(events.Tags()["scalars"]) == {"lr/0", "lr/1", "momentum/0", "momentum/1"}
    assert [e.step for e in events.Scalars("lr/1")] == [4, 8, 9]
    assert [e.value for e in events.Scalars("momentum/0")] == pytest.approx([0.9] * 3)
    logged = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    rates = [record["lr"] for record in logged if record["kind"] == "train"]
    assert [e.value for e in events.Scalars("lr/0")] == pytest.approx(rates)


@pytest.mark.parametrize(("start", "steps"), [(0, 1), (2, 3), (8, 5)])
def test_profiler_writes_a_trace_and_a_table(tmp_path: Path, start: int, steps: int) -> None:
    loop.run(tmp_path, loop.recipe(callbacks=[{"name": "profiler", "start": start, "steps": steps}]))
    names = [e["name"] for e in json.loads((tmp_path / "profile" / "trace.json").read_text())["traceEvents"]]
    forwards = names.count("aten::cross_entropy_loss")
    assert forwards == min(steps, 9 - start)
    assert "aten::convolution" in (tmp_path / "profile" / "top_ops.txt").read_text()


def test_profiler_writes_nothing_where_the_training_is_shorter(tmp_path: Path) -> None:
    loop.run(tmp_path, loop.recipe(callbacks=[{"name": "profiler", "start": 9}]))
    assert not (tmp_path / "profile").exists()


def test_a_run_that_fails_at_once_leaves_no_folders_of_callbacks(tmp_path: Path) -> None:
    watchers = [{"name": "image_log"}, {"name": "lr_monitor"}, {"name": "profiler", "start": 0}]
    with pytest.raises(DataError):
        loop.run(tmp_path, loop.recipe(callbacks=watchers, data__count=4, data__broken=0))
    assert not [p.name for p in tmp_path.iterdir() if p.is_dir() and p.name != "checkpoints"]


def test_image_log_writes_a_sheet_at_each_evaluation(tmp_path: Path) -> None:
    loop.run(tmp_path, loop.recipe(callbacks=[{"name": "image_log", "images": 3}]))
    files = sorted((tmp_path / "predictions").glob("*.jpg"))
    assert [f.name for f in files] == [f"step_{step:08d}.jpg" for step in (3, 6, 9)]
    for file in files:
        with Image.open(file) as sheet:
            assert sheet.size == (2 * CELL, 3 * CELL)
    events = EventAccumulator(str(tmp_path / "predictions")).Reload()
    assert [e.step for e in events.Images("predictions")] == [3, 6, 9]


class Finder(nn.Module):
    """Finds one box, and one that it does not trust."""

    def forward(self, batch: Batch) -> list[dict[str, torch.Tensor]]:
        assert not self.training
        assert not torch.is_grad_enabled()
        box = torch.tensor([[20.0, 20.0, 60.0, 40.0], [0.0, 0.0, 70.0, 49.0]])
        return [{"boxes": box, "labels": torch.tensor([1, 1]), "scores": torch.tensor([0.9, 0.1])}] * len(batch)


def test_image_log_draws_labels_beside_predictions_in_the_frame_of_the_decoded_image(tmp_path: Path) -> None:
    training = built(tmp_path, {"name": "image_log", "images": 1})
    state, (log, *_) = training.state, training.callbacks
    batch = Batch(  # 80 × 50 px as decoded, shrunk to 40 × 25, padded to 40 × 40
        images=torch.zeros(1, 3, 40, 40, dtype=torch.uint8),
        sizes=torch.tensor([[25, 40]]),
        original=torch.tensor([[50, 80]]),
        ids=("a",),
        targets={"boxes": torch.tensor([[10.0, 10.0, 30.0, 45.0]]), "labels": torch.tensor([0])},
        counts={"boxes": (1,), "labels": (1,)},
    )
    state.averaged, state.eval_batches = Finder(), lambda: [batch]
    assert isinstance(log, ImageLog)
    labels, predictions = (np.asarray(picture) for picture in log._pairs(state))
    assert labels.shape == predictions.shape == (50, 80, 3)
    assert tuple(labels[30, 10]) == tuple(labels[45, 20]) == pictures.colour(0)
    assert tuple(predictions[30, 60]) == tuple(predictions[40, 50]) == pictures.colour(1)
    assert tuple(predictions[45, 70]) == (0, 0, 0)
    assert state.averaged.training


@pytest.mark.usefixtures("elastic")
def test_the_input_size_is_a_function_of_seed_and_step(tmp_path: Path) -> None:
    training = built(tmp_path, SCALES)
    state, (scales, *_) = training.state, training.callbacks
    sizes = []
    for state.step in range(60):
        scales.after_step(state)
        sizes.append(state.model.preprocess.train_size)
    assert sizes[::2] == sizes[1::2]
    assert set(sizes) == {(8, 8), (12, 12), (16, 16)}
    for state.step in (0, 31):
        scales.on_start(state)
        assert state.model.preprocess.train_size == sizes[state.step]
    other = built(tmp_path / "other", SCALES, train__seed=1)
    other.callbacks[0].on_start(other.state)
    assert sizes != [other.callbacks[0].size(other.state, step) for step in range(60)]  # type: ignore[attr-defined]
    scales.on_end(state)
    assert state.model.preprocess.train_size is None


@pytest.mark.usefixtures("elastic")
def test_the_width_keeps_the_shape(tmp_path: Path) -> None:
    training = built(tmp_path, SCALES)
    training.state.model.preprocess.size = (12, 18)
    widths = {training.callbacks[0].size(training.state, step) for step in range(60)}  # type: ignore[attr-defined]
    assert widths == {(8, 12), (12, 16), (16, 24)}  # 18 is no multiple of 4: the even one of its neighbours


def test_a_model_of_one_size_is_refused(tmp_path: Path) -> None:
    assert refused(tmp_path, SCALES) == "callbacks: multi_scale: Net trains at one input size only"


@pytest.mark.usefixtures("elastic")
@pytest.mark.parametrize(("sizes", "wrong"), [({"min": 6, "max": 12}, 6), ({"min": 8, "max": 12, "step": 2}, 2)])
def test_sizes_that_the_model_cannot_take_are_refused(tmp_path: Path, sizes: dict[str, int], wrong: int) -> None:
    line = refused(tmp_path, {"name": "multi_scale", "sizes": sizes})
    assert line == f"callbacks: multi_scale.sizes: must be multiples of 4 for this model, got {wrong}"
