"""The loop: resume is exact, a bad loss stops it, the run folder holds what it should."""

from __future__ import annotations

import json
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
import torch

from vf.console import Console
from vf.engine.build import build_training
from vf.engine.checkpoint import read_trainer, read_weights, sha256
from vf.engine.log import read_log
from vf.engine.state import State
from vf.engine.train import train
from vf.errors import CheckpointError, ConfigError, DataError, RunError, SetupError
from vf.recipes import from_text
from vf.yaml12 import dump


def recipe(**changes: Any) -> str:
    data = {
        "task": "toy",
        "model": {"name": "net"},
        "data": {"name": "squares"},
        "augment": [{"name": "horizontal_flip"}],
        "metrics": [{"name": "accuracy"}],
        "train": {
            "length": "9 steps",
            "batch_size": 4,
            "optimizer": {"name": "sgd", "lr": 0.05, "momentum": 0.9, "weight_decay": 0.01},
            "schedule": {"name": "cosine", "warmup": "2 steps"},
            "eval_every": "3 steps",
            "save_every": "1 steps",
            "final": "2 steps",
            "keep": 20,
            "log_every": 1,
            "clip_grad": 1.0,
        },
        "loader": {"workers": 0},
        "callbacks": [{"name": "ema", "decay": 0.9, "ramp": 3.0}],
    }
    for key, value in changes.items():
        group, _, leaf = key.partition("__")
        if leaf:
            data[group][leaf] = value  # type: ignore[index]
        else:
            data[group] = value
    return dump(data)


def run(folder: Path, text: str, checkpoint: Path | None = None, out: StringIO | None = None) -> State:
    folder.mkdir(exist_ok=True)
    with Console(out or StringIO()) as console:
        return train(build_training(from_text(text, "r.yaml"), folder, console, checkpoint=checkpoint))


def same(a: Any, b: Any) -> bool:
    if isinstance(a, torch.Tensor):
        return torch.equal(a, b)
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(same(a[k], b[k]) for k in a)
    if isinstance(a, list | tuple):
        return len(a) == len(b) and all(map(same, a, b))
    return bool(a == b)


@pytest.mark.parametrize("accumulate", [1, 2])
@pytest.mark.parametrize("at", [1, 4, 8])
@pytest.mark.parametrize("optimizer", [{"name": "sgd", "lr": 0.05, "momentum": 0.9}, {"name": "adamw", "lr": 0.01}])
def test_a_resumed_run_ends_bitwise_like_one_that_was_not_stopped(
    tmp_path: Path, accumulate: int, at: int, optimizer: dict[str, Any]
) -> None:
    text = recipe(train__accumulate=accumulate, train__optimizer=optimizer)
    run(tmp_path / "whole", text)
    stopped = tmp_path / "stopped"
    run(stopped, text)
    state = run(stopped, text, checkpoint=stopped / "checkpoints" / f"step_{at:08d}")
    assert state.step == 9
    last = [tmp_path / name / "checkpoints" / "step_00000009" for name in ("whole", "stopped")]
    weights = [read_weights(c / "model.safetensors").tensors for c in last]
    assert same(*weights)
    assert same(*(read_trainer(c) for c in last))
    logs = [
        [{k: v for k, v in r.items() if k not in ("images_per_s", "data_wait", "time")} for r in read_log(c.parents[1])]
        for c in last
    ]
    assert logs[0] == logs[1]


def test_transforms_of_batches_draw_by_the_step_and_rest_in_the_final_phase(tmp_path: Path) -> None:
    text = recipe(augment=[{"name": "haze"}], train__accumulate=2)
    whole = run(tmp_path / "whole", text)
    drawn = whole.batch_transforms[0].drawn  # type: ignore[attr-defined]
    assert len(drawn) == len(set(drawn)) == 2 * 7  # of 9 steps in two passes, 2 are the final phase
    state = run(tmp_path / "again", text, checkpoint=tmp_path / "whole" / "checkpoints" / "step_00000004")
    assert state.batch_transforms[0].drawn == drawn[2 * 4 :]  # type: ignore[attr-defined]
    assert whole.final_from == 7
    ends = [
        read_weights(tmp_path / name / "checkpoints" / "step_00000009" / "model.safetensors")
        for name in ("whole", "again")
    ]
    assert same(ends[0].tensors, ends[1].tensors)


def test_a_transform_of_batches_inside_another_is_refused(tmp_path: Path) -> None:
    inside = [{"name": "random_apply", "transforms": [{"name": "haze"}], "p": 1.0}]
    with pytest.raises(ConfigError) as caught:
        run(tmp_path, recipe(augment=inside))
    assert str(caught.value) == "augment: Haze mixes whole batches; it stands in the list itself, in no other transform"


def test_the_run_folder_holds_what_a_run_folder_holds(tmp_path: Path) -> None:
    state = run(tmp_path, recipe())
    names = {p.name.split(".")[0] for p in tmp_path.iterdir()}
    assert {"log", "events", "checkpoints", "train_batch"} <= names
    assert (tmp_path / "checkpoints" / "last").resolve().name == "step_00000009"
    assert (tmp_path / "checkpoints" / "best").resolve().name == f"step_{state.best_step:08d}"
    records = read_log(tmp_path)
    assert [r["step"] for r in records if r["kind"] == "train"] == list(range(1, 10))
    assert [r["step"] for r in records if r["kind"] == "val"] == [3, 6, 9]
    assert records[0]["loss"] == pytest.approx(records[0]["doubled"] / 2), "what starts with _ is logged, not minimised"


def test_learning_rates_follow_the_schedule(tmp_path: Path) -> None:
    run(tmp_path, recipe(train__schedule={"name": "poly", "warmup": "2 steps", "warmup_start": 0.0, "power": 1.0}))
    rates = [r["lr"] for r in read_log(tmp_path) if r["kind"] == "train"]
    assert rates == pytest.approx([0.025, 0.05, *(0.05 * (1 - i / 7) for i in range(7))])


def test_only_the_newest_and_the_best_are_kept(tmp_path: Path) -> None:
    state = run(tmp_path, recipe(train__keep=2))
    kept = {p.name for p in (tmp_path / "checkpoints").glob("step_*")}
    assert kept == {"step_00000008", "step_00000009", f"step_{state.best_step:08d}"}


def test_the_checkpoint_predicts_with_the_average_and_trains_on_with_the_weights(tmp_path: Path) -> None:
    state = run(tmp_path, recipe())
    saved = tmp_path / "checkpoints" / "last"
    assert state.averaged is not None
    assert same(read_weights(saved / "model.safetensors").tensors, dict(state.averaged.state_dict()))
    assert same(read_trainer(saved.resolve())["callbacks"]["ema"]["weights"], dict(state.model.state_dict()))
    assert not same(dict(state.averaged.state_dict()), dict(state.model.state_dict()))


@pytest.mark.parametrize(("at", "times"), [(3, 1), (7, 1), (8, 1)])
def test_the_final_phase_begins_once_also_after_a_resume(tmp_path: Path, at: int, times: int) -> None:
    run(tmp_path, recipe())
    state = run(tmp_path, recipe(), checkpoint=tmp_path / "checkpoints" / f"step_{at:08d}")
    assert state.model.finals == times


def test_a_loss_that_is_not_finite_stops_the_run_before_it_reaches_the_weights(tmp_path: Path) -> None:
    with pytest.raises(RunError) as error:
        run(tmp_path, recipe(model__scale=float("inf")))
    (line,) = error.value.problems
    assert line.startswith("step 1: the loss is not finite (loss_cls inf, _doubled ")
    assert " at lr 0.025" in line
    assert line.endswith(f"; lower train.optimizer.lr or set train.clip_grad; see {tmp_path}/nan_report.json")
    report = json.loads((tmp_path / "nan_report.json").read_text().replace("Infinity", "1e999"))
    assert (report["step"], len(report["images"])) == (1, 4)
    assert not list(tmp_path.glob("checkpoints/step_*"))


def test_a_broken_image_stops_the_run_with_its_name(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"^square 7: is broken$"):
        run(tmp_path, recipe(data__broken=7))


def test_a_checkpoint_of_another_model_is_refused(tmp_path: Path) -> None:
    run(tmp_path, recipe())
    saved = tmp_path / "checkpoints" / "step_00000009"
    trainer = read_trainer(saved)
    del trainer["optimizer"]["conv.weight"]
    trainer["optimizer"]["gone.weight"] = {}
    torch.save(trainer, saved / "trainer.pt")
    manifest = json.loads((saved / "manifest.json").read_text())
    file = saved / "trainer.pt"
    manifest["files"]["trainer.pt"] = {"size": file.stat().st_size, "sha256": sha256(file)}
    (saved / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(CheckpointError) as error:
        run(tmp_path, recipe(), checkpoint=saved)
    assert error.value.problems == (
        "the optimizer state does not fit the model: parameters only in the checkpoint: gone.weight; "
        "only in the model: conv.weight",
    )


def test_a_batch_that_passes_cannot_cut_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as error:
        run(tmp_path, recipe(train__accumulate=3))
    assert error.value.problems == (
        "train.batch_size: 4 images cannot be cut into 1 process × 3 passes (train.accumulate); make it a multiple "
        "of 3",
    )


def test_early_stop_ends_the_run(tmp_path: Path) -> None:
    stop = {"name": "early_stop", "patience": 2}
    state = run(tmp_path, recipe(callbacks=[stop], train__length="300 steps", train__eval_every="1 steps"))
    assert state.stop == "no better metric in 2 evaluations"
    assert state.step < 300
    assert (tmp_path / "checkpoints" / "last").resolve().name == f"step_{state.step:08d}"


def test_accumulation_trains_like_the_whole_batch(tmp_path: Path) -> None:
    weights = []
    for accumulate in (1, 2, 4):
        text = recipe(train__accumulate=accumulate, augment=[], model__plain=True)
        weights.append(dict(run(tmp_path / str(accumulate), text).model.state_dict()))
    for other in weights[1:]:
        for name, tensor in weights[0].items():
            torch.testing.assert_close(other[name], tensor, rtol=1e-5, atol=1e-6)


def test_channels_last_and_bf16_train(tmp_path: Path) -> None:
    state = run(tmp_path, recipe(train__precision="bf16", train__channels_last=True))
    assert state.precision.name == "bf16"
    assert state.step == 9


def test_fp16_on_the_cpu_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SetupError) as error:
        run(tmp_path, recipe(train__precision="fp16", train__device="cpu"))
    assert error.value.problems == ("train.precision: fp16 needs a GPU; use bf16 or fp32 on the CPU",)
    assert error.value.exit_code == 3


def test_an_unknown_device_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SetupError) as error:
        run(tmp_path, recipe(train__device="cudda"))
    assert error.value.problems == ("train.device: expected auto, cpu, cuda or cuda:N, got 'cudda'",)
