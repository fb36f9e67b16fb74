"""Average precision as COCO counts it (Lin et al., arXiv 1405.0312), through faster-coco-eval or pycocotools."""

from __future__ import annotations

import contextlib
import importlib.util
import io
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vf.errors import SetupError

NUMBERS = (
    *("AP", "AP50", "AP75", "AP_small", "AP_medium", "AP_large"),
    *("AR1", "AR10", "AR100", "AR_small", "AR_medium", "AR_large"),
)
"""Names of COCO's 12 numbers, in its order; parts of 1."""


class CocoAP:
    """Collects detections and labels in flat arrays; memory grows with boxes, not with images or pixels.

    Args:
        classes: names by class index.
        backend: ``auto`` takes faster_coco_eval where it is installed.
    """

    def __init__(self, *, classes: Sequence[str], backend: str = "auto") -> None:
        self.backend = _pick(backend)
        self._classes = tuple(classes)
        self._images: list[str] = []
        self._found: list[NDArray[np.float32]] = []
        self._labelled: list[NDArray[np.float32]] = []
        self._per_class: list[float | None] = []

    def update(self, predictions: Sequence[Mapping[str, Tensor]], targets: Sequence[Mapping[str, Any]]) -> None:
        """Take a batch: rows become (image, x1, y1, x2, y2, class, score) and (…, class, crowd, area)."""
        for prediction, target in zip(predictions, targets, strict=True):
            number = len(self._images)
            self._images.append(str(target["id"]))
            self._found.append(_rows(number, prediction["boxes"], prediction["labels"], prediction["scores"]))
            boxes = target["boxes"]
            areas = target.get("area")
            if areas is None:
                areas = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
            crowd = target.get("iscrowd")
            crowd = areas.new_zeros(len(boxes)) if crowd is None else crowd
            self._labelled.append(_rows(number, boxes, target["labels"], crowd, areas))

    def state(self) -> dict[str, Any]:
        """Images seen, and two tables whose first column counts them."""
        found, labelled = _table(self._found, 7), _table(self._labelled, 8)
        return {"images": list(self._images), "found": torch.from_numpy(found), "labelled": torch.from_numpy(labelled)}

    def merge(self, states: Sequence[dict[str, Any]]) -> None:
        """Take what several processes saw instead of what this one holds; an image that two saw counts once."""
        self._images, self._found, self._labelled = [], [], []
        seen: set[str] = set()
        for state in states:
            found, labelled = (_split(state[key].numpy().copy(), len(state["images"])) for key in ("found", "labelled"))
            for id_, *tables in zip(state["images"], found, labelled, strict=True):
                if id_ in seen:
                    continue
                seen.add(id_)
                for rows, column in zip(tables, (self._found, self._labelled), strict=True):
                    rows[:, 0] = len(self._images)
                    column.append(rows)
                self._images.append(id_)

    def compute(self) -> dict[str, float | None]:
        """Return COCO's 12 numbers; None where there is no object to find."""
        self._per_class = [None] * len(self._classes)
        # Sorted by id, so that ties between scores fall alike whoever saw the images, and in which order.
        order = np.argsort(np.array(self._images, dtype=np.str_), kind="stable")
        found = _table([self._found[i] for i in order], 7)
        labelled = _table([self._labelled[i] for i in order], 8)
        if not (labelled[:, 6] == 0).any():
            return dict.fromkeys(NUMBERS)
        evaluator = self._evaluate(found, labelled)
        self._per_class = [_mean(evaluator.eval["precision"][:, :, k, 0, -1]) for k in range(len(self._classes))]
        return {name: _known(value) for name, value in zip(NUMBERS, evaluator.stats, strict=False)}

    def table(self) -> Sequence[tuple[str, float | None]]:
        """AP of each class, as of the last :meth:`compute`."""
        return list(zip((f"AP {name}" for name in self._classes), self._per_class, strict=True))

    def _evaluate(self, found: NDArray[np.float32], labelled: NDArray[np.float32]) -> Any:
        COCO, COCOeval = _backend(self.backend)  # noqa: N806 - they are classes
        with _silent():
            truth = COCO()
            truth.dataset = self._dataset(labelled)
            truth.createIndex()
            results = COCO()
            results.dataset = {**truth.dataset, "annotations": _annotations(found, score=found[:, 6])}
            results.createIndex()
            evaluator = COCOeval(truth, results, "bbox")
            evaluator.evaluate()
            evaluator.accumulate()
            evaluator.summarize()
        return evaluator

    def _dataset(self, labelled: NDArray[np.float32]) -> dict[str, Any]:
        return {
            "info": {},
            "images": [{"id": i} for i in range(len(self._images))],
            "categories": [{"id": k, "name": name} for k, name in enumerate(self._classes)],
            "annotations": _annotations(labelled, crowd=labelled[:, 6], area=labelled[:, 7]),
        }


def _rows(number: int, boxes: Tensor, *columns: Tensor) -> NDArray[np.float32]:
    rows = np.empty((len(boxes), 5 + len(columns)), np.float32)
    rows[:, 0] = number
    rows[:, 1:5] = boxes.cpu().numpy()
    for i, column in enumerate(columns):
        rows[:, 5 + i] = column.cpu().numpy()
    return rows


def _table(rows: Sequence[NDArray[np.float32]], width: int) -> NDArray[np.float32]:
    """Join the rows of images, which are numbered anew in the order given."""
    joined = np.concatenate([np.zeros((0, width), np.float32), *rows])
    joined[:, 0] = np.repeat(np.arange(len(rows)), [len(r) for r in rows])
    return joined


def _split(table: NDArray[np.float32], images: int) -> list[NDArray[np.float32]]:
    """Undo :func:`_table`."""
    return np.split(table, np.searchsorted(table[:, 0], np.arange(1, images))) if images else []


def _annotations(
    rows: NDArray[np.float32],
    *,
    score: NDArray[np.float32] | None = None,
    crowd: NDArray[np.float32] | None = None,
    area: NDArray[np.float32] | None = None,
) -> list[dict[str, Any]]:
    """Return COCO's annotation dicts for rows (image, x1, y1, x2, y2, class, …)."""
    boxes = rows[:, 1:5].astype(np.float64)
    boxes[:, 2:] -= boxes[:, :2]
    areas = boxes[:, 2] * boxes[:, 3] if area is None else area
    out = []
    for i, (row, box, size) in enumerate(zip(rows.tolist(), boxes.tolist(), areas.tolist(), strict=True)):
        entry = {"id": i + 1, "image_id": int(row[0]), "category_id": int(row[5]), "bbox": box, "area": size}
        entry["iscrowd"] = 0 if crowd is None else int(crowd[i])
        if score is not None:
            entry["score"] = float(score[i])
        out.append(entry)
    return out


def _pick(backend: str) -> str:
    if backend == "auto":
        fast = importlib.util.find_spec("faster_coco_eval") is not None
        return "faster_coco_eval" if fast else "pycocotools"
    if importlib.util.find_spec(backend) is None:
        cure = f"pip install {backend.replace('_', '-')}"
        raise SetupError(f"metric coco_ap: backend {backend!r} is not installed; {cure}, or leave 'backend' out")
    return backend


def _backend(name: str) -> tuple[Any, Any]:
    if name == "faster_coco_eval":
        from faster_coco_eval import COCO, COCOeval_faster

        return COCO, COCOeval_faster
    from pycocotools import coco, cocoeval

    return coco.COCO, cocoeval.COCOeval


@contextlib.contextmanager
def _silent() -> Iterator[None]:
    with contextlib.redirect_stdout(io.StringIO()):
        yield


def _mean(precision: NDArray[np.float64]) -> float | None:
    valid = precision[precision > -1]
    return float(valid.mean()) if valid.size else None


def _known(value: float) -> float | None:
    return None if value < 0 else float(value)
