"""Write images and maps into folders of a split each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath

import cv2
import numpy as np

from vf.data.entries import Entries
from vf.data.placing import Placing
from vf.errors import DataError
from vf.protocols import DatasetInfo, Images, Track


class FoldersWriter:
    """Writes images/SPLIT/NAME, masks/SPLIT/NAME.png with class indices (255: ignored), and classes.txt.

    Maps are found by the places of the images, so images that are to stay are linked.
    """

    def write(
        self, folder: Path, info: DatasetInfo, splits: Mapping[str, Entries], *, images: Images, track: Track
    ) -> Sequence[str]:
        """Write all splits; see `vf.protocols.Writer`."""
        for split, entries in splits.items():
            how: Images = "link" if images == "keep" else images
            placing = Placing(entries, how, folder / "images" / split, base=folder, flat=True)
            masks = folder / "masks" / split
            if entries.labelled:
                masks.mkdir(parents=True)
            for place, entry in enumerate(track(entries, f"write {split}", len(entries))):
                name = placing.put(place)
                if entries.labelled:
                    pixels = np.asarray(entry.target["semantic"], np.uint8)
                    _save(masks / PurePosixPath(name).with_suffix(".png"), pixels)
        (folder / "classes.txt").write_text("".join(f"{name}\n" for name in info.classes), encoding="utf-8")
        return []


def _save(path: Path, pixels: np.ndarray[tuple[int, ...], np.dtype[np.uint8]]) -> None:
    try:
        path.write_bytes(cv2.imencode(".png", pixels)[1].tobytes())
    except OSError as error:
        raise DataError(f"{path}: cannot be written: {error.strerror or error}") from None
