"""Panoptic FPN as the engine sees it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from vf.data.sample import Batch
from vf.errors import DataError
from vf_det.objects import Objects
from vf_det.panoptic_fpn.merge import Merging, class_map, merge
from vf_det.panoptic_fpn.semantic import SemanticHead
from vf_det.rcnn.model import RCNN

if TYPE_CHECKING:
    from vf.protocols import Prediction


class PanopticFPN(RCNN):
    """Mask R-CNN and a semantic head on one pyramid; predictions have ``panoptic`` and ``segments`` too.

    Args:
        semantic: says what stuff is where.
        merging: which segments are made of both.
        num_things: classes of objects.
        parts: what `vf_det.rcnn.model.RCNN` takes.
    """

    def __init__(self, *, semantic: SemanticHead, merging: Merging, num_things: int, **parts: Any) -> None:
        super().__init__(**parts)
        self.semantic = semantic
        self._merging, self._things = merging, num_things

    def losses(
        self, levels: Sequence[Tensor], images: Tensor, batch: Batch, objects: list[Objects]
    ) -> dict[str, Tensor]:
        """Return what is minimised, by name."""
        if "semantic" not in batch.targets:
            raise DataError(
                "data: has no maps of classes and stuff, which panoptic_fpn learns; use data like coco_panoptic"
            )
        flat: Tensor = batch.targets["semantic"]
        maps = flat.view(len(batch), -1, flat.shape[-1])
        terms = super().losses(levels, images, batch, objects)
        return {**terms, "loss_semantic": self.semantic.loss(self.semantic(levels), maps)}

    def raw_of(self, levels: Sequence[Tensor], images: Tensor, sizes: Tensor) -> dict[str, Tensor]:
        """Return what R-CNN does, and ``semantic`` float32 [B,S+1,h,w], logits of stuff, then of things as one."""
        return {**super().raw_of(levels, images, sizes), "semantic": self.semantic(levels)}

    @torch.no_grad()
    def predictions(self, raw: Mapping[str, Tensor], batch: Batch) -> list[Prediction]:
        """Return a prediction for each image."""
        predictions: list[Any] = super().predictions(raw, batch)
        logits = raw["semantic"]
        padded = self.preprocess.goal(batch.images.shape[-2], batch.images.shape[-1])
        sizes, original = batch.sizes.tolist(), batch.original.tolist()
        for prediction, own, size, full in zip(predictions, logits, sizes, original, strict=True):
            classes = class_map(own, padded=padded, size=tuple(size), original=tuple(full))
            prediction["panoptic"], prediction["segments"] = merge(
                classes,
                prediction,
                num_things=self._things,
                num_stuff=self.semantic.num_stuff,
                rule=self._merging,
            )
        return predictions
