"""Write images into a folder for each class."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath

from vf.data.entries import Entries
from vf.data.placing import Placing, new_names
from vf.errors import DataError
from vf.protocols import DatasetInfo, Images, Track


class FolderWriter:
    """Writes SPLIT/CLASS/NAME; images of a split that nobody labelled lie right in its folder.

    Labels are the places of the images, so images that are to stay are linked.
    """

    def write(
        self, folder: Path, info: DatasetInfo, splits: Mapping[str, Entries], *, images: Images, track: Track
    ) -> Sequence[str]:
        """Write all splits; see `vf.protocols.Writer`."""
        if info.multi_label:
            raise DataError("images with several labels have no one folder; write --to list")
        for name in info.classes:
            if "/" in name or name in ("", ".", ".."):
                raise DataError(f"class {name!r} cannot be the name of a folder; write --to list")
        for split, entries in splits.items():
            how: Images = "link" if images == "keep" else images
            names = _names(entries, info.classes)
            placing = Placing(entries, how, folder / split, base=folder, names=names)
            (folder / split).mkdir(parents=True)
            for name in info.classes if entries.labelled else ():
                (folder / split / name).mkdir()
            for place in track(range(len(entries)), f"write {split}", len(entries)):
                placing.put(place)
        return []


def _names(entries: Entries, classes: Sequence[str]) -> list[str]:
    """Return CLASS/NAME for each image: its own name, or one with its folders where two are called alike."""
    if not entries.labelled:
        return new_names(entries, flat=True)
    long = new_names(entries, flat=True)
    folders = [classes[int(entries.labels(place)[0])] for place in range(len(entries))]
    short = [
        f"{folder}/{_own(entries, place, name)}" for place, (folder, name) in enumerate(zip(folders, long, strict=True))
    ]
    if len(set(short)) == len(short):
        return short
    return [f"{folder}/{name}" for folder, name in zip(folders, long, strict=True)]


def _own(entries: Entries, place: int, name: str) -> str:
    """Return the last part of an image's name, with the ending that it is written with."""
    return PurePosixPath(entries.name(place)).stem + PurePosixPath(name).suffix
