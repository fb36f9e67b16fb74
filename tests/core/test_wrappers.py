"""Data sets made of other data sets: which samples come, from where, and what is said about them."""

from __future__ import annotations

import math
import pickle
from typing import Any

import attrs
import numpy as np
import pytest
import torch
from torchvision import tv_tensors

from vf.data.sample import Sample
from vf.data.wrappers import Joined, Picked, balanced, fact, shuffled
from vf.errors import ConfigError, DataError
from vf.protocols import DatasetInfo, Finding, Split
from vf.wrapper_configs import ClassBalanced, Concat, KFold, Repeat, Subset

CLASSES = ("eel", "carp", "pike")


class Fish:
    """Images of 4×6 px; sample i has objects of the classes ``labels[i]``."""

    def __init__(self, labels: list[list[int]], *, evaluation: bool, extra: str = "", tells: bool = True) -> None:
        self._labels = labels
        self.evaluation = evaluation
        self._extra = extra
        if tells:
            self.labels_of = lambda index: np.array(labels[index], np.int64)
            self.sizes = lambda: np.array([[4, 6]] * len(labels))

    def __len__(self) -> int:
        return len(self._labels)

    def __getitem__(self, index: int) -> Sample:
        if self._labels[index] == [-1]:
            raise DataError("broken")
        labels = torch.tensor(self._labels[index], dtype=torch.int64)
        boxes = torch.tensor([[0.0, 0.0, 2.0, 3.0]]).repeat(len(labels), 1)
        target: dict[str, Any] = {
            "boxes": tv_tensors.BoundingBoxes(boxes, format="XYXY", canvas_size=(4, 6)),
            "labels": labels,
            "evaluation": self.evaluation,
        }
        if self._extra:
            target[self._extra] = torch.ones(len(labels), dtype=torch.bool)
        return Sample(tv_tensors.Image(torch.full((3, 4, 6), index, dtype=torch.uint8)), target, f"{index}.jpg")


@attrs.frozen
class FishConfig:
    """Splits of fish by their labels."""

    train: Any = ()
    val: Any = ()
    test: Any = ()
    classes: tuple[str, ...] = CLASSES
    stuff: tuple[str, ...] = ()
    task: str = "fish"
    extra: str = ""
    tells: bool = True

    def info(self) -> DatasetInfo:
        numbers = {s: len(getattr(self, s)) for s in ("train", "val", "test") if getattr(self, s)}
        return DatasetInfo(
            classes=self.classes,
            task=self.task,
            num_samples=numbers,
            fingerprint=str(hash(str(self))),
            notes=("wet",),
            stuff=self.stuff,
            category_ids=tuple(range(10, 10 + len(self.classes))),
            palette=tuple((k, k, k) for k in range(len(self.classes))),
        )

    def build(self, split: Split) -> Fish:
        return self.build_as(split, evaluation=split != "train")

    def build_as(self, split: Split, *, evaluation: bool) -> Fish:
        return Fish(list(getattr(self, split)), evaluation=evaluation, extra=self.extra, tells=self.tells)

    def check(self) -> list[Finding]:
        return [Finding("note", "fresh")]

    @classmethod
    def sniff(cls, path: str) -> None:
        return None


def ids(dataset: Any) -> list[str]:
    return [dataset[i].id for i in range(len(dataset))]


def numbers(config: Any) -> dict[str, int]:
    """Samples of each split, as the facts say and as they are."""
    said = dict(config.info().num_samples)
    assert {split: len(config.build(split)) for split in said} == said
    return said


SIX = FishConfig(train=[[0], [0], [0, 1], [], [2, 2], [0]], val=[[1], [2]], test=[[0]])


def test_repeat() -> None:
    config = Repeat(of=SIX, times=3)
    assert numbers(config) == {"train": 18, "val": 2, "test": 1}
    assert ids(config.build("train")) == ids(SIX.build("train")) * 3
    assert config.build("train")[7].target["evaluation"] is False
    assert ids(config.build("val")) == ["0.jpg", "1.jpg"]
    train: Any = config.build("train")
    assert train.labels_of(10).tolist() == [2, 2]
    assert train.sizes().shape == (18, 2)
    assert (config.info().notes, [f.text for f in config.check()]) == (("wet",), ["fresh"])
    with pytest.raises(IndexError):
        train[18]


def test_fingerprints_change_with_what_is_chosen() -> None:
    wrapped = [Repeat(of=SIX, times=1), Repeat(of=SIX, times=2), Subset(of=SIX), Subset(of=SIX, seed=1), KFold(of=SIX)]
    prints = {config.info().fingerprint for config in wrapped}
    assert len(prints) == 5
    assert Repeat(of=SIX, times=2).info().fingerprint in prints


def test_repeat_factors_of_a_table() -> None:
    # Of 100 images 1 has class 2: f = 0.01; threshold 0.09: √9 = 3 times. 4 have class 1: √(0.09 / 0.04) = 1.5.
    labels = [[0]] * 95 + [[0, 1]] * 3 + [[1, 1, 2]] + [[]]
    drawn = balanced(labels, threshold=0.09, seed=0)
    counts = np.bincount(drawn, minlength=100)
    assert counts[:95].tolist() == [1] * 95
    assert set(counts[95:98].tolist()) <= {1, 2}
    assert (counts[98], counts[99]) == (3, 1)
    assert (np.diff(drawn) >= 0).all()
    draws = [np.bincount(balanced(labels, threshold=0.09, seed=s))[95:98].mean() for s in range(400)]
    assert abs(np.mean(draws) - 1.5) < 0.05


def test_repeat_factors_against_a_slow_reading() -> None:
    rng = np.random.default_rng(3)
    labels = [rng.integers(0, 7, rng.integers(0, 4)).tolist() for _ in range(50)]
    for threshold in (1e-3, 0.2, 1.0):
        part = {c: sum(c in one for one in labels) / 50 for c in range(7)}
        expected = [max([1.0, *(math.sqrt(threshold / part[c]) for c in one)]) for one in labels]
        counts = np.bincount(balanced(labels, threshold=threshold, seed=5), minlength=50)
        assert all(math.floor(e) <= n <= math.ceil(e) for e, n in zip(expected, counts, strict=True))
    assert balanced(labels, threshold=0.2, seed=5).tolist() == balanced(labels, threshold=0.2, seed=5).tolist()
    assert balanced([[], []], threshold=0.5, seed=0).tolist() == [0, 1]
    with pytest.raises(DataError):
        balanced([], threshold=0.5, seed=0)


def test_class_balanced() -> None:
    config = ClassBalanced(of=SIX, threshold=1.0)  # the one pike of six: √6; carp likewise; eels √(6/4)
    found = numbers(config)
    counts = np.bincount([int(i.removesuffix(".jpg")) for i in ids(config.build("train"))], minlength=6)
    assert (counts[3], found["val"], found["test"]) == (1, 2, 1)
    assert counts[[2, 4]].min() >= 2
    assert config.info().notes[1] == f"class_balanced: 6 images to train on come {found['train']} times"
    assert ids(config.build("train")) == ids(ClassBalanced(of=SIX, threshold=1.0).build("train"))
    assert "class_balanced" not in str(ClassBalanced(of=FishConfig(val=[[0]])).info().notes)
    with pytest.raises(ConfigError) as error:
        ClassBalanced(of=FishConfig(train=[[0]], tells=False)).info()
    assert error.value.problems == (
        "data: Fish does not tell the labels of its images without decoding them, which is needed here "
        "(it has no method labels_of)",
    )
    assert fact(SIX.build("train"), "sizes")().shape == (6, 2)


def test_subset() -> None:
    config = Subset(of=SIX, part=0.5)
    assert numbers(config) == {"train": 3, "val": 2, "test": 1}
    half, third = (set(ids(Subset(of=SIX, part=p).build("train"))) for p in (0.5, 0.34))
    assert third < half < set(ids(SIX.build("train")))
    assert ids(config.build("train")) == sorted(half)
    assert numbers(Subset(of=SIX, part=0.001)) == {"train": 1, "val": 2, "test": 1}
    assert numbers(Subset(of=SIX, count=4, splits=("train", "val"))) == {"train": 4, "val": 2, "test": 1}
    assert numbers(Subset(of=SIX, part=0.5, splits=("val",))) == {"train": 6, "val": 1, "test": 1}
    assert ids(Subset(of=SIX).build("train")) == ids(SIX.build("train"))
    assert len({str(ids(Subset(of=SIX, part=0.5, seed=s).build("train"))) for s in range(9)}) > 3


def test_subset_of_classes() -> None:
    config = Subset(of=SIX, classes=("pike", "eel"))
    info = config.info()
    assert (info.classes, info.category_ids, info.palette) == (("pike", "eel"), (12, 10), ((2, 2, 2), (0, 0, 0)))
    train = config.build("train")
    assert [train[i].target["labels"].tolist() for i in range(6)] == [[1], [1], [1], [], [0, 0], [1]]
    for classes, sentence in (
        (("pyke",), "data.classes: the data have no class 'pyke'; did you mean 'pike'?"),
        (("x",), "data.classes: the data have no class 'x'; known: eel, carp, pike"),
    ):
        with pytest.raises(DataError) as error:
            Subset(of=SIX, classes=classes).info()
        assert error.value.problems == (sentence,)
    with pytest.raises(DataError, match="maps of classes and stuff, from which none can be taken out"):
        Subset(of=attrs.evolve(SIX, stuff=("sea",)), classes=("eel",)).info()


def test_folds_are_a_partition_of_train_and_val() -> None:
    parts = []
    for fold in range(3):
        config = KFold(of=SIX, folds=3, fold=fold)
        found = numbers(config)
        assert (found["train"] + found["val"], found["test"]) == (8, 1)
        train, val = (pixel_ids(config.build(s)) for s in ("train", "val"))
        assert sorted(train + val) == pixel_ids(Joined([SIX.build("train"), SIX.build("val")]))
        assert {config.build("val")[i].target["evaluation"] for i in range(found["val"])} == {True}
        assert {config.build("train")[i].target["evaluation"] for i in range(found["train"])} == {False}
        parts.append(val)
    assert sorted(len(p) for p in parts) == [2, 3, 3]
    note = KFold(of=SIX, folds=3, fold=1).info().notes[-1]
    assert note == "kfold: fold 1 of 0..2 of the 8 images of train and val is val"
    with pytest.raises(ValueError, match=r"^fold 3 is not in 0..2$"):
        KFold(of=SIX, folds=3, fold=3)
    with pytest.raises(DataError, match=r"^data: 9 folds need as many images in train and val, there are 8$"):
        KFold(of=SIX, folds=9).info()


def pixel_ids(dataset: Any) -> list[tuple[int, list[int]]]:
    samples = [dataset[i] for i in range(len(dataset))]
    return sorted((int(s.image[0, 0, 0]), s.target["labels"].tolist()) for s in samples)


def test_concat_joins_classes_by_name() -> None:
    other = FishConfig(train=[[0, 1]], classes=("pike", "tench"))
    config = Concat(of=(SIX, other))
    info = config.info()
    assert info.classes == ("eel", "carp", "pike", "tench")
    assert (info.notes, info.category_ids, info.palette) == (("0: wet", "1: wet"), (), None)
    assert numbers(config) == {"train": 7, "val": 2, "test": 1}
    train: Any = config.build("train")
    assert (train[6].id, train[6].target["labels"].tolist()) == ("1/0.jpg", [2, 3])
    assert (train[4].id, train[4].target["labels"].tolist()) == ("0/4.jpg", [2, 2])
    assert [train.labels_of(i).tolist() for i in (4, 6)] == [[2, 2], [2, 3]]
    assert train.sizes().shape == (7, 2)
    assert ids(config.build("val")) == ["0/0.jpg", "0/1.jpg"]
    assert [f.text for f in config.check()] == ["0: fresh", "1: fresh"]
    assert pickle.loads(pickle.dumps(Picked(Concat(of=(PICKLED, PICKLED)).build("train"), [1])))[0].id == "1/0.jpg"
    with pytest.raises(DataError, match=r"^data: none of the 2 data sets has a split 'val'$"):
        Concat(of=(other, other)).build("val")
    with pytest.raises(ValueError, match=r"^of names no data set$"):
        Concat(of=())
    same = Concat(of=(SIX, SIX)).info()
    assert (same.category_ids, same.palette) == ((10, 11, 12), SIX.info().palette)


PICKLED = FishConfig(train=[[0]], tells=False)


def test_concat_keeps_the_keys_that_all_can_give() -> None:
    one, other, third = (FishConfig(train=[[0], [1]], extra=e) for e in ("iscrowd", "", "odd"))
    target = Concat(of=(one, other)).build("train")[2].target
    assert target["iscrowd"].tolist() == [False]
    assert Concat(of=(one, other)).build("train")[0].target["iscrowd"].tolist() == [True]
    assert "odd" not in Concat(of=(third, other)).build("train")[0].target
    areas = Concat(of=(attrs.evolve(one, extra="area"), other)).build("train")
    assert areas[2].target["area"].tolist() == [6]
    broken = attrs.evolve(other, train=[[-1], [1]])
    assert "odd" not in Concat(of=(third, broken)).build("train")[1].target
    assert "odd" in Concat(of=(third, attrs.evolve(other, train=[[-1]]))).build("train")[1].target


def test_concat_of_what_does_not_go_together() -> None:
    with pytest.raises(DataError, match=r"^data.of.1: its task is 'birds', that of data.of.0 'fish'$"):
        Concat(of=(SIX, attrs.evolve(SIX, task="birds"))).info()
    with pytest.raises(DataError, match=r"^data.of.1: its classes and stuff are not those of data.of.0"):
        Concat(of=(SIX, attrs.evolve(SIX, stuff=("sea",)))).info()


def test_wrappers_of_wrappers() -> None:
    config = Repeat(of=KFold(of=Concat(of=(SIX, Subset(of=SIX, count=2))), folds=2), times=2)
    assert numbers(config) == {"train": 12, "val": 6, "test": 2}
    assert config.build("val")[0].target["evaluation"] is True


def test_a_data_set_that_knows_no_manner_of_building() -> None:
    class Plain:
        def __init__(self) -> None:
            self.inner = SIX

        def info(self) -> DatasetInfo:
            return self.inner.info()

        def build(self, split: Split) -> Fish:
            return self.inner.build(split)

        def check(self) -> list[Finding]:
            return []

        @classmethod
        def sniff(cls, path: str) -> None:
            return None

    assert numbers(KFold(of=Plain(), folds=2)) == {"train": 4, "val": 4, "test": 1}


def test_no_folder_is_a_wrapper() -> None:
    assert [c.sniff(".") for c in (Repeat, Concat, Subset, KFold, ClassBalanced)] == [None] * 5


def test_orders_are_drawn_from_the_seed() -> None:
    assert sorted(shuffled(9, 0)) == list(range(9))
    assert shuffled(9, 0) == shuffled(9, 0) != shuffled(9, 1)
