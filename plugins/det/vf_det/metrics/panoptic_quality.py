"""Panoptic quality (Kirillov et al., arXiv 1801.00868), with the rules of COCO's panopticapi for void and crowds.

A found segment matches a labelled one of its class where their IoU is above 0.5; pixels of the found one that lie on
void (id 0) are no part of the union. What matches nothing is wrong, unless more than half of it lies on void and on the
crowd of its class. Crowds need not be found; of several of one class in an image the last one counts.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from vf.errors import DataError
from vf_det.metrics.collected import Collected

ROW = ("image", "class", "IoU", "right", "wrong", "missed", "thing")
"""IoU: the sum over the right ones. thing: 1 or 0."""
VOID = 0


class PanopticQuality:
    """Keeps a row for each image and class; no pixels.

    Args:
        classes: names by class index, things and stuff.
        classwise: PQ, SQ and RQ of each class in the table.
    """

    def __init__(self, *, classes: Sequence[str], classwise: bool = True) -> None:
        self._classes, self._classwise = tuple(classes), classwise
        self._kept = Collected({"rows": len(ROW)}, dtype=np.float64)
        self._numbers = np.full((3, len(self._classes)), np.nan)

    def update(self, predictions: Sequence[Mapping[str, Any]], targets: Sequence[Mapping[str, Any]]) -> None:
        """Take a batch. Both have ``panoptic``, int [H,W] of segment ids (0: void), and ``segments``: dicts with
        ``id``, ``category`` (class index), ``isthing``, and in targets ``iscrowd``."""
        for prediction, target in zip(predictions, targets, strict=True):
            where = f"metric panoptic_quality: image {target['id']!r}"
            found = _Segments(prediction, f"{where}: prediction", len(self._classes))
            labelled = _Segments(target, f"{where}: target", len(self._classes))
            if found.map.shape != labelled.map.shape:
                shapes = " found, ".join("×".join(map(str, s.map.shape)) for s in (found, labelled))
                raise DataError(f"{where}: panoptic maps of {shapes} labelled; both must be of the decoded image")
            rows = _rows(found, labelled)
            self._kept.add("rows", self._kept.see(target["id"]), np.array(rows).reshape(-1, len(ROW) - 1))

    def state(self) -> dict[str, Any]:
        """Images seen, and a table whose first column counts them."""
        return self._kept.state()

    def merge(self, states: Sequence[dict[str, Any]]) -> None:
        """Take what several processes saw; an image that two saw counts once."""
        self._kept.merge(states)

    def compute(self) -> dict[str, float | None]:
        """Return PQ, SQ and RQ: means of the classes that occur, of all, of things and of stuff."""
        tables, _ = self._kept.in_order()
        rows = tables["rows"]
        label = rows[:, 1].astype(np.int64)
        sums = [np.bincount(label, weights=rows[:, 2 + i], minlength=len(self._classes)) for i in range(5)]
        iou, right, wrong, missed, thing = sums
        weight = right + 0.5 * wrong + 0.5 * missed
        with np.errstate(invalid="ignore"):  # 0/0 is a class that does not occur
            occurs = np.where(weight > 0, 0.0, np.nan)
            sq = np.where(right > 0, iou / np.maximum(right, 1), occurs)
            self._numbers = np.stack([iou / weight, sq, right / weight])
        values: dict[str, float | None] = {}
        for suffix, members in (("", thing >= 0), ("_things", thing > 0), ("_stuff", thing == 0)):
            for name, numbers in zip(("PQ", "SQ", "RQ"), self._numbers, strict=True):
                own = numbers[members & (weight > 0)]
                values[name + suffix] = float(own.mean()) if own.size else None
        return values

    def table(self) -> Sequence[tuple[str, float | None]]:
        """PQ, SQ and RQ of each class, as of the last :meth:`compute`."""
        if not self._classwise:
            return []
        return [
            (f"{number} {name}", None if np.isnan(values[k]) else float(values[k]))
            for number, values in zip(("PQ", "SQ", "RQ"), self._numbers, strict=True)
            for k, name in enumerate(self._classes)
        ]


class _Segments:
    """The segments of one image: ids, classes and pixels of those that have any."""

    def __init__(self, entry: Mapping[str, Any], where: str, classes: int) -> None:
        if entry.get("panoptic") is None or entry.get("segments") is None:
            raise DataError(f"{where} has no panoptic map: use a panoptic model and panoptic data")
        given = entry["panoptic"]
        self.map: NDArray[np.int64] = np.asarray(given.cpu() if isinstance(given, Tensor) else given).astype(np.int64)
        pixels = _pixels(self.map)
        listed = {int(s["id"]): s for s in entry["segments"]}
        unknown = sorted(set(pixels) - set(listed) - {VOID})
        if unknown:
            raise DataError(f"{where}: the panoptic map has segment {unknown[0]}, which its segments do not list")
        wrong = [s for s in listed.values() if not 0 <= int(s["category"]) < classes]
        if wrong:
            came = f"segment {wrong[0]['id']} has category {wrong[0]['category']}"
            raise DataError(f"{where}: {came}, expected an index under {classes}")
        self.area = {i: n for i, n in pixels.items() if i != VOID}
        self.category = {i: int(s["category"]) for i, s in listed.items()}
        self.crowd = {i for i, s in listed.items() if s.get("iscrowd")}
        self.thing = {int(s["category"]): bool(s.get("isthing", True)) for s in listed.values()}


def _pixels(ids: NDArray[np.int64]) -> dict[int, int]:
    """Return how many pixels each id has. Neighbours are mostly equal: sorting the runs is 10 times as fast."""
    flat = ids.reshape(-1)
    if not len(flat):
        return {}
    starts = np.flatnonzero(np.r_[True, flat[1:] != flat[:-1]])
    lengths = np.diff(np.r_[starts, len(flat)])
    values, own = np.unique(flat[starts], return_inverse=True)
    counts = np.bincount(own, weights=lengths).astype(np.int64)
    return dict(zip(values.tolist(), counts.tolist(), strict=True))


def _rows(found: _Segments, labelled: _Segments) -> list[tuple[float, ...]]:
    """Return :data:`ROW` without its first column, for each class in the image."""
    stride = 1 + int(found.map.max(initial=0))
    shared = {divmod(i, stride): n for i, n in _pixels(labelled.map * stride + found.map).items()}
    sums: dict[int, list[float]] = {}
    matched: tuple[set[int], set[int]] = (set(), set())
    for (g, d), inside in shared.items():
        if VOID in (g, d) or g in labelled.crowd or labelled.category[g] != found.category[d]:
            continue
        iou = inside / (labelled.area[g] + found.area[d] - inside - shared.get((VOID, d), 0))
        if iou > 0.5:
            matched[0].add(g)
            matched[1].add(d)
            entry = sums.setdefault(labelled.category[g], [0.0] * 4)
            entry[0] += iou
            entry[1] += 1
    for g in labelled.category.keys() - labelled.crowd - matched[0]:
        sums.setdefault(labelled.category[g], [0.0] * 4)[3] += 1
    crowds = {labelled.category[g]: g for g in labelled.category if g in labelled.crowd}
    for d in found.area.keys() - matched[1]:
        spared = shared.get((VOID, d), 0) + shared.get((crowds.get(found.category[d], -1), d), 0)
        if spared / found.area[d] <= 0.5:
            sums.setdefault(found.category[d], [0.0] * 4)[2] += 1
    thing = found.thing | labelled.thing  # the labels know better
    return [(k, *entry, thing[k]) for k, entry in sorted(sums.items())]
