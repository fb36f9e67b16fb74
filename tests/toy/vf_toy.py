"""A plugin of a few lines for tests of the engine: coloured squares, told apart by a network with dropout."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import attrs
import torch
from torch import nn
from torchvision import tv_tensors

import vf
from vf.data.sample import Batch, Sample
from vf.nn.preprocess import Letterbox
from vf.protocols import DatasetInfo

VF_API = 1
VF_TASK = "toy"


class Squares:
    def __init__(self, count: int, mischief: SquaresConfig | None, seconds: float = 0.0) -> None:
        self.count, self.mischief, self.seconds = count, mischief, seconds

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> Sample:
        if self.mischief is not None:
            _play(self.mischief, index)
        time.sleep(self.seconds)
        generator = torch.Generator().manual_seed(index)
        image = torch.randint(0, 256, (3, 12, 12), dtype=torch.uint8, generator=generator)
        label = index % 2
        image[label] = 255
        return Sample(tv_tensors.Image(image), {"labels": torch.tensor(label)}, f"square-{index}")


@vf.config
class SquaresConfig:
    """Squares whose channel tells their class."""

    count: int = vf.field(default=10, help="images")
    val: int = vf.field(default=4, help="images to validate on")
    broken: int = vf.field(default=-1, help="index of an image that cannot be read")
    asleep: int = vf.field(default=-1, help="index of an image that takes an hour")
    deadly: int = vf.field(default=-1, help="index of an image that kills its process, once where `once` is set")
    once: str = vf.field(default="", help="file that is made when the deadly image was read")
    seconds: float = vf.field(default=0.0, help="that an image takes")
    val_seconds: float = vf.field(default=0.0, help="that an image takes in validation")
    asked: str = vf.field(default="", help="file that each index is appended to when it is read")

    def info(self) -> DatasetInfo:
        return DatasetInfo(
            classes=("red", "green"), task="toy", num_samples={"train": self.count, "val": self.val}, fingerprint="f"
        )

    def build(self, split: str) -> Squares:
        return (
            Squares(self.count, self, self.seconds) if split == "train" else Squares(self.val, None, self.val_seconds)
        )

    def check(self) -> list[vf.Finding]:
        return []

    @classmethod
    def sniff(cls, path: str) -> Mapping[str, Any] | None:
        return None


def _play(mischief: SquaresConfig, index: int) -> None:
    if mischief.asked:
        with Path(mischief.asked).open("a") as file:
            file.write(f"{index}\n")
    if index == mischief.broken:
        raise vf.DataError(f"square {index}: is broken")
    if index == mischief.asleep:
        time.sleep(3600)
    if index == mischief.deadly and not (mischief.once and Path(mischief.once).exists()):
        if mischief.once:
            Path(mischief.once).touch()
        os.kill(os.getpid(), signal.SIGKILL)


class Net(nn.Module):
    def __init__(self, *, num_classes: int, scale: float, plain: bool, unused: bool) -> None:
        super().__init__()
        if unused:
            self.spare = nn.Linear(2, 2)
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
    unused: bool = vf.field(default=False, help="with a layer that nothing uses")

    def build(self, info: DatasetInfo) -> nn.Module:
        return Net(num_classes=len(info.classes), scale=self.scale, plain=self.plain, unused=self.unused)


class Accuracy:
    def __init__(self) -> None:
        self.right = self.seen = 0
        self.scores = 0.0

    def update(self, predictions: Any, targets: Any) -> None:
        for p, t in zip(predictions, targets, strict=True):
            self.right += int(p["scores"].argmax() == t["labels"])
            self.scores += float(p["scores"][t["labels"]])
            self.seen += 1

    def state(self) -> Any:
        return [self.right, self.seen, self.scores]

    def merge(self, states: Any) -> None:
        self.right, self.seen, self.scores = (sum(x) for x in zip(*states, strict=True))

    def compute(self) -> dict[str, float | None]:
        if not self.seen:
            return {"accuracy": None, "confidence": None}
        return {"accuracy": self.right / self.seen, "confidence": self.scores / self.seen}

    def table(self) -> list[tuple[str, float | None]]:
        return []


@vf.config
class AccuracyConfig:
    """Part of the images that are told right, and the mean score of the right class."""

    def build(self, info: DatasetInfo) -> Accuracy:
        return Accuracy()


class Haze:
    """Adds noise to whole batches, and notes the steps by what it drew."""

    batches = True

    def __init__(self) -> None:
        self.drawn: list[float] = []

    def __call__(self, batch: Batch, rng: torch.Generator) -> Batch:
        share = torch.rand((), generator=rng)
        self.drawn.append(float(share))
        noise = 255 * torch.rand(batch.images.shape, generator=rng)
        return attrs.evolve(batch, images=(1 - share) * batch.images + share * noise)


@vf.config
class HazeConfig:
    """Noise on whole batches."""

    def build(self) -> Haze:
        return Haze()


@vf.hookimpl
def vf_transforms() -> Mapping[str, Any]:
    return {"haze": HazeConfig}


@vf.hookimpl
def vf_models() -> Mapping[str, Any]:
    return {"net": NetConfig}


@vf.hookimpl
def vf_datasets() -> Mapping[str, Any]:
    return {"squares": SquaresConfig}


@vf.hookimpl
def vf_metrics() -> Mapping[str, Any]:
    return {"accuracy": AccuracyConfig}
