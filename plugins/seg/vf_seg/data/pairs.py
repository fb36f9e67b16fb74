"""Images with label maps: one split of them, and the samples that they give."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

import attrs
import numpy as np
import torch
from numpy.typing import NDArray
from torchvision import tv_tensors

from vf.data.annotations import Ragged
from vf.data.decode import decode
from vf.data.header import HEAD, image_size
from vf.data.sample import Sample
from vf.data.storage import Storage
from vf.errors import DataError
from vf_seg.data.values import Rule, unknown_values

Size = tuple[int, int]


@attrs.frozen(eq=False)
class Pairs:
    """One split: N images, and their maps where somebody drew them."""

    images: Storage
    names: Ragged
    """[N] of the images."""
    maps: Storage | None
    """None: nobody labelled them."""
    map_names: Ragged
    """[N] of the maps; [0] where there are none."""
    rule: Rule
    prefix: str = ""
    """Before the names of the images, for their ids."""

    def __len__(self) -> int:
        return len(self.names)

    def map_where(self, index: int) -> str:
        """How messages call a map."""
        assert self.maps is not None
        return self.maps.where(self.map_names.text(index))

    def values(self, index: int) -> NDArray[Any]:
        """Read a map [H,W] as it is in the file."""
        assert self.maps is not None
        return self.rule.read(self.maps.read(self.map_names.text(index)), self.map_where(index))

    def size(self, index: int) -> Size:
        """Height and width of an image, from the head of its file where that tells it."""
        name = self.names.text(index)
        size = image_size(self.images.head(name, HEAD))
        if size is not None:
            return size
        height, width = decode(self.images.read(name), name=self.images.where(name)).shape[-2:]
        return int(height), int(width)

    def fingerprint(self) -> str:
        """Changes with the names and with the length of any map."""
        digest = hashlib.sha256(self.prefix.encode())
        for index in range(len(self)):
            size = 0 if self.maps is None else self.maps.size(self.map_names.text(index))
            digest.update(f"{self.names.text(index)} {size}\n".encode())
        return digest.hexdigest()

    def select(self, images: list[int]) -> Pairs:
        """Return some of the images, in the order that is given."""
        maps = self.map_names if self.maps is None else self.map_names.select(images)
        return attrs.evolve(self, names=self.names.select(images), map_names=maps)


@attrs.frozen(eq=False)
class Source:
    """A data set as found: its classes, its splits, and what there is to say about them."""

    classes: tuple[str, ...]
    splits: Mapping[str, Pairs]
    palette: tuple[tuple[int, int, int], ...] | None = None
    notes: tuple[str, ...] = ()
    ids: tuple[int, ...] = ()
    """What stands for each class in the data's own files: a value, or a packed colour."""


class MapDataset:
    """Images with a map ``semantic`` uint8 [H,W] of class indices, 255: ignored.

    It is a tv_tensors.Mask in training, which transforms move, and an array in evaluation, which stays as it is.
    """

    def __init__(self, pairs: Pairs, *, classes: int, evaluation: bool) -> None:
        self._pairs = pairs
        self._classes = classes
        self._evaluation = evaluation

    def __len__(self) -> int:
        return len(self._pairs)

    def __getitem__(self, index: int) -> Sample:
        if not 0 <= index < len(self):
            raise IndexError(index)
        storage, name = self.file_of(index)
        image = decode(storage.read(name), name=storage.where(name))
        return Sample(image, self.target(index, (int(image.shape[-2]), int(image.shape[-1]))), self.id_of(index))

    def id_of(self, index: int) -> str:
        """Name of an image, relative to the data set."""
        return self._pairs.prefix + self._pairs.names.text(index)

    def file_of(self, index: int) -> tuple[Storage, str]:
        """Where an image lies, and its name there."""
        return self._pairs.images, self._pairs.names.text(index)

    def sizes(self) -> NDArray[np.int32]:
        """Height and width of each image [N,2]."""
        return np.array([self._pairs.size(index) for index in range(len(self))], np.int32).reshape(-1, 2)

    def target(self, index: int, size: Size) -> dict[str, Any]:
        """Return the target of an image that was decoded to ``size``; nothing where nobody labelled it."""
        if self._pairs.maps is None:
            return {}
        pixels = self._map(index)
        if pixels.shape != size:
            raise DataError(wrong_size(self._pairs.map_where(index), pixels.shape, size))
        return {"semantic": pixels if self._evaluation else tv_tensors.Mask(torch.from_numpy(pixels))}

    def labels_of(self, index: int) -> NDArray[np.int64]:
        """Class indices that an image has pixels of; reads its map."""
        return np.flatnonzero(self._counts(index)[:-1])

    def pixels(self) -> NDArray[np.int64]:
        """[N,C+1] pixels of each class in each image, the last: ignored; reads all maps."""
        from vf_seg.data.scan import in_threads

        if self._pairs.maps is None:
            return np.zeros((len(self), self._classes + 1), np.int64)
        rows = list(in_threads(self._counts, range(len(self))))
        return np.array(rows, np.int64).reshape(-1, self._classes + 1)

    def _counts(self, index: int) -> NDArray[np.int64]:
        if self._pairs.maps is None:
            return np.zeros(self._classes + 1, np.int64)
        counts = np.bincount(self._map(index).reshape(-1), minlength=256)
        return np.append(counts[: self._classes], counts[-1])

    def _map(self, index: int) -> NDArray[np.uint8]:
        pairs = self._pairs
        raw = pairs.values(index)
        pixels = pairs.rule.classes(raw)
        unknown = unknown_values(raw, pixels)
        if unknown:
            shown = ", ".join(map(pairs.rule.shown, unknown[:5])) + (" …" if len(unknown) > 5 else "")
            raise DataError(f"{pairs.map_where(index)}: holds {shown}, which no class and no ignored value is")
        return pixels


def wrong_size(where: str, got: tuple[int, ...], size: Size) -> str:
    """Say that a map has another size than its image."""
    return f"{where}: is {got[0]}×{got[1]} (height × width), its image is {size[0]}×{size[1]}"
