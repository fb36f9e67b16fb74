"""A stage's masks (arXiv 1703.06870, section 3): a small convolution net over each region, one mask for each class.

Legend: K regions of a batch, C classes, M cells across a mask.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vf.errors import DataError
from vf.nn.reduce import mean_over_processes
from vf_det.objects import Objects
from vf_det.rcnn.align import align
from vf_det.rcnn.examples import Examples
from vf_det.rcnn.rpn import Regions

CHUNK = 1 << 25
"""Pixels of objects' masks that are float at once on a GPU: 128 MB."""


class MaskHead(nn.Module):
    """3×3 convolutions, then one that doubles the size, then a mask for each class.

    Args:
        channels: of a pooled region.
        hidden: of the convolutions.
        convs: how many.
        num_classes: C.
        aligned: as the regions were pooled; the targets are cut out of the objects' masks likewise.
        binary: round what is wanted to 0 and 1; else it is the part of a cell that is covered.
        weight: of its loss.
    """

    def __init__(
        self,
        channels: int,
        *,
        hidden: int,
        convs: int,
        num_classes: int,
        aligned: bool,
        binary: bool,
        weight: float,
    ) -> None:
        super().__init__()
        self._aligned, self._binary, self._weight = aligned, binary, weight
        widths = [channels, *[hidden] * convs]
        self.convs = nn.ModuleList(nn.Conv2d(a, b, 3, padding=1) for a, b in itertools.pairwise(widths))
        self.up = nn.ConvTranspose2d(widths[-1], hidden, 2, stride=2)
        self.classes = nn.Conv2d(hidden, num_classes, 1)
        for layer in (*self.convs, self.up):
            nn.init.kaiming_normal_(layer.get_parameter("weight"), mode="fan_out", nonlinearity="relu")
            nn.init.zeros_(layer.get_parameter("bias"))
        # Small, or with few classes the first logits, and the loss with them, would be large.
        nn.init.normal_(self.classes.weight, std=0.001)
        nn.init.zeros_(self.classes.get_parameter("bias"))

    def forward(self, pooled: Tensor) -> Tensor:
        """Look at pooled regions [K,channels,M/2,M/2]; return logits [K,C,M,M] in float32."""
        x = pooled
        for conv in self.convs:
            x = F.relu(conv(x))
        logits: Tensor = self.classes(F.relu(self.up(x)))
        return logits.float()

    def loss(self, logits: Tensor, regions: Regions, examples: Examples, objects: Sequence[Objects]) -> Tensor:
        """Return the cross entropy of the positives' masks with their objects' ones, a mean, weighted.

        Args:
            logits: [P,C,M,M] of the positives alone.
            regions: the P positives.
            examples: they and the negatives.
            objects: of each image.
        """
        labels = torch.cat([o.labels for o in objects])[examples.object]
        own = logits[torch.arange(len(labels), device=labels.device), labels]
        wanted = cut_out(objects, examples.object, regions.boxes, size=logits.shape[-1], aligned=self._aligned)
        wanted = (wanted >= 0.5).to(own.dtype) if self._binary else wanted
        cells = torch.tensor(float(own.numel()), device=own.device)
        entropy = F.binary_cross_entropy_with_logits(own, wanted, reduction="sum")
        return self._weight * entropy / mean_over_processes(cells, least_sum=1.0)


@torch.no_grad()
def cut_out(objects: Sequence[Objects], index: Tensor, boxes: Tensor, *, size: int, aligned: bool) -> Tensor:
    """Return what the masks of objects look like in boxes, float32 [P,size,size] in 0..1.

    Args:
        objects: of each image of a batch.
        index: int64 [P], places among the objects of the batch, rising from image to image.
        boxes: [P,4] XYXY px.
        size: cells across the result.
        aligned: see `vf_det.rcnn.pool.RegionPool`.

    Raises:
        DataError: the data has no masks.
    """
    out = torch.zeros(len(index), size, size, device=boxes.device)
    start = 0
    for own in objects:
        if own.masks is None:
            raise DataError(
                "data: has no masks, which this model learns; set data.masks: true where the labels have them, or take "
                "a model of boxes alone"
            )
        step = max(1, CHUNK // max(1, own.masks[:1].numel()))
        for first in range(0, len(own.masks), step):
            masks = own.masks[first : first + step]
            inside = ((index >= start + first) & (index < start + first + len(masks))).nonzero()[:, 0]
            place = (index[inside] - start - first)[:, None]
            rois = torch.cat((place.to(boxes.dtype), boxes[inside]), 1)
            out[inside] = align(masks[:, None], rois, size, scale=1.0, sampling_ratio=0, aligned=aligned)[:, 0]
        start += len(own.masks)
    return out
