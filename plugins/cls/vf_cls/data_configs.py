"""Config classes of data sets: generated shapes, and those that come in their own files. Free of torch and numpy."""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import vf
from vf.protocols import Split
from vf.schema import changed
from vf_cls.folder_configs import Folder, List

if TYPE_CHECKING:
    from vf.protocols import Dataset
    from vf_cls.data.packed import Cifar, Idx

__all__ = ["Cifar10", "Cifar100", "FashionMnist", "Folder", "List", "Mnist", "Shapes"]


@vf.config
class Shapes:
    """Generated images of one shape each on a textured ground, or of several; nothing is read or downloaded."""

    size: int = vf.field(default=64, help="side of the square images", unit="px", validator=vf.at_least(32))
    train: int = vf.field(default=4000, help="images to train on", validator=vf.positive())
    val: int = vf.field(default=500, help="images to validate on", validator=vf.positive())
    test: int = vf.field(default=1000, help="images to test on", validator=vf.positive())
    multi_label: bool = vf.field(default=False, help="several shapes on an image, and all their classes are its labels")
    max_objects: int = vf.field(default=3, help="most shapes on an image with multi_label", validator=vf.positive())
    min_side: float = vf.field(default=0.4, help="smallest shape, as a part of size", validator=vf.within(0.05, 1))
    max_side: float = vf.field(default=0.8, help="largest shape, as a part of size", validator=vf.within(0.05, 1))
    seed: int = vf.field(default=0, help="other seeds give other images", validator=vf.at_least(0))

    def __attrs_post_init__(self) -> None:
        if self.min_side > self.max_side:
            raise ValueError(f"min_side {self.min_side:g} > max_side {self.max_side:g}")

    def info(self) -> vf.DatasetInfo:
        """Known without drawing anything."""
        from vf.data.shapes import CLASSES

        return vf.DatasetInfo(
            classes=CLASSES,
            task="cls",
            num_samples={"train": self.train, "val": self.val, "test": self.test},
            fingerprint=hashlib.sha256(repr(self).encode()).hexdigest()[:16],
            multi_label=self.multi_label,
        )

    def build(self, split: Split) -> Dataset:
        """Build one split."""
        from vf.data.shapes import Settings
        from vf_cls.data.shapes import ShapesDataset

        settings = Settings(
            size=self.size,
            min_objects=0 if self.multi_label else 1,
            max_objects=self.max_objects if self.multi_label else 1,
            min_side=self.min_side,
            max_side=self.max_side,
            seed=self.seed,
        )
        return ShapesDataset(settings, split, self.info().num_samples[split])

    def check(self) -> Sequence[vf.Finding]:
        """Generated labels are right by construction."""
        return []

    @classmethod
    def sniff(cls, path: str) -> Mapping[str, Any] | None:
        """No folder holds generated images."""
        return None


@vf.config
class _Published:
    """What data sets share that come as a train and a test file."""

    path: str = vf.field(help="folder of the files as published, packed or not, or the archive itself")
    val: Literal["test", "holdout", "none"] = vf.field(
        default="test", help="what is validated on: test, as published figures are; a part of train; or nothing"
    )
    holdout: float = vf.field(
        default=0.1, help="part of train to validate on, with val: holdout", validator=vf.within(0, 0.9)
    )

    def rows(self) -> Mapping[Split, Cifar | Idx]:
        """Find the files of train and test."""
        raise NotImplementedError(f"{type(self).__name__} has no files")

    def names(self) -> tuple[str, ...]:
        """The classes in order."""
        raise NotImplementedError(f"{type(self).__name__} has no classes")

    @functools.cached_property
    def splits(self) -> Any:  # attrs evaluates the annotation, and the data set would import numpy
        """Split -> data set, read once for each config object."""
        from vf_cls.data.packed import PackedImages
        from vf_cls.data.published import held_out

        if not Path(self.path).exists():
            raise vf.DataError(f"{self.path}: no such folder; data.path names the folder of the data set")
        rows = self.rows()
        built = {split: PackedImages(one, indices=None, prefix=split) for split, one in rows.items()}
        for split, one in built.items():
            labels = one.objects().labels
            if len(labels) and int(labels.max()) >= len(self.names()):
                line = f"label {int(labels.max())} is out of range: there are {len(self.names())} classes"
                raise vf.DataError(f"{self.path}: {split}: {line}")
        if self.val == "holdout" and "train" in rows:
            train, val = held_out(len(built["train"]), self.holdout)
            whole = rows["train"]
            built["train"] = PackedImages(whole, indices=train, prefix="train")
            built["val"] = PackedImages(whole, indices=val, prefix="train")
        elif self.val == "test" and "test" in rows:
            built["val"] = built["test"]
        return built

    def info(self) -> vf.DatasetInfo:
        """Read the files; DataError says what is wrong with them."""
        splits = self.splits
        digest = hashlib.sha256("\0".join(self.names()).encode())
        for split, one in splits.items():
            digest.update(split.encode() + one.objects().labels.tobytes())
        notes = ("val is the test split, as published figures are; val: holdout keeps them apart",)
        return vf.DatasetInfo(
            classes=self.names(),
            task="cls",
            num_samples={split: len(one) for split, one in splits.items()},
            fingerprint=digest.hexdigest()[:16],
            notes=notes if splits.get("val") is splits.get("test") is not None else (),
        )

    def build(self, split: Split) -> Dataset:
        """Build one split."""
        if split not in self.splits:
            raise vf.DataError(f"{self.path}: has no split {split!r}; it has {', '.join(self.splits)}")
        built: Dataset = self.splits[split]
        return built

    def as_delivered(self) -> _Published:
        """The same data in the splits that they have."""
        return changed(self, val="none")

    def check(self) -> Sequence[vf.Finding]:
        """Say how many images of each class there are."""
        import numpy as np

        found = []
        for split, one in self.splits.items():
            counts = np.bincount(one.objects().labels, minlength=len(self.names())).tolist()
            shown = ", ".join(f"{name} {n}" for name, n in list(zip(self.names(), counts, strict=True))[:8])
            more = f", … ({len(counts)} classes)" if len(counts) > 8 else ""
            found.append(vf.Finding("note", f"{split}: {len(one)} images: {shown}{more}"))
        return found


@vf.config
class Cifar10(_Published):
    """CIFAR-10's binary version: data_batch_*.bin, or cifar-10-binary.tar.gz read in place."""

    def rows(self) -> Mapping[Split, Cifar | Idx]:
        """Find the files."""
        from vf_cls.data.published import cifar

        return cifar(Path(self.path), 10, fine=True)

    def names(self) -> tuple[str, ...]:
        """The 10 classes."""
        from vf_cls.data.published import CIFAR10

        return CIFAR10

    @classmethod
    def sniff(cls, path: str) -> Mapping[str, Any] | None:
        """The files, or the Python version, of which reading says that it is refused."""
        return _sniff_cifar(path, 10)


@vf.config
class Cifar100(_Published):
    """CIFAR-100's binary version: train.bin and test.bin, or cifar-100-binary.tar.gz read in place."""

    labels: Literal["fine", "coarse"] = vf.field(default="fine", help="the 100 classes, or the 20 that hold them")

    def rows(self) -> Mapping[Split, Cifar | Idx]:
        """Find the files."""
        from vf_cls.data.published import cifar

        return cifar(Path(self.path), 100, fine=self.labels == "fine")

    def names(self) -> tuple[str, ...]:
        """The classes."""
        from vf_cls.data.published import COARSE, FINE

        return FINE if self.labels == "fine" else COARSE

    @classmethod
    def sniff(cls, path: str) -> Mapping[str, Any] | None:
        """The files, or the Python version, of which reading says that it is refused."""
        return _sniff_cifar(path, 100)


@vf.config
class Mnist(_Published):
    """MNIST's idx files, plain or .gz: handwritten digits, 28×28, grey becomes RGB."""

    def rows(self) -> Mapping[Split, Cifar | Idx]:
        """Find the files."""
        from vf_cls.data.published import idx_files

        found = idx_files(Path(self.path))
        if not found:
            raise vf.DataError(f"{self.path}: expected train-images-idx3-ubyte, train-labels-idx1-ubyte, plain or .gz")
        return found

    def names(self) -> tuple[str, ...]:
        """The digits."""
        from vf_cls.data.published import DIGITS

        return DIGITS

    @classmethod
    def sniff(cls, path: str) -> Mapping[str, Any] | None:
        """Its files, if they are not Fashion-MNIST's, which have the same names."""
        from vf_cls.data.published import idx_files, is_fashion

        files = idx_files(Path(path))
        return {"path": path} if files and not is_fashion(Path(path), files) else None


@vf.config
class FashionMnist(Mnist):
    """Fashion-MNIST's idx files, plain or .gz: clothes, 28×28, grey becomes RGB."""

    def names(self) -> tuple[str, ...]:
        """The 10 kinds of clothes."""
        from vf_cls.data.published import FASHION

        return FASHION

    @classmethod
    def sniff(cls, path: str) -> Mapping[str, Any] | None:
        """Its files, told from MNIST's by the folder's name or the first labels."""
        from vf_cls.data.published import idx_files, is_fashion

        files = idx_files(Path(path))
        return {"path": path} if files and is_fashion(Path(path), files) else None


def _sniff_cifar(path: str, kind: int) -> Mapping[str, Any] | None:
    from vf_cls.data.published import cifar_files, pickled_cifar

    place = Path(path)
    try:
        found = cifar_files(place, kind) or pickled_cifar(place, kind)
    except vf.DataError:
        found = place  # a broken archive is one, and reading says what is wrong
    return {"path": path} if found else None
