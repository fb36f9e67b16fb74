"""Write lists of images with their labels."""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from vf.data.entries import Entries
from vf.data.placing import Placing
from vf.errors import DataError
from vf.protocols import DatasetInfo, Images, Track


class ListWriter:
    """Writes SPLIT.csv, or SPLIT.jsonl where images have several labels, and classes.txt."""

    def write(
        self, folder: Path, info: DatasetInfo, splits: Mapping[str, Entries], *, images: Images, track: Track
    ) -> Sequence[str]:
        """Write all splits; see `vf.protocols.Writer`."""
        for name in info.classes:
            if name != name.strip() or "\n" in name:
                raise DataError(f"class {name!r} cannot stand in a list; rename it")
        for split, entries in splits.items():
            placing = Placing(entries, images, folder / "images" / split, base=folder)
            prefix = "" if images == "keep" else f"images/{split}/"
            rows = [
                (prefix + placing.put(place), [info.classes[k] for k in entries.labels(place).tolist()])
                for place in track(range(len(entries)), f"write {split}", len(entries))
            ]
            _write(folder, split, rows, labelled=entries.labelled, several=info.multi_label)
        (folder / "classes.txt").write_text("".join(f"{name}\n" for name in info.classes), encoding="utf-8")
        return ["the order of the classes is in classes.txt: --set data.classes=classes.txt"]


def _write(folder: Path, split: str, rows: Sequence[tuple[str, list[str]]], *, labelled: bool, several: bool) -> None:
    if several:
        lines = [
            json.dumps({"image": n} | ({"labels": own} if labelled else {}), ensure_ascii=False) for n, own in rows
        ]
        (folder / f"{split}.jsonl").write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
        return
    with (folder / f"{split}.csv").open("w", encoding="utf-8", newline="") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(("image", "label") if labelled else ("image",))
        table.writerows((name, *own) for name, own in rows)
