"""Write words as lists; of pages, the words that are cut out of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from vf.data.decode import decode
from vf.data.entries import Entries, Entry
from vf.data.placing import Placing
from vf.errors import DataError
from vf.protocols import DatasetInfo, Images, Track
from vf_ocr.data.crops import corners_of, straightened
from vf_ocr.texts import ILLEGIBLE


class WordListWriter:
    """Writes SPLIT.tsv, with the images where they are, or in SPLIT/; words that lie in no file are written as PNG."""

    def write(
        self, folder: Path, info: DatasetInfo, splits: Mapping[str, Entries], *, images: Images, track: Track
    ) -> Sequence[str]:
        """Write all splits; see `vf.protocols.Writer`."""
        for split, entries in splits.items():
            alone = any(entries.path(place) is None for place in range(min(1, len(entries))))
            how: Images = "copy" if alone else images
            placing = Placing(entries, how, folder / split, base=folder)
            rows: list[tuple[str, str]] = []
            for place, entry in enumerate(track(entries, f"write {split}", len(entries))):
                if "polygons" in entry.target:
                    rows += _cut(entry, entries.image(place), folder / split)
                else:
                    name = placing.put(place)
                    rows.append((name if how == "keep" else f"{split}/{name}", entry.target["text"]))
            for name, text in rows:
                if any(c in text for c in "\t\r\n"):
                    raise DataError(f"{name}: the text {text!r} holds a tab or a line, which a list cannot say")
            lines = "".join(f"{name}\t{text}\n" for name, text in rows)
            (folder / f"{split}.tsv").write_text(lines, encoding="utf-8")
        return ()


def _cut(entry: Entry, image: bytes, folder: Path) -> Iterator[tuple[str, str]]:
    """Write the legible words of a page; yield their names and texts."""
    pixels = decode(image, name=entry.id).permute(1, 2, 0).numpy()
    polygons = entry.target["polygons"].as_subclass(torch.Tensor).numpy()
    stem = PurePosixPath(*[part for part in PurePosixPath(entry.id).parts if part not in ("..", "/")]).with_suffix("")
    for row, (polygon, text) in enumerate(zip(polygons, entry.target["texts"], strict=True)):
        if text in ("", ILLEGIBLE):
            continue
        crop: NDArray[np.uint8] = straightened(pixels, corners_of(polygon))
        name = f"{stem}_{row:03d}.png"
        target = folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(cv2.imencode(".png", cv2.cvtColor(crop, cv2.COLOR_RGB2BGR))[1].tobytes())
        yield f"{folder.name}/{name}", text
