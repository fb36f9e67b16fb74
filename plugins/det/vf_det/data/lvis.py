"""Read LVIS v1 (Gupta et al., arXiv 1908.03195): COCO's json, whose images are labelled for some classes only."""

from __future__ import annotations

import posixpath
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vf.data.annotations import Ragged
from vf.data.joined import Joined
from vf.data.storage import Storage
from vf.errors import DataError, listed
from vf_det.coco_files import LVIS
from vf_det.data.coco import Reader, collect, packed, without_outlines
from vf_det.data.coco_json import (
    Categories,
    Image,
    Json,
    find_files,
    image_ids,
    load,
    read_categories,
    read_images,
    same_categories,
)
from vf_det.data.source import Part, Problems, Source, Tallies, empty_notes, with_val

LISTS = {"negative": "neg_category_ids", "not_exhaustive": "not_exhaustive_category_ids"}
"""Key of the target -> key of the json's images: classes that were looked for and are not there, and classes of which
more is there than labelled."""
FREQUENCIES = ("r", "c", "f")
"""Rare, common, frequent: in 1 to 10, 11 to 100, more training images."""


def read(root: Storage, *, files: Mapping[str, str], given: str, holdout: float, masks: bool) -> Source:
    """Read a data set; DataError with one line for each mistake.

    Args:
        root: its folder or zip.
        files: split -> json, empty: looked for.
        given: the folder in which COCO's folders or zips of images lie; empty: looked for.
        holdout: part of train to validate on where there is no val.
        masks: read outlines.
    """
    problems, tallies = Problems(), Tallies()
    known: Categories | None = None
    parts: dict[str, Part] = {}
    for split, name in find_files(root, files, LVIS).items():
        file = load(root, name, hook=packed if masks else without_outlines, unlabelled=split == "test")
        own = read_categories(file, problems)
        known = same_categories(file, known, own, problems)
        images = read_images(file, problems, name_of)
        place = _places(root, given, file, images)
        reader = Reader(file, own, images, problems, tallies, masks, 0)
        parts[split] = Part(
            place,
            collect(reader, place),
            image_ids(images),
            lists={} if not file.labelled else {key: _classes(reader, listed_) for key, listed_ in LISTS.items()},
            by_class=_frequencies(own),
            labelled=file.labelled,
        )
    problems.raise_any()
    assert known is not None
    parts, notes = with_val(parts, holdout)
    return Source(
        known.names,
        parts,
        (*notes, *tallies.notes.lines(), *empty_notes(parts)),
        remarks=tuple(tallies.remarks.lines()),
        category_ids=known.ids,
    )


def name_of(image: Image) -> Any:
    """Return the image's place among COCO's, as train2017/000000000009.jpg: LVIS splits COCO anew.

    Version 1 has it in ``coco_url`` alone; version 0.5 has file names without the folder beside it.
    """
    url = image.get("coco_url")
    if isinstance(url, str) and url.count("/") >= 2:
        return "/".join(url.split("/")[-2:])
    return image.get("file_name")


def _places(root: Storage, given: str, file: Json, images: Mapping[Any, Image]) -> Storage:
    """Return the folder in which COCO's folders or zips lie."""
    tops = sorted({image["file_name"].partition("/")[0] for image in images.values() if "/" in image["file_name"]})
    bases = [given] if given else ["images", ".", posixpath.dirname(file.name) or "."]
    for base in bases:
        place = root if base == "." else root.within(base)
        if all(place.has_folder(top) for top in tops):
            return Joined({top: place.within(top) for top in tops}) if tops else place
    looked = listed(root.where(base) if base != "." else root.where() for base in dict.fromkeys(bases))
    raise DataError(f"{file.where}: its images lie in {listed(tops)}, which are not all in {looked}; set data.images")


def _classes(reader: Reader, key: str) -> Ragged:
    """Return a list of category ids of each image as class indices."""
    lists = []
    for id_, image in reader.images.items():
        ids = image.get(key, [])
        unknown = [i for i in ids if i not in reader.categories.indices] if isinstance(ids, list) else [ids]
        if unknown:
            line = f"{reader.file.where}: image {id_}: {key} has {unknown[0]!r}, which is no category id"
            reader.problems.add(line, cause=(reader.file.where, key))
            ids = []
        lists.append([reader.categories.indices[i] for i in ids])
    return Ragged.of(lists, np.int32)


def _frequencies(categories: Categories) -> dict[str, NDArray[Any]]:
    """Return an index of FREQUENCIES for each class; nothing where the json does not say it of all."""
    said = [entry.get("frequency") for entry in categories.entries]
    if not all(f in FREQUENCIES for f in said):
        return {}
    return {"frequency": np.array([FREQUENCIES.index(str(f)) for f in said], np.int64)}
