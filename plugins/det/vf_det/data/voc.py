"""Read Pascal VOC's XML files."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from xml.parsers import expat

import attrs
import numpy as np

from vf.data.annotations import Builder
from vf.errors import DataError, did_you_mean, listed
from vf_det.data.source import (
    Box,
    Part,
    Problems,
    Row,
    Source,
    Tallies,
    check_box,
    check_classes,
    empty_notes,
    finite,
    list_images,
    with_val,
)


@attrs.define
class Thing:
    """One ``<object>``."""

    line: int
    name: str = ""
    difficult: bool = False
    corners: dict[str, str] = attrs.field(factory=dict)


@attrs.define
class Page:
    """One XML file."""

    filename: str = ""
    size: dict[str, str] = attrs.field(factory=dict)
    objects: list[Thing] = attrs.field(factory=list)


def read(root: Path, *, classes: tuple[str, ...], keep_difficult: bool, holdout: float) -> Source:
    """Read a folder in VOC's layout; DataError with one line for each mistake."""
    problems, tallies = Problems(), Tallies()
    stems = _splits(root)
    folder = next(
        (root / n for n in ("JPEGImages", "images", "Annotations") if list_images(root / n)), root / "JPEGImages"
    )
    images = list_images(folder)
    pages = {s: _page(root / "Annotations" / f"{s}.xml", problems) for s in sorted(set().union(*stems.values()))}
    if not pages:
        raise DataError(f"{root}: holds no images: no *.xml in {root / 'Annotations'}")
    names = classes or tuple(sorted({t.name for p in pages.values() if p for t in p.objects}))
    check_classes(names, str(root / "Annotations") if not classes else "data.classes", problems)
    _none_known(root, pages, names)
    rows = {s: _rows(root / "Annotations" / f"{s}.xml", p, names, problems, tallies) for s, p in pages.items() if p}
    for stem, page in pages.items():
        if page and stem not in images:
            problems.add(
                f"{root / 'Annotations' / stem}.xml: its image {page.filename or stem!r} is not in {folder}",
                cause=folder,
            )
    problems.raise_any()
    parts = {}
    for split, members in stems.items():
        builder = Builder()
        for stem in members:
            builder.add(images[stem], rows[stem])
        parts[split] = Part(folder, builder.freeze())
    parts, notes = with_val(parts, holdout)
    if keep_difficult and "train" in parts:
        parts["train"] = _all_easy(parts["train"])
    notes += _unlabelled(root, folder, images)
    return Source(
        names, parts, (*notes, *tallies.notes.lines(), *empty_notes(parts)), remarks=tuple(tallies.remarks.lines())
    )


def _none_known(root: Path, pages: Mapping[str, Page | None], names: tuple[str, ...]) -> None:
    """Raise DataError where the list is that of other data, once instead of for each class."""
    labels = [(f"{stem}.xml:{thing.line}", thing.name) for stem, p in pages.items() if p for thing in p.objects]
    if labels and not any(name in names for _, name in labels):
        found = listed(sorted({name for _, name in labels}))
        where = root / "Annotations" / labels[0][0]
        raise DataError(f"{where}: no class of the labels ({found}) is in data.classes ({listed(names)})")


def _all_easy(part: Part) -> Part:
    flat = part.annotations
    return attrs.evolve(part, annotations=attrs.evolve(flat, crowd=np.zeros_like(flat.crowd)))


def _unlabelled(root: Path, folder: Path, images: dict[str, str]) -> list[str]:
    """Count images that have no XML file; they are left out, because nobody said that they are empty."""
    stems = {p.stem for p in (root / "Annotations").glob("*.xml")}
    bare = [name for stem, name in images.items() if stem not in stems]
    return (
        [f"{len(bare)} images in {folder.name} have no XML file and are left out, the first {bare[0]}"] if bare else []
    )


def _splits(root: Path) -> dict[str, list[str]]:
    """Return the stems of each split."""
    lists = {s: root / "ImageSets" / "Main" / f"{s}.txt" for s in ("train", "val", "test", "trainval")}
    found = {s: _listed(root, file) for s, file in lists.items() if file.is_file()}
    trainval = found.pop("trainval", None)
    if "train" not in found and trainval:
        found["train"] = [s for s in trainval if s not in set(found.get("val", ()))]
    if not found:
        found = {"train": sorted(p.stem for p in (root / "Annotations").glob("*.xml"))}
    return {s: found[s] for s in ("train", "val", "test") if found.get(s)}


def _listed(root: Path, file: Path) -> list[str]:
    """Return the names in a list of images; the lists of one class have a 1, 0 or -1 after each."""
    lines = [line.strip() for line in file.read_text(encoding="utf-8-sig", errors="replace").splitlines()]
    return [n if (root / "Annotations" / f"{n}.xml").is_file() else n.split()[0] for n in lines if n]


def _page(path: Path, problems: Problems) -> Page | None:
    """Parse one file with the line of each object; None where it is missing or not XML."""
    parser, page = expat.ParserCreate(), Page()
    stack: list[str] = []
    text: list[str] = []

    def start(tag: str, _: dict[str, str]) -> None:
        stack.append(tag)
        text.clear()
        if tag == "object" and len(stack) == 2:
            page.objects.append(Thing(parser.CurrentLineNumber))

    def end(tag: str) -> None:
        _take(page, tuple(stack[1:]), "".join(text).strip())
        stack.pop()

    parser.StartElementHandler, parser.EndElementHandler = start, end
    parser.CharacterDataHandler = text.append
    try:
        parser.Parse(path.read_bytes(), True)
    except FileNotFoundError:
        problems.add(f"{path}: no such file; it is listed in ImageSets/Main")
        return None
    except expat.ExpatError as error:
        problems.add(f"{path}:{error.lineno}: not valid XML: {expat.ErrorString(error.code)}")
        return None
    return page


def _take(page: Page, where: tuple[str, ...], text: str) -> None:
    match where:
        case ("filename",):
            page.filename = text
        case ("size", key):
            page.size[key] = text
        case ("object", "name"):
            page.objects[-1].name = text
        case ("object", "difficult"):
            page.objects[-1].difficult = text == "1"
        case ("object", "bndbox", key):
            page.objects[-1].corners[key] = text


def _rows(path: Path, page: Page, names: tuple[str, ...], problems: Problems, tallies: Tallies) -> list[Row]:
    rows: list[Row] = []
    size = _size(page)
    for thing in page.objects:
        where = f"{path}:{thing.line}"
        if thing.name not in names:
            hint = did_you_mean(thing.name, names)
            problems.add(
                f"{where}: class {thing.name!r} is not in data.classes ({listed(names)}){hint}", cause=thing.name
            )
            continue
        box = _box(thing, where, problems)
        box = check_box(box, path.stem, size, tallies) if box else None
        if box:
            rows.append((box, names.index(thing.name), thing.difficult, math.nan))
    return rows


def _size(page: Page) -> tuple[float, float] | None:
    width, height = _number(page.size.get("width", "")), _number(page.size.get("height", ""))
    return (width, height) if width and height else None  # some tools write 0: the image's own size rules then


def _box(thing: Thing, where: str, problems: Problems) -> Box | None:
    values = [_number(thing.corners.get(k, "")) for k in ("xmin", "ymin", "xmax", "ymax")]
    if not finite(values):
        problems.add(f"{where}: expected numbers xmin, ymin, xmax, ymax in <bndbox>, got {thing.corners}")
        return None
    x1, y1, x2, y2 = (float(v) for v in values if v is not None)
    for low, high, axis in ((x1, x2, "x"), (y1, y2, "y")):
        if high < low:
            problems.add(f"{where}: {axis}max {high:g} < {axis}min {low:g}; a box is xmin, ymin, xmax, ymax")
            return None
    if x1 == x2 or y1 == y2:
        return (x1, y1, x2, y2)  # of no width, as written; not one pixel wide
    return (x1 - 1, y1 - 1, x2, y2)


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None
