"""Data sets made of other data sets: chosen samples, joined samples, and which to choose."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import attrs
import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray

from vf.data.follow import box_areas
from vf.data.relabel import id_of, relabel, target_of
from vf.data.sample import Sample
from vf.errors import ConfigError, DataError, VFError
from vf.protocols import Dataset

_FILLED = ("iscrowd", "difficult", "area")
"""Keys of objects that have a natural value where a data set does not give them."""


def fact(dataset: Dataset, method: str) -> Any:
    """Return a method of a data set that answers without decoding: ``labels_of`` or ``sizes``.

    Raises:
        ConfigError: it has none.
    """
    found = getattr(dataset, method, None)
    if found is None:
        what = {"labels_of": "the labels", "sizes": "the sizes"}[method]
        raise ConfigError(
            f"data: {type(dataset).__name__} does not tell {what} of its images without decoding them, which is needed "
            f"here (it has no method {method})"
        )
    return found


class Picked:
    """Samples of a data set at chosen indices, any of them any number of times."""

    def __init__(self, dataset: Dataset, indices: ArrayLike) -> None:
        self._dataset = dataset
        self._indices = np.asarray(indices, np.int64).reshape(-1)

    def __len__(self) -> int:
        return len(self._indices)

    def __getitem__(self, index: int) -> Sample:
        return self._dataset[self._at(index)]

    def _at(self, index: int) -> int:
        return int(self._indices[_checked(index, len(self))])

    def labels_of(self, index: int) -> NDArray[np.int64]:
        """Class indices of a sample's objects."""
        labels: NDArray[np.int64] = fact(self._dataset, "labels_of")(self._at(index))
        return labels

    def id_of(self, index: int) -> str:
        """Id of a sample."""
        return id_of(self._dataset, self._at(index))

    def target(self, index: int, size: tuple[int, int]) -> dict[str, Any]:
        """Target of a sample that was decoded to ``size``."""
        return target_of(self._dataset, self._at(index), size)

    def sizes(self) -> NDArray[np.int32]:
        """Height and width of each image, [N,2]."""
        return np.asarray(fact(self._dataset, "sizes")())[self._indices]


class Joined:
    """Data sets one after another. Keys of targets that not all of them give are left out, or filled where they can be.

    Args:
        members: one or more.
        prefixes: put before the ids of each.
        classes: class list of each, where labels are to be brought into the order of ``joined``.
        joined: class list of all.
    """

    def __init__(
        self,
        members: Sequence[Dataset],
        *,
        prefixes: Sequence[str] = (),
        classes: Sequence[tuple[str, ...]] = (),
        joined: tuple[str, ...] = (),
    ) -> None:
        self._tables = [np.array([joined.index(name) for name in theirs], np.int64) for theirs in classes]
        self._plain = tuple(members)
        self._members = (
            tuple(
                relabel(member, theirs=theirs, ours=joined)[0] for member, theirs in zip(members, classes, strict=True)
            )
            if classes
            else self._plain
        )
        self._prefixes = tuple(prefixes) or ("",) * len(members)
        self._ends = np.cumsum([len(member) for member in members])
        self._keys = _common_keys(self._members)

    def __len__(self) -> int:
        return int(self._ends[-1])

    def __getitem__(self, index: int) -> Sample:
        member, place = self._place(index)
        sample = self._members[member][place]
        return attrs.evolve(sample, target=self._common(sample.target), id=f"{self._prefixes[member]}{sample.id}")

    def _common(self, target: dict[str, Any]) -> dict[str, Any]:
        return target if self._keys is None else {key: _value(target, key) for key in self._keys}

    def id_of(self, index: int) -> str:
        """Id of a sample."""
        member, place = self._place(index)
        return self._prefixes[member] + id_of(self._members[member], place)

    def target(self, index: int, size: tuple[int, int]) -> dict[str, Any]:
        """Target of a sample that was decoded to ``size``."""
        member, place = self._place(index)
        return self._common(target_of(self._members[member], place, size))

    def labels_of(self, index: int) -> NDArray[np.int64]:
        """Class indices of a sample's objects."""
        member, place = self._place(index)
        labels = np.asarray(fact(self._plain[member], "labels_of")(place), np.int64)
        return self._tables[member][labels] if self._tables else labels

    def sizes(self) -> NDArray[np.int32]:
        """Height and width of each image, [N,2]."""
        return np.concatenate([np.asarray(fact(member, "sizes")()) for member in self._plain])

    def _place(self, index: int) -> tuple[int, int]:
        member = int(np.searchsorted(self._ends, _checked(index, len(self)), "right"))
        return member, index - (int(self._ends[member - 1]) if member else 0)


def _checked(index: int, length: int) -> int:
    if not 0 <= index < length:
        raise IndexError(index)
    return index


def _common_keys(members: Sequence[Dataset]) -> tuple[str, ...] | None:
    """Return the keys that every member can give, None where there is one member only; decodes an image of each."""
    if len(members) < 2:
        return None
    given = [keys for member in members if (keys := _keys(member))]
    if not given:
        return None
    some = dict.fromkeys(key for keys in given for key in keys)
    fills = all("boxes" in keys for keys in given)
    return tuple(k for k in some if all(k in keys for keys in given) or (fills and k in _FILLED))


def _keys(member: Dataset) -> tuple[str, ...]:
    """Keys of the first sample that can be read."""
    for index in range(min(8, len(member))):
        try:
            return tuple(member[index].target)
        except VFError:
            continue
    return ()


def _value(target: dict[str, Any], key: str) -> Any:
    if key in target or key not in _FILLED:
        return target[key]
    if key == "area":
        return box_areas(target["boxes"])
    return torch.zeros(len(target["boxes"]), dtype=torch.bool)


def shuffled(count: int, seed: int) -> list[int]:
    """Return 0..count-1 in an order drawn from the seed."""
    order: list[int] = np.random.default_rng(seed).permutation(count).tolist()
    return order


def balanced(labels: Sequence[ArrayLike], *, threshold: float, seed: int) -> NDArray[np.int64]:
    """Return the indices of samples by LVIS's repeat factors (Gupta et al., arXiv 1908.03195, appendix B.2), sorted.

    Args:
        labels: class indices of each sample, in any number.
        threshold: part of the samples under which a class is rare.
        seed: of the draw of what is left over when the factor is cut to a whole number.

    Raises:
        DataError: there is no sample.
    """
    if not len(labels):
        raise DataError("data: class_balanced needs samples to train on, there is none")
    own = [np.unique(np.asarray(one, np.int64)) for one in labels]
    counts = np.bincount(np.concatenate([np.zeros(0, np.int64), *own]), minlength=1)
    rarity = np.sqrt(threshold * len(labels) / np.maximum(counts, 1))
    factors = np.array([max(1.0, rarity[classes].max(initial=0.0)) for classes in own])
    whole = np.floor(factors).astype(np.int64)
    extra = np.random.default_rng(seed).random(len(own)) < factors - whole
    return np.repeat(np.arange(len(own)), whole + extra)
