"""Samples without their pixels: what is written in other formats, counted, cut and joined."""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import attrs
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from vf.data.follow import IGNORE
from vf.data.sample import Sample
from vf.data.storage import Storage
from vf.protocols import Dataset


@attrs.frozen(eq=False)
class Objects:
    """All objects of N images, M in all, in the order of the images; flat."""

    counts: NDArray[np.int64]
    """[N] objects of each image."""
    labels: NDArray[np.int64]
    """[M] class indices."""
    areas: NDArray[np.float32] | None = None
    """[M] px², where objects have an area."""
    marks: Mapping[str, NDArray[np.bool_]] = attrs.field(factory=dict)
    """Name -> [M]. ``crowd`` are regions, not objects: they are counted by themselves, and so is ``difficult``."""


@attrs.frozen(eq=False)
class Entry:
    """One sample without its pixels."""

    id: str
    size: tuple[int, int]
    """Height and width of the image as decoded, px."""
    target: Mapping[str, Any]
    """As evaluation sees it; see `vf.data.sample.Sample`. A data set that has ``packed_target(index, size)`` gives what
    that returns: the same, with what is costly left in the form that the writers of its plugin know."""


class Entries(Sequence[Entry]):
    """The samples of a data set, or some of them, or those of several, without pixels where the data set can.

    Args:
        dataset: built for evaluation.
        indices: of those that count, in order; default: all.
        labelled: whether anybody looked for objects.
        classes: table [C] from its class indices to those that are wanted; default: they stay.
    """

    def __init__(
        self,
        dataset: Dataset,
        *,
        indices: Sequence[int] | None = None,
        labelled: bool = True,
        classes: NDArray[np.int64] | None = None,
    ) -> None:
        self.labelled = labelled
        self._dataset = dataset
        self._indices = range(len(dataset)) if indices is None else list(indices)
        self._classes = classes
        self._all_sizes: NDArray[np.int32] | None = None

    def __len__(self) -> int:
        return len(self._indices)

    def __iter__(self) -> Iterator[Entry]:
        return (self[place] for place in range(len(self)))

    def __getitem__(self, place: Any) -> Any:
        """Return one entry; of a sample that only decoding tells about, it is decoded."""
        index = self._indices[place]
        dataset: Any = self._dataset
        if hasattr(dataset, "target") and hasattr(dataset, "sizes"):
            size = self._size(index)
            id_, target = self.name(place), getattr(dataset, "packed_target", dataset.target)(index, size)
        else:
            sample: Sample = dataset[index]
            id_, size, target = sample.id, sample.size, sample.target
        return Entry(id_, size, target if self._classes is None else _translated(target, self._classes))

    def select(self, places: Sequence[int]) -> Entries:
        """Return some of them."""
        return Entries(
            self._dataset, indices=[self._indices[p] for p in places], labelled=self.labelled, classes=self._classes
        )

    def translated(self, classes: NDArray[np.int64]) -> Entries:
        """Return them with other class indices: table [C] from theirs."""
        return Entries(self._dataset, indices=self._indices, labelled=self.labelled, classes=classes)

    def name(self, place: int) -> str:
        """The id of one: a path relative to the data set."""
        index, dataset = self._indices[place], self._dataset
        tell = getattr(dataset, "id_of", None)
        return str(tell(index)) if tell is not None else str(dataset[index].id)

    def labels(self, place: int) -> NDArray[np.int64]:
        """Class indices of the objects of one, as wanted."""
        index, dataset = self._indices[place], self._dataset
        tell = getattr(dataset, "labels_of", None)
        own = np.asarray(tell(index) if tell is not None else dataset[index].target.get("labels", ()), np.int64)
        own = own.reshape(-1)
        return own if self._classes is None else self._classes[own]

    def file(self, place: int) -> tuple[Storage, str] | None:
        """Where its image lies, as storage and name; None: in no file."""
        tell = getattr(self._dataset, "file_of", None)
        found: tuple[Storage, str] | None = None if tell is None else tell(self._indices[place])
        return found

    def path(self, place: int) -> Path | None:
        """The file of its image; None where it lies in a zip, or nowhere."""
        found = self.file(place)
        path = None if found is None else Path(found[0].where(found[1]))
        return path if path is not None and path.is_file() else None

    def image(self, place: int) -> bytes:
        """Its image as in the file, or as PNG where there is none."""
        found = self.file(place)
        if found is not None:
            return found[0].read(found[1])
        pixels = self._dataset[self._indices[place]].image.permute(1, 2, 0).contiguous().numpy()
        png = io.BytesIO()
        Image.fromarray(pixels).save(png, "PNG")
        return png.getvalue()

    def _size(self, index: int) -> tuple[int, int]:
        if self._all_sizes is None:
            tell: Any = self._dataset
            self._all_sizes = np.asarray(tell.sizes(), np.int32)
        height, width = self._all_sizes[index].tolist()
        return height, width


def _translated(target: Mapping[str, Any], classes: NDArray[np.int64]) -> dict[str, Any]:
    """Return a target with other class indices of its objects, and of the pixels of a map ``semantic``."""
    changed = dict(target)
    if "labels" in target:
        import torch

        changed["labels"] = torch.from_numpy(classes)[target["labels"]]
    if target.get("semantic") is not None:
        table = np.full(max(IGNORE + 1, len(classes)), IGNORE, np.int64)
        table[: len(classes)] = np.where(classes < 0, IGNORE, classes)
        given = np.asarray(target["semantic"])
        changed["semantic"] = table[given].astype(given.dtype)
    return changed


class Chained(Entries):
    """Several one after another."""

    def __init__(self, members: Sequence[Entries]) -> None:
        self.labelled = all(member.labelled for member in members)
        self.members = tuple(members)
        self._ends = np.cumsum([len(member) for member in members])

    def __len__(self) -> int:
        return int(self._ends[-1])

    def __getitem__(self, place: Any) -> Any:
        member, own = self.place(place)
        return member[own]

    def place(self, place: int) -> tuple[Entries, int]:
        """Return the member that has one, and its place in it."""
        if not 0 <= place < len(self):
            raise IndexError(place)
        number = int(np.searchsorted(self._ends, place, "right"))
        return self.members[number], place - (int(self._ends[number - 1]) if number else 0)

    def select(self, places: Sequence[int]) -> Entries:
        """Return some of them."""
        return _Chosen(self, places)

    def name(self, place: int) -> str:
        """The id of one."""
        member, own = self.place(place)
        return member.name(own)

    def labels(self, place: int) -> NDArray[np.int64]:
        """Class indices of the objects of one."""
        member, own = self.place(place)
        return member.labels(own)

    def file(self, place: int) -> tuple[Storage, str] | None:
        """Where its image lies."""
        member, own = self.place(place)
        return member.file(own)

    def image(self, place: int) -> bytes:
        """Its image."""
        member, own = self.place(place)
        return member.image(own)


class _Chosen(Chained):
    """Some of several."""

    def __init__(self, chain: Chained, places: Sequence[int]) -> None:
        super().__init__(chain.members)
        self._places = list(places)

    def __len__(self) -> int:
        return len(self._places)

    def place(self, place: int) -> tuple[Entries, int]:
        """Return the member that has one, and its place in it."""
        number = self._places[place]
        member = int(np.searchsorted(self._ends, number, "right"))
        return self.members[member], number - (int(self._ends[member - 1]) if member else 0)
