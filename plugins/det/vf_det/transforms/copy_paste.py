"""Simple copy-paste (arXiv 2012.07177): objects of another image, cut out by their masks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor
from torchvision import tv_tensors

from vf.data.follow import select_objects
from vf.data.sample import Sample
from vf.errors import ConfigError
from vf_det.data.geometry import boxes_of_masks, integer, join, mirror
from vf_det.data.mosaic import place_in


class CopyPaste:
    """Paste a random subset of the objects of another image, which is mirrored and zoomed at random first.

    What is hidden loses its pixels: masks are cut, boxes drawn around what is left, objects dropped of which too
    little is left. Crowd regions are not pasted.

    Args:
        p: probability.
        scale: smallest and largest zoom of the other image, beside its fit into this one.
        most: objects pasted at most.
        smallest: part of its pixels that an object must keep.
    """

    mixes: ClassVar[Literal[True]] = True

    def __init__(self, *, p: float, scale: tuple[float, float], most: int, smallest: float) -> None:
        self._p = p
        self._scale = scale
        self._most = most
        self._smallest = smallest

    def __call__(self, sample: Sample, pick: Callable[[], Sample]) -> Sample:
        """Paste onto ``sample`` from a picked one."""
        _check(sample)
        if float(torch.rand(())) >= self._p:
            return sample
        other = pick()
        if float(torch.rand(())) < 0.5:
            other = mirror(other)
        other = place_in(other, sample.size, scale=self._scale, smallest=self._smallest)
        added = select_objects(other.target, self._chosen(other.target))
        if not len(added["boxes"]):
            return sample
        pasted = added["masks"].as_subclass(Tensor).any(0)
        pixels = torch.where(pasted, other.image.as_subclass(Tensor), sample.image.as_subclass(Tensor))
        target = join([self._hidden(sample.target, pasted), added], sample.size)
        return Sample(tv_tensors.Image(pixels), target, sample.id)

    def _chosen(self, target: dict[str, Any]) -> Tensor:
        """Indices of the objects to paste, in a random order."""
        able: Tensor = target["masks"].as_subclass(Tensor).flatten(1).any(1)
        if "iscrowd" in target:
            able &= ~target["iscrowd"]
        able = able.nonzero()[:, 0]
        if not len(able):
            return able
        count = integer(1, min(self._most, len(able)))
        return able[torch.randperm(len(able))[:count]]

    def _hidden(self, target: dict[str, Any], pasted: Tensor) -> dict[str, Any]:
        """Take away what ``pasted`` bool [H,W] covers."""
        before = target["masks"].as_subclass(Tensor)
        masks = before & ~pasted
        old, new = before.flatten(1).sum(1), masks.flatten(1).sum(1)
        covered = new < old
        boxes = target["boxes"].as_subclass(Tensor).clone()
        boxes[covered] = boxes_of_masks(masks[covered])
        changed = {**target, "masks": tv_tensors.Mask(masks)}
        changed["boxes"] = tv_tensors.wrap(boxes, like=target["boxes"])
        if "area" in target:
            changed["area"] = target["area"] * new / old.clamp(min=1)
        if "keypoints" in target and "visible" in target:
            changed["visible"] = _covered(target["visible"], target["keypoints"].as_subclass(Tensor), pasted)
        return select_objects(changed, ~covered | ((new > 0) & (new >= self._smallest * old)))


def _covered(visible: Tensor, points: Tensor, pasted: Tensor) -> Tensor:
    """Make 2 (seen) into 1 (labelled, not seen) where ``pasted`` [H,W] lies over a keypoint [N,K,2]."""
    x, y = points.long().unbind(-1)
    height, width = pasted.shape
    over = pasted[y.clamp(0, height - 1), x.clamp(0, width - 1)]
    return torch.where(over, visible.clamp(max=1), visible)


def _check(sample: Sample) -> None:
    if not isinstance(sample.target.get("masks"), tv_tensors.Mask):
        raise ConfigError(
            "augment: copy_paste cuts objects out by their masks, and the data have none; set data.masks=true "
            "where they can be read, or leave copy_paste out"
        )
