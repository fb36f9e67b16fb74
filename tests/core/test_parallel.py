"""Activations computed again give the same bits, and batch norm over many processes is that of one.

Run as a script with RANK and WORLD_SIZE, this file is one of two processes.
"""

from __future__ import annotations

import copy
import os
import subprocess
import sys
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist
from torch import Tensor, nn

from vf.console import Console
from vf.engine.build import build_training
from vf.engine.log import read_log
from vf.engine.parallel import forward_of, prepare
from vf.engine.ranks import Ranks
from vf.engine.state import State
from vf.engine.train import train
from vf.errors import ConfigError
from vf.nn.sync_batchnorm import SyncBatchNorm
from vf.recipes import from_text
from vf.schema import Duration
from vf.training import Optimizer, Train
from vf.world import World
from vf.yaml12 import dump

TWO = Ranks(World(size=2))


def run(folder: Path, out: StringIO | None = None, **changes: Any) -> State:
    """Train the toy, its average evaluated at each step; ``changes`` are keys of ``train``."""
    data = {
        "task": "toy",
        "model": {"name": "net"},
        "data": {"name": "squares"},
        "metrics": [{"name": "accuracy"}],
        "train": {
            "length": "5 steps",
            "batch_size": 4,
            "optimizer": {"name": "sgd", "lr": 0.5},
            "eval_every": "1 steps",
            "log_every": 1,
            "device": "cpu",
            **changes,
        },
        "loader": {"workers": 0},
        "callbacks": [{"name": "ema", "decay": 0.5, "ramp": 0.0}],
    }
    folder.mkdir()
    with Console(out or StringIO()) as console:
        return train(build_training(from_text(dump(data), "r.yaml"), folder, console))


def logged(folder: Path) -> list[dict[str, Any]]:
    return [{k: v for k, v in r.items() if k not in ("images_per_s", "data_wait", "time")} for r in read_log(folder)]


def assert_same(one: nn.Module, other: nn.Module) -> None:
    theirs = other.state_dict()
    assert one.state_dict().keys() == theirs.keys()
    for name, tensor in one.state_dict().items():
        assert torch.equal(tensor, theirs[name]), name


@pytest.mark.parametrize("patterns", [["norm"], ["conv", "drop"], ["*"], ["n*", "norm"]])
def test_activations_computed_again_change_no_bit(tmp_path: Path, patterns: list[str]) -> None:
    plain = run(tmp_path / "plain")
    again = run(tmp_path / "again", checkpoint_activations=patterns)
    assert logged(tmp_path / "again") == logged(tmp_path / "plain")
    assert int(again.model.get_buffer("norm.num_batches_tracked")) == 5, "statistics move once a step"
    assert_same(again.model, plain.model)
    assert_same(again.eval_model, plain.eval_model)


def test_fewer_activations_are_kept() -> None:
    kept = []
    for patterns in ((), ("0", "1")):
        model = nn.Sequential(*(nn.Sequential(nn.Linear(8, 8), nn.Sigmoid(), nn.Sigmoid()) for _ in range(2)))
        prepare(model, settings(checkpoint_activations=patterns), Ranks(), print)
        sizes: list[int] = []

        def keep(tensor: Tensor, sizes: list[int] = sizes) -> Tensor:
            sizes.append(tensor.numel())
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(keep, lambda t: t):
            model(torch.ones(100, 8, requires_grad=True)).sum().backward()
        kept.append(sizes.count(800))
    assert kept == [6, 2], "the inputs of both parts"


def test_a_copy_of_a_model_computes_its_own_weights_again() -> None:
    model = nn.Sequential(nn.Linear(2, 2))
    prepare(model, settings(checkpoint_activations=("0",)), Ranks(), print)
    other = copy.deepcopy(model)
    nn.init.zeros_(other.get_parameter("0.weight"))
    nn.init.zeros_(other.get_parameter("0.bias"))
    assert other(torch.ones(1, 2)).abs().sum() == 0
    assert type(other[0]).__name__ == "Linear"


@pytest.mark.parametrize(
    ("pattern", "rest"),
    [
        ("nrom", "; did you mean 'norm'?"),
        ("backbone.*", "; known: preprocess, conv, norm, drop, head"),
    ],
)
def test_a_pattern_that_matches_nothing_is_refused(tmp_path: Path, pattern: str, rest: str) -> None:
    with pytest.raises(ConfigError) as error:
        run(tmp_path / "run", checkpoint_activations=["conv", pattern])
    assert error.value.problems == (f"train.checkpoint_activations: {pattern!r} matches no module of the model{rest}",)


def test_one_process_needs_no_shared_batch_norm(tmp_path: Path) -> None:
    out = StringIO()
    state = run(tmp_path / "sync", out, sync_batchnorm=True)
    assert "model sync_batchnorm: one process, so plain batch norm\n" in out.getvalue()
    assert type(state.model.get_submodule("norm")) is nn.BatchNorm2d
    run(tmp_path / "plain")
    assert logged(tmp_path / "sync") == logged(tmp_path / "plain")


def test_a_norm_that_does_more_is_refused() -> None:
    class NormAct(nn.BatchNorm2d):
        def forward(self, x: Tensor) -> Tensor:
            return super().forward(x).relu()

    with pytest.raises(ConfigError) as error:
        prepare(nn.Sequential(nn.BatchNorm2d(2), NormAct(2)), settings(sync_batchnorm=True), TWO, print)
    assert error.value.problems == (
        "train.sync_batchnorm: 1 is a NormAct, which does more than a batch norm; leave train.sync_batchnorm out",
    )


def test_what_a_norm_holds_stays() -> None:
    norm = nn.BatchNorm2d(3, eps=1e-3, momentum=0.03).eval()
    model = prepare(nn.Sequential(norm), settings(sync_batchnorm=True), TWO, print)
    shared = model.get_submodule("0")
    assert isinstance(shared, SyncBatchNorm)
    assert (shared.eps, shared.momentum, shared.training) == (1e-3, 0.03, False)
    assert shared.weight is norm.weight
    assert shared.running_var is norm.running_var
    x = torch.randn(2, 3, 4, 4)
    assert torch.equal(model(x), norm(x))


def settings(**keys: Any) -> Train:
    optimizer = Optimizer.choices()["sgd"](lr=0.1)
    return Train(length=Duration(1, "steps"), batch_size=2, optimizer=optimizer, **keys)


NORMS = {
    "images": (lambda: nn.BatchNorm2d(3), (5, 3, 4, 4)),
    "rows": (lambda: nn.BatchNorm1d(3), (5, 3)),
    "momentum": (lambda: nn.BatchNorm2d(3, momentum=0.7), (5, 3, 2, 2)),
    "cumulative": (lambda: nn.BatchNorm2d(3, momentum=None), (5, 3, 2, 2)),
    "without weights": (lambda: nn.BatchNorm2d(3, affine=False), (5, 3, 2, 2)),
    "without statistics": (lambda: nn.BatchNorm2d(3, track_running_stats=False), (5, 3, 2, 2)),
}


def train_norms(model: nn.Module, x: Tensor, share: float) -> Tensor:
    """Two passes of forward and backward; the loss is ``share`` of a sum over the batch."""
    x = x.clone().requires_grad_()
    for _ in range(2):
        (share * (model(x) * torch.linspace(-1, 2, x[0].numel()).view_as(x[0])).sin()).sum().backward()
    assert x.grad is not None
    return x.grad


def rank(folder: Path) -> None:
    """Process RANK of two: batches of 2 and 3 must be what one process makes of 5."""
    torch.set_num_threads(1)
    number = int(os.environ["RANK"])
    dist.init_process_group("gloo", init_method=f"file://{folder}/meet", rank=number, world_size=2)
    mine = slice(0, 2) if number == 0 else slice(2, 5)
    for name, (make, shape) in NORMS.items():
        torch.manual_seed(0)
        one = nn.Sequential(nn.Linear(shape[-1], shape[-1]), make())
        x = torch.randn(shape) * 3 + 50  # far from 0, where E[x²] - E[x]² loses digits
        for patterns in ((), ("1",)):
            whole, keys = copy.deepcopy(one), settings(sync_batchnorm=True, checkpoint_activations=patterns)
            part = prepare(copy.deepcopy(one), keys, TWO, print)
            forward: Any = forward_of(part, keys, TWO, torch.device("cpu"))
            wanted, found = train_norms(whole, x, 1.0), train_norms(forward, x[mine], 2.0)  # DDP halves the sum
            same: Any = {"atol": 1e-5, "rtol": 1e-5, "msg": f"{name}, {patterns}"}
            torch.testing.assert_close(found / 2, wanted[mine], **same)
            for (key, p), q in zip(whole.named_parameters(), part.parameters(), strict=True):
                torch.testing.assert_close(q.grad, p.grad, **{**same, "atol": 1e-4 if key == "0.weight" else 1e-5})
            for ours, theirs in zip(part.buffers(), whole.buffers(), strict=True):
                torch.testing.assert_close(ours, theirs, **same)
            torch.testing.assert_close(part.eval()(x), whole.eval()(x), **same)
    half = SyncBatchNorm(3)((x[mine] - 50).bfloat16())
    assert half.dtype == torch.bfloat16
    torch.testing.assert_close(half.float(), nn.BatchNorm2d(3)(x - 50)[mine], atol=0.05, rtol=0.05)
    dist.destroy_process_group()


def test_two_processes_normalise_as_one(tmp_path: Path) -> None:
    command = [sys.executable, __file__, str(tmp_path)]
    two = [subprocess.Popen(command, env={**os.environ, "RANK": n}, stderr=subprocess.PIPE, text=True) for n in "01"]
    said = [process.communicate(timeout=120)[1] for process in two]
    assert [process.returncode for process in two] == [0, 0], said


if __name__ == "__main__":
    rank(Path(sys.argv[1]))
