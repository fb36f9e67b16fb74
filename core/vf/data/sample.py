"""The two containers that images travel in: one sample, and a batch of them in flat buffers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import attrs
import torch
from torch import Tensor
from torchvision import tv_tensors


@attrs.define
class Sample:
    """One image with its labels, as a data set gives it and transforms change it."""

    image: tv_tensors.Image
    """uint8 [3,H,W], RGB, EXIF orientation applied."""
    target: dict[str, Any]
    """Task keys. det: ``boxes`` BoundingBoxes XYXY [N,4] float32 pixels, ``labels`` int64 [N], optional
    ``masks`` tv_tensors.Mask bool [N,H,W], ``keypoints`` tv_tensors.KeyPoints [N,K,2] with ``visible`` int64
    [N,K], ``iscrowd`` bool [N], ``area`` float32 [N]; other tensors whose first dimension is N follow the boxes
    when some are dropped."""
    id: str
    """Names the image for people: a path relative to the data set, or an id."""
    pad: tuple[int, int] | None = None
    """Height and width that the batch is padded to, at least; nothing: to the largest image in it."""

    @property
    def size(self) -> tuple[int, int]:
        """Height and width in pixels."""
        height, width = self.image.as_subclass(Tensor).shape[-2:]  # which is faster than to ask a tv_tensor
        return int(height), int(width)


@attrs.define(kw_only=True)
class Batch:
    """Padded images and flat targets: few large tensors, so that pinning and copying cost few calls."""

    images: Tensor
    """uint8 [B,3,H,W] RGB; each image lies at the top left, the rest is the model's pad value."""
    sizes: Tensor
    """int64 [B,2]: height and width of each image inside ``images``."""
    original: Tensor
    """int64 [B,2]: height and width of each image as decoded."""
    ids: tuple[str, ...]
    targets: dict[str, Any]
    """Key -> one tensor with the samples' tensors joined along their first dimension, or a tuple of values."""
    counts: dict[str, tuple[int, ...]]
    """Key -> how many rows of ``targets[key]`` belong to each image; absent for keys with one value an image."""
    skipped: tuple[str, ...] = ()
    """What could not be read, and was replaced or left out."""
    places: tuple[int, ...] = ()
    """Of each image in its split; empty in training."""

    def __len__(self) -> int:
        return len(self.ids)

    def target(self, key: str) -> Sequence[Any]:
        """Return one entry for each image, views of the flat buffer where it is one."""
        value = self.targets[key]
        if key in self.counts:
            return torch.split(value, list(self.counts[key]))
        return tuple(value)

    def per_image(self) -> list[dict[str, Any]]:
        """Return one dict for each image: its targets and its ``id``."""
        columns = {key: self.target(key) for key in self.targets}
        return [{"id": id_, **{key: column[i] for key, column in columns.items()}} for i, id_ in enumerate(self.ids)]

    def to(self, device: torch.device) -> Batch:
        """Copy every tensor to ``device``, without waiting where the memory is pinned."""
        return self._map(lambda t: t.to(device, non_blocking=True))

    def pin_memory(self) -> Batch:
        """Called by the DataLoader's pinning thread."""
        return self._map(Tensor.pin_memory)

    def _map(self, change: Any) -> Batch:
        return attrs.evolve(
            self,
            images=change(self.images),
            sizes=change(self.sizes),
            original=change(self.original),
            targets={k: change(v) if isinstance(v, Tensor) else v for k, v in self.targets.items()},
        )
