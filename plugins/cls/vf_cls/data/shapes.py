"""Generated shapes as data to classify."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torchvision import tv_tensors

from vf.data.sample import Sample
from vf.data.shapes import Scene, Settings, scene


class ShapesDataset:
    """Images ``0..length-1`` of one split; nothing is stored, each is drawn when it is asked for.

    Targets have ``labels`` int64 [K]: the classes of the shapes on the image, each once.
    """

    def __init__(self, settings: Settings, split: str, length: int) -> None:
        self._settings = settings
        self._split = split
        self._length = length

    def __len__(self) -> int:
        return self._length

    def __getitem__(self, index: int) -> Sample:
        made = self._scene(index)
        image = tv_tensors.Image(torch.from_numpy(made.image).permute(2, 0, 1))
        return Sample(image, {"labels": torch.from_numpy(np.unique(made.labels))}, self.id_of(index))

    def _scene(self, index: int) -> Scene:
        if not 0 <= index < self._length:
            raise IndexError(index)
        return scene(self._settings, self._split, index)

    def target(self, index: int, size: tuple[int, int]) -> dict[str, Any]:
        """Return the target of an image; it is drawn for that, in less than a millisecond."""
        return {"labels": torch.from_numpy(self.labels_of(index))}

    def id_of(self, index: int) -> str:
        """Split and number."""
        return f"shapes/{self._split}/{index:06d}"

    def labels_of(self, index: int) -> NDArray[np.int64]:
        """Class indices of an image."""
        return np.unique(self._scene(index).labels)

    def sizes(self) -> NDArray[np.int32]:
        """Height and width of each image [N,2]."""
        return np.full((self._length, 2), self._settings.size, np.int32)
