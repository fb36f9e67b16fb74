"""Average precision as LVIS counts it (Gupta et al., arXiv 1908.03195): in each image, only what was looked for counts.

Matching is COCO's. Beside it: the best 300 detections of an image count, of all classes together; a class that is
neither labelled in the image nor on its negative list does not count there; where a class is not labelled
exhaustively, what matches nothing is not wrong; there are no crowds.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray

from vf_det.metrics.collected import Collected, Table, box_areas, flags, masks_of_both, rles_of, size_of, texts_of
from vf_det.metrics.counting import IOUS, Bools, Counted, Found, Ints, Objects, Rules, count
from vf_det.metrics.overlaps import box_iou, mask_iou, xywh
from vf_det.metrics.summary import SIZES, class_rows, known, precisions

FREQUENCIES = ("r", "c", "f")
"""Rare (in 1 to 10 training images), common (11 to 100), frequent: ``frequency`` 0, 1, 2 of a target's objects."""
FOUND = ("image", "x1", "y1", "x2", "y2", "class", "score", "area")
LABELLED = ("image", "x1", "y1", "x2", "y2", "class", "ignore", "area", "frequency")
NEGATIVE, PARTIAL, VERIFIED = 0, 1, 2


class LvisAP:
    """Collects boxes or run-length masks in flat arrays.

    Args:
        classes: names by class index.
        iou: what is compared.
        max_dets: detections of one image that count.
        classwise: AP of each class in the table.
    """

    def __init__(
        self,
        *,
        classes: Sequence[str],
        iou: Literal["bbox", "segm"] = "bbox",
        max_dets: int = 300,
        classwise: bool = False,
    ) -> None:
        self._classes, self._iou, self._max_dets, self._classwise = tuple(classes), iou, max_dets, classwise
        self._prefix = "lvis_" if iou == "bbox" else "lvis_segm_"
        widths = {"found": len(FOUND), "labelled": len(LABELLED), "lists": 3, "sizes": 3}
        self._kept = Collected(widths, texts=("found", "labelled") if iou == "segm" else ())
        self._per_class: NDArray[np.float64] = np.full((len(IOUS), 101, len(classes)), -1.0)

    def update(self, predictions: Sequence[Mapping[str, Any]], targets: Sequence[Mapping[str, Any]]) -> None:
        """Take a batch.

        Beside boxes and labels, a target may have: ``negative``, class indices that were looked for and not found;
        ``not_exhaustive``, class indices of which more is there than labelled; ``frequency`` [N], of the object's
        class, an index of :data:`FREQUENCIES`. Without ``negative``, every class was looked for.
        """
        for prediction, target in zip(predictions, targets, strict=True):
            number = self._kept.see(target["id"])
            self._add_objects(number, prediction, target)
            negative = target.get("negative")
            lists = {PARTIAL: target.get("not_exhaustive", ()), NEGATIVE: () if negative is None else negative}
            if negative is None:
                lists[VERIFIED] = (0,)
            for kind, members in lists.items():
                labels = np.array([int(k) for k in members], np.int64)
                self._kept.add("lists", number, np.full(len(labels), kind), labels)

    def state(self) -> dict[str, Any]:
        """Images seen, and tables whose first column counts them."""
        return self._kept.state()

    def merge(self, states: Sequence[dict[str, Any]]) -> None:
        """Take what several processes saw; an image that two saw counts once."""
        self._kept.merge(states)

    def compute(self) -> dict[str, float | None]:
        """Return LVIS's 13 numbers; None where there is no object to find."""
        tables, strings = self._kept.in_order()
        classes = len(self._classes)
        kept = _best(tables["found"], self._max_dets)
        kept = kept[_looked_for(tables, tables["found"][kept], classes)]
        counted = self._counted(tables, strings, kept)
        self._per_class = counted.precision[..., 0]
        values = precisions(counted, IOUS)
        values |= {f"AP_{size}": known(counted.precision[..., a]) for a, size in enumerate(SIZES, 1)}
        frequency = np.full(classes, -1)
        frequency[tables["labelled"][:, 5].astype(np.int64)] = tables["labelled"][:, 8].astype(np.int64)
        for f, name in enumerate(FREQUENCIES):
            values[f"AP{name}"] = known(counted.precision[:, :, frequency == f, 0])
        values[f"AR{self._max_dets}"] = known(counted.recall[:, :, 0])
        values |= {f"AR_{size}": known(counted.recall[:, :, a]) for a, size in enumerate(SIZES, 1)}
        return {self._prefix + name: value for name, value in values.items()}

    def table(self) -> Sequence[tuple[str, float | None]]:
        """AP of each class, as of the last :meth:`compute`."""
        return class_rows(f"{self._prefix}AP", self._classes, self._per_class) if self._classwise else []

    def _add_objects(self, number: int, prediction: Mapping[str, Any], target: Mapping[str, Any]) -> None:
        boxes, areas = target["boxes"], target.get("area")
        found_areas, own = box_areas(prediction["boxes"]), box_areas(boxes)
        texts: tuple[list[bytes], list[bytes]] = ([], [])
        if self._iou == "segm":
            found, labelled = masks_of_both(prediction, target, "metric lvis_ap: segm")
            found_areas, own = found.areas(), labelled.areas()
            texts = texts_of(found), texts_of(labelled)
            self._kept.add("sizes", number, size_of(found, labelled))
        row = (prediction["boxes"], prediction["labels"], prediction["scores"], found_areas)
        self._kept.add("found", number, *row, texts=texts[0])
        frequency = target.get("frequency")
        frequency = torch.full((len(boxes),), -1) if frequency is None else frequency
        ignore, own = flags(target, "ignore"), own if areas is None else areas
        self._kept.add("labelled", number, boxes, target["labels"], ignore, own, frequency, texts=texts[1])

    def _counted(self, tables: Mapping[str, Table], strings: Mapping[str, list[bytes]], kept: Ints) -> Counted:
        found, labelled = tables["found"][kept], tables["labelled"]
        none = np.zeros(len(labelled), np.bool_)
        boxes = xywh(found[:, 1:5]), xywh(labelled[:, 1:5])
        if self._iou == "segm":
            rles = rles_of(tables, strings, "found")
            overlap = mask_iou([rles[i] for i in kept], rles_of(tables, strings, "labelled"), none)
        else:
            overlap = box_iou(*boxes, none)
        partial = _pairs(tables["lists"], PARTIAL, len(self._classes))
        return count(
            Found(
                image=found[:, 0].astype(np.int64),
                label=found[:, 5].astype(np.int64),
                score=found[:, 6].astype(np.float64),
                area=found[:, 7].astype(np.float64) if self._iou == "segm" else boxes[0][:, 2] * boxes[0][:, 3],
                exempt=np.isin(_keys(found, len(self._classes)), partial),
            ),
            Objects(
                image=labelled[:, 0].astype(np.int64),
                label=labelled[:, 5].astype(np.int64),
                area=labelled[:, 7].astype(np.float64),
                crowd=none,
                ignore=labelled[:, 6] > 0,
            ),
            overlap,
            Rules(classes=len(self._classes), max_dets=(self._max_dets,)),
        )


def _best(found: Table, most: int) -> Ints:
    """Return the rows of the best ``most`` detections of each image, in the table's order."""
    order = np.lexsort((-found[:, 6], found[:, 0]))
    first = np.searchsorted(found[order, 0], found[order, 0], "left")
    return np.sort(order[np.arange(len(order)) - first < most])


def _looked_for(tables: Mapping[str, Table], found: Table, classes: int) -> Bools:
    """Return for each detection whether anyone looked for its class in its image."""
    lists = tables["lists"]
    known = np.concatenate([_keys(tables["labelled"], classes), _pairs(lists, NEGATIVE, classes)])
    everything = lists[lists[:, 1] == VERIFIED, 0]
    looked: Bools = np.isin(_keys(found, classes), known) | np.isin(found[:, 0], everything)
    return looked


def _keys(rows: Table, classes: int) -> Ints:
    """Number the image and class of each row."""
    keys: Ints = rows[:, 0].astype(np.int64) * classes + rows[:, 5].astype(np.int64)
    return keys


def _pairs(lists: Table, kind: int, classes: int) -> Ints:
    rows = lists[lists[:, 1] == kind]
    pairs: Ints = rows[:, 0].astype(np.int64) * classes + rows[:, 2].astype(np.int64)
    return pairs
