"""Semantic maps beside COCO's json: PNG files whose pixels are category ids."""

from __future__ import annotations

import posixpath
from collections.abc import Mapping, Sequence
from typing import Any

import attrs
import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from vf.data.storage import Storage
from vf.errors import DataError
from vf_det.coco_files import ALSO
from vf_det.data.boxes import BoxDataset, Size
from vf_det.data.coco_json import load, read_categories
from vf_det.data.maps import IGNORE, check_size, for_target, read_map
from vf_det.data.source import FileIndex, Part, Problems, Source

FIRST = 92
COCO_STUFF = (
    *("banner", "blanket", "branch", "bridge", "building-other", "bush", "cabinet", "cage", "cardboard", "carpet"),
    *("ceiling-other", "ceiling-tile", "cloth", "clothes", "clouds", "counter", "cupboard", "curtain", "desk-stuff"),
    *("dirt", "door-stuff", "fence", "floor-marble", "floor-other", "floor-stone", "floor-tile", "floor-wood"),
    *("flower", "fog", "food-other", "fruit", "furniture-other", "grass", "gravel", "ground-other", "hill", "house"),
    *("leaves", "light", "mat", "metal", "mirror-stuff", "moss", "mountain", "mud", "napkin", "net", "paper"),
    *("pavement", "pillow", "plant-other", "plastic", "platform", "playingfield", "railing", "railroad", "river"),
    *("road", "rock", "roof", "rug", "salad", "sand", "sea", "shelf", "sky-other", "skyscraper", "snow"),
    *("solid-other", "stairs", "stone", "straw", "structural-other", "table", "tent", "textile-other", "towel"),
    *("tree", "vegetable", "wall-brick", "wall-concrete", "wall-other", "wall-panel", "wall-stone", "wall-tile"),
    *("wall-wood", "water-other", "waterdrops", "window-blind", "window-other", "wood"),
)
"""COCO-stuff's 91 names, of the ids 92 to 182 (Caesar et al., arXiv 1612.03716)."""


@attrs.frozen(eq=False)
class StuffPart(Part):
    """One split with its maps."""

    maps: Storage = attrs.field(kw_only=True)
    table: NDArray[Any] = attrs.field(kw_only=True)
    """[256] index among classes + stuff of each value of a pixel, or IGNORE."""


def with_maps(
    source: Source, root: Storage, *, maps: Mapping[str, str], stuff: str, first: int, problems: Problems
) -> Source:
    """Lay the maps beside the objects that COCO's json gave.

    Args:
        source: what the json said.
        root: of the data set.
        maps: split -> folder or zip of PNG files named like the images; empty: looked for under stuffthingmaps.
        stuff: a json whose categories name the stuff; empty: COCO-stuff's 91.
        first: category id of the pixel value 0.
        problems: takes one line for each mistake.
    """
    names = dict(enumerate(COCO_STUFF, FIRST)) if not stuff else _named(root, stuff, problems)
    names = {id_: name for id_, name in names.items() if id_ not in source.category_ids}
    ids = (*source.category_ids, *names)
    table = np.full(256, IGNORE, np.uint8 if len(ids) <= IGNORE else np.int32)
    for index, id_ in enumerate(ids):
        if 0 <= id_ - first < IGNORE:
            table[id_ - first] = index
    parts: dict[str, Part] = {}
    places: dict[str, Storage] = {}
    for split, part in source.parts.items():
        place = _place(root, split, maps[split])
        if place is None and split == "val":
            place = places.get("train")  # val was held out of train
        if place is None:
            raise DataError(f"{root.where()}: no maps of {split}; set data.maps_{split}")
        places[split] = place
        _missing(part, place, problems)
        own = attrs.asdict(part, recurse=False)
        parts[split] = StuffPart(**own, maps=place, table=table)
    return attrs.evolve(source, parts=parts, stuff=tuple(names.values()), category_ids=ids)


def _named(root: Storage, name: str, problems: Problems) -> dict[int, str]:
    if not root.has(name):
        raise DataError(f"{root.where(name)}: no such file; data.stuff names a json relative to data.path")
    categories = read_categories(load(root, name), problems)
    entries = zip(categories.ids, categories.entries, strict=True)
    return {id_: str(entry["name"]) for id_, entry in entries if not entry.get("isthing")}


def _place(root: Storage, split: str, given: str) -> Storage | None:
    if given:
        if not root.has_folder(given):
            raise DataError(f"{root.where(given)}: no such folder or zip; data.maps_{split} names one under data.path")
        return root.within(given)
    base = root.within("stuffthingmaps") if root.has_folder("stuffthingmaps") else None
    folders: Sequence[str] = [f for s in ALSO[split] for f in (f"{s}2017", s)]
    found = next((folder for folder in folders if base and base.has_folder(folder)), None)
    return base.within(found) if base and found else None


def _missing(part: Part, place: Storage, problems: Problems) -> None:
    index = FileIndex(place)
    for i in range(len(part.annotations)):
        name = map_name(part.annotations.name(i))
        if not index.has(name):
            problems.add(f"{place.where(name)}: no such map of image {part.annotations.name(i)}", cause=place.where())


def map_name(image: str) -> str:
    """Name of an image's map."""
    return f"{posixpath.splitext(image)[0]}.png"


class StuffDataset(BoxDataset):
    """Objects, and under ``semantic`` a map [H,W] of indices among classes + stuff, 255: ignored.

    It is uint8, or int32 where there are over 255 of them; a tv_tensors.Mask in training, an array in evaluation.
    """

    def __init__(self, part: StuffPart, *, with_crowd: bool) -> None:
        super().__init__(part, with_crowd=with_crowd)
        self._maps = part.maps
        self._table = part.table

    def extras(self, index: int, size: Size, keep: Tensor) -> dict[str, Any]:
        """Return the masks, and the map."""
        name = map_name(self._annotations.name(index))
        pixels = read_map(self._maps, name)
        check_size(self._maps.where(name), pixels, size)
        if pixels.dtype != np.uint8:
            raise DataError(f"{self._maps.where(name)}: expected a PNG of 8 bits, got {8 * pixels.itemsize}")
        return super().extras(index, size, keep) | {
            "semantic": for_target(self._table[pixels], evaluation=self._with_crowd)
        }
