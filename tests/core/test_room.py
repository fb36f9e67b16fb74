"""How much room a training will take, against what it takes, and what is said where there is too little."""

from __future__ import annotations

from io import StringIO
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from vf.console import Console
from vf.data.loader import usable_cores
from vf.engine import checkpoint
from vf.engine.build import Training, build_training
from vf.engine.precision import make_precision
from vf.engine.ranks import Ranks
from vf.engine.room import checkpoint_bytes, checkpoints_at_once, prefetched_bytes
from vf.engine.snapshot import model_state, snapshot, trainer_state
from vf.engine.state import State
from vf.errors import SetupError
from vf.nn.preprocess import Letterbox
from vf.optimizers import Optimizer
from vf.recipes import from_text
from vf.world import World
from vf.yaml12 import dump


def recipe(*, callbacks: list[dict[str, Any]] | None = None, **changes: Any) -> str:
    """A toy recipe; ``changes`` are keys of ``train``, of 10 images in batches of 4."""
    return dump(
        {
            "task": "toy",
            "model": {"name": "net"},
            "data": {"name": "squares"},
            "metrics": [{"name": "accuracy"}],
            "train": {
                "length": "10 steps",
                "batch_size": 4,
                "optimizer": {"name": "sgd", "lr": 0.05},
                "device": "cpu",
                **changes,
            },
            "loader": {"workers": 0},
            "callbacks": callbacks or [],
        }
    )


def build(folder: Path, text: str, out: StringIO | None = None) -> Training:
    folder.mkdir(exist_ok=True)
    return build_training(from_text(text, "r.yaml"), folder, Console(out or StringIO()))


@pytest.mark.parametrize(
    ("optimizer", "share"),
    [
        ({"name": "sgd", "momentum": 0.0}, 0),
        ({"name": "sgd", "momentum": 0.9}, 1),
        ({"name": "adamw"}, 2),
        ({"name": "adamw", "amsgrad": True}, 3),
        ({"name": "adafactor"}, 0.01),  # a row and a column
    ],
)
@pytest.mark.parametrize("averaged", [False, True])
def test_the_size_of_a_checkpoint(tmp_path: Path, optimizer: dict[str, Any], share: float, averaged: bool) -> None:
    callbacks = [{"name": "ema"}] if averaged else []
    training = build(tmp_path, recipe(callbacks=callbacks, optimizer={"lr": 0.1, **optimizer}))
    state = training.state
    state.model = nn.Linear(500, 500)  # large enough that a few kB of names and random state do not count
    config = state.resolved.recipe.train.optimizer
    state.optimizer = config.build([{"params": list(state.model.parameters()), "weight_decay": 0.0}])
    expected = checkpoint_bytes(state)
    assert expected == pytest.approx(4 * 500 * 501 * (1 + averaged + share), rel=0.03)

    state.averaged = nn.Linear(500, 500) if averaged else None
    state.model(torch.ones(1, 500)).sum().backward()
    state.optimizer.step()
    written = checkpoint.write(
        tmp_path / "checkpoints",
        1,
        tensors=snapshot(model_state(state.eval_model)),
        recipe="",
        info=state.info,
        trainer={**snapshot(trainer_state(state, ())), "callbacks": snapshot(training_weights(state))},
    )
    size = sum(f.stat().st_size for f in written.iterdir())
    assert expected == pytest.approx(size, rel=0.05, abs=30_000)


def training_weights(state: State) -> dict[str, Any]:
    """Return what a callback with an average saves."""
    return dict(state.model.state_dict()) if state.averaged is not None else {}


@pytest.mark.parametrize(
    ("changes", "sure", "most"),
    [
        ({"save_every": "1 steps", "keep": 2}, 3, 4),
        ({"save_every": "1 steps", "keep": 20, "eval_every": "5 steps"}, 10, 12),  # never removed
        ({"save_every": "5 steps", "keep": 3, "eval_every": "0 steps"}, 2, 3),
        ({"save_every": "6 steps", "keep": 3, "eval_every": "0 steps"}, 2, 3),  # the second one at the end
        ({"save_every": "0 steps", "keep": 2, "eval_every": "0 steps"}, 1, 2),
        ({"save_every": "0 steps", "keep": 2, "eval_every": "1 steps"}, 1, 4),  # bests
    ],
)
def test_how_many_checkpoints_there_are_at_once(tmp_path: Path, changes: dict[str, Any], sure: int, most: int) -> None:
    assert checkpoints_at_once(build(tmp_path, recipe(**changes)).state) == (sure, most)


@pytest.mark.parametrize(
    ("workers", "processes", "local", "bytes_of"),
    [
        (0, 1, 1, 0),
        (1, 1, 1, 1 * 2 * (8 + 3)),
        (1, 2, 2, 2 * 2 * (4 + 3)),  # half of the batch each
        (1, 4, 2, 2 * 2 * (2 + 3)),  # two machines
        (10_000, 1, 1, usable_cores() * 2 * (8 + 3)),
    ],
)
def test_batches_ahead(tmp_path: Path, workers: int, processes: int, local: int, bytes_of: int) -> None:
    text = recipe(batch_size=8).replace("workers: 0", f"workers: {workers}\n  eval_batch_size: 3")
    state = plain_state(text, tmp_path, World(size=processes, local_size=local))
    found = prefetched_bytes(state, Letterbox(size=(12, 20)))
    assert found == (min(workers, usable_cores()) * local, bytes_of * 3 * 12 * 20)


def test_a_model_that_names_no_size_is_not_judged(tmp_path: Path) -> None:
    class AnySize(nn.Module):
        pad_value = 0

    state = plain_state(recipe().replace("workers: 0", "workers: 1"), tmp_path, World())
    assert prefetched_bytes(state, AnySize()) == (1, 0)  # type: ignore[arg-type]


def plain_state(text: str, folder: Path, world: World) -> State:
    model = nn.Linear(1, 1)
    return State(
        resolved=from_text(text, "r.yaml"),
        folder=folder,
        info=None,  # type: ignore[arg-type]
        model=model,
        optimizer=Optimizer.choices()["sgd"](lr=0.1).build([{"params": list(model.parameters()), "weight_decay": 0.0}]),
        precision=make_precision("fp32", torch.device("cpu")),
        total_steps=1,
        steps_per_epoch=1.0,
        ranks=Ranks(world),
    )


def test_a_disk_that_cannot_hold_the_checkpoints_stops_the_run_before_it_begins(tmp_path: Path) -> None:
    endless = recipe(length="1000000000000 steps", save_every="1 steps", keep=999999999999)
    with pytest.raises(SetupError) as error:
        build(tmp_path, endless)
    (line,) = error.value.problems
    assert line.startswith(f"{tmp_path}: 1000000000000 checkpoints of 0.0 MB at a time (train.keep, the best, the one ")
    assert " GB, the disk has " in line
    assert line.endswith(" for them; make room, lower train.keep, or put --out on another disk")
    assert not list(tmp_path.glob("checkpoints/*"))


def test_nothing_is_said_where_there_is_room(tmp_path: Path) -> None:
    out = StringIO()
    build(tmp_path, recipe(), out)
    assert "the disk has" not in out.getvalue()
    assert "/dev/shm" not in out.getvalue()


def test_what_a_resumed_run_will_replace_counts_as_free(tmp_path: Path) -> None:
    kept = tmp_path / "checkpoints" / "step_00000001"
    kept.mkdir(parents=True)
    with (kept / "model.safetensors").open("wb") as file:
        file.truncate(15 * 10**12)  # a hole, which takes no room
    build(tmp_path, recipe(length="9000000000 steps", save_every="1 steps", keep=9000000000))  # about 10 TB
