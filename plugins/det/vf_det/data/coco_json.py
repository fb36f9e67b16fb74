"""What all json files in COCO's form have: images and categories with ids; and where the images lie."""

from __future__ import annotations

import json
import posixpath
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import attrs
import numpy as np
from numpy.typing import NDArray

from vf.data.storage import Storage
from vf.errors import DataError, listed
from vf_det.coco_files import candidates, image_folders
from vf_det.data.source import Problems, check_classes, finite

Hook = Callable[[dict[str, Any]], dict[str, Any]]
Image = dict[str, Any]


@attrs.frozen
class Json:
    """One file as parsed."""

    where: str
    """Its path, for messages."""
    name: str
    """Relative to the root."""
    data: dict[str, Any]
    labelled: bool
    """Whether it has annotations at all; the image_info files of COCO's test sets have none."""


@attrs.frozen
class Categories:
    """Names by class index, and the ids that annotations give."""

    names: tuple[str, ...]
    indices: Mapping[int, int]
    """Category id -> class index, in the order of the ids."""
    entries: tuple[dict[str, Any], ...]
    """As in the file, by class index."""

    @property
    def ids(self) -> tuple[int, ...]:
        """Category ids by class index."""
        return tuple(self.indices)


def find_files(root: Storage, files: Mapping[str, str], patterns: Sequence[str]) -> dict[str, str]:
    """Return split -> json, as given or as found.

    Raises:
        DataError: there is none, one that is given is not there, or two could be meant.
    """
    found = {split: name for split, given in files.items() if (name := _find(root, split, given, patterns))}
    if not found:
        looked = f"{patterns[0].format('train')} and the like"
        raise DataError(f"{root.where()}: no json; looked for {looked}, or set data.train")
    return found


def _find(root: Storage, split: str, given: str, patterns: Sequence[str]) -> str | None:
    if given:
        if not root.has(given):
            raise DataError(f"{root.where(given)}: no such file; data.{split} names a json relative to data.path")
        return given
    found = candidates(root, split, patterns)
    if len(found) > 1:
        which = f"say which: --set data.{split}={found[0]}"
        raise DataError(f"{root.where()}: {split} could be {' or '.join(found)}; {which}")
    return found[0] if found else None


def load(root: Storage, name: str, *, hook: Hook | None = None, unlabelled: bool = False) -> Json:
    """Parse a json and check its frame.

    Args:
        root: of the data set.
        name: of the file in it.
        hook: changes each object of the json as soon as it is read.
        unlabelled: whether it may be without annotations.
    """
    where = root.where(name)
    try:
        data = json.loads(root.read(name), object_hook=hook)
    except json.JSONDecodeError as error:
        raise DataError(f"{where}:{error.lineno}:{error.colno}: not valid JSON: {error.msg}") from None
    except UnicodeDecodeError as error:
        raise DataError(f"{where}: not UTF-8 text: {error.reason}") from None
    if not isinstance(data, dict):
        raise DataError(
            f"{where}: expected an object with images, annotations and categories, got a {type(data).__name__}"
        )
    labelled = not unlabelled or "annotations" in data
    for key in ("images", "annotations", "categories") if labelled else ("images", "categories"):
        if not isinstance(data.get(key), list):
            raise DataError(f"{where}: expected a list under {key!r}, got {type(data.get(key)).__name__}")
    if not data["images"]:
        raise DataError(f"{where}: holds no images")
    return Json(where, name, data, labelled)


def read_categories(file: Json, problems: Problems) -> Categories:
    """Return the categories in the order of their ids."""
    entries: dict[int, dict[str, Any]] = {}
    for entry in file.data["categories"]:
        if not isinstance(entry, dict) or type(entry.get("id")) is not int or not isinstance(entry.get("name"), str):
            problems.add(f"{file.where}: category {entry!r} lacks a whole number under 'id' or a text under 'name'")
        elif entry["id"] in entries:
            problems.add(f"{file.where}: category id {entry['id']} is given twice")
        else:
            entries[entry["id"]] = entry
    ids = sorted(entries)
    names = tuple(entries[id_]["name"] for id_ in ids)
    check_classes(names, f"{file.where}: categories", problems)
    return Categories(names, {id_: k for k, id_ in enumerate(ids)}, tuple(entries[id_] for id_ in ids))


def same_categories(file: Json, known: Categories | None, own: Categories, problems: Problems) -> Categories:
    """Return the categories of the splits read so far; note it where those of this one differ."""
    if known is None:
        return own
    if own.names != known.names:
        theirs = f"are not those of the other splits ({listed(known.names)})"
        problems.add(f"{file.where}: its categories ({listed(own.names)}) {theirs}")
    return known


def read_images(file: Json, problems: Problems, name_of: Callable[[Image], Any]) -> dict[Any, Image]:
    """Return image id -> image, whose ``file_name`` is what ``name_of`` says, a text or nothing."""
    images: dict[Any, Image] = {}
    owner: dict[str, Any] = {}
    for number, image in enumerate(file.data["images"]):
        good = isinstance(image, dict) and type(image.get("id")) in (int, str)
        name = name_of(image) if good else None
        if not isinstance(name, str):
            problems.add(f"{file.where}: image {number} of the list lacks 'id' or 'file_name'")
        elif image["id"] in images:
            problems.add(f"{file.where}: image id {image['id']} is given twice")
        elif name in owner:
            ids = f"{owner[name]} and {image['id']}"
            problems.add(f"{file.where}: image {name!r} has two ids, {ids}; its boxes would be torn apart")
        else:
            image["file_name"] = name
            images[image["id"]] = image
            owner[name] = image["id"]
    return images


def image_ids(images: Mapping[Any, Image]) -> NDArray[Any]:
    """Return the ids [N], whole numbers where all of them are, else texts."""
    ids = list(images)
    return np.array(ids, np.int64) if all(type(i) is int for i in ids) else np.array([str(i) for i in ids])


def find_images(root: Storage, split: str, given: str, file: Json, images: Mapping[Any, Image]) -> Storage:
    """Return the place in which the first image lies, or else any of the others.

    Args:
        root: of the data set.
        split: names folders in which to look.
        given: the folder or zip, where the user says it.
        file: of the images, beside which they may lie too.
        images: by id.
    """
    if given:
        return root.within(given)
    names = [image["file_name"] for image in list(images.values())[:20]] or [""]
    wanted = dict.fromkeys([*image_folders(split), posixpath.dirname(file.name) or "."])
    places = [place for place in wanted if root.has_folder(place)]
    stores = [root.within(place) for place in places]
    for some in (names[:1], names[1:]):
        for store in stores:
            if any(store.has(name) for name in some):
                return store
    raise DataError(
        f"{file.where}: image {names[0]!r} is in none of {listed(places)} under {root.where()}; set data.images_{split}"
    )


def size_of(image: Image) -> tuple[float, float] | None:
    """Width and height as the json says; None where it does not."""
    sides: list[Any] = [image.get("width"), image.get("height")]
    return (float(sides[0]), float(sides[1])) if finite(sides) and min(sides) > 0 else None
