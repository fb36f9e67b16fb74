"""Faster, Mask and Cascade R-CNN as the engine sees them: batches in, losses or predictions out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import attrs
import torch
from torch import Tensor, nn

from vf.data.sample import Batch
from vf_det.objects import Objects, objects_of
from vf_det.postprocess import Suppression, as_predictions, suppress, to_original
from vf_det.rcnn.mask_head import MaskHead
from vf_det.rcnn.paste import paste
from vf_det.rcnn.pool import RegionPool
from vf_det.rcnn.rpn import RPN, Regions
from vf_det.rcnn.stage import Said, Stage
from vf_det.tta import Augmentable

if TYPE_CHECKING:
    from vf.nn.backbones.backbone import Backbone
    from vf.nn.necks import Neck
    from vf.nn.resize import KeepRatio
    from vf.protocols import Prediction


@attrs.frozen(kw_only=True)
class Finishing:
    """What becomes of scored boxes."""

    score_threshold: float
    """Boxes below are dropped."""
    rule: Suppression
    most: int
    """Kept for one image."""
    mask_threshold: float = 0.5
    """A pixel belongs to a mask where it is at least as probable."""
    keep_proposals: bool = False
    """Whether predictions have what the first stage proposed."""


@attrs.frozen
class Found:
    """Detections of a batch, ordered by image, then by falling score."""

    regions: Regions
    scores: Tensor
    """[K]."""
    labels: Tensor
    """int64 [K]."""


class RCNN(Augmentable):
    """Proposals, then one or more stages on what is in them, and masks where there are heads for them.

    With several stages (arXiv 1712.00726) each trains on the boxes of the one before; in evaluation the logits of
    the classes are the mean of all stages', and so are the probabilities of the masks.

    Args:
        preprocess: image rules.
        backbone: gives levels.
        neck: brings them to one width.
        rpn: proposes.
        pool: features of a region for the stages.
        stages: one or more.
        mask_pool: features of a region for the masks.
        masks: none, or one for each stage.
        finishing: what becomes of scored boxes.
    """

    def __init__(
        self,
        *,
        preprocess: KeepRatio,
        backbone: Backbone,
        neck: Neck,
        rpn: RPN,
        pool: RegionPool,
        stages: Sequence[Stage],
        mask_pool: RegionPool | None,
        masks: Sequence[MaskHead],
        finishing: Finishing,
    ) -> None:
        super().__init__()
        assert len(masks) in (0, len(stages)), f"{len(masks)} mask heads for {len(stages)} stages"
        self.preprocess, self.backbone, self.neck = preprocess, backbone, neck
        self.rpn, self.pool, self.mask_pool = rpn, pool, mask_pool
        self.stages, self.masks = nn.ModuleList(stages), nn.ModuleList(masks)
        self.finishing = finishing
        self.max_detections, self.nms_iou = finishing.most, finishing.rule.iou  # test-time augmentation asks for them

    def load_pretrained(self, tell: Callable[[str], None]) -> None:
        """Load the weights that the backbone starts from."""
        self.backbone.load_pretrained(tell)

    def forward(self, batch: Batch) -> dict[str, Tensor] | list[Prediction]:
        """Return losses in training, else one prediction for each image; see `vf.protocols.Model`."""
        images = self.preprocess(batch.images, batch.sizes)
        levels = self.neck(self.backbone(images))
        if self.training:
            return self.losses(levels, images, batch, objects_of(batch, self.preprocess))
        return self.predict(levels, images, batch)

    def losses(
        self, levels: Sequence[Tensor], images: Tensor, batch: Batch, objects: list[Objects]
    ) -> dict[str, Tensor]:
        """Return what is minimised, by name; with several stages names end in the number of the stage, from 1."""
        raw = self.rpn(levels, _size(images))
        terms: dict[str, Tensor] = self.rpn.losses(raw, objects)
        regions, _ = self.rpn.propose(raw, batch.sizes)
        for number, stage in enumerate(self._stages()):
            ending = f"_{number + 1}" if len(self.stages) > 1 else ""
            lesson = stage.choose(regions.per_image(len(batch)), objects)
            said = stage(self.pool(levels, lesson.regions))
            terms[f"loss_cls{ending}"], terms[f"loss_box{ending}"] = stage.losses(said, lesson, objects)
            if self.masks:
                terms[f"loss_mask{ending}"] = self._mask_loss(number, levels, lesson.regions, lesson.examples, objects)
            if number + 1 < len(self.stages):
                # Boxes of objects are put to the proposals of every stage anew.
                moved = stage.refined(said, lesson.regions, batch.sizes)
                regions = Regions(moved.boxes[~lesson.given], moved.image[~lesson.given])
        return terms

    def _mask_loss(
        self, number: int, levels: Sequence[Tensor], regions: Regions, examples: Any, objects: Any
    ) -> Tensor:
        head: Any = self.masks[number]
        own = Regions(regions.boxes[examples.positive], regions.image[examples.positive])
        assert self.mask_pool is not None
        loss: Tensor = head.loss(head(self.mask_pool(levels, own)), own, examples, objects)
        return loss

    @torch.no_grad()
    def predict(self, levels: Sequence[Tensor], images: Tensor, batch: Batch) -> list[Prediction]:
        """Return a prediction for each image."""
        raw = self.rpn(levels, _size(images))
        regions, proposal_scores = self.rpn.propose(raw, batch.sizes)
        found = self._detect(levels, regions, batch.sizes)
        predictions: list[Any] = as_predictions(
            found.regions.boxes, found.scores, found.labels, found.regions.image, batch
        )
        if self.masks:
            self._add_masks(predictions, levels, found, batch)
        if self.finishing.keep_proposals:
            _add_proposals(predictions, regions, proposal_scores, batch)
        return predictions

    def _stages(self) -> list[Any]:
        return list(self.stages)

    def _detect(self, levels: Sequence[Tensor], regions: Regions, sizes: Tensor) -> Found:
        """Send proposals through the stages, and suppress."""
        logits: list[Tensor] = []
        for number, stage in enumerate(self._stages()):
            said: Said = stage(self.pool(levels, regions))
            logits.append(said.logits)
            if number + 1 < len(self.stages):
                regions = stage.refined(said, regions, sizes)
        scores = torch.stack(logits).mean(0).softmax(1)[:, :-1] if len(logits) > 1 else logits[0].softmax(1)[:, :-1]
        rows, labels = (scores > self.finishing.score_threshold).nonzero(as_tuple=True)
        boxes = self._stages()[-1].decode(said, regions, sizes, labels, rows)
        alive = (boxes[:, 2:] > boxes[:, :2]).all(1)
        rows, labels, boxes = rows[alive], labels[alive], boxes[alive]
        image = regions.image[rows]
        keep, kept_scores = suppress(
            boxes, scores[rows, labels], labels, self.finishing.rule, most=self.finishing.most, images=image
        )
        return Found(Regions(boxes[keep], image[keep]), kept_scores, labels[keep])

    def _add_masks(self, predictions: list[Any], levels: Sequence[Tensor], found: Found, batch: Batch) -> None:
        assert self.mask_pool is not None
        pooled = self.mask_pool(levels, found.regions)
        row = torch.arange(len(found.labels), device=found.labels.device)
        heads: list[Any] = list(self.masks)
        probabilities = torch.stack([head(pooled)[row, found.labels].sigmoid() for head in heads]).mean(0).cpu()
        parts = probabilities.split([len(p["labels"]) for p in predictions])
        for prediction, own, (height, width) in zip(predictions, parts, batch.original.tolist(), strict=True):
            threshold = self.finishing.mask_threshold
            prediction["masks"] = paste(own, prediction["boxes"], (height, width), threshold=threshold)


def _add_proposals(predictions: list[Any], regions: Regions, scores: Tensor, batch: Batch) -> None:
    """Put ``proposals`` [P,4] XYXY px of the decoded image and ``proposal_scores`` [P] into each prediction."""
    boxes = to_original(regions.boxes, batch.sizes[regions.image], batch.original[regions.image]).cpu()
    counts = torch.bincount(regions.image, minlength=len(batch)).tolist()
    for prediction, own, score in zip(predictions, boxes.split(counts), scores.cpu().split(counts), strict=True):
        prediction["proposals"], prediction["proposal_scores"] = own, score


def _size(images: Tensor) -> tuple[int, int]:
    return images.shape[-2], images.shape[-1]
