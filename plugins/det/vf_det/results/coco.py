"""COCO's results: P.bbox.json, P.segm.json, P.keypoints.json, P.proposal.json, and P.panoptic.json with its PNG files.

The form is that of https://cocodataset.org/#format-results: one object for each detection, under the ids of the data
set. Where the data have no ids, an image's id is its name, and a class's its index counted from 1.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import numpy as np
from torch import Tensor

from vf.errors import DataError
from vf.prediction_files import aside
from vf.protocols import DatasetInfo, Predicted
from vf_det.masks import Masks
from vf_det.results.panoptic import PanopticFiles

if TYPE_CHECKING:
    from vf.protocols import Prediction

RUNS = re.compile("[0-o]*[0-O]")
"""COCO's compressed run lengths; a last character beyond O would say that more comes."""


class CocoResults:
    """See `vf.protocols.Results`."""

    def restore(self, prediction: dict[str, Any], size: tuple[int, int]) -> Prediction:
        """Make run lengths masks again; DataError where they are none of an image of ``size``."""
        return restored(prediction, size)

    def write(self, predicted: Iterable[Predicted], prefix: str, info: DatasetInfo) -> Sequence[str]:
        """Write a file for each kind of prediction that the first image has."""
        images = iter(predicted)
        first = next(images, None)
        has = first.prediction if first is not None else {"boxes": ()}
        seen: set[int | str] = set()
        with contextlib.ExitStack() as stack:
            files = {
                kind: stack.enter_context(_array(Path(f"{prefix}.{kind}.json")))
                for kind, key in (("bbox", "boxes"), ("segm", "masks"), ("keypoints", "keypoints"))
                if key in has
            }
            if "proposals" in has:
                files["proposal"] = stack.enter_context(_array(Path(f"{prefix}.proposal.json")))
            panoptic = stack.enter_context(PanopticFiles(prefix, info)) if "panoptic" in has else None
            for one in itertools.chain([first] if first else [], images):
                id_ = one.id if one.image_id is None else one.image_id
                if id_ in seen:
                    raise DataError(f"{prefix}: two images have the id {id_!r}; results name images by their ids alone")
                seen.add(id_)
                for kind, file in files.items():
                    for entry in entries(one, kind, id_, info):
                        file.add(entry)
                if panoptic is not None:
                    panoptic.add(one, id_)
        written = [str(file.path) for file in files.values()]
        return [*written, *(panoptic.written if panoptic else ())]


def restored(prediction: dict[str, Any], size: tuple[int, int]) -> Prediction:
    """Make run lengths masks again; DataError where they are none of an image of ``size``."""
    runs = prediction.get("masks")
    if not isinstance(runs, list):
        return prediction
    for rle in runs:
        good = isinstance(rle, dict) and isinstance(rle.get("counts"), str) and RUNS.fullmatch(rle["counts"])
        if not good or tuple(rle.get("size", ())) != size:
            raise DataError(
                f"masks: expected COCO's compressed run lengths of {size[0]}×{size[1]} pixels, got {str(rle)[:60]}"
            )
    masks: Any = Masks([rle["counts"].encode() for rle in runs], size)
    return {**prediction, "masks": masks}


def category_id(label: int, info: DatasetInfo) -> int:
    """Return the id of a class in the data's files; -1 where they do not know it."""
    return info.category_ids[label] if info.category_ids else label + 1


def entries(one: Predicted, kind: str, id_: int | str, info: DatasetInfo) -> Iterator[dict[str, Any]]:
    """Yield the results of one image.

    Args:
        one: the image.
        kind: bbox, segm, keypoints or proposal.
        id_: of the image.
        info: with the ids of the classes.
    """
    prediction: dict[str, Any] = one.prediction
    if kind == "proposal":
        boxes, scores = prediction["proposals"], prediction["proposal_scores"]
        for box, score in zip(_xywh(boxes), _shortest(scores), strict=True):
            yield {"image_id": id_, "bbox": box, "score": score, "category_id": 1}
        return
    values: Iterable[Any]
    if kind == "bbox":
        name, values = "bbox", _xywh(prediction["boxes"])
    elif kind == "segm":
        masks = prediction["masks"]
        name, values = "segmentation", (masks if isinstance(masks, Masks) else Masks.from_dense(masks)).plain()
    else:
        name, values = "keypoints", map(_points, prediction["keypoints"])
    for value, score, label in zip(values, _shortest(prediction["scores"]), prediction["labels"].tolist(), strict=True):
        category = category_id(label, info)
        if category >= 0:
            yield {"image_id": id_, name: value, "score": score, "category_id": category}


def _xywh(boxes: Tensor) -> list[list[float]]:
    """Return x, y, width, height in thousandths of a pixel."""
    x1, y1, x2, y2 = boxes.double().unbind(1)
    rows = np.stack([x1, y1, x2 - x1, y2 - y1], 1).round(3)
    return rows.tolist()  # type: ignore[no-any-return]


def _points(points: Tensor) -> list[float]:
    """Return x, y and 1 for each of an object's keypoints [K,2] or [K,3]."""
    return [value for x, y in points[:, :2].double().round(decimals=3).tolist() for value in (x, y, 1)]


def _shortest(scores: Tensor) -> list[float]:
    """Return numbers with no more digits than tell float32 apart."""
    return [float(str(score)) for score in scores.float().numpy()]


class ArrayFile:
    """A JSON list that is written item by item."""

    def __init__(self, path: Path, file: IO[str]) -> None:
        self.path = path
        self._file = file
        self._count = 0
        file.write("[")

    def add(self, item: Any) -> None:
        """Write one item."""
        self._file.write(f"{',' if self._count else ''}\n{json.dumps(item, ensure_ascii=False)}")
        self._count += 1

    def close(self) -> None:
        """End the list."""
        self._file.write("\n]\n")


@contextlib.contextmanager
def _array(path: Path) -> Iterator[ArrayFile]:
    with aside(path) as fresh, fresh.open("w", encoding="utf-8") as file:
        array = ArrayFile(path, file)
        yield array
        array.close()
