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
    return []
