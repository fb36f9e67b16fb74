"""What the dense detectors share: image rules, backbone, neck, head; losses or predictions out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import attrs
import torch
from torch import Tensor, nn

from vf.data.sample import Batch
from vf.nn.backbones.backbone import Backbone
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
        images = self.preprocess(batch.images, batch.sizes)
        output = self.output(images)
        size = (int(images.shape[-2]), int(images.shape[-1]))
        finished: dict[str, Tensor] | list[Prediction] = self._finished(output, batch, size)
        return finished

    # How much there is to do depends on the objects: nothing that could be traced once.
    @torch.compiler.disable  # type: ignore[untyped-decorator]
    def _finished(self, output: Output, batch: Batch, size: tuple[int, int]) -> dict[str, Tensor] | list[Prediction]:
        with torch.autocast(batch.images.device.type, enabled=False):
            return self.losses(output, batch, size) if self.training else self.predictions(output, batch, size)

    @torch.no_grad()
    def predictions(self, output: Output, batch: Batch, size: tuple[int, int]) -> list[Prediction]:
        """Choose the best cells, decode and suppress, in float32."""
        found = self.scored(output)
        boxes = self.located(output, found, batch.sizes, size)
        choice = self.choice
        keep, scores = suppress(
            boxes, found.score, found.label, choice.suppression, most=choice.most, images=found.image
        )
        return as_predictions(boxes[keep], scores, found.label[keep], found.image[keep], batch)

    def losses(self, output: Output, batch: Batch, size: tuple[int, int]) -> dict[str, Tensor]:
        """Return scalar losses, each a sum divided by the mean number of positives of a process."""
        raise NotImplementedError

    def scored(self, output: Output) -> Candidates:
        """Return what may become a detection; here, classes are sigmoids of logits, each for itself."""
        least = torch.tensor(self.choice.threshold, dtype=torch.float64).logit().item()
        return candidates(
            output.classes,
            lambda level, value, image, cell: value.sigmoid(),
            above=least,
            threshold=self.choice.threshold,
            most=self.choice.candidates,
        )

    def located(self, output: Output, found: Candidates, sizes: Tensor, size: tuple[int, int]) -> Tensor:
        """Return the boxes of candidates, float32 [K,4] XYXY px, cut to their images.

        Args:
            output: of the head.
            found: of :meth:`scored`.
            sizes: int64 [B,2], height and width of each image.
            size: height and width of the padded batch.
        """
        raise NotImplementedError


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
