"""What the dense detectors share: image rules, backbone, neck, head; losses or predictions out."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

import attrs
import torch
from torch import Tensor, nn

from vf.data.sample import Batch
from vf.nn.backbones.backbone import Backbone
from vf_det.coding import clip
from vf_det.dense.candidates import Candidates, Choice, candidates
from vf_det.dense.heads import Output
from vf_det.matching import IGNORED
from vf_det.objects import Objects
from vf_det.postprocess import as_predictions, suppress
from vf_det.tta import Augmentable

if TYPE_CHECKING:
    from vf.protocols import Prediction


@attrs.frozen
class Features:
    """What makes levels of images."""

    preprocess: nn.Module
    backbone: Backbone
    neck: nn.Module | None


class DenseDetector(Augmentable):
    """A detector whose head scores every cell of every level.

    A subclass says what it minimises, where its boxes lie and how it scores.

    Args:
        features: image rules, backbone and neck.
        head: makes an :class:`Output` of levels.
        choice: what becomes a detection.
    """

    def __init__(self, *, features: Features, head: nn.Module, choice: Choice) -> None:
        super().__init__()
        self.preprocess = features.preprocess
        self.backbone, self.neck = features.backbone, features.neck
        self.head = head
        self.choice = choice
        self.input_stride = int(getattr(features.preprocess, "divisor", 1))

    @property
    def nms_iou(self) -> float:
        """IoU from which on boxes of a class are one, for who merges predictions."""
        return self.choice.suppression.iou

    @property
    def max_detections(self) -> int:
        """Kept for one image."""
        return self.choice.most

    def load_pretrained(self, tell: Callable[[str], None]) -> None:
        """Let the backbone load what it starts from."""
        self.backbone.load_pretrained(tell)

    def output(self, images: Tensor) -> Output:
        """Run the network on preprocessed images, float [B,3,H,W]."""
        levels = self.backbone(images)
        output: Output = self.head(levels if self.neck is None else self.neck(levels))
        return output

    def forward(self, batch: Batch) -> dict[str, Tensor] | list[Prediction]:
        """Return losses in training, else one prediction for each image; see `vf.protocols.Model`."""
        done: dict[str, Tensor] | list[Prediction]
        if not self.training:
            done = self.predictions(self.raw(batch.images, batch.sizes), batch)
            return done
        images = self.preprocess(batch.images, batch.sizes)
        done = self._minimised(self.output(images), batch, (int(images.shape[-2]), int(images.shape[-1])))
        return done

    # How much there is to do depends on the objects: nothing that could be traced once.
    @torch.compiler.disable  # type: ignore[untyped-decorator]
    def _minimised(self, output: Output, batch: Batch, size: tuple[int, int]) -> dict[str, Tensor]:
        with torch.autocast(batch.images.device.type, enabled=False):
            return self.losses(output, batch, size)

    def raw(self, images: Tensor, sizes: Tensor) -> dict[str, Tensor]:
        """Return what the network says of every cell, or anchor; see `vf.protocols.Model`.

        Returns:
            ``boxes`` float32 [B,N,4] XYXY px of ``images``; ``classes`` [B,N,C], logits, or ``scores`` in 0..1 of those
            that exclude each other; ``centerness`` [B,N], logits, of FCOS; ``levels`` int64 [B,L]: how many of the N
            belong to each level.
        """
        x = self.preprocess(images, sizes)
        output = self.output(x)
        with torch.autocast(images.device.type, enabled=False):
            boxes = self.located(output, (x.shape[-2], x.shape[-1]))
            counts = [torch.full((images.shape[0], 1), own.shape[1], device=x.device) for own in output.classes]
            return {"boxes": boxes, **self.values(output), "levels": torch.cat(counts, 1)}

    @torch.no_grad()
    @torch.compiler.disable  # type: ignore[untyped-decorator]
    def predictions(self, raw: Mapping[str, Tensor], batch: Batch) -> list[Prediction]:
        """Choose the best cells and suppress, in float32."""
        with torch.autocast(batch.images.device.type, enabled=False):
            found = self.scored(raw)
        boxes = clip(raw["boxes"][found.image, found.cell], batch.sizes[found.image])
        choice = self.choice
        keep, scores = suppress(
            boxes, found.score, found.label, choice.suppression, most=choice.most, images=found.image
        )
        return as_predictions(boxes[keep], scores, found.label[keep], found.image[keep], batch)

    def losses(self, output: Output, batch: Batch, size: tuple[int, int]) -> dict[str, Tensor]:
        """Return scalar losses, each a sum divided by the mean number of positives of a process."""
        raise NotImplementedError

    def values(self, output: Output) -> dict[str, Tensor]:
        """Return what scores are made of, all levels in a row."""
        return {"classes": torch.cat(output.classes, 1)}

    def scored(self, raw: Mapping[str, Tensor]) -> Candidates:
        """Return what may become a detection; here, classes are sigmoids of logits, each for itself."""
        least = torch.tensor(self.choice.threshold, dtype=torch.float64).logit().item()
        return candidates(
            by_level(raw, "classes"),
            lambda level, value, image, cell: value.sigmoid(),
            above=least,
            threshold=self.choice.threshold,
            most=self.choice.candidates,
        )

    def located(self, output: Output, size: tuple[int, int]) -> Tensor:
        """Return the boxes of all cells, float32 [B,N,4] XYXY px.

        Args:
            output: of the head.
            size: height and width of the padded batch.
        """
        raise NotImplementedError


def by_level(raw: Mapping[str, Tensor], name: str) -> tuple[Tensor, ...]:
    """Return the rows of each level of what :meth:`DenseDetector.raw` gives."""
    parts: tuple[Tensor, ...] = raw[name].split(raw["levels"][0].tolist(), 1)
    return parts


@attrs.define  # torch.compile cannot trace how a frozen class sets its fields
class Targets:
    """What the cells (or anchors) of B images learn."""

    labels: Tensor
    """int64 [B,N]: class index, ``BACKGROUND`` or ``IGNORED``."""
    positive: Tensor
    """int64 [P], cells with an object, counted over the whole batch."""
    boxes: Tensor
    """float32 [P,4] XYXY px, their objects."""

    @property
    def cell(self) -> Tensor:
        """int64 [P], the positives' cells counted within their images."""
        return self.positive % self.labels.shape[1]


def targets_of(matches: Sequence[Tensor], objects: Sequence[Objects]) -> Targets:
    """Look up classes and boxes of matches: for each image int64 [N], rows of its objects or negative numbers."""
    match = torch.stack(list(matches))
    counts = [len(own.boxes) for own in objects]
    first = torch.tensor([sum(counts[:i]) for i in range(len(counts))], device=match.device)
    positive = (match >= 0).flatten().nonzero()[:, 0]
    row = (match + first[:, None]).flatten()[positive]
    labels = match.clamp(min=IGNORED).flatten()
    labels[positive] = torch.cat([own.labels for own in objects])[row]
    return Targets(labels.view_as(match), positive, torch.cat([own.boxes for own in objects])[row])
