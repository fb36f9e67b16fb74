"""Cityscapes straight from gtFine (Cordts et al., arXiv 1604.01685): objects are read from the instance maps.

A pixel of ``*_gtFine_instanceIds.png`` is 1000 · label + number for an object; below 1000 it is a label: stuff, or a
group of things that nobody told apart, which counts as a crowd. Nothing is read before a sample is asked for.
"""

from __future__ import annotations

import hashlib
import posixpath
from collections.abc import Mapping
from typing import Any

import attrs
import numpy as np
import torch
from numpy.typing import NDArray
from torchvision import tv_tensors

from vf.data.annotations import Ragged
from vf.data.decode import decode
from vf.data.entries import Objects
from vf.data.header import HEAD, image_size
from vf.data.sample import Sample
from vf.data.storage import Storage
from vf.errors import DataError
from vf_det.data.maps import IGNORE, check_size, for_target, read_map
from vf_det.data.source import Problems, walk_images
from vf_det.masks import Masks

IMAGE, INSTANCES, LABELS = "_leftImg8bit.png", "_gtFine_instanceIds.png", "_gtFine_labelIds.png"
THINGS = {
    "person": 24,
    "rider": 25,
    "car": 26,
    "truck": 27,
    "bus": 28,
    "train": 31,
    "motorcycle": 32,
    "bicycle": 33,
}
"""Name -> label id of the classes that have objects, and so of the stuff that is evaluated."""
STUFF = {
    "road": 7,
    "sidewalk": 8,
    "building": 11,
    "wall": 12,
    "fence": 13,
    "pole": 17,
    "traffic light": 19,
    "traffic sign": 20,
    "vegetation": 21,
    "terrain": 22,
    "sky": 23,
}
VOID = (0, 1, 2, 3, 4, 5, 6, 9, 10, 14, 15, 16, 18, 29, 30)
"""Label ids that the benchmark leaves out; objects of them, as a caravan 29001, are background to it."""
PALETTE = (
    *((220, 20, 60), (255, 0, 0), (0, 0, 142), (0, 0, 70), (0, 60, 100), (0, 80, 100), (0, 0, 230), (119, 11, 32)),
    *((128, 64, 128), (244, 35, 232), (70, 70, 70), (102, 102, 156), (190, 153, 153), (153, 153, 153)),
    *((250, 170, 30), (220, 220, 0), (107, 142, 35), (152, 251, 152), (70, 130, 180)),
)
"""Colours of THINGS and STUFF."""
_OBJECT = 1000
_INDEX = {label: index for index, label in enumerate(THINGS.values())}


@attrs.frozen(eq=False)
class Scenes:
    """One split: names as CITY/CITY_000000_000019, without what follows in each folder."""

    images: Storage
    labels: Storage
    names: Ragged
    labelled: bool

    def __len__(self) -> int:
        return len(self.names)

    def fingerprint(self) -> str:
        """16 hex digits that change with the names and with the length of any instance map."""
        digest = hashlib.sha256()
        for index in range(len(self)):
            name = self.names.text(index)
            size = self.labels.size(name + INSTANCES) if self.labelled else 0
            digest.update(f"{name} {size}\n".encode())
        return digest.hexdigest()[:16]


def read(root: Storage, *, images: str, labels: str) -> tuple[dict[str, Scenes], tuple[str, ...]]:
    """Find the scenes of each split, and what to say about them.

    Args:
        root: holds both of the following.
        images: the folder or zip leftImg8bit.
        labels: the folder or zip gtFine.

    Raises:
        DataError: with one line for each mistake.
    """
    problems = Problems()
    for name, key in ((images, "images"), (labels, "labels")):
        if not root.has_folder(name):
            raise DataError(f"{root.where(name)}: no such folder or zip; data.{key} names it")
    # A zip of all of it has more than one folder at its top, licences beside the pictures.
    pictures, truths = (_inner(root.within(name), name) for name in (images, labels))
    splits, notes = {}, []
    for split in ("train", "val", "test"):
        found = [n for n in walk_images(pictures, split) if n.endswith(IMAGE)]
        names = [n.removesuffix(IMAGE).removeprefix(f"{split}/") for n in found]
        if not names:
            continue
        place = truths.within(split)
        known = {n for city in place.folders() for n in (f"{city}/{file}" for file in place.files(city))}
        bare = [n for n in names if n + INSTANCES not in known]
        labelled = not (bare and split == "test")
        if not labelled:
            notes.append("test: has no labels: it can be predicted, not measured")
        for name in bare if labelled else ():
            problems.add(f"{place.where(name + INSTANCES)}: no such file; its image is there", cause=split)
        splits[split] = Scenes(pictures.within(split), place, Ragged.of_texts(names), labelled)
    problems.raise_any()
    if not splits:
        raise DataError(f"{pictures.where()}: holds no images like train/CITY/*{IMAGE}")
    return splits, tuple(notes)


def _inner(place: Storage, name: str) -> Storage:
    base = posixpath.basename(name).removesuffix(".zip").partition("_")[0]
    return place.within(base) if place.has_folder(base) else place


class CityscapesDataset:
    """Images with objects, read from the maps when they are asked for.

    Targets have ``boxes``, ``labels``, ``iscrowd`` (groups, in evaluation only) and ``area`` (px of the mask); with
    ``masks`` also these, a tv_tensors.Mask bool [N,H,W] in training and `vf_det.masks.Masks` in evaluation, and there
    ``void``, an array bool [H,W] of what is not evaluated; with
    ``semantic`` a map uint8 [H,W] of indices among the 8 classes and the 11 of stuff, 255 where nothing is asked for: a
    tv_tensors.Mask in training, an array in evaluation.
    """

    def __init__(self, scenes: Scenes, *, masks: bool, semantic: bool, with_crowd: bool) -> None:
        self._scenes = scenes
        self._with_masks = masks
        self._with_semantic = semantic
        self._with_crowd = with_crowd

    def __len__(self) -> int:
        return len(self._scenes)

    def __getitem__(self, index: int) -> Sample:
        if not 0 <= index < len(self):
            raise IndexError(index)
        scenes, name = self._scenes, self._scenes.names.text(index)
        image = decode(scenes.images.read(name + IMAGE), name=scenes.images.where(name + IMAGE))
        return Sample(image, self.target(index, (int(image.shape[-2]), int(image.shape[-1]))), self.id_of(index))

    def id_of(self, index: int) -> str:
        """Name of an image."""
        return self._scenes.names.text(index) + IMAGE

    def file_of(self, index: int) -> tuple[Storage, str]:
        """Where an image lies, and its name there."""
        return self._scenes.images, self.id_of(index)

    def sizes(self) -> NDArray[np.int32]:
        """Height and width of each image [N,2], from the heads of the files."""
        found = []
        for index in range(len(self)):
            place, name = self.file_of(index)
            size = image_size(place.head(name, HEAD))
            found.append(decode(place.read(name), name=place.where(name)).shape[-2:] if size is None else size)
        return np.array(found, np.int32).reshape(-1, 2)

    def target(self, index: int, size: tuple[int, int]) -> dict[str, Any]:
        """Return the target of an image that was decoded to ``size``."""
        scenes, name = self._scenes, self._scenes.names.text(index)
        pixels = self._map(index, INSTANCES) if scenes.labelled else np.zeros(size, np.uint16)
        check_size(scenes.labels.where(name + INSTANCES), pixels, size)
        found = objects(pixels, with_crowd=self._with_crowd)
        target: dict[str, Any] = {
            "boxes": tv_tensors.BoundingBoxes(torch.from_numpy(found.boxes), format="XYXY", canvas_size=size),
            "labels": torch.from_numpy(found.labels),
            "iscrowd": torch.from_numpy(found.ids < _OBJECT),
            "area": torch.from_numpy(found.areas),
        }
        if self._with_masks:
            dense = torch.from_numpy(pixels[None] == found.ids[:, None, None].astype(pixels.dtype))
            target["masks"] = Masks.from_dense(dense) if self._with_crowd else tv_tensors.Mask(dense)
        if self._with_masks and self._with_crowd:
            target["void"] = np.isin(pixels, VOID)
        if self._with_semantic and scenes.labelled:
            labels = self._map(index, LABELS)
            check_size(scenes.labels.where(name + LABELS), labels, size)
            target["semantic"] = for_target(_TABLE[labels.astype(np.uint8)], evaluation=self._with_crowd)
        return target

    def objects(self) -> Objects:
        """Facts of all objects; reads all maps."""
        labelled = range(len(self) if self._scenes.labelled else 0)
        found = [objects(self._map(index, INSTANCES), with_crowd=self._with_crowd) for index in labelled]
        return Objects(
            np.array([len(one.ids) for one in found] or [0] * len(self), np.int64),
            np.concatenate([np.zeros(0, np.int64), *(one.labels for one in found)]),
            np.concatenate([np.zeros(0, np.float32), *(one.areas for one in found)]),
            {"crowd": np.concatenate([np.zeros(0, np.bool_), *(one.ids < _OBJECT for one in found)])},
        )

    def labels_of(self, index: int) -> NDArray[np.int64]:
        """Class indices [N] of an image's objects; reads its map, not the image."""
        return objects(self._map(index, INSTANCES), with_crowd=self._with_crowd).labels

    def _map(self, index: int, suffix: str) -> NDArray[Any]:
        return read_map(self._scenes.labels, self._scenes.names.text(index) + suffix)


@attrs.frozen(eq=False)
class _Found:
    """N objects of a map, sorted by id."""

    ids: NDArray[np.int64]
    labels: NDArray[np.int64]
    boxes: NDArray[np.float32]
    """[N,4] XYXY px, tight."""
    areas: NDArray[np.float32]


def objects(pixels: NDArray[Any], *, with_crowd: bool) -> _Found:
    """Find the objects of an instance map [H,W], with groups where asked."""
    counts = np.bincount(pixels.ravel())
    ids = np.flatnonzero(counts)
    labels = np.where(ids >= _OBJECT, ids // _OBJECT, ids)
    keep = np.isin(labels, list(_INDEX)) & (with_crowd | (ids >= _OBJECT))
    ids, labels = ids[keep], labels[keep]
    boxes = np.zeros((len(ids), 4), np.float32)
    if len(ids):
        # The pixels of all objects at once, sorted by object.
        place = np.full(len(counts), -1)
        place[ids] = np.arange(len(ids))
        owner = place[pixels]
        rows, columns = np.nonzero(owner >= 0)
        owner = owner[rows, columns]
        order = np.argsort(owner, kind="stable")
        starts = np.searchsorted(owner[order], np.arange(len(ids)))
        rows, columns = rows[order], columns[order]
        boxes[:, 0], boxes[:, 1] = np.minimum.reduceat(columns, starts), np.minimum.reduceat(rows, starts)
        boxes[:, 2], boxes[:, 3] = np.maximum.reduceat(columns, starts) + 1, np.maximum.reduceat(rows, starts) + 1
    indices = np.array([_INDEX[label] for label in labels.tolist()], np.int64)
    return _Found(ids, indices, boxes, counts[ids].astype(np.float32))


def _semantic_table(ids: Mapping[str, int]) -> NDArray[np.uint8]:
    table = np.full(256, IGNORE, np.uint8)
    table[list(ids.values())] = np.arange(len(ids))
    return table


_TABLE = _semantic_table(THINGS | STUFF)
