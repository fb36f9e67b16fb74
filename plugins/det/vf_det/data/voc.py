"""Read Pascal VOC's XML files."""

from __future__ import annotations

import math
import posixpath
from collections.abc import Mapping, Sequence
from xml.parsers import expat

import attrs
import numpy as np

from vf.data.annotations import Builder
from vf.data.joined import Joined
from vf.data.storage import Storage
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


@attrs.frozen(eq=False)
class Year:
    """One folder in VOC's layout: a year of the challenge, or a data set by itself."""

    name: str
    """Seen from the root of the data set; empty: that root."""
    root: Storage
    folder: str
    """Of the images."""
    images: Mapping[str, str]
    """Stem -> file name."""

    annotations: Storage

    def page(self, stem: str) -> str:
        """The XML file of an image, for messages."""
        return self.annotations.where(f"{stem}.xml")


Member = tuple[str, str]
"""Year and stem of an image."""


def read(
    root: Storage, *, lists: Mapping[str, Sequence[str]], classes: tuple[str, ...], keep_difficult: bool, holdout: float
) -> Source:
    """Read one folder in VOC's layout, or several of them; DataError with one line for each mistake.

    Args:
        root: a folder or zip in VOC's layout, or one that holds such as VOC2007 and VOC2012.
        lists: split -> YEAR/LIST or LIST, names of files in ImageSets/Main; all empty: looked for.
        classes: names in order; empty: those in the labels, sorted.
        keep_difficult: train on difficult objects too.
        holdout: part of train to validate on where there is no val.
    """
    problems, tallies = Problems(), Tallies()
    members = _given(root, lists) if any(lists.values()) else _found(root)
    years = {name: _year(root, name) for name in dict.fromkeys(year for all_ in members.values() for year, _ in all_)}
    wanted = sorted(set().union(*members.values()))
    if not wanted:
        raise DataError(f"{root.where()}: holds no images: no *.xml in {root.where('Annotations')}")
    pages = {member: _page(years[member[0]], member[1], problems) for member in wanted}
    names = classes or tuple(sorted({t.name for p in pages.values() if p for t in p.objects}))
    where = next(iter(years.values())).root.where("Annotations")
    check_classes(names, where if not classes else "data.classes", problems)
    _none_known(years, pages, names)
    rows = {m: _rows(years[m[0]].page(m[1]), m[1], p, names, problems, tallies) for m, p in pages.items() if p}
    for (year, stem), page in pages.items():
        if page and stem not in years[year].images:
            missing, folder = page.filename or stem, years[year].root.where(years[year].folder)
            problems.add(f"{years[year].page(stem)}: its image {missing!r} is not in {folder}", cause=folder)
    problems.raise_any()
    parts = {split: _part(years, pages, rows, chosen) for split, chosen in members.items()}
    parts, notes = with_val(parts, holdout)
    if keep_difficult and "train" in parts:
        parts["train"] = _all_easy(parts["train"])
    notes += [line for year in years.values() for line in _unlabelled(year)]
    return Source(
        names, parts, (*notes, *tallies.notes.lines(), *empty_notes(parts)), remarks=tuple(tallies.remarks.lines())
    )


def _given(root: Storage, lists: Mapping[str, Sequence[str]]) -> dict[str, list[Member]]:
    """Return the images of the lists that the user names."""
    members: dict[str, list[Member]] = {}
    for split, names in lists.items():
        for name in names:
            year, stem = posixpath.split(name)
            file = posixpath.join(year, "ImageSets/Main", f"{stem}.txt")
            place = root.within(year) if year else root
            if not place.has(f"ImageSets/Main/{stem}.txt"):
                line = f"{root.where(file)}: no such list; data.{split} names lists as YEAR/LIST, like VOC2007/trainval"
                raise DataError(line)
            members.setdefault(split, []).extend((year, s) for s in _listed(place, f"ImageSets/Main/{stem}.txt"))
    return {split: list(dict.fromkeys(chosen)) for split, chosen in members.items()}


def _found(root: Storage) -> dict[str, list[Member]]:
    """Return the images of each split, from the lists of the root or of the years in it."""
    years = (
        [""] if root.has_folder("Annotations") else [y for y in root.folders() if root.has_folder(f"{y}/Annotations")]
    )
    members: dict[str, list[Member]] = {}
    for year in years or [""]:
        for split, stems in _splits(root.within(year) if year else root).items():
            members.setdefault(split, []).extend((year, stem) for stem in stems)
    return {split: members[split] for split in ("train", "val", "test") if members.get(split)}


def _year(root: Storage, name: str) -> Year:
    place = root.within(name) if name else root
    folders = {folder: list_images(place.within(folder)) for folder in ("JPEGImages", "images", "Annotations")}
    folder = next((folder for folder, images in folders.items() if images), "JPEGImages")
    return Year(name, place, folder, folders[folder], place.within("Annotations"))


def _part(
    years: Mapping[str, Year],
    pages: Mapping[Member, Page | None],
    rows: Mapping[Member, tuple[list[Row], list[bool]]],
    members: Sequence[Member],
) -> Part:
    """Lay a split flat; with several years, names begin with the year."""
    keys = {name: name.replace("/", "_") for name in years}
    builder = Builder(difficult=True)
    for year, stem in members:
        file = years[year].images[stem]
        page = pages[year, stem]
        size = _size(page) if page else None
        boxes, difficult = rows[year, stem]
        builder.add(
            posixpath.join(keys[year], file) if len(years) > 1 else file,
            boxes,
            size=(int(size[1]), int(size[0])) if size else None,
            difficult=difficult,
        )
    places = {keys[name]: year.root.within(year.folder) for name, year in years.items()}
    images = Joined(places) if len(years) > 1 else next(iter(places.values()))
    return Part(images, builder.freeze(), marks_difficult=True)


def _none_known(years: Mapping[str, Year], pages: Mapping[Member, Page | None], names: tuple[str, ...]) -> None:
    """Raise DataError where the list is that of other data, once instead of for each class."""
    labels = [(member, thing) for member, p in pages.items() if p for thing in p.objects]
    if labels and not any(thing.name in names for _, thing in labels):
        found = listed(sorted({thing.name for _, thing in labels}))
        (year, stem), thing = labels[0]
        where = f"{years[year].page(stem)}:{thing.line}"
        raise DataError(f"{where}: no class of the labels ({found}) is in data.classes ({listed(names)})")


def _all_easy(part: Part) -> Part:
    flat = part.annotations
    return attrs.evolve(part, annotations=attrs.evolve(flat, crowd=np.zeros_like(flat.crowd)))


def _unlabelled(year: Year) -> list[str]:
    """Count images that have no XML file; they are left out, because nobody said that they are empty."""
    stems = set(_stems(year.root))
    bare = [name for stem, name in year.images.items() if stem not in stems]
    folder = posixpath.join(year.name, year.folder)
    return [f"{len(bare)} images in {folder} have no XML file and are left out, the first {bare[0]}"] if bare else []


def _splits(root: Storage) -> dict[str, list[str]]:
    """Return the stems of each split."""
    lists = {s: f"ImageSets/Main/{s}.txt" for s in ("train", "val", "test", "trainval")}
    found = {s: _listed(root, file) for s, file in lists.items() if root.has(file)}
    trainval = found.pop("trainval", None)
    if "train" not in found and trainval:
        found["train"] = [s for s in trainval if s not in set(found.get("val", ()))]
    return found or {"train": _stems(root)}


def _stems(root: Storage) -> list[str]:
    return sorted(posixpath.splitext(name)[0] for name in root.files("Annotations") if name.endswith(".xml"))


def _listed(root: Storage, file: str) -> list[str]:
    """Return the names in a list of images; the lists of one class have a 1, 0 or -1 after each."""
    lines = [line.strip() for line in root.read(file).decode("utf-8-sig", errors="replace").splitlines()]
    known = set(_stems(root))
    return [n if n in known else n.split()[0] for n in lines if n]


def _page(year: Year, stem: str, problems: Problems) -> Page | None:
    """Parse one file with the line of each object; None where it is missing or not XML."""
    path, name = year.page(stem), f"{stem}.xml"
    if not year.annotations.has(name):
        problems.add(f"{path}: no such file; it is listed in ImageSets/Main")
        return None
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
        parser.Parse(year.annotations.read(name), True)
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


def _rows(
    path: str, stem: str, page: Page, names: tuple[str, ...], problems: Problems, tallies: Tallies
) -> tuple[list[Row], list[bool]]:
    """Return the objects, and which are difficult; these count as crowds too: for training they are left out."""
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
        box = check_box(box, stem, size, tallies) if box else None
        if box:
            rows.append((box, names.index(thing.name), thing.difficult, math.nan))
    return rows, [crowd for _, _, crowd, _ in rows]


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
