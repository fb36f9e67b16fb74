"""Text files of corners, one for each image, as ICDAR gives them since 2013; SROIE and many others do the same."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Mapping, Sequence
from typing import Literal

import attrs

from vf.data.reading import list_images
from vf.data.storage import Storage
from vf.errors import DataError
from vf.protocols import SPLITS, Split
from vf_ocr.data.page_files import Pages, Part, Row, Source, checked_row, with_val
from vf_ocr.data.reading import Mistakes, lines_of
from vf_ocr.texts import ILLEGIBLE

Form = Literal["auto", "quad", "box", "script"]
"""Of a line: ``quad`` x1,y1,x2,y2,x3,y3,x4,y4,text (ICDAR 2015), ``box`` x1,y1,x2,y2,text (ICDAR 2013), ``script``
x1,…,y4,script,text (ICDAR 2017 and 2019 MLT)."""
_FORMS: Mapping[str, tuple[int, int, str]] = {
    "quad": (8, 0, "x1,y1,x2,y2,x3,y3,x4,y4,text"),
    "box": (4, 0, "x1,y1,x2,y2,text"),
    "script": (8, 1, "x1,y1,x2,y2,x3,y3,x4,y4,script,text"),
}
"""Form -> numbers, fields between them and the text, how it is written."""
_SCRIPTS = {"arabic", "latin", "chinese", "japanese", "korean", "bangla", "hindi", "symbols", "mixed", "none"}
_NAMES: Mapping[Split, tuple[str, ...]] = {
    "train": ("train", "training"),
    "val": ("val", "valid", "validation"),
    "test": ("test", "testing"),
}
_IMAGES = {"image", "images", "img", "imgs", "jpegimages"}
_LABELS = {
    "gt",
    "gts",
    "label",
    "labels",
    "annotation",
    "annotations",
    "groundtruth",
    "box",
    "txt",
    "txts",
    "transcription",
}
_LOOKED_AT = 400
"""Lines that tell the form."""


@attrs.frozen
class Place:
    """Where the images and the label files of a split lie, relative to the root."""

    images: str
    labels: str


def read(
    root: Storage,
    *,
    folders: Mapping[Split, str],
    form: Form,
    ignore: Sequence[str],
    encoding: str,
    lenient: bool,
    holdout: float,
) -> Source:
    """Read the label files of a folder or zip; DataError with one line for each mistake.

    Args:
        root: of the data set.
        folders: split -> its folder, empty: looked for; where it is ``IMAGES:LABELS``, both are named.
        form: of the lines.
        ignore: transcriptions of texts that nobody can read.
        encoding: of the label files.
        lenient: broken lines are left out.
        holdout: part of train to validate on where there is no val.
    """
    places = find(root, folders)
    if not places:
        raise DataError(
            f"{root.where()}: no folder of images with one of label files like images/ and gts/; or set data.train"
        )
    mistakes = Mistakes(lenient=lenient)
    parts: dict[str, Part] = {
        split: _part(root, place, form, frozenset(ignore), encoding, mistakes) for split, place in places.items()
    }
    mistakes.problems.raise_any()
    cut, notes = with_val(parts, holdout)
    return Source(cut, (*notes, *mistakes.lines()))


def find(root: Storage, folders: Mapping[Split, str]) -> dict[Split, Place]:
    """Find the folders of each split."""
    found: dict[Split, Place] = {}
    for split in SPLITS:
        given = folders.get(split, "")
        if ":" in given:
            images, labels = given.split(":", 1)
            found[split] = Place(images, labels)
        elif given and not root.has_folder(given):
            raise DataError(f"{root.where(given)}: no such folder; it is data.{split}")
        elif place := _within(root, given) if given else _of_split(root, split):
            found[split] = place
        elif given:
            raise DataError(f"{root.where(given)}: no images with label files beside them, in images/ and gts/ or so")
    if not found and not any(folders.values()) and (place := _within(root, "")):
        found["train"] = place
    return found


def looks_icdar(root: Storage) -> bool:
    """Whether there are such folders and the first lines are of a known form."""
    for place in find(root, {}).values():
        labels = root.within(place.labels)
        for name in [n for n in labels.files() if n.endswith(".txt")][:5]:
            head = labels.head(name, 2000).decode("utf-8-sig", errors="ignore").splitlines()
            lines = [line for line in head if line.strip()][:1]
            if lines:  # parts of a side, as YOLO's lines have them, are no corners in px
                return any(max(_numbers(_fields(lines[0], f), f), default=0) > 1 for f in ("quad", "box"))
    return False


def _folders(root: Storage, folder: str) -> list[str]:
    """Names of folders, and of zips that stand for them."""
    zips = [name[:-4] for name in root.files(folder) if name.lower().endswith(".zip")]
    return sorted({*root.folders(folder), *zips})


def _words(name: str) -> set[str]:
    """Words of a folder's name: Challenge2_Training_Task12_Images -> challenge, training, task, images."""
    return set(re.findall(r"[a-z]+", re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name).lower()))


def _of_split(root: Storage, split: Split) -> Place | None:
    """Look for SPLIT/ with both in it, for images/SPLIT and gts/SPLIT, for names that hold the split's."""
    names = _NAMES[split]
    top = _folders(root, "")
    for name in top:
        if name.lower() in names and (place := _within(root, name)):
            return place
    by_kind = []
    for kinds in (_IMAGES, _LABELS):
        inner = [
            posixpath.join(name, below)
            for name in top
            if _words(name) & kinds
            for below in _folders(root, name)
            if below.lower() in names
        ]
        named = [name for name in top if _words(name) & kinds and _words(name) & set(names)]
        by_kind.append(inner or named)
    images, labels = by_kind
    return Place(images[0], labels[0]) if images and labels else None


def _within(root: Storage, folder: str) -> Place | None:
    """Look for images and labels in two folders of one, or side by side."""
    inner = _folders(root, folder)
    images = [name for name in inner if _words(name) & _IMAGES and not _words(name) & _LABELS]
    labels = [name for name in inner if _words(name) & _LABELS]
    if images and labels:
        return Place(posixpath.join(folder, images[0]), posixpath.join(folder, labels[0]))
    beside = list_images(root, folder)
    texts = {name for name in root.files(folder) if name.endswith(".txt")}
    if beside and any(label in texts for stem in beside for label in _label_names(stem, beside[stem])):
        return Place(folder, folder)
    return None


def _label_names(stem: str, image: str) -> tuple[str, ...]:
    return f"gt_{stem}.txt", f"{stem}.txt", f"{image}.txt"


def _part(root: Storage, place: Place, form: Form, ignore: frozenset[str], encoding: str, mistakes: Mistakes) -> Part:
    for folder, what in ((place.images, "images"), (place.labels, "label files")):
        if folder and not root.has_folder(folder):
            raise DataError(f"{root.where(folder)}: no such folder; {what} are looked for in it")
    images, labels = (root.within(f) if f else root for f in (place.images, place.labels))
    pictures = list_images(images)
    there = set(labels.files())
    found: list[tuple[str, str, list[tuple[int, str]]]] = []
    for stem, image in pictures.items():
        name = next((n for n in _label_names(stem, image) if n in there), None)
        if name is None:
            mistakes.add(
                images.where(image),
                f"has no label file ({', '.join(_label_names(stem, image))}) in {labels.where()}",
                "images without a label file",
            )
            continue
        there.discard(name)
        found.append((image, name, list(lines_of(labels, name, encoding))))
    if labels.where() != images.where():
        for name in sorted(n for n in there if n.endswith(".txt")):
            mistakes.add(labels.where(name), f"has no image of its name in {images.where()}", "labels without an image")
    chosen = _told(found) if form == "auto" else form
    pages = [
        (image, labels.where(name), _rows(lines, labels.where(name), chosen, ignore, mistakes), None)
        for image, name, lines in found
    ]
    return Part(images, Pages.of(pages))


def _told(found: Sequence[tuple[str, str, Sequence[tuple[int, str]]]]) -> str:
    """Tell the form of a split's lines: that which most of the first ones fit."""
    lines = [line for _, _, own in found for _, line in own][:_LOOKED_AT]
    quads = sum(bool(_numbers(_fields(line, "quad"), "quad")) for line in lines)
    if 2 * quads < len(lines):
        boxes = sum(bool(_numbers(_fields(line, "box"), "box")) for line in lines)
        return "box" if boxes > quads else "quad"
    ninth = [fields[8].strip().lower() for line in lines if len(fields := line.split(",")) > 9]
    return "script" if ninth and len(ninth) >= 0.9 * quads and set(ninth) <= _SCRIPTS else "quad"


def _fields(line: str, form: str) -> list[str]:
    """Cut a line into its numbers, what is between, and the text, which may hold commas."""
    count, between, _ = _FORMS[form]
    line = line.strip().lstrip("\ufeff")
    fields = line.split(",", count + between)
    if len(fields) >= count:
        return fields
    return re.split(r"\s+", line, maxsplit=count + between)  # as in ICDAR 2013's training set


def _numbers(fields: Sequence[str], form: str) -> tuple[float, ...]:
    """The numbers that a line begins with; nothing where they are none, or too few."""
    count = _FORMS[form][0]
    if len(fields) < count:
        return ()
    try:
        return tuple(float(field) for field in fields[:count])
    except ValueError:
        return ()


def _rows(
    lines: Sequence[tuple[int, str]], where: str, form: str, ignore: frozenset[str], mistakes: Mistakes
) -> list[Row]:
    count, between, written = _FORMS[form]
    rows = []
    for number, line in lines:
        fields = _fields(line, form)
        numbers = _numbers(fields, form)
        at = f"{where}:{number}"
        if not numbers:
            mistakes.add(at, f"expected {written}{_got(line, count)}", "malformed lines")
            continue
        text = fields[count + between] if len(fields) > count + between else ""
        text = text.strip(" ").rstrip("\r")
        if form == "box":
            text = text[1:-1] if len(text) > 1 and text[0] == text[-1] == '"' else text
            x1, y1, x2, y2 = numbers
            numbers = (x1, y1, x2, y1, x2, y2, x1, y2)
        row = checked_row(Row(numbers, ILLEGIBLE if text in ignore else text, number), at, mistakes)
        if row is not None:
            rows.append(row)
    return rows


def _got(line: str, count: int) -> str:
    """Say what came in place of a line: how many points where it is numbers, too few."""
    fields = [field.strip() for field in line.strip().split(",")]
    leading = 0
    while leading < len(fields) and re.fullmatch(r"-?\d+(\.\d+)?", fields[leading]):
        leading += 1
    if 0 < leading < count and leading % 2 == 0:
        return f", got {leading // 2} points: {line.strip()[:60]!r}"
    return f", got {line.strip()[:60]!r}"
