"""A plugin of a few lines for tests of the engine: coloured squares, told apart by a network with dropout."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from types import ModuleType
from typing import Any

import pytest
import torch
from torch import nn
from torchvision import tv_tensors

import vf
from vf.data.sample import Batch, Sample
from vf.nn.preprocess import Letterbox
from vf.plugins import Plugin, plugins
from vf.protocols import DatasetInfo


class Squares:
    def __init__(self, count: int, broken: int) -> None:
        self.count, self.broken = count, broken

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> Sample:
        if index == self.broken:
            raise vf.DataError(f"square {index}: is broken")
        generator = torch.Generator().manual_seed(index)
        image = torch.randint(0, 256, (3, 12, 12), dtype=torch.uint8, generator=generator)
        label = index % 2
        image[label] = 255
        return Sample(tv_tensors.Image(image), {"labels": torch.tensor(label)}, f"square-{index}")


@vf.config
class SquaresConfig:
    """Squares whose channel tells their class."""

    count: int = vf.field(default=10, help="images")
    broken: int = vf.field(default=-1, help="index of an image that cannot be read")

    def info(self) -> DatasetInfo:
        return DatasetInfo(
            classes=("red", "green"), task="toy", num_samples={"train": self.count, "val": 4}, fingerprint="f"
        )

    def build(self, split: str) -> Squares:
        return Squares(self.count if split == "train" else 4, self.broken if split == "train" else -1)

    def check(self) -> list[vf.Finding]:
        return []

    @classmethod
    def sniff(cls, path: str) -> Mapping[str, Any] | None:
        return None


class Net(nn.Module):
    def __init__(self, *, num_classes: int, scale: float, plain: bool) -> None:
        super().__init__()
        self.preprocess = Letterbox(size=(12, 12), mean=(128.0,) * 3, std=(64.0,) * 3)
        self.conv = nn.Conv2d(3, 4, 3)
        self.norm = nn.Identity() if plain else nn.BatchNorm2d(4)
        self.drop = nn.Dropout(0.0 if plain else 0.3)
        self.head = nn.Linear(4, num_classes)
        self.scale = scale
        self.finals = 0

    def begin_final_phase(self) -> None:
        self.finals += 1

    def forward(self, batch: Batch) -> Any:
        x = self.preprocess(batch.images, batch.sizes)
        x = self.head(self.drop(self.norm(self.conv(x)).relu()).mean((2, 3)))
        if self.training:
            loss = nn.functional.cross_entropy(x, batch.targets["labels"])
            return {"loss_cls": loss * self.scale, "_doubled": 2 * loss.detach()}
        return [{"scores": s} for s in x.softmax(1).cpu()]


@vf.config
class NetConfig:
    """A convolution, a norm, dropout and a linear layer."""

    scale: float = vf.field(default=1.0, help="on the loss")
    plain: bool = vf.field(default=False, help="without norm and dropout")

    def build(self, info: DatasetInfo) -> nn.Module:
        return Net(num_classes=len(info.classes), scale=self.scale, plain=self.plain)


class Accuracy:
    def __init__(self) -> None:
        self.right = self.seen = 0

    def update(self, predictions: Any, targets: Any) -> None:
        for p, t in zip(predictions, targets, strict=True):
            self.right += int(p["scores"].argmax() == t["labels"])
            self.seen += 1

    def state(self) -> Any:
        return [self.right, self.seen]

    def merge(self, states: Any) -> None:
        self.right, self.seen = (sum(x) for x in zip(*states, strict=True))

    def compute(self) -> dict[str, float | None]:
        return {"accuracy": self.right / self.seen if self.seen else None}

    def table(self) -> list[tuple[str, float | None]]:
        return []


@vf.config
class AccuracyConfig:
    """Part of the images that are told right."""

    def build(self, info: DatasetInfo) -> Accuracy:
        return Accuracy()


@pytest.fixture(scope="session", autouse=True)
def toy() -> Iterator[None]:
    """Make the plugin ``toy`` known to this process."""
    module = ModuleType("vf_toy")
    hooks = {
        "vf_models": {"net": NetConfig},
        "vf_datasets": {"squares": SquaresConfig},
        "vf_metrics": {"accuracy": AccuracyConfig},
    }
    for name, classes in hooks.items():
        setattr(module, name, vf.hookimpl(specname=name)(lambda classes=classes: classes))
    sys.modules["vf_toy"] = module
    found = plugins()
    found._take(Plugin("toy", "", "", "vf_toy"), lambda: module)
    assert found.found[-1].status == "loaded", found.found[-1].problem
    yield
    del sys.modules["vf_toy"]
    found._manager.unregister(name="toy")
    found.found.pop()
    for kind, name in (("model", "net"), ("dataset", "squares"), ("metric", "accuracy")):
        del found._components[kind][name]
