"""Read COCO json."""

from __future__ import annotations

import json
import math
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
    Tally,
    check_box,
    check_classes,
    empty_notes,
    finite,
    hold_out,
)


@attrs.frozen
class Reader:
    """What reading one json needs at hand."""

    file: Path
    indices: dict[int, int]
    """Category id -> class index."""
    classes: tuple[str, ...]
    problems: Problems
    tally: Tally


def read(root: Path, *, files: Mapping[str, str], folders: Mapping[str, str], holdout: float) -> Source:
    """Read a folder; DataError with one line for each mistake."""
    problems, tally = Problems(), Tally()
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
        reader = Reader(file, ids, names, problems, tally)
        images = _images(reader, data)
        folder = _folder(root, split, folders[split], file, images)
        parts[split] = Part(folder, _collect(reader, data, images, folder))
    problems.raise_any()
    notes = []
    if "val" not in parts and "test" not in parts:
        parts, note = _split(parts["train"], holdout)
        notes.append(note)
    return Source(classes, parts, (*notes, *tally.notes(), *empty_notes(parts)))


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
    entries = []
    for entry in data["categories"]:
        if not isinstance(entry, dict) or "id" not in entry or "name" not in entry:
            problems.add(f"{file}: category {entry!r} lacks 'id' or 'name'")
        else:
            entries.append((entry["id"], str(entry["name"])))
    entries.sort()
    names = tuple(name for _, name in entries)
    check_classes(names, f"{file}: categories", problems)
    return {id_: k for k, (id_, _) in enumerate(entries)}, names


def _images(reader: Reader, data: dict[str, Any]) -> dict[int, dict[str, Any]]:
    images: dict[int, dict[str, Any]] = {}
    for number, image in enumerate(data["images"]):
        if not isinstance(image, dict) or "id" not in image or "file_name" not in image:
            reader.problems.add(f"{reader.file}: image {number} of the list lacks 'id' or 'file_name'")
        elif image["id"] in images:
            reader.problems.add(f"{reader.file}: image id {image['id']} is given twice")
        else:
            images[image["id"]] = image
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
    index, builder = FileIndex(folder), Builder()
    for id_, image in images.items():
        if not index.has(image["file_name"]):
            reader.problems.add(f"{reader.file}: image {image['file_name']!r} (id {id_}) is not in {folder}")
        builder.add(image["file_name"], rows[id_])
    return builder.freeze()


def _row(reader: Reader, number: int, annotation: Any, images: dict[int, dict[str, Any]]) -> Row | None:
    if not isinstance(annotation, dict):
        reader.problems.add(f"{reader.file}: annotation {number} of the list is no object, got {annotation!r}")
        return None
    where = f"{reader.file}: annotation {annotation.get('id', f'{number} of the list')}"
    for key in ("image_id", "category_id", "bbox"):
        if key not in annotation:
            reader.problems.add(f"{where} has no {key!r}")
            return None
    if annotation["image_id"] not in images:
        reader.problems.add(f"{where} has image_id {annotation['image_id']}, and no image has this id")
        return None
    if annotation["category_id"] not in reader.indices:
        known = ", ".join(f"{id_} {reader.classes[k]}" for id_, k in list(reader.indices.items())[:12])
        reader.problems.add(f"{where} has category_id {annotation['category_id']}, not in categories ({known})")
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
    size = (float(image["width"]), float(image["height"])) if image.get("width") and image.get("height") else None
    box = check_box((x, y, x + width, y + height), image["file_name"], size, reader.tally)
    area = annotation.get("area")
    if box is None:
        return None
    crowd = bool(annotation.get("iscrowd", 0))
    return box, reader.indices[annotation["category_id"]], crowd, float(area) if finite([area]) else math.nan


def _split(whole: Part, holdout: float) -> tuple[dict[str, Part], str]:
    """Hold a part of train out, because there is nothing else to validate on."""
    a = whole.annotations
    names = [a.name(i) for i in range(len(a))]
    chosen = hold_out(names, holdout)
    builders = {"train": Builder(), "val": Builder()}
    for i, name in enumerate(names):
        rows = a.rows(i)
        columns = zip(a.boxes[rows].tolist(), a.labels[rows], a.crowd[rows], a.areas[rows], strict=True)
        taken: list[Row] = [((b[0], b[1], b[2], b[3]), int(k), bool(c), float(s)) for b, k, c, s in columns]
        builders["val" if name in chosen else "train"].add(name, taken)
    note = f"there is no val split: {len(chosen)} of {len(names)} images are held out for it, chosen by hash"
    return {split: Part(whole.images, b.freeze()) for split, b in builders.items()}, note
