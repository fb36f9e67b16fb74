"""Whether a graph says what the network said that it was made of: numbers, and what becomes of them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import attrs
import torch
from torch import Tensor
from torchvision.ops import box_iou

from vf.data.sample import Batch
from vf.export.run import Graph, Named

TOLERANCE = 1e-4
"""Largest difference of an output, as a part of its largest value."""
SAME_IOU = 0.99
SAME_SCORE = 1e-3
SAME_PLACE = 0.1
"""Px of the input."""
ENOUGH = 0.99
"""Part of boxes, outlines, pixels and texts that has to be the same. A score or an overlap right at a threshold may
fall on either side of it."""


@attrs.define
class Parity:
    """What came of a comparison."""

    images: int = 0
    differences: dict[str, float] = attrs.field(factory=dict)
    """Output -> largest difference, as a part of the largest value."""
    same: dict[str, int] = attrs.field(factory=dict)
    """What predictions are made of -> how much of it is the same."""
    total: dict[str, int] = attrs.field(factory=dict)

    @property
    def worst(self) -> float:
        """The largest of the differences."""
        return max(self.differences.values(), default=0.0)

    @property
    def good(self) -> bool:
        """Whether nothing differs that matters."""
        return self.worst <= TOLERANCE and all(self.same[k] >= ENOUGH * n for k, n in self.total.items())

    def text(self) -> str:
        """Say it in one line."""
        raw = f"outputs differ by {self.worst:.1e} at most"
        parts = [f"{self.same[key]} of {count} {key} the same" for key, count in self.total.items()]
        return f"{'; '.join([raw, *parts])}, on {self.images} images"

    def note(self, name: str, difference: float) -> None:
        """Keep the largest."""
        self.differences[name] = max(difference, self.differences.get(name, 0.0))

    def count(self, key: str, same: int, total: int) -> None:
        """Add up."""
        self.same[key] = self.same.get(key, 0) + same
        self.total[key] = self.total.get(key, 0) + total


@torch.no_grad()
def compare(model: Any, graph: Graph, batches: Sequence[Batch]) -> Parity:
    """Compare a model on the CPU with a graph of it, on whatever it asks its network while it predicts batches."""
    parity = Parity()
    network = model.raw

    def both(images: Tensor, sizes: Tensor) -> Named:
        ours: Named = network(images, sizes)
        theirs = graph(images, sizes)
        for name in comparable(ours):
            parity.note(name, difference(ours[name], theirs.get(name)))
        if "labels" in ours:
            parity.note("scores", chosen_difference(ours, theirs))
        return ours

    for batch in batches:
        model.raw = both
        ours = model(batch)
        model.raw = graph
        theirs = model(batch)
        model.raw = network
        parity.images += len(batch)
        for one, other in zip(ours, theirs, strict=True):
            match(one, other, parity)
    return parity


def comparable(raw: Named) -> list[str]:
    """Return the outputs whose places mean the same on both sides.

    Rows with ``labels`` were chosen and ordered by their scores: two that score the same to the last digits may change
    places, or one take the other's. See :func:`chosen_difference`.
    """
    if "labels" not in raw:
        return list(raw)
    rows = raw["labels"].shape
    return [name for name, value in raw.items() if value.shape[:2] != rows]


def chosen_difference(ours: Named, theirs: Named) -> float:
    """Return the largest difference of the scores [B,D] of boxes [B,D,4] that both sides chose, of ``labels`` [B,D].

    How many both chose is counted in predictions; and as there, one in a hundred may be another: of two proposals that
    overlap and score the same, either side may have followed the other one.
    """
    if any(name not in theirs or theirs[name].shape != ours[name].shape for name in ("boxes", "scores", "labels")):
        return float("inf")
    same = torch.cdist(ours["boxes"].float(), theirs["boxes"].float(), p=float("inf")) <= SAME_PLACE
    same &= (ours["labels"][:, :, None] == theirs["labels"][:, None]) & (ours["labels"] >= 0)[:, :, None]
    gaps = (ours["scores"][:, :, None] - theirs["scores"][:, None]).abs().masked_fill(~same, float("inf"))
    found = gaps.amin(2)
    found = found[found.isfinite()].sort().values
    largest = ours["scores"].masked_fill(ours["labels"] < 0, 0).max().clamp(min=1e-12)
    return float(found[math.ceil(ENOUGH * len(found)) - 1] / largest) if len(found) else 0.0


def difference(ours: Tensor, theirs: Tensor | None) -> float:
    """Return the largest difference as a part of the largest value; infinity for other shapes."""
    if theirs is None or ours.shape != theirs.shape:
        return float("inf")
    if not ours.numel():
        return 0.0
    if not ours.dtype.is_floating_point:
        return 0.0 if torch.equal(ours, theirs) else float("inf")
    gap = (ours.float() - theirs.float()).abs()
    both_infinite = ours.isinf() & (ours == theirs)
    gap = gap.masked_fill(both_infinite, 0)
    largest = ours.float().masked_fill(ours.isinf(), 0).abs().max().clamp(min=1e-12)
    return float((gap.max() / largest).nan_to_num(nan=float("inf")))


def match(ours: Mapping[str, Any], theirs: Mapping[str, Any], parity: Parity) -> None:
    """Count what is the same of two predictions of one image; for their keys see `vf.protocols.Prediction`."""
    if "polygons" in ours:
        counted = (outlined(p) for p in (ours, theirs))
        parity.count("outlines", *matched(*counted))
    elif "boxes" in ours:
        parity.count("boxes", *matched(ours, theirs))
    if "semantic" in ours:
        parity.count("pixels", int((ours["semantic"] == theirs["semantic"]).sum()), ours["semantic"].numel())
    if "panoptic" in ours:
        parity.count("panoptic pixels", int((ours["panoptic"] == theirs["panoptic"]).sum()), ours["panoptic"].numel())
    if "probabilities" in ours:
        near = (ours["probabilities"] - theirs["probabilities"]).abs().max() <= TOLERANCE
        parity.count("images' probabilities", int(near), 1)
    if "text" in ours:
        parity.count("texts", int(ours["text"] == theirs["text"]), 1)


def outlined(prediction: Mapping[str, Any]) -> dict[str, Tensor]:
    """Return boxes around polygons."""
    polygons, scores = prediction["polygons"], prediction["scores"]
    boxes = torch.cat((polygons.amin(1), polygons.amax(1)), 1) if len(polygons) else polygons.new_zeros(0, 4)
    return {"boxes": boxes, "scores": scores, "labels": torch.zeros(len(scores), dtype=torch.long)}


def matched(ours: Mapping[str, Tensor], theirs: Mapping[str, Tensor]) -> tuple[int, int]:
    """Return how many boxes have one on the other side with their class, score and place, and how many there are."""
    total = max(len(ours["boxes"]), len(theirs["boxes"]))
    if not len(ours["boxes"]) or not len(theirs["boxes"]):
        return 0, total
    same = box_iou(ours["boxes"].float(), theirs["boxes"].float()) >= SAME_IOU
    same |= torch.cdist(ours["boxes"].float(), theirs["boxes"].float(), p=float("inf")) <= SAME_SCORE  # without an area
    same &= ours["labels"][:, None] == theirs["labels"]
    same &= (ours["scores"][:, None] - theirs["scores"]).abs() <= SAME_SCORE
    return min(int(same.any(1).sum()), int(same.any(0).sum())), total
