"""Total-Text and CTW1500: polygons along curved text, in the forms that their authors give."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator, Mapping, Sequence

import attrs

from vf.data.reading import list_images
from vf.data.storage import Storage
from vf.errors import DataError
from vf.protocols import Split
from vf_ocr.data.page_files import Pages, Part, Row, Source, checked_row, with_val
from vf_ocr.data.reading import Mistakes, lines_of
from vf_ocr.texts import ILLEGIBLE

_TOTAL = re.compile(
    r"x:\s*\[\[([^\]]*)\]\],\s*y:\s*\[\[([^\]]*)\]\].*?transcriptions:\s*\[(?:u?(['\"])(.*?)\3)?\]", re.S
)
"""One text of Total-Text, which may go over several lines."""
_TOTAL_FORM = "x: [[x1 x2 …]], y: [[y1 y2 …]], ornt: [u'c'], transcriptions: [u'TEXT']"
_CTW_FORM = "x1,y1,…,x14,y14,####text"
_CTW_POINTS = 14


@attrs.frozen
class Layout:
    """Where a split lies: the first of each that is there."""

    images: Sequence[str]
    labels: Sequence[str]


TOTAL_TEXT: Mapping[Split, Layout] = {
    "train": Layout(
        ("Images/Train", "images/train", "imgs/training", "textdet_imgs/train"),
        ("Groundtruth/Polygon/Train", "groundtruth/polygon/train", "gts/train", "annotations/training", "txt/train"),
    ),
    "test": Layout(
        ("Images/Test", "images/test", "imgs/test", "textdet_imgs/test"),
        ("Groundtruth/Polygon/Test", "groundtruth/polygon/test", "gts/test", "annotations/test", "txt/test"),
    ),
}
CTW1500: Mapping[Split, Layout] = {
    "train": Layout(
        ("train_images", "text_image", "train/text_image", "imgs/training", "images/train", "textdet_imgs/train"),
        ("ctw1500_train_labels", "train_labels", "train/text_label_curve", "annotations/training", "gts/train"),
    ),
    "test": Layout(
        ("test_images", "test/text_image", "imgs/test", "images/test", "textdet_imgs/test"),
        ("gt_ctw1500", "ctw1500_test_labels", "test_labels", "test/text_label_circum", "annotations/test", "gts/test"),
    ),
}


def read(
    root: Storage, *, given: Mapping[Split, str], ctw: bool, encoding: str, lenient: bool, holdout: float
) -> Source:
    """Read a folder or zip of Total-Text, or with ``ctw`` of CTW1500; DataError with one line for each mistake.

    Args:
        root: of the data set.
        given: split -> ``IMAGES:LABELS``, empty: looked for.
        ctw: which of the two.
        encoding: of text files.
        lenient: broken labels are left out.
        holdout: part of train to validate on where there is neither val nor test.
    """
    places = find(root, CTW1500 if ctw else TOTAL_TEXT)
    for split, named in given.items():
        if named:
            images, colon, labels = named.partition(":")
            if not colon or not root.has_folder(images) or not root.has_folder(labels):
                raise DataError(f"data.{split}: expected IMAGES:LABELS, two folders of {root.where()}, got {named!r}")
            places[split] = images, labels
    if not places:
        layout = (CTW1500 if ctw else TOTAL_TEXT)["train"]
        raise DataError(f"{root.where()}: no {layout.images[0]} with labels in {layout.labels[0]}")
    mistakes = Mistakes(lenient=lenient)
    parts: dict[str, Part] = {
        split: _part(root.within(images), root.within(labels), ctw=ctw, encoding=encoding, mistakes=mistakes)
        for split, (images, labels) in places.items()
    }
    mistakes.problems.raise_any()
    cut, notes = with_val(parts, holdout)
    return Source(cut, (*notes, *mistakes.lines()))


def find(root: Storage, layouts: Mapping[Split, Layout]) -> dict[Split, tuple[str, str]]:
    """Return the folders of images and of labels of each split that has both."""
    found: dict[Split, tuple[str, str]] = {}
    for split, layout in layouts.items():
        images = next((f for f in layout.images if root.has_folder(f)), None)
        labels = next((f for f in layout.labels if root.has_folder(f)), None)
        if images and labels:
            found[split] = images, labels
    return found


def looks_curved(root: Storage, *, ctw: bool) -> bool:
    """Whether the first label file is of one of the two, for sniffing."""
    for _, labels in find(root, CTW1500 if ctw else TOTAL_TEXT).values():
        folder = root.within(labels)
        for name in folder.files()[:3]:
            head = folder.head(name, 4000)
            if ctw and (b"<segs>" in head or re.match(rb"(\s*-?\d+,){27}", head)):
                return True
            if not ctw and (name.startswith("poly_gt_") or b"ornt: [" in head):
                return True
    return False


def _part(images: Storage, labels: Storage, *, ctw: bool, encoding: str, mistakes: Mistakes) -> Part:
    there = {name.rpartition(".")[0]: name for name in labels.files()}
    pages = []
    for stem, image in list_images(images).items():
        name = next((there[n] for n in (f"poly_gt_{stem}", f"gt_{stem}", stem) if n in there), None)
        if name is None:
            mistakes.add(images.where(image), f"has no label file in {labels.where()}", "images without a label file")
            continue
        if name.endswith(".mat"):
            raise DataError(
                f"{labels.where(name)}: MATLAB files are not read; Total-Text gives the same labels as text "
                "(Groundtruth/Polygon/*/poly_gt_*.txt)"
            )
        where = labels.where(name)
        if not ctw:
            rows = _total_text(labels, name, encoding, mistakes)
        elif name.endswith(".xml"):
            rows = _ctw_xml(labels, name, mistakes)
        else:
            rows = _ctw_text(labels, name, encoding, mistakes)
        good = [row for one in rows if (row := checked_row(one, f"{where}:{one.line}", mistakes)) is not None]
        pages.append((image, where, good, None))
    return Part(images, Pages.of(pages))


def _total_text(labels: Storage, name: str, encoding: str, mistakes: Mistakes) -> Iterator[Row]:
    """Yield the texts of one file; ``#`` is a text that nobody can read."""
    lines = list(lines_of(labels, name, encoding))
    records: list[tuple[int, str]] = []
    for number, line in lines:
        if line.lstrip().startswith("x:") or not records:
            records.append((number, line))
        else:  # numpy broke a long list into lines
            records[-1] = (records[-1][0], f"{records[-1][1]} {line}")
    for number, record in records:
        where = f"{labels.where(name)}:{number}"
        match = _TOTAL.search(record)
        if match is None:
            mistakes.add(where, f"expected {_TOTAL_FORM}, got {record[:60]!r}", "malformed lines")
            continue
        try:
            xs, ys = ([float(v) for v in match[k].replace(",", " ").split()] for k in (1, 2))
        except ValueError:
            mistakes.add(where, f"expected {_TOTAL_FORM}, got {record[:60]!r}", "malformed lines")
            continue
        if len(xs) != len(ys):
            mistakes.add(where, f"expected as many x as y, got {len(xs)} and {len(ys)}", "malformed lines")
            continue
        text = match[4] or ""
        points = tuple(v for pair in zip(xs, ys, strict=True) for v in pair)
        yield Row(points, ILLEGIBLE if text in ("#", "") else text, number)


def _ctw_text(labels: Storage, name: str, encoding: str, mistakes: Mistakes) -> Iterator[Row]:
    """Yield the texts of one file: 14 points and, behind ``####``, the text; or a box, and points seen from it."""
    for number, line in lines_of(labels, name, encoding):
        numbers, marked, text = line.partition("####")
        try:
            values = [float(v) for v in numbers.strip().strip(",").split(",")]
        except ValueError:
            values = []
        if len(values) == 2 * _CTW_POINTS + 4:
            left, top = values[:2]
            values = [v + (left, top)[k % 2] for k, v in enumerate(values[4:])]
        if len(values) != 2 * _CTW_POINTS:
            said = f"expected {_CTW_FORM}, got {len(values) // 2} points: {line[:60]!r}"
            mistakes.add(f"{labels.where(name)}:{number}", said, "malformed lines")
            continue
        yield Row(tuple(values), ILLEGIBLE if marked and text.strip() in ("", ILLEGIBLE) else text.strip(), number)


def _ctw_xml(labels: Storage, name: str, mistakes: Mistakes) -> Iterator[Row]:
    """Yield the boxes of one file: ``<label>`` the text, ``<segs>`` its points."""
    data = labels.read(name)
    try:
        tree = ElementTree.fromstring(data.replace(b"&", b"&amp;") if b"&amp;" not in data else data)
    except ElementTree.ParseError as error:
        mistakes.add(labels.where(name), f"is no valid xml: {error}", "broken files")
        return
    for number, box in enumerate(tree.iter("box"), 1):
        text, points = (box.findtext(key) or "" for key in ("label", "segs"))
        try:
            values = tuple(float(v) for v in points.strip(" ,").split(","))
        except ValueError:
            said = f"expected numbers x1,y1,… in <segs>, got {points[:60]!r}"
            mistakes.add(f"{labels.where(name)}:{number}", said, "malformed lines")
            continue
        yield Row(values, ILLEGIBLE if text.strip() in ("", ILLEGIBLE) else text, number)
