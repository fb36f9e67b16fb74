"""Write COCO json.

Numbers are written so that reading them gives the same float32 again: what was read and written twice is the same
file, and measures the same.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Any

import attrs
import numpy as np
import torch
from numpy.typing import NDArray

from vf.data.entries import Entries, Entry
from vf.data.follow import box_areas
from vf.data.placing import Placing
from vf.errors import DataError
from vf.protocols import DatasetInfo, Images, Track
from vf_det.masks import Masks, segmentation

LISTS = {"negative": "neg_category_ids", "not_exhaustive": "not_exhaustive_category_ids"}
"""Key of LVIS's targets -> key of its images."""


class CocoWriter:
    """Writes annotations/instances_SPLIT.json, image_info_SPLIT.json where nobody labelled, images to SPLIT/."""

    def write(
        self, folder: Path, info: DatasetInfo, splits: Mapping[str, Entries], *, images: Images, track: Track
    ) -> Sequence[str]:
        """Write all splits; see `vf.protocols.Writer`."""
        (folder / "annotations").mkdir()
        for split, entries in splits.items():
            name = f"{'instances' if entries.labelled else 'image_info'}_{split}.json"
            placing = Placing(entries, images, folder / split, base=folder)
            _Json(info, entries, placing).write(folder / "annotations" / name, track, split)
        return _notes(info)

    def write_file(self, file: Path, info: DatasetInfo, entries: Entries, track: Track) -> Sequence[str]:
        """Write one split into one json, in which images have names relative to its folder."""
        placing = Placing(entries, "keep", file.parent, base=file.parent)
        _Json(info, entries, placing).write(file, track, "json")
        return _notes(info)


def _notes(info: DatasetInfo) -> list[str]:
    return [f"maps of {len(info.stuff)} classes of stuff are left out: COCO's instances have none"] * bool(info.stuff)


@attrs.define
class _Json:
    """One file on its way; annotations are written as they come, so that memory holds the list of images alone."""

    info: DatasetInfo
    entries: Entries
    placing: Placing
    count: int = 0
    images: list[dict[str, Any]] = attrs.field(factory=list)

    def write(self, path: Path, track: Track, label: str) -> None:
        """Write it."""
        if not self.info.classes:
            raise DataError("the data names no class; give the names, one a line, with --classes FILE")
        ids = _category_ids(self.info)
        categories = [{"id": id_, "name": name} for id_, name in zip(ids, self.info.classes, strict=True)]
        if self.info.keypoints:
            categories = [{**entry, "keypoints": list(self.info.keypoints)} for entry in categories]
        with path.open("w", encoding="utf-8") as file:
            file.write('{"info": {"description": "written by vf"},\n')
            self._samples(file, ids, track, label)
            for key, rows in (("images", self.images), ("categories", categories)):
                file.write(f'"{key}": [\n' + ",\n".join(map(_line, rows)) + ("\n],\n" if key == "images" else "\n]}\n"))

    def _samples(self, file: IO[str], ids: Sequence[int], track: Track, label: str) -> None:
        """Write the annotations and collect the images."""
        if self.entries.labelled:
            file.write('"annotations": [')
        image_ids = _ImageIds()
        for place, entry in enumerate(track(self.entries, f"write {label}", len(self.entries))):
            image_id = image_ids.take(entry.target.get("image_id"))
            image = {"id": image_id, "file_name": self.placing.put(place)}
            image |= {"width": entry.size[1], "height": entry.size[0]}
            for key, name in LISTS.items():
                if key in entry.target:
                    image[name] = [ids[index] for index in entry.target[key]]
            self.images.append(image)
            for row in _annotations(entry, image_id, ids) if self.entries.labelled else ():
                self.count += 1
                file.write((",\n" if self.count > 1 else "\n") + _line({"id": self.count, **row}))
        if self.entries.labelled:
            file.write("\n],\n")


def _line(row: Mapping[str, Any]) -> str:
    return json.dumps(row, ensure_ascii=False, allow_nan=False)


@attrs.define
class _ImageIds:
    """Whole numbers, each once: those of the data where they are such, else the next that is free."""

    taken: set[int] = attrs.field(factory=set)
    last: int = 0

    def take(self, wanted: Any) -> int:
        """Return the id of the next image."""
        number = wanted if isinstance(wanted, int) and wanted not in self.taken else self._free()
        self.taken.add(number)
        return number

    def _free(self) -> int:
        self.last += 1
        while self.last in self.taken:
            self.last += 1
        return self.last


def _category_ids(info: DatasetInfo) -> tuple[int, ...]:
    """Return an id for each class, rising, because readers put classes in the order of their ids."""
    ids = info.category_ids[: len(info.classes)]
    rising = len(ids) == len(info.classes) and all(a < b for a, b in itertools.pairwise(ids))
    return ids if rising else tuple(range(1, len(info.classes) + 1))


def _annotations(entry: Entry, image_id: int, ids: Sequence[int]) -> Iterator[dict[str, Any]]:
    """Yield what COCO says of each object of an image."""
    target = entry.target
    boxes = xywh(_array(target["boxes"]))
    areas = shortest(_array(target.get("area", box_areas(target["boxes"])))).tolist()
    outlines, points = _outlines(target), _keypoints(target)
    crowd, difficult = (_array(target[k]).tolist() if k in target else None for k in ("iscrowd", "difficult"))
    for row, (box, label) in enumerate(zip(boxes.tolist(), target["labels"].tolist(), strict=True)):
        said: dict[str, Any] = {"image_id": image_id, "category_id": ids[label], "bbox": box, "area": areas[row]}
        said["iscrowd"] = int(crowd[row]) if crowd is not None else 0
        if difficult is not None:
            said["difficult"] = int(difficult[row])
        if outlines is not None:
            said["segmentation"] = outlines[row]
        if points is not None:
            said |= {"keypoints": points[row], "num_keypoints": sum(v > 0 for v in points[row][2::3])}
        yield said


def _outlines(target: Mapping[str, Any]) -> list[Any] | None:
    """Polygons where the labels have these, else run lengths; None where there are no masks."""
    if "outlines" in target:
        return [segmentation(packed) for packed in target["outlines"]]
    masks: Any = target.get("masks")
    if masks is None:
        return None
    return (masks if isinstance(masks, Masks) else Masks.from_dense(masks)).plain()


def _keypoints(target: Mapping[str, Any]) -> list[list[float]] | None:
    if "keypoints" not in target:
        return None
    points = shortest(_array(target["keypoints"]))
    rows = np.concatenate([points, _array(target["visible"])[..., None]], -1).reshape(len(points), -1).tolist()
    return [[int(v) if v == int(v) else v for v in row] for row in rows]


def _array(tensor: Any) -> NDArray[Any]:
    plain: torch.Tensor = tensor.as_subclass(torch.Tensor)
    return plain.numpy()


def shortest(values: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return the shortest decimals that are the same as float32."""
    return np.asarray(values, np.float32).astype("U32").astype(np.float64)


def xywh(boxes: NDArray[np.float32]) -> NDArray[np.float64]:
    """Turn XYXY float32 [N,4] into x, y, width, height, from which a reader's sums are the same corners again."""
    corners = shortest(boxes)
    return np.concatenate([corners[:, :2], np.round(corners[:, 2:] - corners[:, :2], 9)], 1)
