"""Read outlines as the VGG Image Annotator writes them (via_region_data.json), and write them as COCO json."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pycocotools import mask as coco

from vf.data.decode import decode
from vf.data.header import HEAD, image_size
from vf.errors import DataError

FILE = "via_region_data.json"
CLASS = "balloon"
SPLITS = ("train", "val")


def to_coco(folder: Path) -> Sequence[str]:
    """Write annotations/instances_SPLIT.json for the folders train and val; every outline is of the one class.

    Returns:
        a line for each file.

    Raises:
        DataError: the outlines cannot be read.
    """
    lines = []
    (folder / "annotations").mkdir(exist_ok=True)
    for split in SPLITS:
        source, target = folder / split / FILE, folder / "annotations" / f"instances_{split}.json"
        try:
            said = json.loads(source.read_text(encoding="utf-8"))
            data = _converted(folder / split, [entry for entry in said.values() if entry["regions"]])
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise DataError(f"{source}: cannot be read as outlines of VIA: {type(error).__name__}: {error}") from None
        target.write_text(json.dumps(data), encoding="utf-8")
        lines.append(f"wrote {target}: {len(data['images'])} images, {len(data['annotations'])} outlines")
    return lines


def _converted(folder: Path, entries: Sequence[dict[str, Any]]) -> dict[str, Any]:
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for number, entry in enumerate(entries, 1):
        height, width = _size(folder / entry["filename"])
        images.append({"id": number, "file_name": entry["filename"], "width": width, "height": height})
        regions = entry["regions"]  # a mapping by number in version 1 of the annotator, a list in version 2
        for region in regions.values() if isinstance(regions, dict) else regions:
            shape = region["shape_attributes"]
            # A pixel of the annotator is a point in the middle of one.
            corners = zip(shape["all_points_x"], shape["all_points_y"], strict=True)
            ring = [float(v) + 0.5 for point in corners for v in point]
            xs, ys = ring[::2], ring[1::2]
            box = [min(xs), min(ys), max(xs) - min(xs), max(ys) - min(ys)]
            area = float(coco.area(coco.merge(coco.frPyObjects([ring], height, width))))
            annotations.append(
                {"id": len(annotations) + 1, "image_id": number, "category_id": 1, "bbox": box, "area": area}
                | {"iscrowd": 0, "segmentation": [ring]}
            )
    return {"images": images, "annotations": annotations, "categories": [{"id": 1, "name": CLASS}]}


def _size(path: Path) -> tuple[int, int]:
    with path.open("rb") as file:
        size = image_size(file.read(HEAD))
    if size is None:
        height, width = decode(path).shape[-2:]
        return height, width
    return size
