"""Faster, Mask and Cascade R-CNN as the engine sees them: batches in, losses or predictions out."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import attrs
import torch
from torch import Tensor, nn

from vf.data.sample import Batch
from vf.nn.tracing import tracing
from vf_det.objects import Objects, objects_of
from vf_det.postprocess import Suppression, as_predictions, suppress, to_original
from vf_det.rcnn import in_graph
from vf_det.rcnn.mask_head import MaskHead
from vf_det.rcnn.paste import paste
from vf_det.rcnn.pool import RegionPool
from vf_det.rcnn.rpn import RPN, Raw, Regions
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
        if not self.training:
            return self.predictions(self.raw(batch.images, batch.sizes), batch)
        images = self.preprocess(batch.images, batch.sizes)
        levels = self.neck(self.backbone(images))
        return self.losses(levels, images, batch, objects_of(batch, self.preprocess))

    @property
    def not_exported(self) -> str:
        """Why this model cannot be exported; empty: it can."""
        if self.finishing.keep_proposals:
            return "its proposals do not come with the graph; add --set model.keep_proposals=false"
        return (
            ""
            if self.finishing.rule.kind == "hard"
            else "a graph has no soft suppression; add --set model.nms.kind=hard"
        )

    @torch.no_grad()
    def raw(self, images: Tensor, sizes: Tensor) -> dict[str, Tensor]:
        """Return what is found; see `vf.protocols.Model`.

        Returns:
            ``boxes`` float32 [B,D,4] XYXY px of ``images``, the best first; ``scores`` [B,D]; ``labels`` int64 [B,D],
            -1 where there are no more; ``masks`` float32 [B,D,M,M], probabilities over the box, where there are heads.
        """
        x = self.preprocess(images, sizes)
        return self.raw_of(self.neck(self.backbone(x)), x, sizes)

    def raw_of(self, levels: Sequence[Tensor], images: Tensor, sizes: Tensor) -> dict[str, Tensor]:
        """Return what :meth:`raw` does, of levels of preprocessed images."""
        raw = self.rpn(levels, _size(images))
        if tracing():
            return self._in_graph(levels, raw, sizes)
        count, most = len(sizes), self.finishing.most
        regions, proposal_scores = self.rpn.propose(raw, sizes)
        found = self._detect(levels, regions, sizes)
        image = found.regions.image
        out = {
            "boxes": _rows(found.regions.boxes, image, count, most, 0.0),
            "scores": _rows(found.scores, image, count, most, in_graph.NONE),
            "labels": _rows(found.labels, image, count, most, -1),
        }
        if self.masks:
            out["masks"] = _rows(self._masks(levels, found.regions, found.labels), image, count, most, 0.0)
        if self.finishing.keep_proposals:
            kept = int(torch.bincount(regions.image, minlength=1).max())
            out["proposals"] = _rows(regions.boxes, regions.image, count, kept, 0.0)
            out["proposal_scores"] = _rows(proposal_scores, regions.image, count, kept, -1.0)
        return out

    def _in_graph(self, levels: Sequence[Tensor], raw: Raw, sizes: Tensor) -> dict[str, Tensor]:
        """Do the same where nothing may depend on values: there are as many boxes for every image."""
        boxes, proposed = in_graph.propose(raw, sizes, self.rpn.test)
        image = in_graph.images_of(boxes)
        regions = Regions(boxes.flatten(0, 1), image)
        logits, regions, said = self._through_stages(levels, regions, sizes)
        scores = in_graph.by_image(in_graph.mean_scores(logits), boxes)
        scores = torch.where((proposed > in_graph.NONE)[..., None], scores, in_graph.NONE)
        own = self._stages()[-1].decode_all(said, regions, sizes)
        finishing = self.finishing
        box, score, label = in_graph.detect(
            scores,
            in_graph.by_image(own, boxes),
            threshold=finishing.score_threshold,
            iou=finishing.rule.iou,
            agnostic=finishing.rule.agnostic,
            most=finishing.most,
        )
        out = {"boxes": box, "scores": score, "labels": label}
        if self.masks:
            found = Regions(box.flatten(0, 1), in_graph.images_of(box))
            masks = self._masks(levels, found, label.flatten().clamp(min=0))
            out["masks"] = in_graph.by_image(masks, box) * (label >= 0)[..., None, None]
        return out

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
    def predictions(self, raw: Mapping[str, Tensor], batch: Batch) -> list[Prediction]:
        """Return a prediction for each image."""
        there = raw["labels"] >= 0
        image = there.nonzero()[:, 0]
        predictions: list[Any] = as_predictions(
            raw["boxes"][there], raw["scores"][there], raw["labels"][there], image, batch
        )
        if "masks" in raw:
            self._add_masks(predictions, raw["masks"][there].cpu(), batch)
        if "proposals" in raw:
            _add_proposals(predictions, raw, batch)
        return predictions

    def _stages(self) -> list[Any]:
        return list(self.stages)

    def _through_stages(
        self, levels: Sequence[Tensor], regions: Regions, sizes: Tensor
    ) -> tuple[list[Tensor], Regions, Said]:
        """Return the logits of all stages, the regions of the last one, and what it says of them."""
        logits: list[Tensor] = []
        for number, stage in enumerate(self._stages()):
            said: Said = stage(self.pool(levels, regions))
            logits.append(said.logits)
            if number + 1 < len(self.stages):
                regions = stage.refined(said, regions, sizes)
        return logits, regions, said

    def _detect(self, levels: Sequence[Tensor], regions: Regions, sizes: Tensor) -> Found:
        """Send proposals through the stages, and suppress."""
        logits, regions, said = self._through_stages(levels, regions, sizes)
        scores = in_graph.mean_scores(logits)
        rows, labels = (scores > self.finishing.score_threshold).nonzero(as_tuple=True)
        boxes = self._stages()[-1].decode(said, regions, sizes, labels, rows)
        alive = (boxes[:, 2:] > boxes[:, :2]).all(1)
        rows, labels, boxes = rows[alive], labels[alive], boxes[alive]
        image = regions.image[rows]
        keep, kept_scores = suppress(
            boxes, scores[rows, labels], labels, self.finishing.rule, most=self.finishing.most, images=image
        )
        return Found(Regions(boxes[keep], image[keep]), kept_scores, labels[keep])

    def _masks(self, levels: Sequence[Tensor], regions: Regions, labels: Tensor) -> Tensor:
        """Return the probabilities [K,M,M] of the masks of K boxes with classes [K]."""
        assert self.mask_pool is not None
        pooled = self.mask_pool(levels, regions)
        row = torch.arange(labels.shape[0], device=labels.device)
        heads: list[Any] = list(self.masks)
        return torch.stack([head(pooled)[row, labels].sigmoid() for head in heads]).mean(0)

    def _add_masks(self, predictions: list[Any], probabilities: Tensor, batch: Batch) -> None:
        parts = probabilities.split([len(p["labels"]) for p in predictions])
        for prediction, own, (height, width) in zip(predictions, parts, batch.original.tolist(), strict=True):
            threshold = self.finishing.mask_threshold
            prediction["masks"] = paste(own, prediction["boxes"], (height, width), threshold=threshold)


def _add_proposals(predictions: list[Any], raw: Mapping[str, Tensor], batch: Batch) -> None:
    """Put ``proposals`` [P,4] XYXY px of the decoded image and ``proposal_scores`` [P] into each prediction."""
    boxes = to_original(raw["proposals"], batch.sizes[:, None], batch.original[:, None]).cpu()
    for prediction, own, scores in zip(predictions, boxes, raw["proposal_scores"].cpu(), strict=True):
        there = scores >= 0
        prediction["proposals"], prediction["proposal_scores"] = own[there], scores[there]


def _rows(values: Tensor, image: Tensor, images: int, most: int, fill: float) -> Tensor:
    """[K,...], ordered by image [K] -> [images,most,...], the rest ``fill``."""
    place = torch.arange(len(image), device=image.device) - torch.searchsorted(image, image)
    out = values.new_full((images, most, *values.shape[1:]), fill)
    out[image, place] = values
    return out


def _size(images: Tensor) -> tuple[int, int]:
    return images.shape[-2], images.shape[-1]
