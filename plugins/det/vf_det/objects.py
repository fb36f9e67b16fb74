"""The objects of a training batch, image by image, in the frame of what the network sees."""

from __future__ import annotations

from typing import Any

import attrs
from torch import Tensor

from vf.data.sample import Batch


@attrs.frozen
class Objects:
    """The N objects of one image that a detector is to find; there may be none."""

    boxes: Tensor
    """float32 [N,4] XYXY px in the frame of the network; all have an area."""
    labels: Tensor
    """int64 [N], class indices."""
    masks: Tensor | None
    """bool [N,H,W] in the same frame; None where the data has none."""


def objects_of(batch: Batch, preprocess: object) -> list[Objects]:
    """Return the objects of each image; crowd regions, difficult objects and boxes without an area are left out.

    Args:
        batch: of a training.
        preprocess: of the model; where it changes the scale in training, boxes follow by its ``scaled_boxes``.
    """
    scaled = getattr(preprocess, "scaled_boxes", None)
    flat: Any = batch.targets["boxes"]
    flat = flat.float() if scaled is None else scaled(flat.float())
    keep = (flat[:, 2:] > flat[:, :2]).all(1)
    for key in ("iscrowd", "difficult"):
        if key in batch.targets:
            keep &= ~batch.targets[key]
    counts = list(batch.counts["boxes"])
    masks = batch.target("masks") if "masks" in batch.counts else [None] * len(counts)
    rows = zip(flat.split(counts), batch.target("labels"), masks, keep.split(counts), strict=True)
    if keep.all():
        return [Objects(boxes, labels, own) for boxes, labels, own, _ in rows]
    return [Objects(b[k], labels[k], None if own is None else own[k]) for b, labels, own, k in rows]
