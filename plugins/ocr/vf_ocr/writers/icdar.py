"""Write pages as ICDAR 2015 has them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath

import torch

from vf.data.entries import Entries, Entry
from vf.data.placing import Placing
from vf.errors import DataError
from vf.protocols import DatasetInfo, Images, Track


class IcdarWriter:
    """Writes SPLIT/gts/NAME.txt and SPLIT/images/NAME.jpg; labels are found by the places of the images, so images that
    are to stay are linked."""

    def write(
        self, folder: Path, info: DatasetInfo, splits: Mapping[str, Entries], *, images: Images, track: Track
    ) -> Sequence[str]:
        """Write all splits; see `vf.protocols.Writer`."""
        corners = 0
        for split, entries in splits.items():
            alone = any(entries.file(place) is None for place in range(min(1, len(entries))))
            how: Images = "copy" if alone else "link" if images == "keep" else images
            placing = Placing(entries, how, folder / split / "images", base=folder, flat=True)
            labels = folder / split / "gts"
            labels.mkdir(parents=True)
            for place, entry in enumerate(track(entries, f"write {split}", len(entries))):
                if "polygons" not in entry.target:
                    raise DataError(f"{entry.id}: has no polygons; write words with --to word_list")
                name = PurePosixPath(placing.put(place)).with_suffix(".txt")
                lines, more = _lines(entry)
                corners += more
                (labels / name).write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
        return [f"polygons of more than 4 corners, written whole: {corners}; few tools read them"] * bool(corners)


def _lines(entry: Entry) -> tuple[list[str], int]:
    lines, more = [], 0
    polygons = entry.target["polygons"].as_subclass(torch.Tensor).tolist()
    for polygon, text in zip(polygons, entry.target["texts"], strict=True):
        while len(polygon) > 4 and polygon[-1] == polygon[-2]:
            polygon.pop()
        more += len(polygon) > 4
        if any(c in text for c in "\r\n"):
            raise DataError(f"{entry.id}: the text {text!r} goes over a line, which this format cannot say")
        numbers = ",".join(f"{value:.6g}" for point in polygon for value in point)
        lines.append(f"{numbers},{text}")
    return lines, more
