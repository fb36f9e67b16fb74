"""A split of labelled image files as a data set."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torchvision import tv_tensors

from vf.data.decode import decode
from vf.data.entries import Objects
from vf.data.header import HEAD, image_size
from vf.data.sample import Sample
from vf.data.storage import Storage
from vf_cls.data.source import Part


class LabelledImages:
    """Images with class indices from flat arrays. Targets have ``labels`` int64 [K]: one, or any number of several.

    Args:
        part: one split; where nobody labelled it, ``labels`` are empty.
    """

    def __init__(self, part: Part) -> None:
        self._part = part
        self._labels = part.labels

    def __len__(self) -> int:
        return len(self._labels)

    def __getitem__(self, index: int) -> Sample:
        if not 0 <= index < len(self):
            raise IndexError(index)
        name, images = self._labels.name(index), self._part.images
        image: tv_tensors.Image = decode(images.read(name), name=images.where(name))
        return Sample(image, self.target(index, (image.shape[-2], image.shape[-1])), name)

    def target(self, index: int, size: tuple[int, int]) -> dict[str, Any]:
        """Return the target of an image, whatever its size."""
        return {"labels": torch.from_numpy(self._labels.of(index))}

    def id_of(self, index: int) -> str:
        """Name of an image."""
        return self._labels.name(index)

    def file_of(self, index: int) -> tuple[Storage, str]:
        """Where an image lies, and its name there."""
        return self._part.images, self._labels.name(index)

    def labels_of(self, index: int) -> NDArray[np.int64]:
        """Class indices of an image."""
        return self._labels.of(index)

    def objects(self) -> Objects:
        """All labels, flat."""
        return Objects(self._labels.counts, self._labels.labels.astype(np.int64))

    def sizes(self) -> NDArray[np.int32]:
        """Height and width of each image [N,2], from the first bytes of the files."""
        return np.array([self._size(i) for i in range(len(self))], np.int32).reshape(-1, 2)

    def _size(self, index: int) -> tuple[int, int]:
        name, images = self._labels.name(index), self._part.images
        size = image_size(images.head(name, HEAD))
        if size is None:
            height, width = decode(images.read(name), name=images.where(name)).shape[-2:]
            return height, width
        return size
