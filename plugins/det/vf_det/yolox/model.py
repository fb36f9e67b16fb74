"""YOLOX as the engine sees it: batches in, losses or predictions out."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import attrs
import torch
from torch import Tensor
from torchvision.ops import batched_nms

from vf.data.sample import Batch
from vf.nn.preprocess import Letterbox
from vf_det.tta import Augmentable
from vf_det.yolox.assign import Objects, assign
from vf_det.yolox.csp import ConvBlock, CSPDarknet, stage_channels
from vf_det.yolox.head import STRIDES, Head, Output, decode
from vf_det.yolox.loss import losses
from vf_det.yolox.pafpn import PAFPN

if TYPE_CHECKING:
    from vf.protocols import Prediction

NMS_CANDIDATES = 1000
"""Of one image, the best so many go into the suppression, whose cost is quadratic."""


class YOLOX(Augmentable):
    """Detector with a CSPDarknet, a PAFPN and a decoupled head (arXiv 2107.08430).

    Args:
        num_classes: C.
        depth: scales the number of blocks; 1 is YOLOX-l.
        width: scales the channels; 1 is YOLOX-l.
        depthwise: depthwise separable convolutions instead of 3×3 ones.
        size: height and width of the input in pixels, multiples of 32.
        score_threshold: predictions below are dropped.
        nms_iou: of two boxes of one class that overlap more, the one with the lower score is dropped.
        max_detections: kept for one image.
        fused: build without batch norm, with biased convolutions in its place.
    """

    input_stride = STRIDES[-1]
    """Any multiple of it can be trained at; see `vf.engine.multi_scale`."""

    def __init__(
        self,
        *,
        num_classes: int,
        depth: float,
        width: float,
        depthwise: bool,
        size: tuple[int, int],
        score_threshold: float,
        nms_iou: float,
        max_detections: int,
        fused: bool = False,
    ) -> None:
        super().__init__()
        self.preprocess = Letterbox(size=size, pad_value=114, bgr=True)
        self.backbone = CSPDarknet(depth=depth, width=width, depthwise=depthwise)
        self.neck = PAFPN(depth=depth, width=width, depthwise=depthwise)
        self.head = Head(
            num_classes=num_classes,
            channels=stage_channels(width)[2:],
            hidden=int(256 * width),
            depthwise=depthwise,
        )
        self.score_threshold = score_threshold
        self.nms_iou = nms_iou
        self.max_detections = max_detections
        self.final_phase = False
        if fused:
            self._fold()

    def begin_final_phase(self) -> None:
        """Add the L1 loss: the last epochs show whole images, whose boxes are worth fitting to the pixel."""
        self.final_phase = True

    def fuse(self) -> YOLOX:
        """Return a copy for inference with batch norm folded into the convolutions; the same to about 1e-5."""
        fused = copy.deepcopy(self).eval()
        fused._fold()
        return fused

    def _fold(self) -> None:
        for module in self.modules():
            if isinstance(module, ConvBlock):
                module.fold()

    def predict_cells(self, images: Tensor) -> Output:
        """Run the network on preprocessed images, float [B,3,H,W], H and W multiples of 32."""
        output: Output = self.head(self.neck(*self.backbone(images)))
        return output

    def forward(self, batch: Batch) -> dict[str, Tensor] | list[Prediction]:
        """Return losses in training, else one prediction for each image; see `vf.protocols.Model`."""
        if not self.training:
            return self._predictions(self.raw(batch.images, batch.sizes), batch)
        output = self.predict_cells(self.preprocess(batch.images, batch.sizes))
        with torch.autocast(batch.images.device.type, enabled=False):
            return self._losses(output.float(), batch)

    def raw(self, images: Tensor, sizes: Tensor) -> dict[str, Tensor]:
        """Return what the network says of every cell; see `vf.protocols.Model`.

        Returns:
            ``boxes`` [B,A,4] XYXY px of ``images``, ``objects`` [B,A] and ``classes`` [B,A,C], logits; float32.
        """
        output = self.predict_cells(self.preprocess(images, sizes))
        with torch.autocast(images.device.type, enabled=False):
            output = output.float()
            return {
                "boxes": decode(output.boxes, output.cells),
                "objects": output.objects,
                "classes": output.classes,
            }

    def _losses(self, output: Output, batch: Batch) -> dict[str, Tensor]:
        objects = _objects(batch)
        objects = attrs.evolve(objects, boxes=self.preprocess.scaled_boxes(objects.boxes))
        pairs = assign(output, objects)
        terms = losses(output, objects, pairs, with_l1=self.final_phase)
        return {**terms, "_num_pos": output.objects.new_tensor(pairs.cell.numel())}

    @torch.no_grad()
    def _predictions(self, raw: Mapping[str, Tensor], batch: Batch) -> list[Prediction]:
        """Score and suppress in float32. An object gets its best class only, as in the paper's code."""
        holds = raw["objects"].sigmoid()
        # A score is never above its object part: most cells leave before their classes are looked at.
        image, cell = (holds > self.score_threshold).nonzero(as_tuple=True)
        best, labels = raw["classes"][image, cell].max(-1)
        scores = holds[image, cell] * best.sigmoid()
        keep = scores > self.score_threshold
        image, cell, scores, labels = image[keep], cell[keep], scores[keep], labels[keep]
        boxes = raw["boxes"][image, cell]
        found = torch.bincount(image, minlength=len(batch)).tolist()
        parts = zip(boxes.split(found), scores.split(found), labels.split(found), strict=True)
        rows = [self._suppress(*part, sizes=batch.sizes[i], original=batch.original[i]) for i, part in enumerate(parts)]
        table = torch.cat(rows).cpu()  # one copy from the device for the whole batch
        return [
            {"boxes": t[:, :4].contiguous(), "scores": t[:, 4].contiguous(), "labels": t[:, 5].long()}
            for t in table.split([len(r) for r in rows])
        ]

    def _suppress(self, boxes: Tensor, scores: Tensor, labels: Tensor, *, sizes: Tensor, original: Tensor) -> Tensor:
        """Suppress within one image; returns [N,6]: XYXY in pixels of the decoded image, score, label."""
        if scores.numel() > NMS_CANDIDATES:
            scores, top = scores.topk(NMS_CANDIDATES)
            boxes, labels = boxes[top], labels[top]
        keep = batched_nms(boxes, scores, labels, self.nms_iou)
        limit = original.flip(0).repeat(2)  # width, height, width, height
        scale = limit / sizes.flip(0).repeat(2)
        boxes = torch.minimum((boxes[keep] * scale).clamp(min=0), limit)
        rows = torch.cat((boxes, scores[keep, None], labels[keep, None]), dim=1)
        visible = (boxes[:, 2:] > boxes[:, :2]).all(1)  # a box may lie in the padding
        return rows[visible][: self.max_detections]


def _objects(batch: Batch) -> Objects:
    """Join the objects of all images; crowd regions are no objects."""
    boxes: Any = batch.targets["boxes"]
    counts = torch.tensor(batch.counts["boxes"], device=boxes.device)
    image = torch.repeat_interleave(counts, output_size=len(boxes))
    labels: Any = batch.targets["labels"]
    objects = Objects(boxes.float(), labels, image)
    crowd = batch.targets.get("iscrowd")
    if crowd is None:
        return objects
    return Objects(objects.boxes[~crowd], labels[~crowd], image[~crowd])
