"""Read a folder of images that nobody labelled."""

from __future__ import annotations

from vf.data.annotations import Builder
from vf.data.storage import Storage
from vf.errors import DataError
from vf_det.data.source import Part, Source, empty_notes, walk_images


def read(root: Storage, *, classes: tuple[str, ...]) -> Source:
    """List the images of a folder or zip, and of the folders in it, as a split ``test``.

    Raises:
        DataError: there is none.
    """
    names = walk_images(root)
    if not names:
        raise DataError(f"{root.where()}: holds no images")
    builder = Builder()
    for name in names:
        builder.add(name, [])
    parts = {"test": Part(root, builder.freeze(), labelled=False)}
    return Source(classes, parts, tuple(empty_notes(parts)))
