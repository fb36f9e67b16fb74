"""Where json files in COCO's form lie. Free of torch and numpy, for ``sniff``."""

from __future__ import annotations

import fnmatch
import posixpath
from collections.abc import Mapping, Sequence

from vf.data.storage import Storage, open_storage

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff", ".webp", ".gif")
"""What decode reads, said once more where torch is not imported (a test compares)."""

ALSO = {"train": ("train",), "val": ("val", "valid"), "test": ("test",)}
"""Names under which a split goes."""

COCO = (
    *("annotations/instances_{}*.json", "annotations/{}*.json", "{}.json", "{}/_annotations.coco.json"),
    "annotations/image_info_{}*.json",
)
LVIS = ("annotations/lvis_v1_{}*.json", "lvis_v1_{}*.json", "annotations/lvis_*{}*.json", "lvis_*{}*.json")
PANOPTIC = ("annotations/panoptic_{}*.json", "panoptic_{}*.json")
"""Places of each format, the first one that has any wins; {} is the split."""

# A file that names no split is train; a part of it is held out.
LONE = ("annotations/instances.json", "annotations/annotations.json", "annotations.json", "_annotations.coco.json")


def candidates(root: Storage, split: str, patterns: Sequence[str] = COCO) -> list[str]:
    """Return the json files of a split, from the first place that has any, relative to the root."""
    for name in ALSO[split]:
        for pattern in patterns:
            if found := _glob(root, pattern.format(name)):
                return found
    return [name for name in LONE if patterns is COCO and split == "train" and root.has(name)]


def contents(path: str, files: Mapping[str, str], patterns: Sequence[str]) -> set[bytes]:
    """Return which keys of COCO's annotations occur in all the json files that will be read.

    Args:
        path: of the data set.
        files: split -> json, empty: looked for.
        patterns: places of the json files.
    """
    root = open_storage(path)
    found = [name for split in ALSO for name in [files[split], *candidates(root, split, patterns)][:2] if name]
    keys = {b'"segmentation"', b'"keypoints"'}
    for name in dict.fromkeys(found):
        text = root.read(name) if root.has(name) else b""
        if b'"annotations"' in text:
            keys = {key for key in keys if key in text}
    return keys if found else set()


def any_split(root: Storage, patterns: Sequence[str]) -> bool:
    """Whether there is a json of any split."""
    return any(candidates(root, split, patterns) for split in ALSO)


def image_folders(split: str) -> Mapping[str, None]:
    """Folders in which the images of a split are looked for, in their order."""
    names = [n for s in ALSO[split] for n in (f"images/{s}", s, f"{s}2017", f"images/{s}2017")]
    return dict.fromkeys([*names, "images", "JPEGImages", "."])


def _glob(root: Storage, pattern: str) -> list[str]:
    folder, base = posixpath.split(pattern)
    return [posixpath.join(folder, name) for name in root.files(folder) if fnmatch.fnmatchcase(name, base)]
