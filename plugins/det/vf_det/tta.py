"""Test-time augmentation: one model sees an image at several scales, and mirrored; its boxes are merged."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, Literal

import attrs
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.ops import batched_nms, box_iou

from vf.data.sample import Batch
from vf.errors import ConfigError
from vf_det.masks import Masks

if TYPE_CHECKING:
    from vf.protocols import Prediction

Merge = Literal["nms", "wbf"]
SIDES = ("size", "short", "long", "pad")
"""Attributes of a preprocess, in px, that follow the scale."""


def with_tta(
    model: nn.Module,
    scales: Sequence[float],
    flip: bool,
    merge: Merge = "nms",
    *,
    iou: float | None = None,
    max_detections: int | None = None,
) -> TTA:
    """Wrap a detector for evaluation.

    Args:
        model: a detector (see `vf.protocols.Model`); it is not copied.
        scales: factors on the model's own input size; (1,) is that size alone.
        flip: see each image also mirrored left and right.
        merge: "nms" keeps the best of boxes that overlap; "wbf" takes their mean, weighted by their scores.
        iou: from which overlap on boxes of a class are one; default: 0.55 for "wbf", else the model's ``nms_iou``.
        max_detections: kept for one image; default: the model's, else 100.

    Raises:
        ConfigError: there is no scale, or one is not above 0; or another way to merge is asked for.
    """
    if not scales or min(scales) <= 0:
        raise ConfigError(f"tta: scales must be one or more numbers > 0, got {list(scales)}")
    if merge not in ("nms", "wbf"):
        raise ConfigError(f"tta: merge must be 'nms' or 'wbf', got {merge!r}")
    default = 0.55 if merge == "wbf" else float(getattr(model, "nms_iou", 0.5))
    most = int(getattr(model, "max_detections", 100)) if max_detections is None else max_detections
    return TTA(model, tuple(scales), flip=flip, merge=merge, iou=default if iou is None else iou, most=most)


class Augmentable(nn.Module):
    """A detector that core can ask for test-time augmentation (see `vf.protocols.Model`)."""

    def with_tta(
        self,
        *,
        scales: Sequence[float] = (1.0,),
        flip: bool = True,
        merge: Merge = "nms",
        iou: float | None = None,
        max_detections: int | None = None,
    ) -> TTA:
        """Return a model that sees images in several ways; for the arguments and errors see :func:`with_tta`."""
        return with_tta(self, scales, flip, merge, iou=iou, max_detections=max_detections)


class TTA(nn.Module):
    """See :func:`with_tta`. Its ``preprocess`` fits images to the largest scale; the others are made from that."""

    def __init__(
        self, model: nn.Module, scales: tuple[float, ...], *, flip: bool, merge: Merge, iou: float, most: int
    ) -> None:
        super().__init__()
        self.model = model
        stride = int(getattr(model, "input_stride", 1))
        own: Any = model.preprocess
        self.own = own
        self.at_scale = nn.ModuleList([scaled_preprocess(own, scale, stride) for scale in scales])
        self.preprocess = self.at_scale[scales.index(max(scales))]
        self._factors = tuple(_factor(view, self.preprocess) for view in self.at_scale)
        self._flip = flip
        self._merge: Callable[..., Prediction] = merge_by_nms if merge == "nms" else merge_by_mean
        self._iou = iou
        self._most = most

    def forward(self, batch: Batch) -> list[Prediction]:
        """Predict a batch that ``preprocess`` fitted; boxes in the pixel frame of the decoded images."""
        views = list(self._views(batch))
        if len(views) == 1:
            return views[0]
        return [self._merge(list(of_image), iou=self._iou, most=self._most) for of_image in zip(*views, strict=True)]

    def _views(self, batch: Batch) -> Iterator[list[Prediction]]:
        for factor, preprocess in zip(self._factors, self.at_scale, strict=True):
            seen = batch if factor == 1 else shrunk(batch, factor, fill=int(self.own.pad_value))
            yield self._predict(seen, preprocess)
            if self._flip:
                found = self._predict(mirrored(seen), preprocess)
                widths = batch.original[:, 1].tolist()
                yield [mirrored_back(p, int(width)) for p, width in zip(found, widths, strict=True)]

    def _predict(self, batch: Batch, preprocess: nn.Module) -> list[Prediction]:
        model: Any = self.model
        model.preprocess = preprocess
        try:
            predictions: list[Prediction] = model(batch)
        finally:
            model.preprocess = self.own
        if any("panoptic" in p for p in predictions):
            raise ConfigError("tta: merges boxes, and this model gives panoptic maps; leave tta out")
        # Proposals are those of one view: their recall is measured without augmentation.
        return [{key: p[key] for key in p if key not in ("proposals", "proposal_scores")} for p in predictions]


def scaled_preprocess(preprocess: Any, scale: float, stride: int) -> nn.Module:
    """Return a copy of a model's image rules for sizes that are ``scale`` times as large.

    What the network eats (``size``, ``pad``) becomes a multiple of ``stride`` that is not smaller.
    """
    changed: nn.Module = copy.deepcopy(preprocess)
    if scale == 1:
        return changed
    for name in SIDES:
        sides = getattr(changed, name, None)
        if isinstance(sides, int):
            setattr(changed, name, max(1, round(sides * scale)))
        elif isinstance(sides, tuple):
            setattr(changed, name, tuple(math.ceil(side * scale / stride - 1e-6) * stride for side in sides))
    return changed


def _factor(view: Any, largest: Any) -> float:
    """Return the factor from images that ``largest`` fitted to what fits ``view``; their sizes were rounded."""
    pairs = zip(_sides(view), _sides(largest), strict=True)
    return min((one / other for one, other in pairs), default=1.0)


def _sides(preprocess: Any) -> tuple[int, ...]:
    values = (getattr(preprocess, name, ()) for name in SIDES if name != "pad")
    return tuple(side for value in values for side in ((value,) if isinstance(value, int) else tuple(value)))


def shrunk(batch: Batch, factor: float, *, fill: int) -> Batch:
    """Return the images of a batch resized by a factor below 1, with antialiasing; targets are left out."""
    sizes = (batch.sizes * factor).round().long().clamp(min=1)
    height, width = sizes.amax(0).tolist()
    images = torch.full((len(batch), 3, height, width), fill, dtype=torch.uint8, device=batch.images.device)
    for image, out, old, new in zip(batch.images, images, batch.sizes.tolist(), sizes.tolist(), strict=True):
        part = image[None, :, : old[0], : old[1]].float()
        resized = F.interpolate(part, size=tuple(new), mode="bilinear", antialias=True)
        out[:, : new[0], : new[1]] = resized[0].round().clamp(0, 255).to(torch.uint8)
    return attrs.evolve(batch, images=images, sizes=sizes, targets={}, counts={})


def mirrored(batch: Batch) -> Batch:
    """Return a batch whose images, not their padding, have left and right swapped; targets are left out."""
    images = batch.images.clone()
    for image, (height, width) in zip(images, batch.sizes.tolist(), strict=True):
        image[:, :height, :width] = image[:, :height, :width].flip(-1)
    return attrs.evolve(batch, images=images, targets={}, counts={})


def mirrored_back(prediction: Prediction, width: int) -> Prediction:
    """Return a prediction of a mirrored image ``width`` pixels wide in the frame of the image itself."""
    changed: dict[str, Any] = dict(prediction)
    x1, y1, x2, y2 = prediction["boxes"].unbind(1)
    changed["boxes"] = torch.stack([width - x2, y1, width - x1, y2], 1)
    masks: Any = prediction.get("masks")
    if isinstance(masks, Masks):  # one at a time: dense, all of them may be gigabytes
        flipped = [Masks.from_dense(masks[i : i + 1].dense().flip(-1)) for i in range(len(masks))]
        changed["masks"] = _joined_masks(flipped, masks.size)
    return changed


def merge_by_nms(views: Sequence[Prediction], *, iou: float, most: int) -> Prediction:
    """Join the predictions of one image and keep, of boxes of one class that overlap by ``iou``, the best."""
    together = joined(views)
    keep = batched_nms(together["boxes"], together["scores"], together["labels"], iou)[:most]
    return rows_of(together, keep)


def merge_by_mean(views: Sequence[Prediction], *, iou: float, most: int) -> Prediction:
    """Weighted boxes fusion (arXiv 1910.13302, section 3): clusters of boxes of one class become their mean.

    Boxes come best first. One joins the cluster of its class whose mean it overlaps most, by more than ``iou``, or
    starts a cluster. Coordinates are the mean weighted by the scores; the score is the mean of the scores times
    min(T, N) / N for T boxes from N views. Other keys, as masks, are those of the cluster's best box.
    """
    together = joined(views)
    order = together["scores"].argsort(descending=True, stable=True)
    boxes, scores = together["boxes"][order].double(), together["scores"][order].double()
    labels = together["labels"][order]
    member = _clusters(boxes, scores, labels, iou)
    count = int(member.max()) + 1 if len(member) else 0
    weight = boxes.new_zeros(count).index_add_(0, member, scores)
    sums = boxes.new_zeros(count, 4).index_add_(0, member, boxes * scores[:, None])
    size = torch.bincount(member, minlength=count)
    best = torch.full((count,), len(order)).scatter_reduce(0, member, torch.arange(len(order)), "amin")
    fused = rows_of(together, order[best])
    fused["boxes"] = (sums / weight[:, None].clamp(min=1e-12)).to(together["boxes"].dtype)
    support = size.clamp(max=len(views)) / len(views)
    fused["scores"] = (weight / size.clamp(min=1) * support).to(together["scores"].dtype)
    return rows_of(fused, fused["scores"].argsort(descending=True, stable=True)[:most])


def _clusters(boxes: Tensor, scores: Tensor, labels: Tensor, iou: float) -> Tensor:
    """Return the cluster of each box, int64 [N]; rows come best first."""
    member = torch.zeros(len(boxes), dtype=torch.long)
    means, sums, weights, classes = boxes.clone(), boxes.clone(), scores.clone(), labels.clone()
    count = 0
    for row in range(len(boxes)):
        overlap = box_iou(boxes[row : row + 1], means[:count])[0] * (classes[:count] == labels[row])
        near = int(overlap.argmax()) if count else 0
        if count and overlap[near] > iou:
            sums[near] += boxes[row] * scores[row]
            weights[near] += scores[row]
            means[near] = sums[near] / weights[near]
        else:
            near, count = count, count + 1
            means[near], weights[near], classes[near] = boxes[row], scores[row], labels[row]
            sums[near] = boxes[row] * scores[row]
        member[row] = near
    return member


def joined(views: Sequence[Prediction]) -> dict[str, Any]:
    """Join the rows of predictions of one image."""
    table: dict[str, Any] = {}
    for key in views[0]:
        values: list[Any] = [view[key] for view in views]
        masks = isinstance(values[0], Masks)
        table[key] = _joined_masks(values, values[0].size) if masks else torch.cat(values)
    return table


def rows_of(prediction: dict[str, Any], rows: Tensor) -> dict[str, Any]:
    """Return some rows of every key."""
    return {key: value[rows] for key, value in prediction.items()}


def _joined_masks(parts: Sequence[Masks], size: tuple[int, int]) -> Masks:
    return Masks.from_rles([rle for part in parts for rle in part.rles], size)
