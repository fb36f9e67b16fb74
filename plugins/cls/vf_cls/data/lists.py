"""Read lists of images with their labels: text, csv, tsv, json and json lines."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import attrs

from vf.data.decode import IMAGE_SUFFIXES
from vf.data.reading import FileIndex, Problems, check_classes
from vf.data.storage import Storage
from vf.errors import DataError, did_you_mean, listed
from vf.protocols import SPLITS, Split
from vf_cls.data.labels import Builder
from vf_cls.data.named import lines_of
from vf_cls.data.source import Part, Source, part_notes, with_val

ENDINGS = ("txt", "csv", "tsv", "jsonl", "json")
FOLDERS = ("", "meta/", "annotations/")
PATH_KEYS = ("image", "path", "img_path", "file", "file_name", "filename", "name")
LABEL_KEYS = ("label", "labels", "gt_label", "class", "classes", "category", "target")
MOST_COLUMNS = 4
"""Of a table that is recognised: those with boxes have more."""
Label = str | int


@attrs.frozen
class Row:
    """One image as listed."""

    line: int
    """Of the file, from 1; of a json its place in the list, from 0."""
    image: str
    labels: tuple[Label, ...] | None
    """None: there is none written."""
    several: bool = False
    """Whether they are written as a list."""


@attrs.frozen
class Listed:
    """One list as read."""

    where: str
    is_json: bool
    rows: tuple[Row, ...]
    classes: tuple[str, ...] = ()
    """Names that the file brings along."""

    def at(self, row: Row) -> str:
        """How messages call a row."""
        return f"{self.where}: item {row.line}" if self.is_json else f"{self.where}:{row.line}"


def read(
    root: Storage,
    *,
    files: Mapping[Split, str],
    images: str,
    classes: str,
    separator: str,
    multi_label: bool,
    holdout: float,
) -> Source:
    """Read the lists of a folder or zip; DataError with one line for each mistake.

    Args:
        root: of the data set.
        files: split -> list, empty: looked for as SPLIT.txt, meta/SPLIT.csv and so on.
        images: the folder or zip that names are relative to; empty: the root.
        classes: file with a class name a line; empty: those in the lists.
        separator: between several labels of one image, in text and csv; empty: there is one label.
        multi_label: several labels, even where no list of labels is written.
        holdout: part of train to validate on where there is no val.
    """
    problems = Problems()
    found: dict[Split, str] = {split: name for split in SPLITS if (name := _find(root, split, files.get(split, "")))}
    if not found:
        raise DataError(f"{root.where()}: no list of images like train.txt, train.csv or train.json; or set data.train")
    lists = {split: read_list(root, name, separator, problems) for split, name in found.items()}
    problems.raise_any()
    first = next(iter(lists.values()))  # train, where there is one: what others add to its classes is a mistake
    labels = [label for row in first.rows for label in row.labels or ()]
    given = _class_file(root, classes) or next((one.classes for one in lists.values() if one.classes), ())
    names = given or _names(labels)
    check_classes(names, root.where(classes) if classes else first.where, problems)
    problems.raise_any()
    several = multi_label or bool(separator) or any(row.several for one in lists.values() for row in one.rows)
    place = root.within(images) if images else root
    parts = {
        s: _part(one, s, place, _Indices(names, "data.classes" if given else first.where), several, problems)
        for s, one in lists.items()
    }
    problems.raise_any()
    notes = [] if given or not labels or not all(_whole(label) for label in labels) else [_NUMBERS.format(len(names))]
    parts, cut = with_val(parts, holdout)
    return Source(names, parts, (*notes, *cut, *part_notes(parts, multi_label=several)), several)


_NUMBERS = "classes have no names but their {} numbers; data.classes names a file with one name a line"


def read_list(root: Storage, name: str, separator: str, problems: Problems) -> Listed:
    """Read one list."""
    where = root.where(name)
    ending = name.rpartition(".")[2].lower()
    if ending == "json":
        return _json(root, name)
    if ending == "jsonl":
        rows = [_json_line(where, number, line, problems) for number, line in lines_of(root, name)]
        return Listed(where, False, tuple(row for row in rows if row))
    if ending in ("csv", "tsv"):
        return Listed(where, False, tuple(_table(root, name, separator, problems)))
    return Listed(where, False, tuple(_text(root, name, separator)))


def _find(root: Storage, split: Split, given: str) -> str:
    if given and not root.has(given):
        raise DataError(f"{root.where(given)}: no such file; it is data.{split}")
    names = [f"{folder}{split}.{ending}" for folder in FOLDERS for ending in ENDINGS]
    return given or next((name for name in names if root.has(name)), "")


def looks_listed(root: Storage) -> bool:
    """Whether there is a list of train, val or test whose first image is there: for sniffing."""
    for split in SPLITS:
        if name := _find(root, split, ""):
            return _first_is_there(root, name)
    return False


def _first_is_there(root: Storage, name: str) -> bool:
    """Look at the beginning of a list alone: a json may be large, and COCO's."""
    head = root.head(name, 4096).decode("utf-8-sig", errors="ignore")
    if name.endswith((".json", ".jsonl")):
        images = [word for word in re.findall(r'"([^"\\]+)"', head) if word.lower().endswith(tuple(IMAGE_SUFFIXES))]
        return bool(images) and '"images"' not in head and root.has(images[0])
    lines = [line for line in head.splitlines() if line.strip()][:2]
    cells = [
        [cell.strip() for cell in re.split(r"[,\t]" if name.endswith("sv") else r"\s(?=\S+$)", line)] for line in lines
    ]
    images = [cell for row in cells if len(row) <= MOST_COLUMNS for cell in row]
    return any(cell.lower().endswith(tuple(IMAGE_SUFFIXES)) and root.has(cell) for cell in images)


def _text(root: Storage, name: str, separator: str) -> Iterator[Row]:
    """Yield lines ``PATH LABEL``; a path may hold spaces, a line of a path alone has no label."""
    for number, line in lines_of(root, name):
        path, _, label = line.rpartition("\t") if "\t" in line else line.rpartition(" ")
        if not path or line.lower().endswith(tuple(IMAGE_SUFFIXES)):
            yield Row(number, line, None)
        else:
            yield Row(number, path.strip(), _cut(label, separator))


def _table(root: Storage, name: str, separator: str, problems: Problems) -> Iterator[Row]:
    """Yield rows of two columns, or those two that a first row names."""
    text = io.StringIO("\n".join(line for _, line in lines_of(root, name)))
    numbers = [number for number, _ in lines_of(root, name)]
    image, label = 0, 1
    for count, cells in enumerate(csv.reader(text, delimiter="\t" if name.lower().endswith("tsv") else ",")):
        line = numbers[min(count, len(numbers) - 1)]
        heads = [cell.strip().lower() for cell in cells]
        if count == 0 and any(key in heads for key in PATH_KEYS):
            image = next(heads.index(key) for key in PATH_KEYS if key in heads)
            label = next((heads.index(key) for key in LABEL_KEYS if key in heads), len(heads))
            continue
        if len(cells) <= image or not cells[image].strip():
            problems.add(f"{root.where(name)}:{line}: expected image,label, got {','.join(cells)!r}", cause=name)
            continue
        yield Row(line, cells[image].strip(), _cut(cells[label].strip(), separator) if label < len(cells) else None)


def _cut(text: str, separator: str) -> tuple[Label, ...]:
    if not separator:
        return (text,)
    return tuple(part for word in text.split(separator) if (part := word.strip()))


def _json(root: Storage, name: str) -> Listed:
    """Read a list of mappings, a mapping of images to labels, or mmpretrain's form with metainfo and data_list."""
    where = root.where(name)
    try:
        data = json.loads(root.read(name))
    except ValueError as error:
        raise DataError(f"{where}: is no valid json: {error}") from None
    classes: tuple[str, ...] = ()
    if isinstance(data, dict) and isinstance(data.get("data_list"), list):
        classes = tuple(map(str, (data.get("metainfo") or {}).get("classes", ())))
        data = data["data_list"]
    if isinstance(data, dict):
        data = [{"image": image, "labels": label} for image, label in data.items()]
    if not isinstance(data, list):
        raise DataError(f"{where}: expected a list of {_ONE}, got {type(data).__name__}")
    problems = Problems()
    rows = [_item(f"{where}: item {number}", number, item, problems) for number, item in enumerate(data)]
    problems.raise_any()
    return Listed(where, True, tuple(row for row in rows if row), classes)


_ONE = '{"image": …, "label": …}'


def _json_line(where: str, number: int, line: str, problems: Problems) -> Row | None:
    try:
        item = json.loads(line)
    except ValueError:
        problems.add(f"{where}:{number}: is no valid json; expected {_ONE}", cause=where)
        return None
    return _item(f"{where}:{number}", number, item, problems)


def _item(where: str, number: int, item: Any, problems: Problems) -> Row | None:
    image = next((item[key] for key in PATH_KEYS if key in item), None) if isinstance(item, dict) else None
    if not isinstance(image, str):
        problems.add(f"{where}: expected {_ONE}, got {json.dumps(item)[:60]}", cause="form")
        return None
    value = next((item[key] for key in LABEL_KEYS if key in item), None)
    values: list[Any] = value if isinstance(value, list) else [value]
    if value is not None and not all(isinstance(v, str | int) and not isinstance(v, bool) for v in values):
        problems.add(
            f"{where}: expected a label, a name or a whole number, got {json.dumps(value)[:60]}", cause="label"
        )
        return None
    return Row(number, image, None if value is None else tuple(values), several=isinstance(value, list))


def _class_file(root: Storage, file: str) -> tuple[str, ...]:
    if not file:
        return ()
    if not root.has(file):
        raise DataError(f"{root.where(file)}: no such file; it is data.classes")
    return tuple(line for _, line in lines_of(root, file))


def _whole(label: Label) -> bool:
    return isinstance(label, int) or label.isdigit()


def _names(labels: Sequence[Label]) -> tuple[str, ...]:
    """Return the classes of lists that do not name them: numbers from 0, or the names that occur, sorted."""
    if labels and all(_whole(label) for label in labels):
        return tuple(str(k) for k in range(max(int(label) for label in labels) + 1))
    return tuple(sorted({str(label) for label in labels}))


class _Indices:
    """Class names or numbers to class indices."""

    def __init__(self, names: Sequence[str], where: str) -> None:
        self.names = names
        self.where = where
        self._index = {name: k for k, name in enumerate(names)}

    def of(self, label: Label) -> int | None:
        """Return the index; a number is one, unless a class is called so."""
        if label in self._index:
            return self._index[label]
        number = int(label) if _whole(label) else -1
        return number if 0 <= number < len(self.names) else None


def _part(listed_: Listed, split: Split, place: Storage, indices: _Indices, several: bool, problems: Problems) -> Part:
    """Lay a split flat."""
    builder, index = Builder(), FileIndex(place)
    lines: dict[str, Row] = {}
    labelled = split != "test" or any(row.labels is not None for row in listed_.rows)
    for row in listed_.rows:
        at = listed_.at(row)
        if row.image in lines:
            problems.add(
                f"{at}: image {row.image!r} was already in {listed_.at(lines[row.image])}", cause=(at, "twice")
            )
        elif not index.has(row.image):
            problems.add(
                f"{at}: image {row.image!r} is not in {place.where()}; see data.images", cause=(split, "image")
            )
        lines[row.image] = row
        builder.add(row.image, _labels(row, at, indices, several, problems) if labelled else ())
    return Part(place, builder.freeze(), labelled)


def _labels(row: Row, at: str, indices: _Indices, several: bool, problems: Problems) -> list[int]:
    if not several and (row.labels is None or len(row.labels) != 1 or row.labels[0] == ""):
        problems.add(f"{at}: expected one label of {row.image!r}, got none", cause="no label")
        return []
    found = []
    for label in row.labels or ():
        index = indices.of(label)
        if index is None and _whole(label):
            there = f"there are {len(indices.names)} classes, counted from 0"
            problems.add(f"{at}: label {label} is out of range: {there}", cause=("range", label))
        elif index is None:
            hint = did_you_mean(str(label), indices.names)
            problems.add(
                f"{at}: class {label!r} is not in {indices.where} ({listed(indices.names)}){hint}", cause=label
            )
        else:
            found.append(index)
    return sorted(set(found))
