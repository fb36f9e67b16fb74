"""A split of boxes as a data set, and what there is to find in a data set before training on it."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torchvision import tv_tensors

from vf.data.decode import decode
from vf.data.entries import Objects
from vf.data.header import HEAD, image_size
from vf.data.sample import Sample
from vf.data.storage import Storage
from vf.errors import DataError, listed
from vf.protocols import Finding
from vf_det.data.source import Part, Source
from vf_det.masks import Masks

Size = tuple[int, int]
"""Height and width, px."""


class BoxDataset:
    """Images with boxes from flat annotations, and masks and keypoints where those have them.

    Targets have ``boxes``, ``labels``, ``iscrowd`` and ``area``; where the annotations have it also ``difficult``
    bool [N]; ``masks``, a tv_tensors.Mask bool [N,H,W] in training and run lengths (`vf_det.masks.Masks`) in
    evaluation; ``keypoints`` KeyPoints [N,K,2] with ``visible`` int64 [N,K]; ``image_id``, the image's id in the
    data's own files; what the part lists for each image, as tuples of numbers; and what it says of each class, as
    one number for each object.

    Args:
        part: one split.
        normalised: boxes are parts of the image's size.
        with_crowd: as it is for evaluation: crowd regions are kept, and masks stay run lengths.
    """

    def __init__(self, part: Part, *, normalised: bool = False, with_crowd: bool) -> None:
        self._part = part
        self._annotations = part.annotations
        self._normalised = normalised
        self._with_crowd = with_crowd

    def __len__(self) -> int:
        return len(self._annotations)

    def __getitem__(self, index: int) -> Sample:
        if not 0 <= index < len(self):
            raise IndexError(index)
        name, images = self._annotations.name(index), self._part.images
        image = decode(images.read(name), name=images.where(name))
        return Sample(image, self.target(index, (image.shape[-2], image.shape[-1])), name)

    def target(self, index: int, size: Size, *, packed: bool = False) -> dict[str, Any]:
        """Return the target of an image that was decoded to ``size``."""
        flat, rows = self._annotations, self._annotations.rows(index)
        boxes, keep = self._kept(index, size)
        areas = torch.from_numpy(flat.areas[rows].copy())
        sides = boxes[:, 2:] - boxes[:, :2]
        crowd = torch.from_numpy(flat.crowd[rows].copy())
        target = {
            "boxes": tv_tensors.BoundingBoxes(boxes[keep], format="XYXY", canvas_size=size),
            "labels": torch.from_numpy(flat.labels[rows].astype(np.int64))[keep],
            "iscrowd": crowd[keep],
            "area": torch.where(areas.isnan(), sides[:, 0] * sides[:, 1], areas)[keep],
        }
        if self._part.marks_difficult:
            target["difficult"] = torch.from_numpy(flat.difficult[rows].copy())[keep]
        if flat.has_keypoints:
            points = torch.from_numpy(flat.keypoints[rows].copy())[keep]
            target["keypoints"] = tv_tensors.KeyPoints(points[..., :2], canvas_size=size)
            target["visible"] = points[..., 2].long()
        if packed and flat.has_masks:
            target["outlines"] = self._packed(index, keep)
        else:
            target |= self.extras(index, size, keep)
        return target | self._facts(index, target["labels"])

    def _kept(self, index: int, size: Size) -> tuple[Tensor, Tensor]:
        """Return the boxes of an image, px, and which of them count, bool."""
        height, width = size
        flat, rows = self._annotations, self._annotations.rows(index)
        boxes = torch.from_numpy(flat.boxes[rows].copy())
        if self._normalised:
            boxes *= torch.tensor([width, height, width, height])
        boxes[:, 0::2] = boxes[:, 0::2].clamp(0, width)
        boxes[:, 1::2] = boxes[:, 1::2].clamp(0, height)
        # Where the labels do not say the image's size, a box may lie outside of it.
        keep = ((boxes[:, 2:] - boxes[:, :2]) > 0).all(1)
        return boxes, keep & (self._with_crowd | ~torch.from_numpy(flat.crowd[rows].copy()))

    def packed_target(self, index: int, size: Size) -> dict[str, Any]:
        """Return the target with ``outlines``, masks as `vf_det.masks.pack` packs them, where it would have masks."""
        return self.target(index, size, packed=True)

    def _packed(self, index: int, keep: Tensor) -> list[bytes]:
        flat = self._annotations
        rows = range(len(flat.labels))[flat.rows(index)]
        return [flat.outline(row) for row, kept in zip(rows, keep.tolist(), strict=True) if kept]

    def extras(self, index: int, size: Size, keep: Tensor) -> dict[str, Any]:
        """Return what else the target has, here masks; of the rows of the image, bool ``keep`` chooses objects."""
        flat = self._annotations
        if not flat.has_masks:
            return {}
        try:
            masks = Masks.unpack(self._packed(index, keep), size)
        except DataError as error:
            raise DataError(f"{self._part.images.where(flat.name(index))}: {error.problems[0]}") from None
        return {"masks": masks if self._with_crowd else tv_tensors.Mask(masks.dense())}

    def _facts(self, index: int, labels: Tensor) -> dict[str, Any]:
        part = self._part
        facts: dict[str, Any] = {key: tuple(ragged[index].tolist()) for key, ragged in part.lists.items()}
        facts |= {key: torch.from_numpy(values)[labels] for key, values in part.by_class.items()}
        if part.image_ids is not None:
            facts["image_id"] = part.image_ids[index].item()
        return facts

    def id_of(self, index: int) -> str:
        """Name of an image."""
        return self._annotations.name(index)

    def file_of(self, index: int) -> tuple[Storage, str]:
        """Where an image lies, and its name there."""
        return self._part.images, self._annotations.name(index)

    def objects(self) -> Objects:
        """Facts of all objects, without a sample being made."""
        flat = self._annotations
        counts, areas = flat.counts, flat.areas
        if np.isnan(areas).any():
            sides = flat.boxes[:, 2:] - flat.boxes[:, :2]
            if self._normalised:
                sides = sides * np.repeat(self.sizes()[:, ::-1].astype(np.float32), counts, axis=0)
            areas = np.where(np.isnan(areas), sides.prod(1), areas)
        marks = {"crowd": flat.crowd}
        if self._part.marks_difficult:
            marks["difficult"] = flat.difficult
        return Objects(counts, flat.labels.astype(np.int64), areas, marks)

    def labels_of(self, index: int) -> NDArray[np.int64]:
        """Class indices [N] of an image's objects, without decoding it."""
        rows = self._annotations.rows(index)
        labels = self._annotations.labels[rows].astype(np.int64)
        return labels if self._with_crowd else labels[~self._annotations.crowd[rows]]

    def sizes(self) -> NDArray[np.int32]:
        """Height and width of each image [N,2], without decoding them: from the labels, else from the files' heads."""
        if len(self._annotations.sizes) == len(self):
            return self._annotations.sizes
        return np.array([self._size(i) for i in range(len(self))], np.int32).reshape(-1, 2)

    def _size(self, index: int) -> Size:
        name, images = self._annotations.name(index), self._part.images
        size = image_size(images.head(name, HEAD))
        if size is None:
            height, width = decode(images.read(name), name=images.where(name)).shape[-2:]
            return height, width
        return size


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
    if not part.labelled:
        return f"{split}: {len(part.annotations)} images, without labels"
    listed = ", ".join(f"{classes[k]} {n}" for k, n in counts.most_common(8))
    more = f", … ({len(counts)} classes)" if len(counts) > 8 else ""
    return f"{split}: {len(part.annotations)} images, {len(part.annotations.labels)} boxes: {listed or 'none'}{more}"


def _shared(one: Part, other: Part) -> set[str]:
    """Names of images that are in both: one file, or two of one name and length."""
    both = {one.annotations.name(i) for i in range(len(one.annotations))} & {
        other.annotations.name(i) for i in range(len(other.annotations))
    }
    if one.images.where() == other.images.where():
        return both
    return {n for n in both if one.images.size(n) == other.images.size(n)}
