"""COCO's panoptic form (Kirillov et al., arXiv 1801.00868): a json of segments, and PNG files that say where they are.

A pixel's segment is R + 256 G + 65536 B; 0 is void. Segments of things are objects, with a box; those of stuff are not.
"""

from __future__ import annotations

import posixpath
from collections.abc import Mapping
from typing import Any

import attrs
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torchvision import tv_tensors

from vf.data.annotations import Builder, Ragged
from vf.data.storage import Storage
from vf.errors import DataError, listed
from vf_det.coco_files import PANOPTIC
from vf_det.data.boxes import BoxDataset, Size
from vf_det.data.coco_json import (
    Categories,
    Image,
    Json,
    find_files,
    find_images,
    image_ids,
    load,
    read_categories,
    read_images,
    same_categories,
    size_of,
)
from vf_det.data.maps import IGNORE, check_size, for_target, read_map
from vf_det.data.source import FileIndex, Part, Problems, Row, Source, Tallies, check_box, empty_notes, finite, with_val
from vf_det.masks import Masks

ID, CATEGORY, THING, CROWD, AREA = range(5)
"""Columns of a table of segments."""


@attrs.frozen(eq=False)
class PanopticPart(Part):
    """One split; its annotations are the objects that are things."""

    maps: Storage = attrs.field(kw_only=True)
    map_names: Ragged = attrs.field(kw_only=True)
    """Name of each image's PNG."""
    segments: Ragged = attrs.field(kw_only=True)
    """All segments of each image, rows of ID, CATEGORY (index among classes + stuff), THING, CROWD, AREA."""
    objects: Ragged = attrs.field(kw_only=True)
    """Segment of each row of the annotations."""

    def select(self, images: Any) -> PanopticPart:
        """Return some of the images."""
        chosen = super().select(images)
        assert isinstance(chosen, PanopticPart)
        return attrs.evolve(
            chosen,
            map_names=self.map_names.select(images),
            segments=self.segments.select(images),
            objects=self.objects.select(images),
        )


def read(
    root: Storage, *, files: Mapping[str, str], folders: Mapping[str, str], maps: Mapping[str, str], holdout: float
) -> Source:
    """Read a data set; DataError with one line for each mistake.

    Args:
        root: its folder or zip.
        files: split -> json, empty: looked for.
        folders: split -> image folder or zip, empty: looked for.
        maps: split -> folder or zip of the PNG files; empty: that of the json's name.
        holdout: part of train to validate on where there is no val.
    """
    problems, tallies = Problems(), Tallies()
    known: Categories | None = None
    parts: dict[str, Part] = {}
    for split, name in find_files(root, files, PANOPTIC).items():
        file = load(root, name, unlabelled=split == "test")
        known = same_categories(file, known, read_categories(file, problems), problems)
        images = read_images(file, problems, lambda image: image.get("file_name"))
        place = find_images(root, split, folders[split], file, images)
        reader = _Reader(file, known, order_of(known), images, problems, tallies)
        parts[split] = reader.part(place, _maps(root, split, maps[split], file) if file.labelled else None)
    problems.raise_any()
    assert known is not None
    order = order_of(known)
    things = sum(bool(entry.get("isthing", 1)) for entry in known.entries)
    names, ids = (tuple(values[k] for k in order) for values in (known.names, known.ids))
    parts, notes = with_val(parts, holdout)
    return Source(
        tuple(map(str, names[:things])),
        parts,
        (*notes, *tallies.notes.lines(), *empty_notes(parts)),
        remarks=tuple(tallies.remarks.lines()),
        stuff=tuple(map(str, names[things:])),
        category_ids=tuple(map(int, ids)),
        palette=_palette(known, order),
    )


def order_of(categories: Categories) -> list[int]:
    """Return the indices of the categories, things first, by id within each."""
    flags = [not entry.get("isthing", 1) for entry in categories.entries]
    return sorted(range(len(flags)), key=lambda k: (flags[k], k))


def _palette(categories: Categories, order: list[int]) -> tuple[tuple[int, int, int], ...] | None:
    colours = [categories.entries[k].get("color") for k in order]
    if not all(isinstance(c, list) and len(c) == 3 and finite(c) for c in colours):
        return None
    return tuple((int(c[0]), int(c[1]), int(c[2])) for c in colours if c)


def _maps(root: Storage, split: str, given: str, file: Json) -> Storage:
    stem = posixpath.splitext(file.name)[0]
    place = given or next((p for p in (stem, posixpath.basename(stem)) if root.has_folder(p)), "")
    if not place or not root.has_folder(place):
        line = f"{file.where}: no folder {root.where(place or stem)} of PNG files; set data.maps_{split}"
        raise DataError(line)
    return root.within(place)


@attrs.frozen
class _Reader:
    file: Json
    categories: Categories
    order: list[int]
    images: dict[Any, Image]
    problems: Problems
    tallies: Tallies

    def part(self, place: Storage, maps: Storage | None) -> PanopticPart:
        """Read the annotations of all images of the json, in the order of its images; without maps there are none."""
        given: dict[Any, Any] = {}
        for number, annotation in enumerate(self.file.data["annotations"] if maps else ()):
            id_ = annotation.get("image_id") if isinstance(annotation, dict) else None
            if type(id_) not in (int, str) or id_ not in self.images or id_ in given:
                told = "has two" if id_ in given else "no image has this id"
                self.problems.add(f"{self.file.where}: annotation {number} of the list: image_id {id_!r}: {told}")
            elif not isinstance(annotation.get("segments_info"), list):
                self.problems.add(f"{self.file.where}: annotation of image {id_} has no list 'segments_info'")
            else:
                given[id_] = annotation
        index, builder, pictures = maps and FileIndex(maps), Builder(), FileIndex(place)
        names, segments, objects = [], [], []
        for id_, image in self.images.items():
            if not pictures.has(image["file_name"]):
                line = f"{self.file.where}: image {image['file_name']!r} (id {id_}) is not in {place.where()}"
                self.problems.add(line, cause=(self.file.where, place.where()))
            annotation = given.get(id_, {"segments_info": []})
            names.append(annotation.get("file_name") or f"{posixpath.splitext(image['file_name'])[0]}.png")
            if maps and index and not index.has(names[-1]):
                line = f"{self.file.where}: the map {names[-1]!r} of image {id_} is not in {maps.where()}"
                self.problems.add(line, cause=(self.file.where, maps.where()))
            found = [s for s in map(self._segment, annotation["segments_info"]) if s is not None]
            size = size_of(image)
            rows = [self._row(info, segment, image, size) for info, segment in found]
            segments.append([segment for _, segment in found])
            objects.append([s[ID] for (_, s), row in zip(found, rows, strict=True) if row])
            whole = (int(size[1]), int(size[0])) if size else None
            builder.add(image["file_name"], [row for row in rows if row], size=whole)
        return PanopticPart(
            place,
            builder.freeze(),
            image_ids(self.images),
            labelled=self.file.labelled,
            maps=maps or place,
            map_names=Ragged.of_texts(names),
            segments=Ragged.of(segments, np.int64, width=5),
            objects=Ragged.of(objects, np.int64),
        )

    def _segment(self, info: Any) -> tuple[dict[str, Any], list[int]] | None:
        where = f"{self.file.where}: segment {info.get('id') if isinstance(info, dict) else info!r}"
        if not isinstance(info, dict) or type(info.get("id")) is not int or not 0 < info["id"] < 1 << 24:
            self.problems.add(f"{where}: expected an id from 1 to {(1 << 24) - 1}")
            return None
        at = self.categories.indices.get(info.get("category_id", -1))
        if at is None:
            known = listed(f"{i} {n}" for i, n in zip(self.categories.ids, self.categories.names, strict=True))
            line = f"{where} has category_id {info.get('category_id')}, not in categories ({known})"
            self.problems.add(line, cause=(self.file.where, "category_id", info.get("category_id")))
            return None
        thing = bool(self.categories.entries[at].get("isthing", 1))
        area = int(info["area"]) if finite([info.get("area")]) else -1
        return info, [info["id"], self.order.index(at), thing, bool(info.get("iscrowd")), area]

    def _row(
        self, info: dict[str, Any], segment: list[int], image: Image, size: tuple[float, float] | None
    ) -> Row | None:
        """Return a segment of a thing as an object."""
        if not segment[THING]:
            return None
        box = info.get("bbox")
        if not isinstance(box, list) or len(box) != 4 or not finite(box) or min(box[2:]) < 0:
            where = f"{self.file.where}: segment {info['id']}"
            self.problems.add(f"{where}: expected bbox of 4 numbers x, y, width, height, got {box!r}")
            return None
        x, y, width, height = map(float, box)
        cut = check_box((x, y, x + width, y + height), image["file_name"], size, self.tallies)
        area = float(segment[AREA]) if segment[AREA] >= 0 else float("nan")
        return (cut, segment[CATEGORY], bool(segment[CROWD]), area) if cut else None


class PanopticDataset(BoxDataset):
    """Objects, and maps of all that is in the image.

    Beside those of BoxDataset, targets have ``semantic``, a map uint8 [H,W] of indices among classes + stuff (int32
    where there are over 255), 255 on void and on crowds, a tv_tensors.Mask in training and an array in evaluation. In
    evaluation they also have ``panoptic``, an array int32 [H,W] of segment ids, 0 void; and ``segments``, dicts with
    ``id``, ``category`` (index among classes + stuff), ``isthing``, ``iscrowd`` and ``area``. Masks are the map's.

    Args:
        part: one split.
        categories: number of classes and stuff.
        masks: give the masks of the objects.
        with_crowd: as it is for evaluation.
    """

    def __init__(self, part: PanopticPart, *, categories: int, masks: bool, with_crowd: bool) -> None:
        super().__init__(part, with_crowd=with_crowd)
        self._panoptic = part
        self._with_masks = masks
        self._dtype = np.uint8 if categories <= IGNORE else np.int32

    def extras(self, index: int, size: Size, keep: Tensor) -> dict[str, Any]:
        """Return what the map says; nothing where nobody made one."""
        part, table = self._panoptic, self._panoptic.segments[index]
        if not part.labelled:
            return {}
        name = part.map_names.text(index)
        where = part.maps.where(name)
        ids = segment_ids(read_map(part.maps, name, channels=3))
        check_size(where, ids, size)
        known = np.append(0, np.sort(table[:, ID]))
        places = np.searchsorted(known, ids).clip(max=len(known) - 1)
        strange = ids[known[places] != ids]
        if len(strange):
            raise DataError(f"{where}: has segment {strange[0]}, which the json does not list")
        classes: NDArray[Any] = np.full(len(known), IGNORE, self._dtype)
        counted = table[table[:, CROWD] == 0]
        classes[np.searchsorted(known, counted[:, ID])] = counted[:, CATEGORY]
        extras: dict[str, Any] = {"semantic": for_target(classes[places], evaluation=self._with_crowd)}
        if self._with_crowd:
            extras |= {"panoptic": ids, "segments": [_plain(row) for row in table.tolist()]}
        if self._with_masks:
            dense = torch.from_numpy(ids[None] == part.objects[index][keep.numpy()][:, None, None])
            extras["masks"] = Masks.from_dense(dense) if self._with_crowd else tv_tensors.Mask(dense)
        return extras


def _plain(row: list[int]) -> dict[str, Any]:
    flags = {"isthing": bool(row[THING]), "iscrowd": bool(row[CROWD])}
    return {"id": row[ID], "category": row[CATEGORY], **flags, "area": row[AREA]}


def segment_ids(pixels: NDArray[np.integer[Any]]) -> NDArray[np.int32]:
    """Return the segment of each pixel, int32 [H,W], from RGB [H,W,3]."""
    wide = pixels.astype(np.int32)
    ids: NDArray[np.int32] = wide[..., 0] + 256 * wide[..., 1] + 65536 * wide[..., 2]
    return ids
