"""Generated shapes as a detection data set."""

from __future__ import annotations

import torch
from torch import Tensor
from torchvision import tv_tensors

from vf.data.sample import Sample
from vf.data.shapes import Settings, scene
from vf_det.masks import Masks


class ShapesDataset:
    """Images ``0..length-1`` of one split; nothing is stored, each is drawn when it is asked for.

    For evaluation masks are run lengths (`vf_det.masks.Masks`).
    """

    def __init__(self, settings: Settings, split: str, length: int, *, evaluation: bool = False) -> None:
        self._evaluation = evaluation
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
        masks = torch.from_numpy(made.masks)
        target = {
            "boxes": boxes,
            "labels": torch.from_numpy(made.labels),
            "masks": Masks.from_dense(masks) if self._evaluation else tv_tensors.Mask(masks),
        }
        image = tv_tensors.Image(torch.from_numpy(made.image).permute(2, 0, 1))
        return Sample(image, target, f"shapes/{self._split}/{index:06d}")

    def sizes(self) -> Tensor:
        """Height and width of each image [N,2]."""
        return torch.full((self._length, 2), self._settings.size)

    def labels_of(self, index: int) -> list[int]:
        """Class indices of an image's objects; it is drawn for that, in about a millisecond."""
        return [int(label) for label in scene(self._settings, self._split, index).labels]
