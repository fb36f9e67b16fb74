"""Read ImageNet's text files: what folders are called, and the labels of a val split in one folder."""

from __future__ import annotations

import csv
import io
import posixpath
from collections.abc import Iterator, Mapping, Sequence

from vf.data.reading import Problems
from vf.data.storage import Storage
from vf.errors import DataError, did_you_mean

VAL_LISTS = ("val.txt", "meta/val.txt", "LOC_val_solution.csv")
"""Lists of val that are looked for: two of lines ``IMAGE INDEX``, Kaggle's of ``IMAGE,WNID box…``."""


def lines_of(root: Storage, name: str) -> Iterator[tuple[int, str]]:
    """Return the lines of a text that are not empty, with their numbers.

    Raises:
        DataError: it is no UTF-8 text.
    """
    try:
        text = root.read(name).decode("utf-8-sig")
    except UnicodeDecodeError:
        raise DataError(f"{root.where(name)}: is no UTF-8 text") from None
    return ((n, line.strip()) for n, line in enumerate(text.splitlines(), 1) if line.strip())


def read_names(root: Storage, file: str, known: Sequence[str]) -> dict[str, str]:
    """Return folder -> name of its class, from lines ``FOLDER NAME``; of several names with commas, the first.

    Args:
        root: of the data set.
        file: as given; empty: the first of ``known`` that is there.
        known: names that are looked for.
    """
    if file and not root.has(file):
        raise DataError(f"{root.where(file)}: no such file; it is data.classes")
    found = file or next((name for name in known if root.has(name)), "")
    if not found:
        return {}
    names = {}
    for number, line in lines_of(root, found):
        folder, rest = (*line.split(None, 1), "")[:2]
        if folder in names:
            raise DataError(f"{root.where(found)}:{number}: folder {folder!r} is named twice")
        names[folder] = rest.partition(",")[0].strip() or folder
    return names


def named_images(
    root: Storage,
    file: str,
    images: Sequence[str],
    classes: Sequence[str],
    order: Mapping[str, int],
    problems: Problems,
) -> Iterator[tuple[str, int]]:
    """Yield the images of a list with their class index; a label is a folder's name, a class's, or an index."""
    stems = {posixpath.splitext(name)[0]: name for name in images}
    where = root.where(file)
    for number, name, label in _rows(root, file):
        image = stems.get(posixpath.splitext(posixpath.basename(name))[0])
        index = order.get(label, classes.index(label) if label in classes else None)
        if index is None and label.isdigit() and int(label) < len(classes):
            index = int(label)
        if image is None:
            problems.add(f"{where}:{number}: image {name!r} is not in the folder of val", cause=(file, "image"))
        elif index is None:
            expected = f"a class, or an index below {len(classes)}"
            hint = did_you_mean(label, dict.fromkeys([*order, *classes]))
            problems.add(f"{where}:{number}: label {label!r} is not {expected}{hint}", cause=(file, label))
        else:
            yield image, index


def _rows(root: Storage, file: str) -> Iterator[tuple[int, str, str]]:
    """Yield line, image and label."""
    if file.endswith(".csv"):
        text = "\n".join(line for _, line in lines_of(root, file))
        rows = csv.reader(io.StringIO(text))
        for number, row in enumerate(rows, 1):
            if number > 1 or row[:1] != ["ImageId"]:
                yield number, row[0], (row[1].split() or [""])[0] if len(row) > 1 else ""
        return
    for number, line in lines_of(root, file):
        name, _, label = line.rpartition(" ")
        yield number, name.strip() or line, label
