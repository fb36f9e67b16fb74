"""Read COCO json."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import attrs

from vf.data.annotations import Annotations, Builder
from vf.errors import DataError, listed
from vf_det.coco_files import ALSO, candidates
from vf_det.data.source import (
    FileIndex,
    Part,
    Problems,
    Row,
    Source,
    Tallies,
    check_box,
    check_classes,
    empty_notes,
    finite,
    with_val,
)


@attrs.frozen
class Reader:
    """What reading one json needs at hand."""

    file: Path
    indices: dict[int, int]
    """Category id -> class index."""
    classes: tuple[str, ...]
    problems: Problems
    tallies: Tallies
    reading: Counter[str] = attrs.field(factory=Counter)
    """How many boxes fit into their image, read one way or the other."""


def read(root: Path, *, files: Mapping[str, str], folders: Mapping[str, str], holdout: float) -> Source:
    """Read a folder; DataError with one line for each mistake."""
    problems, tallies = Problems(), Tallies()
    found = {split: _find(root, split, name) for split, name in files.items()}
    loaded = {split: (file, _load(file)) for split, file in found.items() if file is not None}
    if not loaded:
        raise DataError(
            f"{root}: no json; looked for annotations/instances_train*.json and the like, or set data.train"
        )
    classes: tuple[str, ...] = ()
    parts: dict[str, Part] = {}
    for split, (file, data) in loaded.items():
        ids, names = _categories(file, data, problems)
        if classes and names != classes:
            problems.add(
                f"{file}: its categories ({listed(names)}) are not those of the other splits ({listed(classes)})"
            )
        classes = classes or names
        reader = Reader(file, ids, names, problems, tallies)
        images = _images(reader, data)
        folder = _folder(root, split, folders[split], file, images)
        parts[split] = Part(folder, _collect(reader, data, images, folder))
    problems.raise_any()
    parts, notes = with_val(parts, holdout)
    return Source(
        classes, parts, (*notes, *tallies.notes.lines(), *empty_notes(parts)), remarks=tuple(tallies.remarks.lines())
    )


def _find(root: Path, split: str, name: str) -> Path | None:
    if name:
        if not (root / name).is_file():
            raise DataError(f"{root / name}: no such file; data.{split} names a json relative to data.path")
        return root / name
    found = candidates(root, split)
    if len(found) > 1:
        names = [str(f.relative_to(root)) for f in found]
        raise DataError(f"{root}: {split} could be {' or '.join(names)}; say which: --set data.{split}={names[0]}")
    return found[0] if found else None


def _load(file: Path) -> dict[str, Any]:
    try:
        data = json.loads(file.read_bytes())
    except json.JSONDecodeError as error:
        raise DataError(f"{file}:{error.lineno}:{error.colno}: not valid JSON: {error.msg}") from None
    except UnicodeDecodeError as error:
        raise DataError(f"{file}: not UTF-8 text: {error.reason}") from None
    if not isinstance(data, dict):
        raise DataError(
            f"{file}: expected an object with images, annotations and categories, got a {type(data).__name__}"
        )
    for key in ("images", "annotations", "categories"):
        if not isinstance(data.get(key), list):
            raise DataError(f"{file}: expected a list under {key!r}, got {type(data.get(key)).__name__}")
    if not data["images"]:
        raise DataError(f"{file}: holds no images")
    return data


def _categories(file: Path, data: dict[str, Any], problems: Problems) -> tuple[dict[int, int], tuple[str, ...]]:
    entries: dict[int, str] = {}
    for entry in data["categories"]:
        if not isinstance(entry, dict) or type(entry.get("id")) is not int or not isinstance(entry.get("name"), str):
            problems.add(f"{file}: category {entry!r} lacks a whole number under 'id' or a text under 'name'")
        elif entry["id"] in entries:
            problems.add(f"{file}: category id {entry['id']} is given twice")
        else:
            entries[entry["id"]] = entry["name"]
    ids = sorted(entries)
    names = tuple(entries[id_] for id_ in ids)
    check_classes(names, f"{file}: categories", problems)
    return {id_: k for k, id_ in enumerate(ids)}, names


def _images(reader: Reader, data: dict[str, Any]) -> dict[int, dict[str, Any]]:
    images: dict[int, dict[str, Any]] = {}
    owner: dict[str, int] = {}
    for number, image in enumerate(data["images"]):
        good = isinstance(image, dict) and type(image.get("id")) in (int, str)
        if not good or not isinstance(image.get("file_name"), str):
            reader.problems.add(f"{reader.file}: image {number} of the list lacks 'id' or 'file_name'")
        elif image["id"] in images:
            reader.problems.add(f"{reader.file}: image id {image['id']} is given twice")
        elif image["file_name"] in owner:
            ids = f"{owner[image['file_name']]} and {image['id']}"
            reader.problems.add(
                f"{reader.file}: image {image['file_name']!r} has two ids, {ids}; its boxes would be torn apart"
            )
        else:
            images[image["id"]] = image
            owner[image["file_name"]] = image["id"]
    return images


def _folder(root: Path, split: str, name: str, file: Path, images: dict[int, dict[str, Any]]) -> Path:
    """Return the folder in which the first image lies."""
    first = next(iter(images.values()), {"file_name": ""})["file_name"]
    if name:
        return root / name
    names = [n for s in ALSO[split] for n in (f"images/{s}", s, f"{s}2017", f"images/{s}2017")]
    places = [root / n for n in (*names, "images", "JPEGImages", ".")] + [file.parent]
    for place in places:
        if (place / first).is_file():
            return place
    # Some are missing, then: take the folder that has any of the others.
    for place in places:
        if any((place / image["file_name"]).is_file() for image in list(images.values())[1:20]):
            return place
    looked = listed(str(p.relative_to(root)) for p in places if p.is_dir())
    raise DataError(f"{file}: image {first!r} is in none of {looked} under {root}; set data.images_{split}")


def _collect(reader: Reader, data: dict[str, Any], images: dict[int, dict[str, Any]], folder: Path) -> Annotations:
    rows: dict[int, list[Row]] = {id_: [] for id_ in images}
    for number, annotation in enumerate(data["annotations"]):
        taken = _row(reader, number, annotation, images)
        if taken:
            rows[annotation["image_id"]].append(taken)
    _doubt_corners(reader)
    index, builder = FileIndex(folder), Builder()
    for id_, image in images.items():
        if not index.has(image["file_name"]):
            line = f"{reader.file}: image {image['file_name']!r} (id {id_}) is not in {folder}"
            reader.problems.add(line, cause=(reader.file, folder))
        builder.add(image["file_name"], rows[id_])
    return builder.freeze()


def _row(reader: Reader, number: int, annotation: Any, images: dict[int, dict[str, Any]]) -> Row | None:
    if not isinstance(annotation, dict):
        reader.problems.add(f"{reader.file}: annotation {number} of the list is no object, got {annotation!r}")
        return None
    where = f"{reader.file}: annotation {annotation.get('id', f'{number} of the list')}"
    for key in ("image_id", "category_id", "bbox"):
        if key not in annotation:
            reader.problems.add(f"{where} has no {key!r}", cause=(reader.file, key))
            return None
    if not _known(annotation["image_id"], images):
        reader.problems.add(f"{where} has image_id {annotation['image_id']}, and no image has this id")
        return None
    if not _known(annotation["category_id"], reader.indices):
        known = listed(f"{id_} {reader.classes[k]}" for id_, k in reader.indices.items())
        line = f"{where} has category_id {annotation['category_id']}, not in categories ({known})"
        reader.problems.add(line, cause=(reader.file, "category_id", annotation["category_id"]))
        return None
    box = annotation["bbox"]
    if not isinstance(box, list) or len(box) != 4 or not finite(box):
        reader.problems.add(f"{where}: expected bbox of 4 numbers x, y, width, height, got {box!r}")
        return None
    return _checked(reader, where, annotation, images[annotation["image_id"]])


def _checked(reader: Reader, where: str, annotation: dict[str, Any], image: dict[str, Any]) -> Row | None:
    x, y, width, height = map(float, annotation["bbox"])
    if width < 0 or height < 0:
        side, value = ("width", width) if width < 0 else ("height", height)
        reader.problems.add(f"{where}: {side} {value:g} < 0; bbox is x, y, width, height")
        return None
    sides: list[Any] = [image.get("width"), image.get("height")]
    size = (float(sides[0]), float(sides[1])) if finite(sides) and min(sides) > 0 else None
    if size:
        reader.reading["as it should be"] += x + width <= size[0] + 1 and y + height <= size[1] + 1
        reader.reading["as corners"] += x < width <= size[0] + 1 and y < height <= size[1] + 1
        reader.reading["all"] += 1
    box = check_box((x, y, x + width, y + height), image["file_name"], size, reader.tallies)
    if box is None:
        return None
    area: Any = annotation.get("area")
    crowd = bool(annotation.get("iscrowd", 0))
    return box, reader.indices[annotation["category_id"]], crowd, float(area) if finite([area]) else math.nan


def _known(id_: Any, among: Mapping[int, Any]) -> bool:
    return type(id_) in (int, str) and id_ in among


def _doubt_corners(reader: Reader) -> None:
    """Note a file that gives corners: most boxes leave their image, and read as corners all would fit."""
    fit, corners, count = (reader.reading[k] for k in ("as it should be", "as corners", "all"))
    if count > 2 and corners == count and fit < 0.5 * count:
        reader.problems.add(
            f"{reader.file}: {count - fit} of {count} boxes leave their image; bbox looks like x1, y1, x2, y2, "
            "where COCO has x, y, width, height"
        )
