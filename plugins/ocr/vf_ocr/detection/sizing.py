"""Image rules of text detectors: the ratio is kept, and in training the maps to learn are made here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import attrs
import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F
from torchvision import tv_tensors

from vf.data.resize import resize_sample
from vf.data.sample import Batch, Sample
from vf.errors import DataError
from vf.nn.resize import MEAN, STD, KeepRatio, fitted_size
from vf_ocr.detection.kernels import IGNORE
from vf_ocr.detection.maps import Maps


class TextSizing(KeepRatio):
    """Bring the short side to ``short`` px, or the long one to ``long`` px where that is less; normalise, pad with 0.

    Args:
        short: goal of the short side, px.
        long: most that the long side may get, px.
        train_long: in training, goal of the long side, whatever the short one, and both sides of the batch; 0: images
            stay as the transforms give them.
        divisor: what batches are padded to a multiple of, px.
        maps: what is made of polygons in training.
        mean: of each channel, in 0..255.
        std: likewise.
    """

    def __init__(
        self,
        *,
        short: int,
        long: int,
        train_long: int,
        divisor: int,
        maps: Maps,
        mean: Sequence[float] = MEAN,
        std: Sequence[float] = STD,
    ) -> None:
        pad = (train_long, train_long) if train_long else None
        super().__init__(short=short, long=long, divisor=divisor, pad=pad, mean=mean, std=std)
        self.train_long, self.maps = train_long, maps

    def fit(self, sample: Sample, *, with_target: bool) -> Sample:
        """Resize one uint8 sample; where asked, as in training, polygons follow and maps are made of them."""
        if not with_target:
            return super().fit(sample, with_target=False)
        if self.train_long:
            size = fitted_size(sample.size, short=self.train_long, long=self.train_long)
            sample = resize_sample(sample, size)
        return self.finish(sample)

    def finish(self, sample: Sample) -> Sample:
        """Make the maps of a sample that has its size."""
        made = self.maps_of(sample.target, sample.size)
        return attrs.evolve(sample, target={**sample.target, **{k: tv_tensors.Mask(v) for k, v in made.items()}})

    def maps_of(self, target: Mapping[str, Any], size: tuple[int, int]) -> dict[str, Tensor]:
        """Make the maps of one image.

        Raises:
            DataError: the target has no polygons.
        """
        if "polygons" not in target:
            raise DataError("data: has no polygons of text, which text detectors learn; use data for detection")
        polygons = target["polygons"].detach().cpu().as_subclass(Tensor).numpy()
        ignored = target.get("ignored")
        flags = np.zeros(len(polygons), np.bool_) if ignored is None else ignored.cpu().numpy().copy()
        return {name: torch.from_numpy(value) for name, value in self.maps(polygons, flags, size).items()}

    def batch_maps(self, batch: Batch, size: tuple[int, int]) -> dict[str, Tensor]:
        """Return maps [B,h,w] by name, for images padded to ``size`` (height, width): of the workers, or made now.

        They are made now for batches that no worker made.
        """
        names, stride, count = self.maps.names, self.maps.stride, len(batch)
        goal = (size[0] // stride, size[1] // stride)
        if all(name in batch.targets for name in names):
            flat = {name: batch.targets[name] for name in names}
            return {name: _padded(v.view(count, -1, v.shape[-1]), goal) for name, v in flat.items()}
        device = batch.images.device
        made = [
            self.maps_of(target, (height, width))
            for target, (height, width) in zip(batch.per_image(), batch.sizes.tolist(), strict=True)
        ]
        return {name: torch.cat([_padded(own[name][None], goal) for own in made]).to(device) for name in names}


def _padded(maps: Tensor, size: tuple[int, int]) -> Tensor:
    """Cut or pad maps [B,h,w] to ``size``; nothing is learnt in what is added."""
    maps = maps[:, : size[0], : size[1]]
    return F.pad(maps, (0, size[1] - maps.shape[2], 0, size[0] - maps.shape[1]), value=IGNORE)
