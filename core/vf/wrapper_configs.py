"""Config classes of data sets that are made of other data sets. Free of torch and numpy until they are built."""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

import attrs

from vf.errors import DataError, did_you_mean, listed
from vf.protocols import SPLITS, DatasetConfig, DatasetInfo, Finding, Results, Split
from vf.schema import at_least, config, field, positive, within

if TYPE_CHECKING:
    from vf.protocols import Dataset


def build_as(data: DatasetConfig, split: Split, *, evaluation: bool) -> Dataset:
    """Build a split to train on or to evaluate on, whatever its name, where the data set makes a difference."""
    own = getattr(data, "build_as", None)
    built: Dataset = data.build(split) if own is None else own(split, evaluation=evaluation)
    return built


def results_of(data: DatasetConfig) -> Results | None:
    """Build what writes the results of a data set in its own form, where it has one."""
    own = getattr(data, "results", None)
    built: Results | None = None if own is None else own()
    return built


@config
class Wrapper:
    """What data sets made of one other have in common; by default, all is as there."""

    of: DatasetConfig = field(help="the data set that this one is made of")

    def info(self) -> DatasetInfo:
        """Facts of the data set that it is made of, with the numbers of samples that there are now."""
        info = self.of.info()
        numbers: dict[str, int] = {split: n for split in SPLITS if (n := self.samples(info, split))}
        return attrs.evolve(
            info,
            num_samples=numbers,
            fingerprint=_hash(info.fingerprint, self.signature),
            notes=(*info.notes, *self.notes(info, numbers)),
        )

    @property
    def signature(self) -> str:
        """What, beside the other data set, decides which samples there are."""
        fields = attrs.fields(type(self))  # type: ignore[arg-type]
        own = {f.name: getattr(self, f.name) for f in fields if f.name != "of"}
        return f"{type(self).__name__} {own}"

    def samples(self, info: DatasetInfo, split: Split) -> int:
        """How many samples a split has; 0: there is none."""
        return info.num_samples.get(split, 0)

    def notes(self, info: DatasetInfo, numbers: Mapping[str, int]) -> Sequence[str]:
        """What to say beside what the other data set says; ``info`` is its own, ``numbers`` those of this one."""
        return ()

    def build(self, split: Split) -> Dataset:
        """Build one split."""
        return self.build_as(split, evaluation=split != "train")

    def build_as(self, split: Split, *, evaluation: bool) -> Dataset:
        """Build one split to train on or to evaluate on, whatever its name."""
        return build_as(self.of, split, evaluation=evaluation)

    def results(self) -> Results | None:
        """What writes results, where the data set that it is made of has it."""
        return results_of(self.of)

    def check(self) -> Sequence[Finding]:
        """What there is to find in the data set that it is made of."""
        return self.of.check()

    @classmethod
    def sniff(cls, path: str) -> Mapping[str, Any] | None:
        """None: no folder is of this kind."""
        return None


@config
class Repeat(Wrapper):
    """Train on every sample several times in what counts as an epoch: for small data sets."""

    times: int = field(help="how often each sample comes in an epoch", validator=positive())

    def samples(self, info: DatasetInfo, split: Split) -> int:
        """How many samples a split has."""
        return info.num_samples.get(split, 0) * (self.times if split == "train" else 1)

    def build_as(self, split: Split, *, evaluation: bool) -> Dataset:
        """Build one split; only train is repeated."""
        dataset = build_as(self.of, split, evaluation=evaluation)
        if split != "train":
            return dataset
        import numpy as np

        from vf.data.wrappers import Picked

        return Picked(dataset, np.tile(np.arange(len(dataset)), self.times))


@config
class ClassBalanced(Wrapper):
    """Train on images with rare classes more often, by the repeat factors of LVIS (arXiv 1908.03195, appendix B.2).

    With f(c) the part of the images that have class c, an image comes max over its c of max(1, √(threshold / f(c)))
    times; a broken part of that is drawn once, from the seed, so every epoch has the same samples.
    """

    threshold: float = field(
        default=1e-3, help="classes in a smaller part of the images come more often", validator=within(1e-9, 1)
    )
    seed: int = field(default=0, help="of the draw", validator=at_least(0))

    @functools.cached_property
    def indices(self) -> Any:  # attrs evaluates the annotation, and NDArray would import numpy
        """Which samples of train come, in their order."""
        from vf.data.wrappers import balanced, fact

        dataset = self.of.build("train")
        labels_of = fact(dataset, "labels_of")
        return balanced([labels_of(i) for i in range(len(dataset))], threshold=self.threshold, seed=self.seed)

    def samples(self, info: DatasetInfo, split: Split) -> int:
        """How many samples a split has."""
        count = info.num_samples.get(split, 0)
        return len(self.indices) if split == "train" and count else count

    def notes(self, info: DatasetInfo, numbers: Mapping[str, int]) -> Sequence[str]:
        """Say how many there are more."""
        before = info.num_samples.get("train", 0)
        return [f"class_balanced: {before} images to train on come {numbers['train']} times"] if before else []

    def build_as(self, split: Split, *, evaluation: bool) -> Dataset:
        """Build one split; only train is balanced."""
        dataset = build_as(self.of, split, evaluation=evaluation)
        if split != "train":
            return dataset
        from vf.data.wrappers import Picked

        return Picked(dataset, self.indices)


@config
class Subset(Wrapper):
    """A part of the images, or of the classes.

    The images are drawn from the seed; those of a smaller part are among those of a larger one.
    """

    part: float = field(default=1.0, help="of the images", validator=within(1e-9, 1))
    count: int | None = field(default=None, help="so many images at most", validator=positive())
    splits: tuple[Literal["train", "val", "test"], ...] = field(
        default=("train",), help="of which a part is taken; the others stay whole"
    )
    classes: tuple[str, ...] = field(default=(), help="names that stay, in their order; empty: all of them")
    seed: int = field(default=0, help="of the draw", validator=at_least(0))

    def info(self) -> DatasetInfo:
        """Facts of what is left."""
        info, theirs = super().info(), self.of.info()
        if not self.classes:
            return info
        unknown = [name for name in self.classes if name not in theirs.classes]
        if unknown:
            hint = did_you_mean(unknown[0], theirs.classes) or f"; known: {listed(theirs.classes)}"
            raise DataError(f"data.classes: the data have no class {unknown[0]!r}{hint}")
        if theirs.stuff:
            raise DataError("data.classes: the data have maps of classes and stuff, from which none can be taken out")
        places = [theirs.classes.index(name) for name in self.classes]
        return attrs.evolve(
            info,
            classes=self.classes,
            palette=theirs.palette and tuple(theirs.palette[k] for k in places),
            category_ids=theirs.category_ids and tuple(theirs.category_ids[k] for k in places),
        )

    def samples(self, info: DatasetInfo, split: Split) -> int:
        """How many samples a split has."""
        count = info.num_samples.get(split, 0)
        if split not in self.splits or not count:
            return count
        return min(max(1, round(self.part * count)), self.count or count)

    def build_as(self, split: Split, *, evaluation: bool) -> Dataset:
        """Build one split."""
        from vf.data.relabel import relabel
        from vf.data.wrappers import Picked, shuffled

        info, dataset = self.of.info(), build_as(self.of, split, evaluation=evaluation)
        left = self.samples(info, split)
        if left < len(dataset):
            dataset = Picked(dataset, sorted(shuffled(len(dataset), self.seed)[:left]))
        ours = self.info().classes
        return relabel(dataset, theirs=info.classes, ours=ours)[0] if self.classes else dataset


@config
class KFold(Wrapper):
    """One fold of a cross-validation: train and val are joined, cut into folds anew, and one of them is val."""

    folds: int = field(default=5, help="number of them", validator=at_least(2))
    fold: int = field(default=0, help="the one to validate on, from 0", validator=at_least(0))
    seed: int = field(default=0, help="of the draw that cuts the folds", validator=at_least(0))

    def __attrs_post_init__(self) -> None:
        if self.fold >= self.folds:
            raise ValueError(f"fold {self.fold} is not in 0..{self.folds - 1}")

    def samples(self, info: DatasetInfo, split: Split) -> int:
        """How many samples a split has."""
        return info.num_samples.get(split, 0) if split == "test" else len(self._places(info, split))

    def notes(self, info: DatasetInfo, numbers: Mapping[str, int]) -> Sequence[str]:
        """Say which fold it is."""
        count = numbers.get("train", 0) + numbers.get("val", 0)
        return [f"kfold: fold {self.fold} of 0..{self.folds - 1} of the {count} images of train and val is val"]

    def _places(self, info: DatasetInfo, split: Split) -> Sequence[int]:
        from vf.data.wrappers import shuffled

        count = sum(info.num_samples.get(s, 0) for s in ("train", "val"))
        if count < self.folds:
            raise DataError(f"data: {self.folds} folds need as many images in train and val, there are {count}")
        order = shuffled(count, self.seed)
        return sorted(p for n, p in enumerate(order) if (n % self.folds == self.fold) == (split == "val"))

    def build_as(self, split: Split, *, evaluation: bool) -> Dataset:
        """Build one split."""
        if split == "test":
            return build_as(self.of, split, evaluation=evaluation)
        from vf.data.wrappers import Joined, Picked

        info = self.of.info()
        own: list[Split] = [s for s in SPLITS if s != "test" and info.num_samples.get(s)]
        members = [build_as(self.of, s, evaluation=evaluation) for s in own]
        return Picked(Joined(members), self._places(info, split))


@config
class Concat:
    """Several data sets as one. Classes are joined by name; ids of samples begin with the number of the data set."""

    of: tuple[DatasetConfig, ...] = field(help="the data sets, in their order")

    def __attrs_post_init__(self) -> None:
        if not self.of:
            raise ValueError("of names no data set")

    @functools.cached_property
    def infos(self) -> tuple[DatasetInfo, ...]:
        """Facts of each."""
        return tuple(data.info() for data in self.of)

    def info(self) -> DatasetInfo:
        """Facts of all together; DataError where they do not go together."""
        infos, first = self.infos, self.infos[0]
        for number, info in enumerate(infos[1:], 1):
            if info.task != first.task:
                raise DataError(f"data.of.{number}: its task is {info.task!r}, that of data.of.0 {first.task!r}")
            if (info.stuff or first.stuff) and (info.classes, info.stuff) != (first.classes, first.stuff):
                raise DataError(
                    f"data.of.{number}: its classes and stuff are not those of data.of.0, and maps need that"
                )
        same = all(info.classes == first.classes for info in infos)
        ids = {info.category_ids for info in infos}
        return attrs.evolve(
            first,
            classes=tuple(dict.fromkeys(name for info in infos for name in info.classes)),
            num_samples={s: n for s in SPLITS if (n := sum(info.num_samples.get(s, 0) for info in infos))},
            fingerprint=_hash(*(info.fingerprint for info in infos)),
            notes=tuple(f"{number}: {note}" for number, info in enumerate(infos) for note in info.notes),
            palette=first.palette if same else None,
            category_ids=first.category_ids if same and len(ids) == 1 else (),
            keypoints=first.keypoints if all(info.keypoints == first.keypoints for info in infos) else (),
            multi_label=any(info.multi_label for info in infos),
            unlabelled=tuple(s for s in SPLITS if any(s in info.unlabelled for info in infos)),
        )

    def build(self, split: Split) -> Dataset:
        """Build one split from those that have it."""
        return self.build_as(split, evaluation=split != "train")

    def build_as(self, split: Split, *, evaluation: bool) -> Dataset:
        """Build one split to train on or to evaluate on, whatever its name."""
        from vf.data.wrappers import Joined

        have = [number for number, info in enumerate(self.infos) if info.num_samples.get(split)]
        if not have:
            raise DataError(f"data: none of the {len(self.of)} data sets has a split {split!r}")
        return Joined(
            [build_as(self.of[number], split, evaluation=evaluation) for number in have],
            prefixes=[f"{number}/" for number in have],
            classes=[self.infos[number].classes for number in have],
            joined=self.info().classes,
        )

    def results(self) -> Results | None:
        """What writes results: that of the first data set."""
        return results_of(self.of[0])

    def check(self) -> Sequence[Finding]:
        """What there is to find in each."""
        found = [(number, finding) for number, data in enumerate(self.of) for finding in data.check()]
        return [attrs.evolve(finding, text=f"{number}: {finding.text}") for number, finding in found]

    @classmethod
    def sniff(cls, path: str) -> Mapping[str, Any] | None:
        """None: no folder is of this kind."""
        return None


def _hash(*texts: str) -> str:
    return hashlib.sha256("\0".join(texts).encode()).hexdigest()[:16]
