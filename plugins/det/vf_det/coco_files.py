"""Where COCO json files lie. Free of torch and numpy, for ``sniff``."""

from __future__ import annotations

from pathlib import Path

ALSO = {"train": ("train",), "val": ("val", "valid"), "test": ("test",)}
"""Names under which a split goes."""


def candidates(root: Path, split: str) -> list[Path]:
    """Return the json files of a split, from the first place that has any."""
    for name in ALSO[split]:
        for pattern in (
            f"annotations/instances_{name}*.json",
            f"annotations/{name}*.json",
            f"{name}.json",
            f"{name}/_annotations.coco.json",
        ):
            if found := sorted(root.glob(pattern)):
                return found
    # A file that names no split is train; a part of it is held out.
    lone = ("annotations/instances.json", "annotations/annotations.json", "annotations.json", "_annotations.coco.json")
    return [root / name for name in lone if split == "train" and (root / name).is_file()]
