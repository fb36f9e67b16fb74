"""A teacher: what it teaches, whose classes it has, and where it is not."""

from __future__ import annotations

import copy
import math
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open
from torch.nn import functional as F

from vf.console import Console
from vf.data.sample import Batch
from vf.engine.build import build_training
from vf.engine.checkpoint import save_weights
from vf.engine.log import read_log
from vf.engine.train import train
from vf.errors import CheckpointError
from vf.protocols import DatasetInfo
from vf.recipes import resolve
from vf_cls import loss_configs as losses
from vf_cls import model_configs as c

SMALL = c.CifarResNet(depth=20)
RECIPE = """\
task: cls
model: {model}
data: {{name: shapes, size: 32, train: 8, val: 4, test: 4}}
metrics: [{{name: accuracy}}]
train: {{length: 3 steps, batch_size: 4, optimizer: {{name: sgd, lr: 0.01}}, log_every: 1}}
callbacks: [{{name: ema, decay: 0.5}}]
loader: {{workers: 0}}
"""


def info(*classes: str) -> DatasetInfo:
    return DatasetInfo(classes=classes, task="cls", num_samples={"train": 4}, fingerprint="0")


def teacher(folder: Path, *classes: str) -> Path:
    """Write a checkpoint of random weights."""
    (folder / "teacher.yaml").write_text(RECIPE.format(model="{name: cifar_resnet, depth: 20}"))
    torch.manual_seed(3)
    model = SMALL.build(info(*classes))
    path = folder / "teacher.safetensors"
    save_weights(model, path, recipe=resolve(str(folder / "teacher.yaml")).yaml(), info=info(*classes))
    return path


def batch(count: int = 4) -> Batch:
    images = torch.randint(0, 256, (count, 3, 32, 32), dtype=torch.uint8, generator=torch.Generator().manual_seed(1))
    size = torch.tensor([[32, 32]] * count)
    return Batch(
        images=images,
        sizes=size,
        original=size,
        ids=tuple(map(str, range(count))),
        targets={"labels": torch.arange(count) % 3},
        counts={"labels": (1,) * count},
    )


def logits_of(model: Any, data: Batch) -> torch.Tensor:
    """In training mode, as the student's are."""
    return model.net(model.preprocess(data.images, data.sizes)).detach()


@pytest.mark.parametrize("kind", ["soft", "hard"])
def test_the_losses_by_hand(kind: Any, tmp_path: Path) -> None:
    """The teacher's classes stand in another order, and are brought into the student's."""
    place = teacher(tmp_path, "c", "a", "b")
    config = c.Distilled(student=SMALL, teacher=str(place), kind=kind, temperature=2.0, weight=0.25)
    model: Any = config.build(info("a", "b", "c"))
    data = batch()
    given = model.train()(data)
    ours = logits_of(model.student.train(), data)
    theirs = logits_of(model._teacher.load().model.eval(), data)[:, [1, 2, 0]]
    labels = F.cross_entropy(ours, data.targets["labels"])
    if kind == "hard":
        taught = F.cross_entropy(ours, theirs.argmax(1))
    else:
        p, q = (theirs / 2).softmax(1).tolist(), (ours / 2).softmax(1).tolist()
        rows = [sum(a * math.log(a / b) for a, b in zip(x, y, strict=True)) for x, y in zip(p, q, strict=True)]
        taught = torch.tensor(4 * sum(rows) / 4)
    torch.testing.assert_close(given["cls"], 0.75 * labels, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(given["distill"], 0.25 * taught, atol=1e-5, rtol=1e-4)
    (given["cls"] + given["distill"]).backward()
    assert all(p.grad is None for p in model._teacher.load().model.parameters())
    assert not model._teacher.load().model.training


def test_many_labels_are_taught_one_by_one(tmp_path: Path) -> None:
    place = teacher(tmp_path, "a", "b", "c")
    student = c.CifarResNet(depth=20, loss=losses.BCE())
    model: Any = c.Distilled(student=student, teacher=str(place), weight=1.0, temperature=1.0).build(
        info("a", "b", "c")
    )
    data = batch()
    given = model.train()(data)
    theirs = logits_of(model._teacher.load().model.eval(), data).sigmoid()
    wanted = F.binary_cross_entropy_with_logits(logits_of(model.student.train(), data), theirs)
    torch.testing.assert_close(given["distill"], wanted, atol=1e-5, rtol=1e-4)


def test_the_teacher_is_no_part_of_the_model(tmp_path: Path) -> None:
    place = teacher(tmp_path, "a", "b", "c")
    model: Any = c.Distilled(student=SMALL, teacher=str(place)).build(info("a", "b", "c"))
    said: list[str] = []
    model.load_pretrained(said.append)
    assert said == [f"model taught by {place}"]
    alone: Any = SMALL.build(info("a", "b", "c"))
    assert set(model.state_dict()) == {f"student.{name}" for name in alone.state_dict()} | {
        name for name in model.state_dict() if name.startswith("preprocess.")
    }
    assert len(list(model.parameters())) == len(list(alone.parameters()))
    assert copy.deepcopy(model)._teacher is model._teacher
    # it predicts without its teacher
    gone: Any = c.Distilled(student=SMALL, teacher="no/where").build(info("a", "b", "c"))
    with torch.no_grad():
        assert len(gone.eval()(batch())) == 4


def test_wrong_teachers_are_named(tmp_path: Path) -> None:
    place = teacher(tmp_path, "a", "bb", "d")
    model: Any = c.Distilled(student=SMALL, teacher=str(place)).build(info("a", "b", "c"))
    with pytest.raises(CheckpointError) as caught:
        model.load_pretrained(lambda line: None)
    assert caught.value.problems == (
        f"model.teacher {place}: its classes are not those of the data: it lacks b, c, and has bb, d besides; did you "
        "mean 'bb'?; teach with a model of the same classes",
    )
    missing: Any = c.Distilled(student=SMALL, teacher="no/where").build(info("a", "b", "c"))
    with pytest.raises(CheckpointError, match="no/where"):
        missing.train()(batch())


def test_a_training_with_a_teacher(tmp_path: Path) -> None:
    classes = resolve("cls/quickstart").recipe.data.info().classes
    place = teacher(tmp_path, *classes)
    student = "{name: cifar_resnet, depth: 20}"
    (tmp_path / "r.yaml").write_text(RECIPE.format(model=f"{{name: distilled, student: {student}, teacher: {place}}}"))
    (tmp_path / "run").mkdir()
    with Console(StringIO()) as console:
        state = train(build_training(resolve(str(tmp_path / "r.yaml")), tmp_path / "run", console))
    assert state.metrics["top1"] is not None
    records = [r for r in read_log(tmp_path / "run") if r["kind"] == "train"]
    assert all(math.isfinite(r["distill"]) for r in records)
    with safe_open(tmp_path / "run/checkpoints/last/model.safetensors", framework="pt") as file:
        assert not [name for name in file.keys() if "teacher" in name]  # noqa: SIM118 - not a mapping
