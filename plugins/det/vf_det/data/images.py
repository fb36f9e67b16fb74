"""Read a folder of images that nobody labelled."""

from __future__ import annotations

import fnmatch
from collections.abc import Sequence

from vf.data.annotations import Builder
from vf.data.storage import Storage
from vf.errors import DataError
from vf_det.data.source import Part, Source, empty_notes, walk_images


def read(root: Storage, *, classes: tuple[str, ...], ext: Sequence[str], exclude: Sequence[str]) -> Source:
    """List the images of a folder or zip, and of the folders in it, as a split ``test``.

    Args:
        root: the folder or zip.
        classes: names, where somebody knows them.
        ext: endings that count, in small letters or large; empty: all.
        exclude: shell patterns of names that do not.

    Raises:
        DataError: there is none.
    """
    endings = tuple(f".{ending.lstrip('.').lower()}" for ending in ext)
    every = walk_images(root)
    names = [
        name
        for name in every
        if name.lower().endswith(endings or ("",))
        and not any(fnmatch.fnmatchcase(name.lower(), pattern.lower()) for pattern in exclude)
    ]
    if not names:
        left = f"; all {len(every)} are left out by data.ext or data.exclude" if every else ""
        raise DataError(f"{root.where()}: holds no images{left}")
    builder = Builder()
    for name in names:
        builder.add(name, [])
    parts = {"test": Part(root, builder.freeze(), labelled=False)}
    return Source(classes, parts, tuple(empty_notes(parts)))
