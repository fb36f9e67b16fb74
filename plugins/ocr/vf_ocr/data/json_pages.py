"""Pages whose labels lie in few files of json: TextOCR and COCO-Text, PaddleOCR's Label.txt, mmocr's data lists."""

from __future__ import annotations

import json
import posixpath
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import attrs

from vf.data.reading import FileIndex
from vf.data.storage import Storage
from vf.errors import DataError
from vf.protocols import SPLITS, Split
from vf_ocr.data.page_files import Pages, Part, Row, Source, checked_row, with_val
from vf_ocr.data.reading import Mistakes, lines_of
from vf_ocr.texts import ILLEGIBLE

Kind = Literal["textocr", "paddle", "mmocr"]
Page = tuple[str, str, Sequence[Row], tuple[int, int] | None]

_CANDIDATES: Mapping[Kind, Mapping[Split, tuple[str, ...]]] = {
    "textocr": {
        "train": (
            "TextOCR_0.1_train.json",
            "train.json",
            "cocotext.v2.json",
            "COCO_Text.json",
            "annotations/train.json",
        ),
        "val": ("TextOCR_0.1_val.json", "val.json", "annotations/val.json"),
        "test": ("test.json",),
    },
    "paddle": {
        "train": ("train.txt", "train_label.txt", "train/Label.txt", "label/train.txt", "Label.txt", "det/train.txt"),
        "val": ("val.txt", "val_label.txt", "val/Label.txt", "label/val.txt", "det/val.txt"),
        "test": ("test.txt", "test_label.txt", "test/Label.txt", "label/test.txt", "det/test.txt"),
    },
    "mmocr": {
        split: (f"textspotting_{split}.json", f"textdet_{split}.json", f"instances_{split}.json", f"{split}.json")
        for split in SPLITS
    },
}


@attrs.frozen
class _Reading:
    """What goes through all functions of one kind."""

    root: Storage
    images: str
    index: FileIndex
    mistakes: Mistakes
    encoding: str


def read(
    root: Storage,
    kind: Kind,
    *,
    files: Mapping[Split, str],
    images: str,
    encoding: str,
    lenient: bool,
    holdout: float,
) -> Source:
    """Read the label files of a folder or zip; DataError with one line for each mistake.

    Args:
        root: of the data set.
        kind: of the files.
        files: split -> its label file, empty: looked for.
        images: folder that names of images are relative to; empty: that in which the first is found.
        encoding: of text files.
        lenient: broken entries and missing images are left out.
        holdout: part of train to validate on where there is no val.
    """
    found = {split: name for split in SPLITS if (name := _file(root, kind, split, files.get(split, "")))}
    if not found:
        raise DataError(f"{root.where()}: no label file like {_CANDIDATES[kind]['train'][0]}; name it with data.train")
    reading = _Reading(root, images, FileIndex(root), Mistakes(lenient=lenient), encoding)
    pages: dict[str, list[Page]] = {}
    for split, name in found.items():
        for own, page in _READERS[kind](reading, name, split):
            pages.setdefault(own, []).append(page)
    reading.mistakes.problems.raise_any()
    parts: dict[str, Part] = {split: Part(root, Pages.of(pages[split])) for split in SPLITS if split in pages}
    cut, notes = with_val(parts, holdout)
    return Source(cut, (*notes, *reading.mistakes.lines()))


def looks_like(root: Storage, kind: Kind) -> bool:
    """Whether there is a file of this kind, by its beginning."""
    for split in SPLITS:
        name = _file(root, kind, split, "")
        if name is None:
            continue
        head = root.head(name, 4000).decode("utf-8-sig", errors="ignore")
        if kind == "paddle":
            return "\t[{" in head and '"points"' in head
        if kind == "mmocr":
            return '"textdet"' in head or '"textspotting"' in head or ('"data_list"' in head and '"polygon"' in head)
        return '"imgs"' in head or '"anns"' in head or '"cats"' in head
    return False


def _file(root: Storage, kind: Kind, split: Split, given: str) -> str | None:
    if given:
        if not root.has(given):
            raise DataError(f"{root.where(given)}: no such file; it is data.{split}")
        return given
    return next((name for name in _CANDIDATES[kind][split] if root.has(name)), None)


def _json(root: Storage, name: str) -> Any:
    try:
        return json.loads(root.read(name))
    except ValueError as error:
        raise DataError(f"{root.where(name)}: is no valid json: {error}") from None


def _image(reading: _Reading, where: str, name: str, tried: Sequence[str]) -> str | None:
    """Return where an image is, relative to the root; None where it is not."""
    places = [reading.images] if reading.images else tried
    # PPOCRLabel writes the name of the folder too, seen from the one above it.
    for part in dict.fromkeys((name, name.partition("/")[2] or name)):
        for place in places:
            full = posixpath.normpath(posixpath.join(place, part))
            if not full.startswith("..") and reading.index.has(full):
                return full
    looked = reading.root.where(places[0])
    reading.mistakes.add(where, f"image {name!r} is not in {looked}; see data.images", "images that are missing")
    return None


def _points(value: Any) -> tuple[float, ...]:
    """Points from [x1, y1, …] or [[x1, y1], …]; empty where it is neither."""
    if isinstance(value, list) and value and all(isinstance(v, list) and len(v) == 2 for v in value):
        value = [v for pair in value for v in pair]
    if not isinstance(value, list) or not all(isinstance(v, int | float) and not isinstance(v, bool) for v in value):
        return ()
    return tuple(float(v) for v in value)


def _add(reading: _Reading, rows: list[Row], row: Row, where: str) -> None:
    if (good := checked_row(row, where, reading.mistakes)) is not None:
        rows.append(good)


def _textocr(reading: _Reading, name: str, split: Split) -> list[tuple[str, Page]]:
    """Read ``imgs`` and ``anns``, each by its id; COCO-Text holds all splits in one file."""
    where = reading.root.where(name)
    data = _json(reading.root, name)
    if not isinstance(data, dict) or not isinstance(data.get("imgs"), dict) or not isinstance(data.get("anns"), dict):
        raise DataError(f"{where}: expected a mapping with 'imgs' and 'anns', as TextOCR and COCO-Text have")
    by_image: dict[str, list[tuple[str, Any]]] = {}
    for key, ann in data["anns"].items():
        by_image.setdefault(str(ann.get("image_id")), []).append((key, ann))
    several = {str(image.get("set")) for image in data["imgs"].values()} > {str(split)}
    tried = ("", "train_images", "train", "images", "train2014", "train_val_images/train_images")
    pages: list[tuple[str, Page]] = []
    for key, image in data["imgs"].items():
        at = f"{where}: image {key}"
        file = _image(reading, at, str(image.get("file_name", "")), tried)
        if file is None:
            continue
        rows: list[Row] = []
        for ann_key, ann in by_image.get(str(key), ()):
            points = _points(ann.get("points") or ann.get("mask") or _boxed(ann.get("bbox")))
            text = str(ann.get("utf8_string", ""))
            unread = text in (".", "") or ann.get("legibility") == "illegible"
            number = len(rows)
            _add(reading, rows, Row(points, ILLEGIBLE if unread else text, number), f"{where}: annotation {ann_key}")
        size = (image["height"], image["width"]) if {"height", "width"} <= image.keys() else None
        own = {"train": "train", "val": "val", "test": "test"}.get(str(image.get("set")), split) if several else split
        pages.append((own, (file, at, rows, size)))
    return pages


def _boxed(box: Any) -> list[float]:
    if not isinstance(box, list) or len(box) != 4:
        return []
    x, y, width, height = box
    return [x, y, x + width, y, x + width, y + height, x, y + height]


def _paddle(reading: _Reading, name: str, split: Split) -> list[tuple[str, Page]]:
    """Read lines ``image\\t[{"transcription": …, "points": [[x, y], …]}, …]``."""
    where, folder = reading.root.where(name), posixpath.dirname(name)
    pages: list[tuple[str, Page]] = []
    for number, line in lines_of(reading.root, name, reading.encoding):
        image, _, labels = line.partition("\t")
        at = f"{where}:{number}"
        try:
            listed = json.loads(labels)
            good = isinstance(listed, list) and all(isinstance(one, dict) and "points" in one for one in listed)
        except ValueError:
            good = False
        if not good:
            said = f'expected IMAGE<tab>[{{"transcription": …, "points": …}}], got {line[:60]!r}'
            reading.mistakes.add(at, said, "malformed lines")
            continue
        file = _image(reading, at, image.strip(), (folder, "", "images"))
        if file is None:
            continue
        rows: list[Row] = []
        for one in listed:
            text = str(one.get("transcription", ""))
            unread = text in (ILLEGIBLE, "*") or one.get("illegibility") is True or one.get("difficult") is True
            _add(reading, rows, Row(_points(one["points"]), ILLEGIBLE if unread else text, number), at)
        pages.append((split, (file, where, rows, None)))
    return pages


def _mmocr(reading: _Reading, name: str, split: Split) -> list[tuple[str, Page]]:
    """Read ``data_list`` with ``img_path`` and ``instances``: ``polygon`` (or ``bbox``), ``text``, ``ignore``."""
    where, folder = reading.root.where(name), posixpath.dirname(name)
    data = _json(reading.root, name)
    listed = data.get("data_list") if isinstance(data, dict) else None
    if not isinstance(listed, list):
        raise DataError(f"{where}: expected a mapping with 'data_list', as mmocr writes it")
    pages: list[tuple[str, Page]] = []
    for number, item in enumerate(listed):
        at = f"{where}: item {number}"
        file = _image(reading, at, str(item.get("img_path", "")), (folder, "", "imgs", "images"))
        if file is None:
            continue
        rows: list[Row] = []
        for one in item.get("instances", ()):
            box = one.get("bbox") or []
            corners = [box[0], box[1], box[2], box[1], box[2], box[3], box[0], box[3]] if len(box) == 4 else []
            text = str(one.get("text", ""))
            unread = bool(one.get("ignore")) or text == ILLEGIBLE
            points = _points(one.get("polygon") or corners)
            _add(reading, rows, Row(points, ILLEGIBLE if unread else text, number), at)
        size = (item["height"], item["width"]) if {"height", "width"} <= item.keys() else None
        pages.append((split, (file, where, rows, size)))
    return pages


_READERS = {"textocr": _textocr, "paddle": _paddle, "mmocr": _mmocr}
