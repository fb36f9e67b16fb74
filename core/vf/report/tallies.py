"""What is counted of predictions beside the recipe's metrics: curves, and what is taken for what.

Which tally a prediction has is said by its keys, see `vf.protocols.Prediction`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from difflib import SequenceMatcher
from typing import Any, Protocol

import attrs
import numpy as np
import torch
from numpy.typing import NDArray

from vf.protocols import DatasetInfo
from vf.report import pr
from vf.report.overlaps import box_overlaps, closest_first, polygon_overlaps, surest_first
from vf.results import THRESHOLD

IOU = 0.5
MOST_BOXES = 100
"""Of one class in an image that count, as COCO has it."""
MOST_CLASSES = 40
"""Rows of a matrix: the classes with the most mistakes."""
MOST_MISREAD = 25
NOTHING = "background"


class Tally(Protocol):
    """Counts image by image."""

    def take(self, prediction: Mapping[str, Any], target: Mapping[str, Any]) -> None:
        """Take an image; the target is as the data set gave it."""
        ...

    def charts(self) -> dict[str, dict[str, Any]]:
        """Return charts by key; none where there was nothing to count."""
        ...


def tallies(prediction: Mapping[str, Any], info: DatasetInfo) -> list[Tally]:
    """Return what can be counted of predictions with these keys."""
    names, maps = info.classes, info.classes + info.stuff
    known: list[tuple[bool, Callable[[], Tally]]] = [
        ("polygons" in prediction, Outlines),
        ("text" in prediction, Readings),
        ("boxes" in prediction and "polygons" not in prediction, lambda: Boxes(names)),
        ("probabilities" in prediction, lambda: Whole(names, single="label" in prediction)),
        ("semantic" in prediction and "boxes" not in prediction, lambda: Pixels(maps)),
    ]
    return [make() for has, make in known if has]


def _array(value: Any, dtype: Any = np.float64) -> NDArray[Any]:
    if isinstance(value, torch.Tensor):
        value = value.as_subclass(torch.Tensor).detach().cpu().numpy()
    return np.asarray(value, dtype)


def _marks(target: Mapping[str, Any], *keys: str) -> NDArray[np.bool_]:
    """Return which of the objects of a target have any of some marks."""
    marked = np.zeros(len(target["labels"]), np.bool_)
    for key in keys:
        if target.get(key) is not None:
            marked |= _array(target[key], np.bool_)
    return marked


class Boxes:
    """Precision over recall of each class at IoU 0.5 (COCO's rules), and which class is taken for which."""

    def __init__(self, names: Sequence[str]) -> None:
        self._names = names
        self._scored = [pr.Scored() for _ in names]
        self.matrix = np.zeros((len(names) + 1,) * 2, np.int64)

    def take(self, prediction: Mapping[str, Any], target: Mapping[str, Any]) -> None:
        """Take an image; objects marked ``iscrowd`` or ``difficult`` are no objects, and what lies on them is none."""
        boxes, scores = _array(prediction["boxes"]).reshape(-1, 4), _array(prediction["scores"])
        labels, theirs = _array(prediction["labels"], np.int64), _array(target["labels"], np.int64)
        ignored = _marks(target, "iscrowd", "difficult")
        iou, inside = box_overlaps(boxes, _array(target["boxes"]).reshape(-1, 4))
        for k in {*labels.tolist(), *theirs.tolist()}:
            rows = np.flatnonzero(labels == k)
            rows = rows[np.argsort(-scores[rows], kind="stable")][:MOST_BOXES]
            plain, other = np.flatnonzero((theirs == k) & ~ignored), np.flatnonzero((theirs == k) & ignored)
            right = surest_first(iou[np.ix_(rows, plain)], scores[rows], IOU) >= 0
            counts = right | ~(inside[np.ix_(rows, other)] >= IOU).any(1)
            self._scored[k].add(len(plain), scores[rows][counts].tolist(), right[counts].tolist())
        self._confuse(labels, theirs, iou, inside, scores >= THRESHOLD, ignored)

    def _confuse(  # each is one column of the same two tables
        self, labels: NDArray[Any], theirs: NDArray[Any], iou: Any, inside: Any, sure: Any, ignored: Any
    ) -> None:
        rows, plain = np.flatnonzero(sure), np.flatnonzero(~ignored)
        chosen = closest_first(iou[np.ix_(rows, plain)], IOU)
        nothing = len(self._names)
        for row, place in zip(rows.tolist(), chosen.tolist(), strict=True):
            if place >= 0:
                self.matrix[theirs[plain[place]], labels[row]] += 1
            elif not (inside[row, ignored] >= IOU).any():
                self.matrix[nothing, labels[row]] += 1
        for place in set(range(len(plain))) - set(chosen.tolist()):
            self.matrix[theirs[plain[place]], nothing] += 1

    def charts(self) -> dict[str, dict[str, Any]]:
        """Return the curves and the matrix."""
        own = dict(zip(self._names, self._scored, strict=True))
        curves = pr.chart("Precision over recall, IoU 0.5", own, mean="mean of classes")
        note = f"Boxes that score {THRESHOLD} or more, paired with objects from IoU {IOU} on."
        matrix = confusion((*self._names, NOTHING), self.matrix, note)
        return _there(pr=curves, confusion=matrix)


class Whole:
    """Of images that have classes as a whole: precision over recall of each, and which is taken for which."""

    def __init__(self, names: Sequence[str], *, single: bool) -> None:
        self._names, self._single = names, single
        self._scored = [pr.Scored() for _ in names]
        self.matrix = np.zeros((len(names),) * 2, np.int64)

    def take(self, prediction: Mapping[str, Any], target: Mapping[str, Any]) -> None:
        """Take an image."""
        there = set(_array(target["labels"], np.int64).reshape(-1).tolist())
        for k, score in enumerate(_array(prediction["probabilities"]).tolist()):
            self._scored[k].add(k in there, [score], [k in there])
        if self._single:
            for k in there:
                self.matrix[k, int(prediction["label"])] += 1

    def charts(self) -> dict[str, dict[str, Any]]:
        """Return the curves, and the matrix where an image has one class."""
        own = dict(zip(self._names, self._scored, strict=True))
        curves = pr.chart("Precision over recall, one class against the others", own, mean="mean of classes")
        matrix = confusion(self._names, self.matrix, "Images.") if self._single else None
        return _there(pr=curves, confusion=matrix)


class Pixels:
    """Which class is taken for which, pixel by pixel."""

    def __init__(self, names: Sequence[str]) -> None:
        self._names = names
        self.matrix = np.zeros((len(names),) * 2, np.int64)

    def take(self, prediction: Mapping[str, Any], target: Mapping[str, Any]) -> None:
        """Take an image; pixels whose class nobody knows do not count."""
        count = len(self._names)
        there, said = _array(target["semantic"], np.int64), _array(prediction["semantic"], np.int64)
        there = there.reshape(-1, *there.shape[-2:])[0][: said.shape[0], : said.shape[1]]
        known = (there < count) & (said < count)
        cells = np.bincount(there[known] * count + said[known], minlength=count**2)
        self.matrix += cells.reshape(count, count)

    def charts(self) -> dict[str, dict[str, Any]]:
        """Return the matrix."""
        matrix = confusion(self._names, self.matrix, "Pixels; those without a class do not count.", unit="px")
        return _there(confusion=matrix)


class Outlines:
    """Precision over recall of outlined texts at IoU 0.5, found, and found and read right where texts are read."""

    def __init__(self) -> None:
        self._found, self._read, self._reads = pr.Scored(), pr.Scored(), False
        self._mistakes = Mistakes()

    def take(self, prediction: Mapping[str, Any], target: Mapping[str, Any]) -> None:
        """Take an image; what lies on ignored texts does not count."""
        polygons, theirs = _array(prediction["polygons"]), _array(target["polygons"])
        scores, ignored = _array(prediction["scores"]), _array(target["ignored"], np.bool_)
        iou, inside = polygon_overlaps(polygons, theirs)
        plain = np.flatnonzero(~ignored)
        chosen = surest_first(iou[:, plain], scores, IOU)
        counts = (chosen >= 0) | ~(inside[:, ignored] > IOU).any(1)
        self._found.add(len(plain), scores[counts].tolist(), (chosen >= 0)[counts].tolist())
        if "texts" in prediction and "texts" in target:
            self._reads = True
            words = [str(target["texts"][place]) for place in plain.tolist()]
            pairs = [(words[to] if to >= 0 else None, str(prediction["texts"][i])) for i, to in enumerate(chosen)]
            right = np.array([there == said for there, said in pairs], np.bool_)
            self._read.add(len(plain), scores[counts].tolist(), right[counts].tolist())
            for there, said in pairs:
                if there is not None:
                    self._mistakes.add(there, said)

    def charts(self) -> dict[str, dict[str, Any]]:
        """Return the curves, and what is misread."""
        own = {"found": self._found} | ({"found and read right": self._read} if self._reads else {})
        return _there(pr=pr.chart("Precision over recall of texts, IoU 0.5", own), misread=self._mistakes.chart())


class Readings:
    """Of images that hold one text: how many are right among the surest, and what is misread."""

    def __init__(self) -> None:
        self._scored, self._mistakes = pr.Scored(), Mistakes()

    def take(self, prediction: Mapping[str, Any], target: Mapping[str, Any]) -> None:
        """Take an image."""
        there, said = str(target["text"]), str(prediction["text"])
        self._scored.add(1, [float(prediction["score"])], [there == said])
        self._mistakes.add(there, said)

    def charts(self) -> dict[str, dict[str, Any]]:
        """Return the curve, and what is misread."""
        curve = pr.chart("Right among the surest, over the part of all texts", {"read right": self._scored})
        return _there(pr=curve, misread=self._mistakes.chart())


@attrs.define
class Mistakes:
    """Pieces of texts that are read as others."""

    counts: Counter[tuple[str, str]] = attrs.field(factory=Counter)

    def add(self, there: str, said: str) -> None:
        """Take a text and what was read."""
        if there == said:
            return
        for kind, i, j, k, m in SequenceMatcher(None, there, said, autojunk=False).get_opcodes():
            if kind != "equal":
                self.counts[there[i:j], said[k:m]] += 1

    def chart(self) -> dict[str, Any] | None:
        """Return the most frequent ones as bars."""
        rows = [
            {"name": f"{there or 'nothing'} → {said or 'nothing'}", "values": [count]}
            for (there, said), count in sorted(self.counts.items(), key=lambda item: (-item[1], item[0]))[:MOST_MISREAD]
        ]
        return {"kind": "bars", "title": "What is misread most", "rows": rows, "ordered": True} if rows else None


def confusion(names: Sequence[str], matrix: NDArray[np.int64], note: str, *, unit: str = "") -> dict[str, Any] | None:
    """Return a matrix as a chart: rows are what is there, columns what was said; None where nothing was counted.

    Of more classes than fit, those with the most mistakes are left, and what is not shown is said.
    """
    if not matrix.any():
        return None
    if len(names) > MOST_CLASSES:
        wrong = matrix.sum(0) + matrix.sum(1) - 2 * np.diag(matrix)
        kept = np.sort(np.argsort(-wrong, kind="stable")[:MOST_CLASSES])
        note += f" The {MOST_CLASSES} of {len(names)} classes with the most mistakes; shares are of what is shown."
        names, matrix = [names[k] for k in kept.tolist()], matrix[np.ix_(kept, kept)]
    note += " Rows: what is there; columns: what was said."
    return {
        "kind": "matrix",
        "title": "What is taken for what",
        "rows": list(names),
        "columns": list(names),
        "counts": matrix.tolist(),
        "note": note,
        "unit": unit,
    }


def _there(**charts: dict[str, Any] | None) -> dict[str, dict[str, Any]]:
    return {key: chart for key, chart in charts.items() if chart is not None}
