"""Write YOLO's txt files."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath

import numpy as np
import torch
import yaml

from vf.data.entries import Entries, Entry
from vf.data.placing import Placing
from vf.errors import DataError
from vf.protocols import DatasetInfo, Images, Track


class YoloWriter:
    """Writes labels/SPLIT/NAME.txt, images/SPLIT/NAME.jpg and data.yaml.

    Labels are found by the places of the images, so images that are to stay are linked.
    """

    def write(
        self, folder: Path, info: DatasetInfo, splits: Mapping[str, Entries], *, images: Images, track: Track
    ) -> Sequence[str]:
        """Write all splits; see `vf.protocols.Writer`."""
        if not info.classes:
            raise DataError("the data names no class; give the names, one a line, with --classes FILE")
        if not any(entries.labelled for entries in splits.values()):
            raise DataError("the data has no labels, and YOLO has no form for that; write --to coco")
        left: Counter[str] = Counter()
        for split, entries in splits.items():
            how: Images = "link" if images == "keep" else images
            placing = Placing(entries, how, folder / "images" / split, base=folder, flat=True)
            labels = folder / "labels" / split
            labels.mkdir(parents=True)
            for place, entry in enumerate(track(entries, f"write {split}", len(entries))):
                name = placing.put(place)
                if entries.labelled:
                    text = "".join(f"{line}\n" for line in _lines(entry, left))
                    (labels / PurePosixPath(name).with_suffix(".txt")).write_text(text, encoding="utf-8")
        described = {"path": ".", **{split: f"images/{split}" for split in splits}, "names": list(info.classes)}
        text = yaml.safe_dump(described, sort_keys=False, allow_unicode=True)
        (folder / "data.yaml").write_text(text, encoding="utf-8")
        return [f"{what} left out: {number}; YOLO has no place for them" for what, number in sorted(left.items())]


def _lines(entry: Entry, left: Counter[str]) -> list[str]:
    """Return ``class cx cy w h`` for each object, in parts of the image's size."""
    target = entry.target
    boxes = target["boxes"].as_subclass(torch.Tensor).numpy().astype(np.float64)
    keep = np.ones(len(boxes), bool)
    if "iscrowd" in target:  # as objects, they would be learned
        keep = ~target["iscrowd"].numpy()
        left["crowd regions and difficult objects"] += int((~keep).sum())
    for what, keys in (("masks", ("masks", "outlines")), ("keypoints", ("keypoints",))):
        left[what] += len(boxes) * any(key in target for key in keys)
    for key in [key for key, number in left.items() if not number]:
        del left[key]
    sides = np.array([entry.size[1], entry.size[0]], np.float64)
    centres, lengths = (boxes[:, :2] + boxes[:, 2:]) / 2 / sides, (boxes[:, 2:] - boxes[:, :2]) / sides
    rows = np.concatenate([centres, lengths], 1)[keep].tolist()
    labels = target["labels"].numpy()[keep].tolist()
    return [f"{label} " + " ".join(f"{value:.10g}" for value in row) for label, row in zip(labels, rows, strict=True)]
