"""Generated shapes with a map of their classes: 0 is the background."""

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

    Targets have ``semantic`` uint8 [H,W]: 0 background, then the shapes; a tv_tensors.Mask in training, an array in
    evaluation.
    """

    def __init__(self, settings: Settings, split: str, length: int, *, evaluation: bool) -> None:
        self._settings = settings
        self._split = split
        self._length = length
        self._evaluation = evaluation

    def __len__(self) -> int:
        return self._length

    def __getitem__(self, index: int) -> Sample:
        if not 0 <= index < self._length:
            raise IndexError(index)
        made = scene(self._settings, self._split, index)
        image = tv_tensors.Image(torch.from_numpy(made.image).permute(2, 0, 1))
        return Sample(image, self._target(made), self.id_of(index))

    def id_of(self, index: int) -> str:
        """Name of an image."""
        return f"shapes/{self._split}/{index:06d}"

    def target(self, index: int, size: tuple[int, int]) -> dict[str, Any]:
        """Return the target of an image; it is drawn for that."""
        return self._target(scene(self._settings, self._split, index))

    def sizes(self) -> NDArray[np.int32]:
        """Height and width of each image [N,2]."""
        return np.full((self._length, 2), self._settings.size, np.int32)

    def labels_of(self, index: int) -> NDArray[np.int64]:
        """Class indices that an image has pixels of."""
        return np.unique(scene(self._settings, self._split, index).seen).astype(np.int64)

    def _target(self, made: Scene) -> dict[str, Any]:
        return {"semantic": made.seen if self._evaluation else tv_tensors.Mask(torch.from_numpy(made.seen))}
