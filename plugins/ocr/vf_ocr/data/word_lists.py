"""Lists of word images: csv, tsv, txt, jsonl, mmocr's json; and folders of images that are named by their text."""

from __future__ import annotations

import csv
import json
import posixpath
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from vf.data.decode import IMAGE_SUFFIXES
from vf.data.reading import FileIndex, walk_images
from vf.data.storage import Storage
from vf.errors import DataError
from vf.protocols import SPLITS, Split
from vf_ocr.data.reading import Mistakes, lines_of
from vf_ocr.data.words import Part, Source, Words, missing_file, with_val

ENDINGS = ("txt", "csv", "tsv", "jsonl", "json")
_STEMS = (
    "{}",
    "{}_label",
    "{}_labels",
    "label_{}",
    "gt_{}",
    "{}_gt",
    "textrecog_{}",
    "rec_gt_{}",
    "annotations/{}",
    "{}/labels",
)
_ALONE = ("labels", "label", "gt", "list", "rec_gt")
"""Names of a list where there is but one: it is train."""
_PATHS = ("filename", "file", "path", "image", "img_path", "img", "name", "imgname")
_TEXTS = ("text", "label", "word", "words", "transcription", "groundtruth")
_FORM = "IMAGE<tab>TEXT, IMAGE,TEXT or IMAGE TEXT"
_Row = tuple[str, str, int]


def read(
    root: Storage,
    *,
    files: Mapping[Split, str],
    images: str,
    encoding: str,
    lenient: bool,
    holdout: float,
) -> Source:
    """Read the lists of a folder or zip; DataError with one line for each mistake.

    Args:
        root: of the data set.
        files: split -> list, empty: looked for.
        images: folder that names are relative to; empty: that of the list, or the root.
        encoding: of the lists.
        lenient: broken lines and missing images are left out.
        holdout: part of train to validate on where there is no val.
    """
    found = find(root, files)
    if not found:
        raise DataError(f"{root.where()}: no list of word images like train.txt or train.csv; or set data.train")
    mistakes = Mistakes(lenient=lenient)
    parts: dict[str, Part] = {split: _part(root, name, images, encoding, mistakes) for split, name in found.items()}
    mistakes.problems.raise_any()
    cut, notes = with_val(parts, holdout)
    return Source(cut, (*notes, *mistakes.lines()))


def find(root: Storage, files: Mapping[Split, str]) -> dict[Split, str]:
    """Return the list of each split."""
    found: dict[Split, str] = {}
    for split in SPLITS:
        given = files.get(split, "")
        if given and not root.has(given):
            raise DataError(f"{root.where(given)}: no such file; it is data.{split}")
        names = (f"{stem.format(split)}.{ending}" for stem in _STEMS for ending in ENDINGS)
        if name := given or next((n for n in names if root.has(n)), ""):
            found[split] = name
    if not found:
        names = (f"{stem}.{ending}" for stem in _ALONE for ending in ENDINGS)
        if name := next((n for n in names if root.has(n)), ""):
            found["train"] = name
    return found


def looks_listed(root: Storage) -> bool:
    """Whether the first line of a list names an image that is there, and a text beside it."""
    for name in find(root, {}).values():
        head = root.head(name, 4096).decode("utf-8-sig", errors="ignore")
        if name.endswith(".json"):
            if '"data_list"' in head:
                return '"textrecog' in head.lower() or '"polygon"' not in head
            named = [n for n in re.findall(r'"([^"\\]+)"\s*:\s*"', head) if n.lower().endswith(tuple(IMAGE_SUFFIXES))]
            return bool(named) and root.has(named[0])
        if "\t[{" in head:  # pages of PaddleOCR
            return False
        places = ("", posixpath.dirname(name), "images")
        for line in [line for line in head.splitlines() if line.strip()][:2]:
            cells = [cell.strip().strip('"') for cell in re.split(r'[,\t]|": "?|\s+', line)]
            known = [cell for cell in cells if cell.lower().endswith(tuple(IMAGE_SUFFIXES))]
            numbers = sum(re.fullmatch(r"-?\d+(\.\d+)?", cell) is not None for cell in cells)
            if numbers >= 4:  # the corners of a box: objects, not words
                return False
            if len(known) == 1 and len(cells) > 1 and any(root.has(posixpath.join(p, known[0])) for p in places):
                return True
    return False


def _part(root: Storage, name: str, images: str, encoding: str, mistakes: Mistakes) -> Part:
    where = root.where(name)
    ending = name.rpartition(".")[2].lower()
    rows = list(_READERS.get(ending, _plain)(root, name, encoding, mistakes))
    folder = images or _image_folder(root, posixpath.dirname(name), rows)
    place = root.within(folder) if folder else root
    index = FileIndex(place)
    good = []
    for row in rows:
        at = f"{where}:{row[2]}"
        if not row[1].strip():
            mistakes.add(
                at, f"empty transcription of {row[0]!r}; expected what is written on it", "empty transcriptions"
            )
        elif not index.has(posixpath.normpath(row[0])):
            mistakes.add(at, missing_file(place, row[0]), "images that are missing")
        else:
            good.append(row)
    return Part(place, Words.of(good, where))


def _image_folder(root: Storage, folder: str, rows: list[_Row]) -> str:
    """Return the folder in which the first image is that is found."""
    places = dict.fromkeys((folder, "", posixpath.join(folder, "images"), "images", "imgs"))
    for row in rows[:20]:
        for place in places:
            if root.has(posixpath.join(place, row[0])):
                return place
    return folder


def _plain(root: Storage, name: str, encoding: str, mistakes: Mistakes) -> Iterator[_Row]:
    """Yield lines whose first part is an image: cut at the tab, else at the ending of the image's name."""
    image = re.compile(rf"^(.*?\.(?:{'|'.join(s[1:] for s in sorted(IMAGE_SUFFIXES))}))(?:\s*,\s*|\s+|$)(.*)$", re.I)
    for number, line in lines_of(root, name, encoding):
        if "\t" in line:
            path, _, text = line.partition("\t")
        else:
            match = image.match(line)
            path, text = (match[1], _unquoted(match[2])) if match else ("", "")
        if not path.strip():
            mistakes.add(f"{root.where(name)}:{number}", f"expected {_FORM}, got {line[:60]!r}", "malformed lines")
            continue
        yield path.strip(), text.strip("\r\n"), number


def _unquoted(text: str) -> str:
    """Drop quotes around a text, as ICDAR 2013's lists have them."""
    text = text.strip()
    return text[1:-1] if len(text) > 1 and text[0] == text[-1] == '"' else text


def _table(root: Storage, name: str, encoding: str, mistakes: Mistakes) -> Iterator[_Row]:
    """Yield rows of two columns, or those two that a first row names."""
    tab = name.lower().endswith("tsv")
    image, text = 0, 1
    for count, (number, line) in enumerate(lines_of(root, name, encoding)):
        cells = line.split("\t") if tab else next(csv.reader([line]))
        heads = [cell.strip().lower() for cell in cells]
        if count == 0 and any(key in heads for key in _PATHS) and any(key in heads for key in _TEXTS):
            image, text = (next(heads.index(k) for k in keys if k in heads) for keys in (_PATHS, _TEXTS))
            continue
        if len(cells) <= max(image, text) or not cells[image].strip():
            written = "IMAGE<tab>TEXT" if tab else "IMAGE,TEXT"
            mistakes.add(f"{root.where(name)}:{number}", f"expected {written}, got {line[:60]!r}", "malformed lines")
            continue
        # Without a first row, what follows the first comma is the text, commas and all.
        whole = ",".join(cells[1:]) if (image, text) == (0, 1) and not tab and len(cells) > 2 else cells[text]
        yield cells[image].strip(), whole, number


def _picked(item: Any, keys: tuple[str, ...]) -> str | None:
    found = next((item[key] for key in keys if key in item), None) if isinstance(item, dict) else None
    return str(found) if isinstance(found, str | int | float) and not isinstance(found, bool) else None


def _json_lines(root: Storage, name: str, encoding: str, mistakes: Mistakes) -> Iterator[_Row]:
    for number, line in lines_of(root, name, encoding):
        try:
            item = json.loads(line)
        except ValueError:
            item = None
        path, text = _picked(item, _PATHS), _picked(item, _TEXTS)
        if path is None or text is None:
            said = f'expected {{"filename": …, "text": …}}, got {line[:60]!r}'
            mistakes.add(f"{root.where(name)}:{number}", said, "malformed lines")
            continue
        yield path, text, number


def _json(root: Storage, name: str, encoding: str, mistakes: Mistakes) -> Iterator[_Row]:
    """Yield mmocr's data list, or a mapping of images to texts."""
    where = root.where(name)
    try:
        data = json.loads(root.read(name).decode(encoding))
    except ValueError as error:
        raise DataError(f"{where}: is no valid json: {error}") from None
    if isinstance(data, dict) and isinstance(data.get("data_list"), list):
        data = [
            {"image": item.get("img_path"), "text": (item.get("instances") or [{}])[0].get("text")}
            for item in data["data_list"]
        ]
    elif isinstance(data, dict):
        data = [{"image": image, "text": text} for image, text in data.items()]
    for number, item in enumerate(data if isinstance(data, list) else [], 1):
        path, text = _picked(item, _PATHS), _picked(item, _TEXTS)
        if path is None or text is None:
            said = f'expected {{"image": …, "text": …}}, got {json.dumps(item)[:60]}'
            mistakes.add(f"{where}: item {number}", said, "malformed entries")
            continue
        yield path, text, number


_READERS: Mapping[str, Callable[[Storage, str, str, Mistakes], Iterator[_Row]]] = {
    "csv": _table,
    "tsv": _table,
    "jsonl": _json_lines,
    "json": _json,
}


def read_folder(root: Storage, *, folders: Mapping[Split, str], pattern: str, lenient: bool, holdout: float) -> Source:
    """Read images that are named by what is written on them.

    Args:
        root: of the data set.
        folders: split -> folder, empty: SPLIT/ where it is there, else all is train.
        pattern: regular expression of a file's name without its ending, whose group ``text`` is the text.
        lenient: names that do not fit are left out.
        holdout: part of train to validate on where there is no val.
    """
    try:
        compiled = re.compile(pattern)
    except re.error as error:
        raise DataError(f"data.pattern: {pattern!r} is no regular expression: {error}") from None
    if "text" not in compiled.groupindex:
        raise DataError(f"data.pattern: {pattern!r} has no group (?P<text>…)")
    found = {s: name for s in SPLITS if (name := folders.get(s, "") or (s if root.has_folder(s) else ""))}
    mistakes = Mistakes(lenient=lenient)
    parts: dict[str, Part] = {}
    for split, folder in (found or {"train": ""}).items():
        if folder and not root.has_folder(folder):
            raise DataError(f"{root.where(folder)}: no such folder; it is data.{split}")
        place = root.within(folder) if folder else root
        rows = []
        for name in walk_images(place):
            match = compiled.fullmatch(posixpath.splitext(posixpath.basename(name))[0])
            if match is None or not match["text"]:
                said = f"the name holds no text by data.pattern {pattern!r}"
                mistakes.add(place.where(name), said, "names without a text")
                continue
            rows.append((name, match["text"], 0))
        parts[split] = Part(place, Words.of(rows, place.where()))
    mistakes.problems.raise_any()
    if not any(len(part.words) for part in parts.values()):
        raise DataError(f"{root.where()}: holds no images")
    cut, notes = with_val(parts, holdout)
    return Source(cut, (*notes, *mistakes.lines()))
