"""Generated shapes as a detection data set."""

from __future__ import annotations

import torch
from torchvision import tv_tensors

from vf.data.sample import Sample
from vf.data.shapes import Settings, scene


class ShapesDataset:
    """Images ``0..length-1`` of one split; nothing is stored, each is drawn when it is asked for."""

    def __init__(self, settings: Settings, split: str, length: int) -> None:
        self._settings = settings
        self._split = split
        self._length = length

    def __len__(self) -> int:
        return self._length

    def __getitem__(self, index: int) -> Sample:
        if not 0 <= index < self._length:
            raise IndexError(index)
        made = scene(self._settings, self._split, index)
        boxes = tv_tensors.BoundingBoxes(torch.from_numpy(made.boxes), format="XYXY", canvas_size=made.image.shape[:2])
        target = {
            "boxes": boxes,
            "labels": torch.from_numpy(made.labels),
            "masks": tv_tensors.Mask(torch.from_numpy(made.masks)),
        }
        image = tv_tensors.Image(torch.from_numpy(made.image).permute(2, 0, 1))
        return Sample(image, target, f"shapes/{self._split}/{index:06d}")
