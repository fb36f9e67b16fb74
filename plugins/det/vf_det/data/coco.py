"""Read COCO json: boxes, and where asked for, masks and keypoints."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from typing import Any

import attrs

from vf.data.annotations import Annotations, Builder
from vf.data.storage import Storage
from vf.errors import listed
from vf_det.coco_files import COCO
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
from vf_det.data.source import (
    FileIndex,
    Part,
    Problems,
    Row,
    Source,
    Tallies,
    check_box,
    empty_notes,
    finite,
    with_val,
)
from vf_det.masks import pack


@attrs.frozen
class Reader:
    """What reading the objects of one json needs at hand."""

    file: Json
    categories: Categories
    images: dict[Any, Image]
    problems: Problems
    tallies: Tallies
    masks: bool
    keypoints: int
    """Of each object; 0: not read."""
    difficult: bool = False
    """Whether objects carry the mark that VOC has; COCO's own files do not know it."""
    reading: Counter[str] = attrs.field(factory=Counter)
    """How many boxes fit into their image, read one way or the other."""


def read(
    root: Storage,
    *,
    files: Mapping[str, str],
    folders: Mapping[str, str],
    holdout: float,
    masks: bool = False,
    keypoints: bool = False,
) -> Source:
    """Read a data set; DataError with one line for each mistake.

    Args:
        root: its folder or zip.
        files: split -> json, empty: looked for.
        folders: split -> image folder or zip, empty: looked for.
        holdout: part of train to validate on where there is no val.
        masks: read outlines.
        keypoints: read them.
    """
    problems, tallies = Problems(), Tallies()
    known: Categories | None = None
    points: tuple[str, ...] = ()
    parts: dict[str, Part] = {}
    for split, name in find_files(root, files, COCO).items():
        file = load(root, name, hook=packed if masks else without_outlines, unlabelled=split == "test")
        own = read_categories(file, problems)
        known = same_categories(file, known, own, problems)
        points = points or (keypoint_names(own) if keypoints else ())
        images = read_images(file, problems, lambda image: image.get("file_name"))
        place = find_images(root, split, folders[split], file, images)
        marked = file.labelled and any("difficult" in a for a in file.data["annotations"] if isinstance(a, dict))
        reader = Reader(file, own, images, problems, tallies, masks, len(points), marked)
        parts[split] = Part(
            place, collect(reader, place), image_ids(images), marks_difficult=marked, labelled=file.labelled
        )
    if keypoints and not points:
        problems.add(f"{root.where()}: no category names 'keypoints'; leave data.keypoints out")
    problems.raise_any()
    assert known is not None
    parts, notes = with_val(parts, holdout)
    return Source(
        known.names,
        parts,
        (*notes, *tallies.notes.lines(), *empty_notes(parts)),
        remarks=tuple(tallies.remarks.lines()),
        keypoints=points,
        category_ids=known.ids,
    )


def without_outlines(entry: dict[str, Any]) -> dict[str, Any]:
    """Forget polygons as soon as they are read: they take most of the memory, and boxes do not need them."""
    entry.pop("segmentation", None)
    return entry


def packed(entry: dict[str, Any]) -> dict[str, Any]:
    """Pack an outline as soon as it is read; a text says what is wrong with it."""
    if "segmentation" in entry:
        try:
            entry["segmentation"] = pack(entry["segmentation"])
        except ValueError as error:
            entry["segmentation"] = str(error)
    return entry


def keypoint_names(categories: Categories) -> tuple[str, ...]:
    """Return the names of the first category that has keypoints."""
    named = [entry["keypoints"] for entry in categories.entries if isinstance(entry.get("keypoints"), list)]
    return tuple(map(str, named[0])) if named else ()


def collect(reader: Reader, place: Storage) -> Annotations:
    """Lay the objects of a json flat, in the order of its images, and note images that are not in ``place``."""
    rows: dict[Any, list[Row]] = {id_: [] for id_ in reader.images}
    outlines: dict[Any, list[bytes]] = {id_: [] for id_ in reader.images}
    points: dict[Any, list[list[float]]] = {id_: [] for id_ in reader.images}
    difficult: dict[Any, list[bool]] = {id_: [] for id_ in reader.images}
    for number, annotation in enumerate(reader.file.data["annotations"] if reader.file.labelled else ()):
        row = _row(reader, number, annotation)
        if row is None:
            continue
        id_ = annotation["image_id"]
        if reader.masks or reader.keypoints:
            outline, own = _outline(reader, annotation), _points(reader, annotation)
            if outline is None or own is None:
                continue
            outlines[id_] += [outline] * reader.masks
            points[id_] += [own] * bool(reader.keypoints)
        rows[id_].append(row)
        difficult[id_] += [bool(annotation.get("difficult"))] * reader.difficult
    _doubt_corners(reader)
    index = FileIndex(place)
    builder = Builder(masks=reader.masks, keypoints=reader.keypoints, difficult=reader.difficult)
    for id_, image in reader.images.items():
        name, size = image["file_name"], size_of(image)
        if not index.has(name):
            line = f"{reader.file.where}: image {name!r} (id {id_}) is not in {place.where()}"
            reader.problems.add(line, cause=(reader.file.where, place.where()))
        whole = (int(size[1]), int(size[0])) if size else None
        builder.add(
            name,
            rows[id_],
            size=whole,
            difficult=difficult[id_],
            outlines=outlines[id_],
            keypoints=points[id_],
        )
    return builder.freeze()


def _row(reader: Reader, number: int, annotation: Any) -> Row | None:
    file, problems = reader.file.where, reader.problems
    if not isinstance(annotation, dict):
        problems.add(f"{file}: annotation {number} of the list is no object, got {annotation!r}")
        return None
    where = f"{file}: annotation {annotation.get('id', f'{number} of the list')}"
    for key in ("image_id", "category_id", "bbox"):
        if key not in annotation:
            problems.add(f"{where} has no {key!r}", cause=(file, key))
            return None
    if not _known(annotation["image_id"], reader.images):
        problems.add(f"{where} has image_id {annotation['image_id']}, and no image has this id")
        return None
    if not _known(annotation["category_id"], reader.categories.indices):
        known = listed(f"{id_} {reader.categories.names[k]}" for id_, k in reader.categories.indices.items())
        line = f"{where} has category_id {annotation['category_id']}, not in categories ({known})"
        problems.add(line, cause=(file, "category_id", annotation["category_id"]))
        return None
    box = annotation["bbox"]
    if not isinstance(box, list) or len(box) != 4 or not finite(box):
        problems.add(f"{where}: expected bbox of 4 numbers x, y, width, height, got {box!r}")
        return None
    return _checked(reader, where, annotation, reader.images[annotation["image_id"]])


def _checked(reader: Reader, where: str, annotation: dict[str, Any], image: Image) -> Row | None:
    x, y, width, height = map(float, annotation["bbox"])
    if width < 0 or height < 0:
        side, value = ("width", width) if width < 0 else ("height", height)
        reader.problems.add(f"{where}: {side} {value:g} < 0; bbox is x, y, width, height")
        return None
    size = size_of(image)
    if size:
        reader.reading["as it should be"] += x + width <= size[0] + 1 and y + height <= size[1] + 1
        reader.reading["as corners"] += x < width <= size[0] + 1 and y < height <= size[1] + 1
        reader.reading["all"] += 1
    box = check_box((x, y, x + width, y + height), image["file_name"], size, reader.tallies)
    if box is None:
        return None
    area: Any = annotation.get("area")
    crowd = bool(annotation.get("iscrowd", 0))
    label = reader.categories.indices[annotation["category_id"]]
    return box, label, crowd, float(area) if finite([area]) else math.nan


def _known(id_: Any, among: Mapping[Any, Any]) -> bool:
    return type(id_) in (int, str) and id_ in among


def _doubt_corners(reader: Reader) -> None:
    """Note a file that gives corners: most boxes leave their image, and read as corners all would fit."""
    fit, corners, count = (reader.reading[k] for k in ("as it should be", "as corners", "all"))
    if count > 2 and corners == count and fit < 0.5 * count:
        reader.problems.add(
            f"{reader.file.where}: {count - fit} of {count} boxes leave their image; bbox looks like x1, y1, x2, y2, "
            "where COCO has x, y, width, height"
        )


def _outline(reader: Reader, annotation: dict[str, Any]) -> bytes | None:
    """Return the packed mask of an object; empty where masks are not read, None where there is a mistake."""
    if not reader.masks:
        return b""
    outline = annotation.get("segmentation", "has no 'segmentation'")
    image = reader.images[annotation["image_id"]]
    if isinstance(outline, bytes) and outline[:1] == b"R" and (size := size_of(image)):
        own = [int.from_bytes(outline[at : at + 4], "little") for at in (1, 5)]
        if own != [size[1], size[0]]:
            outline = f"its run lengths are of {own[0]}×{own[1]} pixels, its image of {size[1]:g}×{size[0]:g}"
    if isinstance(outline, bytes):
        return outline
    line = f"{reader.file.where}: annotation {annotation.get('id')}: {outline}; leave data.masks out to read boxes only"
    reader.problems.add(line, cause=(reader.file.where, "segmentation", outline.partition(", got")[0]))
    return None


def _points(reader: Reader, annotation: dict[str, Any]) -> list[float] | None:
    """Return x, y, visibility of each keypoint; all 0 where the object has none, None where there is a mistake."""
    count = 3 * reader.keypoints
    points = annotation.get("keypoints") if count else []
    if points is None:
        return [0.0] * count
    if isinstance(points, list) and len(points) == count and finite(points):
        return points
    came = len(points) if isinstance(points, list) else repr(points)
    where = f"{reader.file.where}: annotation {annotation.get('id')}"
    line = f"{where}: expected {count} numbers under 'keypoints' ({reader.keypoints} × x, y, visibility), got {came}"
    reader.problems.add(line, cause=(reader.file.where, "points"))
    return None
