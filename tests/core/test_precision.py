"""Number formats, exact repetition, and compiled training on the CPU."""

from __future__ import annotations

import math
import shutil
from collections.abc import Iterator
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
import torch

from vf.console import Console
from vf.engine.build import build_training
from vf.engine.log import read_log
from vf.engine.precision import make_precision, set_numerics
from vf.engine.state import State
from vf.engine.train import train
from vf.errors import SetupError
from vf.recipes import from_text
from vf.yaml12 import dump

CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def _flags_put_back() -> Iterator[None]:
    yield
    set_numerics(tf32=True, deterministic=False)


def run(folder: Path, *, plain: bool = False, **changes: Any) -> State:
    """Train the toy for six steps, ``plain`` without norm and dropout; ``changes`` are keys of ``train``."""
    data = {
        "task": "toy",
        "model": {"name": "net", "plain": plain},
        "data": {"name": "squares"},
        "metrics": [{"name": "accuracy"}],
        "train": {
            "length": "6 steps",
            "batch_size": 4,
            "optimizer": {"name": "sgd", "lr": 0.05},
            "log_every": 1,
            "device": "cpu",
            **changes,
        },
        "loader": {"workers": 0},
    }
    folder.mkdir()
    with Console(StringIO()) as console:
        return train(build_training(from_text(dump(data), "r.yaml"), folder, console))


def losses(folder: Path) -> list[float]:
    return [r["loss"] for r in read_log(folder) if r["kind"] == "train"]


@pytest.mark.parametrize(
    ("wanted", "name", "dtype"),
    [("auto", "fp32", torch.float32), ("fp32", "fp32", torch.float32), ("bf16", "bf16", torch.bfloat16)],
)
def test_what_a_forward_pass_computes_in(wanted: str, name: str, dtype: torch.dtype) -> None:
    precision = make_precision(wanted, CPU)
    assert precision.name == name
    assert not precision.scaler.is_enabled()
    with precision.autocast():
        assert (torch.ones(2, 2) @ torch.ones(2, 2)).dtype == dtype


def test_bf16_trains_near_fp32(tmp_path: Path) -> None:
    for precision in ("fp32", "bf16"):
        state = run(tmp_path / precision, precision=precision)
        assert all(p.dtype == torch.float32 for p in state.model.parameters()), "the weights keep their bits"
    full, half = losses(tmp_path / "fp32"), losses(tmp_path / "bf16")
    assert all(map(math.isfinite, half))
    assert half != full
    assert half == pytest.approx(full, rel=0.02)


def test_deterministic_gives_the_same_bits_twice(tmp_path: Path) -> None:
    one, two = (run(tmp_path / name, deterministic=True) for name in ("one", "two"))
    assert torch.are_deterministic_algorithms_enabled()
    assert losses(tmp_path / "one") == losses(tmp_path / "two")
    for name, tensor in one.model.state_dict().items():
        assert torch.equal(tensor, two.model.state_dict()[name])


@pytest.mark.parametrize("deterministic", [True, False])
@pytest.mark.parametrize("tf32", [True, False])
def test_the_switches_of_torch(tf32: bool, deterministic: bool) -> None:
    set_numerics(tf32=tf32, deterministic=deterministic)
    assert torch.backends.cuda.matmul.allow_tf32 == tf32
    assert torch.backends.cudnn.allow_tf32 == tf32
    assert torch.are_deterministic_algorithms_enabled() == deterministic
    assert torch.backends.cudnn.benchmark != deterministic


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("g++") is None, reason="torch.compile needs a C++ compiler (g++) on the CPU")
def test_compiled_training_gives_the_losses_of_plain_training(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path / "cache"))
    for compiled in (False, True):
        run(tmp_path / str(compiled), plain=True, compile=compiled)  # a compiled dropout draws other numbers
    assert losses(tmp_path / "True") == pytest.approx(losses(tmp_path / "False"), rel=1e-4)
    state = run(tmp_path / "norm", compile=True, checkpoint_activations=["norm"])
    assert all(map(math.isfinite, losses(tmp_path / "norm")))
    assert int(state.model.get_buffer("norm.num_batches_tracked")) == 6


def test_compiling_without_a_compiler_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CXX", "g++-of-nowhere")
    with pytest.raises(SetupError) as error:
        run(tmp_path / "run", compile=True)
    assert error.value.problems == (
        "train.compile: needs a C++ compiler on the CPU, found no 'g++-of-nowhere'; install one, name it in CXX, or "
        "leave train.compile out",
    )
