"""A split of boxes as a data set, and what there is to find in a data set before training on it."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import torch
from torchvision import tv_tensors

from vf.data.decode import decode
from vf.data.sample import Sample
from vf.errors import listed
from vf.protocols import Finding
from vf_det.data.source import Part, Source


class BoxDataset:
    """Images with boxes from flat annotations.

    Args:
        part: one split.
        normalised: boxes are parts of the image's size.
        with_crowd: keep crowd regions, for evaluation; without, they are left out.
    """

    def __init__(self, part: Part, *, normalised: bool, with_crowd: bool) -> None:
        self._images = str(part.images)
        self._annotations = part.annotations
        self._normalised = normalised
        self._with_crowd = with_crowd

    def __len__(self) -> int:
        return len(self._annotations)

    def __getitem__(self, index: int) -> Sample:
        if not 0 <= index < len(self):
            raise IndexError(index)
        name = self._annotations.name(index)
        image = decode(Path(self._images, name))
        height, width = image.shape[-2:]
        rows = self._annotations.rows(index)
        boxes = torch.from_numpy(self._annotations.boxes[rows].copy())
        if self._normalised:
            boxes *= torch.tensor([width, height, width, height])
        boxes[:, 0::2] = boxes[:, 0::2].clamp(0, width)
        boxes[:, 1::2] = boxes[:, 1::2].clamp(0, height)
        areas = torch.from_numpy(self._annotations.areas[rows].copy())
        sides = boxes[:, 2:] - boxes[:, :2]
        crowd = torch.from_numpy(self._annotations.crowd[rows].copy())
        keep = torch.ones_like(crowd) if self._with_crowd else ~crowd
        target = {
            "boxes": tv_tensors.BoundingBoxes(boxes[keep], format="XYXY", canvas_size=(height, width)),
            "labels": torch.from_numpy(self._annotations.labels[rows].astype(np.int64))[keep],
            "iscrowd": crowd[keep],
            "area": torch.where(areas.isnan(), sides[:, 0] * sides[:, 1], areas)[keep],
        }
        return Sample(image, target, name)


def findings(source: Source) -> list[Finding]:
    """Say what each split holds, and what would spoil a training."""
    found = [Finding("note", _histogram(split, part, source.classes)) for split, part in source.parts.items()]
    found += [Finding("note", remark) for remark in source.remarks]
    train = source.parts.get("train")
    if train is None:
        return found
    known = set(train.annotations.labels.tolist())
    unseen = [name for k, name in enumerate(source.classes) if k not in known]
    if unseen:
        found.append(Finding("warning", f"train: has no object of class {listed(unseen)}"))
    for split, part in source.parts.items():
        if split != "train" and (shared := _shared(train, part)):
            sentence = f"{len(shared)} images are in train and in {split}, the first {min(shared)}"
            found.append(Finding("warning", f"{sentence}: {split} measures what was trained on"))
    return found


def _histogram(split: str, part: Part, classes: tuple[str, ...]) -> str:
    counts = Counter(part.annotations.labels.tolist())
    listed = ", ".join(f"{classes[k]} {n}" for k, n in counts.most_common(8))
    more = f", … ({len(counts)} classes)" if len(counts) > 8 else ""
    return f"{split}: {len(part.annotations)} images, {len(part.annotations.labels)} boxes: {listed or 'none'}{more}"


def _shared(one: Part, other: Part) -> set[str]:
    """Names of images that are in both: one file, or two of one name and length."""
    both = {one.annotations.name(i) for i in range(len(one.annotations))} & {
        other.annotations.name(i) for i in range(len(other.annotations))
    }
    if one.images == other.images:
        return both
    return {n for n in both if (one.images / n).stat().st_size == (other.images / n).stat().st_size}
