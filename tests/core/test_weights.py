"""Weights of elsewhere: matched by name and shape, reported, refused where they are not plain tensors."""

from __future__ import annotations

import os
import pickle
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

import vf.weights
from vf.engine import checkpoint
from vf.errors import CheckpointError
from vf.protocols import DatasetInfo
from vf.weights import grouped, init_from

INFO = DatasetInfo(classes=("a", "b"), task="toy", num_samples={"train": 3}, fingerprint="f")


class Net(nn.Module):
    """Seven tensors and one counter: conv 1, norm 4, head 2."""

    def __init__(self, classes: int = 3) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 1, bias=False)
        self.norm = nn.BatchNorm2d(4)
        self.head = nn.Linear(4, classes)
        self.register_buffer("scratch", torch.ones(1), persistent=False)


def tensors(classes: int = 3, *, seed: int = 1) -> dict[str, Tensor]:
    """Return the state of a net whose values no other seed has."""
    generator = torch.Generator().manual_seed(seed)
    return {name: torch.rand(t.shape, generator=generator) for name, t in Net(classes).state_dict().items()}


def same(model: nn.Module, expected: dict[str, Tensor]) -> bool:
    own = model.state_dict()
    return all(torch.equal(own[name], value.to(own[name].dtype)) for name, value in expected.items())


def refused(source: object, *, allow_partial: bool = False, model: nn.Module | None = None) -> str:
    with pytest.raises(CheckpointError) as error:
        init_from(model or Net(), str(source), allow_partial=allow_partial)
    assert len(error.value.problems) == 1
    assert "\n" not in error.value.problems[0]
    return error.value.problems[0]


@pytest.fixture
def saved(tmp_path: Path) -> Callable[[Any], Path]:
    """Return a function that saves with torch."""

    def save(content: Any) -> Path:
        torch.save(content, tmp_path / "net.pth")
        return tmp_path / "net.pth"

    return save


@pytest.mark.parametrize("name", ["net.safetensors", "download"])
def test_a_safetensors_file_of_anybody(tmp_path: Path, name: str) -> None:
    save_file(tensors(), tmp_path / name)
    model = Net()
    assert init_from(model, str(tmp_path / name)) == f"loaded 7/7 from {tmp_path / name}"
    assert same(model, tensors())


def test_a_run_a_checkpoint_and_its_file(tmp_path: Path) -> None:
    trained = Net()
    trained.load_state_dict(tensors())
    folder = tmp_path / "run" / "checkpoints"
    step = checkpoint.write(folder, 5, tensors=dict(trained.state_dict()), recipe="", info=INFO, trainer={})
    checkpoint.point(folder, "last", step)
    for source in (tmp_path / "run", step, step / "model.safetensors"):
        model = Net()
        assert init_from(model, str(source)) == f"loaded 7/7 from {source}"
        assert same(model, tensors())


@pytest.mark.parametrize(
    "wrap",
    [
        dict,
        OrderedDict,
        lambda state: {"state_dict": state, "epoch": 3, "optimizer": {"state": {}}},
        lambda state: {"model": state, "step": torch.tensor(3)},
        lambda state: {"params": state},
        lambda state: {"ema": {"module": state}, "model": None},
        lambda state: {f"module.{n}": t for n, t in state.items()},
        lambda state: {"model": {f"_orig_mod.module.{n}": t for n, t in state.items()}},
        lambda state: {**state, "version": "1", "classes": ["a"]},
        lambda state: {n: t.half().double() for n, t in state.items()},
    ],
)
def test_layouts_of_torch_files(saved: Callable[[Any], Path], wrap: Callable[[Any], Any]) -> None:
    path, model = saved(wrap(tensors())), Net()
    assert init_from(model, str(path)) == f"loaded 7/7 from {path}"
    assert all(
        torch.allclose(t, tensors()[n].to(t.dtype), atol=1e-3) for n, t in model.state_dict().items() if n != "scratch"
    )


def test_the_average_is_taken_where_both_fit(saved: Callable[[Any], Path]) -> None:
    model = Net()
    init_from(model, str(saved({"model": tensors(), "ema": tensors(seed=2)})))
    assert same(model, tensors(seed=2))
    init_from(model, str(saved({"model": tensors(), "ema": {"decay": torch.tensor(0.9)}})))
    assert same(model, tensors())


def test_a_prefix_that_belongs_to_the_model_stays(saved: Callable[[Any], Path]) -> None:
    model = nn.ModuleDict({"model": Net()})
    path = saved({f"model.{n}": t for n, t in tensors().items()})
    assert init_from(model, str(path)) == f"loaded 7/7 from {path}"


def test_what_is_new_unused_and_of_another_shape_is_reported(saved: Callable[[Any], Path]) -> None:
    given = tensors(classes=5) | {"fc.weight": torch.ones(1), "fc.bias": torch.ones(1), "extra": torch.ones(1)}
    del given["norm.running_var"], given["norm.num_batches_tracked"]
    path, model = saved(given), Net()
    before = {n: t.clone() for n, t in model.state_dict().items()}
    assert init_from(model, str(path)) == (
        f"loaded 4/7 from {path}; new 3: norm.running_var, head.*; unused 3: fc.*, extra; "
        "other shapes: head.weight (5, 4) for (3, 4), head.bias (5) for (3)"
    )
    kept = ("norm.running_var", "norm.num_batches_tracked", "head.weight", "head.bias")
    assert same(model, {n: before[n] for n in kept})
    assert same(model, {n: t for n, t in given.items() if n.startswith("conv") or n == "norm.weight"})


def test_too_little_is_refused_and_changes_nothing(saved: Callable[[Any], Path]) -> None:
    path, model = saved({"head.weight": torch.ones(3, 4), "head.bias": torch.ones(3), "fc": torch.ones(())}), Net()
    before = {n: t.clone() for n, t in model.state_dict().items()}
    assert refused(path, model=model) == (
        f"--init-from {path}: only 2 of the model's 7 tensors fit by name and shape; the model begins with "
        "conv.weight (4, 3, 1, 1), norm.weight (4), norm.bias (4); the file with head.weight (3, 4), head.bias (3), "
        "fc (); choose weights of this model, or take what fits with --allow-partial"
    )
    assert same(model, before)
    assert init_from(model, str(path), allow_partial=True) == (
        f"loaded 2/7 from {path}; new 5: conv.weight, norm.*; unused 1: fc"
    )


def test_nothing_at_all_is_refused_even_so(saved: Callable[[Any], Path]) -> None:
    path = saved({"a": torch.ones(2)})
    assert refused(path, allow_partial=True) == (
        f"--init-from {path}: only 0 of the model's 7 tensors fit by name and shape; the model begins with "
        "conv.weight (4, 3, 1, 1), norm.weight (4), norm.bias (4); the file with a (2); "
        "choose weights of this model, nothing of it can be used"
    )


@pytest.mark.parametrize(
    ("content", "got"),
    [({"epoch": 3, "model": "name"}, "epoch, model"), ([1, 2], "list"), (torch.ones(2), "Tensor"), ({}, "none")],
)
def test_files_without_named_tensors(saved: Callable[[Any], Path], content: Any, got: str) -> None:
    path = saved(content)
    assert refused(path) == (
        f"--init-from {path}: holds no named tensors; expected a state_dict, alone or under "
        f"ema, state_dict, model, module, params; got {got}"
    )


@pytest.mark.parametrize("source", ["foo", "", "s3://bucket/net.pth"])
def test_what_is_neither_file_nor_address(source: str) -> None:
    assert refused(source) == f"--init-from {source}: no such file, run or http(s) address"


def test_a_folder_without_weights(tmp_path: Path) -> None:
    sentence = f"{tmp_path}: holds no checkpoint: no model.safetensors in it or in checkpoints/best or last"
    assert refused(tmp_path) == sentence


class Evil:
    """Runs a command when it is unpickled."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.system, (f"touch {self.folder}/ran",)


@pytest.mark.parametrize(
    "dump", [torch.save, lambda content, path: path.write_bytes(pickle.dumps(content, protocol=2))]
)
@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("net.pth", "refused: holds posix.system, expected tensors and plain data; nothing in it was run"),
        ("model.safetensors", "not a readable safetensors file: "),
    ],
)
def test_a_pickle_is_refused_and_not_run(tmp_path: Path, dump: Callable[..., Any], name: str, sentence: str) -> None:
    dump({"more": Evil(tmp_path), "state_dict": tensors()}, tmp_path / name)
    assert refused(tmp_path / name).startswith(f"{tmp_path / name}: {sentence}")
    assert not (tmp_path / "ran").exists()
    pickle.loads(pickle.dumps(Evil(tmp_path)))
    assert (tmp_path / "ran").exists(), "the planted pickle is harmless, so the test shows nothing"


def test_a_whole_pickled_model_is_refused(tmp_path: Path) -> None:
    torch.save(nn.Linear(1, 1), tmp_path / "net.pt")
    assert refused(tmp_path / "net.pt") == (
        f"{tmp_path}/net.pt: refused: holds torch.nn.modules.linear.Linear, expected tensors and plain data; "
        "nothing in it was run"
    )


def test_a_broken_file_says_so(tmp_path: Path) -> None:
    (tmp_path / "net.pth").write_bytes(b"<html>")
    problem = refused(tmp_path / "net.pth")
    assert problem == f"{tmp_path}/net.pth: refused: not plain tensors and data, or broken (UnpicklingError)"


def test_an_address_is_fetched_and_named_without_its_secrets(
    saved: Callable[[Any], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    def fetch(url: str, *, tell: Callable[[str], None]) -> Path:
        asked.append(url)
        tell("fetching")
        return saved(tensors())

    lines: list[str] = []
    monkeypatch.setattr(vf.weights, "fetch", fetch)
    url = "https://host/net.pth?token=x"
    assert init_from(Net(), url, tell=lines.append) == "loaded 7/7 from https://host/net.pth"
    assert (asked, lines) == ([url], ["fetching"])


@pytest.mark.parametrize(
    ("names", "text"),
    [
        (["head.a.w", "head.b.w"], "head.*"),
        (["body.3.a", "body.3.b"], "body.3.*"),
        (["body.1.a", "body.3.a", "body.3.b"], "body.1.a, body.3.*"),
        (["top"], "top"),
        (["body.1.a", "body.2.a", "top", "head.a.w", "tail.w"], "body.1.a, body.2.a, top, head.a.w, …"),
    ],
)
def test_names_are_grouped_where_nothing_else_lies_below(names: list[str], text: str) -> None:
    among = ["body.1.a", "body.1.b", "body.2.a", "body.2.b", "body.3.a", "body.3.b", "top", "head.a.w", "head.b.w"]
    assert grouped(names, [*among, "tail.w"]) == text
