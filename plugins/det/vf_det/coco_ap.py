"""Average precision and recall as COCO counts them (Lin et al., arXiv 1405.0312): boxes, masks, poses, proposals."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray

from vf.errors import DataError
from vf_det.metrics import coco_peers, counting, overlaps
from vf_det.metrics.collected import Collected, Rows, Table, box_areas, flags, masks_of_both, rles_of, size_of, texts_of
from vf_det.metrics.counting import AREAS, IOUS, RECALLS, Counted, Rules
from vf_det.metrics.overlaps import COCO_SIGMAS, xywh
from vf_det.metrics.summary import SIZES, class_rows, known, precisions

__all__ = ["NUMBERS", "CocoAP", "Rows"]

Kind = Literal["bbox", "segm", "keypoints"]
NUMBERS = (
    *("AP", "AP50", "AP75", "AP_small", "AP_medium", "AP_large"),
    *("AR1", "AR10", "AR100", "AR_small", "AR_medium", "AR_large"),
)
"""Names of COCO's 12 numbers for boxes, in its order; parts of 1."""
POSE_SIZES = ("all", "medium", "large")
POSE_DETS = (20,)
"""COCO's rules for keypoints: no small objects, and 20 detections of an image."""

FOUND = ("image", "x1", "y1", "x2", "y2", "class", "score", "mask area")
LABELLED = ("image", "x1", "y1", "x2", "y2", "class", "crowd", "area", "mask area")


class CocoAP:
    """Collects detections and labels in flat arrays; memory grows with boxes, not with images or pixels.

    Args:
        classes: names by class index.
        iou: what is compared.
        proposals: also the recall of boxes of any class.
        ious: IoU thresholds; none: 0.5, 0.55 … 0.95.
        max_dets: detections of one class in one image, rising; AP is that of the last.
        proposal_dets: proposals of one image, rising.
        sigmas: spread of each keypoint; none: COCO's 17.
        classwise: AP of each class in the table.
        backend: ``auto`` counts with :mod:`vf_det.metrics.counting`.
    """

    def __init__(
        self,
        *,
        classes: Sequence[str],
        iou: Sequence[Kind] = ("bbox",),
        proposals: bool = False,
        ious: Sequence[float] = (),
        max_dets: Sequence[int] = (1, 10, 100),
        proposal_dets: Sequence[int] = (100, 300, 1000),
        sigmas: Sequence[float] = (),
        classwise: bool = True,
        backend: str = "auto",
    ) -> None:
        self.backend = coco_peers.installed(backend)
        self._classes, self._kinds, self._proposals = tuple(classes), tuple(dict.fromkeys(iou)), proposals
        self._ious = np.array(ious, np.float64) if len(ious) else IOUS
        self._max_dets, self._proposal_dets = tuple(max_dets), tuple(proposal_dets)
        self._sigmas = np.array(sigmas or COCO_SIGMAS)
        self._classwise = classwise
        self._per_class: list[tuple[str, float | None]] = []
        points = len(self._sigmas)
        widths = {"found": len(FOUND), "labelled": len(LABELLED)}
        if "segm" in self._kinds:
            widths["sizes"] = 3
        if "keypoints" in self._kinds:
            widths |= {"found_points": 1 + 2 * points, "labelled_points": 1 + 3 * points}
        if proposals:
            widths["proposals"] = 6
        self._kept = Collected(widths, texts=("found", "labelled") if "segm" in self._kinds else ())

    def update(self, predictions: Sequence[Mapping[str, Any]], targets: Sequence[Mapping[str, Any]]) -> None:
        """Take a batch: rows become :data:`FOUND` and :data:`LABELLED`, masks byte strings."""
        for prediction, target in zip(predictions, targets, strict=True):
            number = self._kept.see(target["id"])
            crowd, areas, boxes = flags(target, "iscrowd"), target.get("area"), target["boxes"]
            own = box_areas(boxes) if areas is None else areas
            found_areas, mask_areas = torch.zeros(len(prediction["boxes"])), own
            texts: tuple[list[bytes], list[bytes]] = ([], [])
            if "segm" in self._kinds:
                masks = masks_of_both(prediction, target, "metric coco_ap: segm")
                found_areas, mask_areas = masks[0].areas(), masks[1].areas() if areas is None else areas
                texts = texts_of(masks[0]), texts_of(masks[1])
                self._kept.add("sizes", number, size_of(*masks))
            row = (prediction["boxes"], prediction["labels"], prediction["scores"], found_areas)
            self._kept.add("found", number, *row, texts=texts[0])
            self._kept.add("labelled", number, boxes, target["labels"], crowd, own, mask_areas, texts=texts[1])
            if "keypoints" in self._kinds:
                self._add_points(number, prediction, target)
            if self._proposals:
                boxes = prediction.get("proposals", prediction["boxes"])
                scores = prediction.get("proposal_scores", prediction["scores"])
                self._kept.add("proposals", number, boxes, scores)

    def state(self) -> dict[str, Any]:
        """Images seen, and tables whose first column counts them."""
        return self._kept.state()

    def merge(self, states: Sequence[dict[str, Any]]) -> None:
        """Take what several processes saw instead of what this one holds; an image that two saw counts once."""
        self._kept.merge(states)

    def compute(self) -> dict[str, float | None]:
        """Return COCO's numbers; None where there is no object to find."""
        tables, strings = self._kept.in_order()
        values: dict[str, float | None] = {}
        self._per_class = []
        for kind in self._kinds:
            rules = Rules(classes=len(self._classes), ious=self._ious, max_dets=self._max_dets)
            if kind == "keypoints":
                areas = [AREAS[name] for name in POSE_SIZES]
                rules = Rules(classes=len(self._classes), ious=self._ious, areas=areas, max_dets=POSE_DETS)
            counted = self._count(kind, tables, strings, rules)
            prefix = "" if kind == "bbox" else f"{kind}_"
            values |= _pose_numbers(counted, self._ious) if kind == "keypoints" else _numbers(counted, rules, prefix)
            if self._classwise:
                self._per_class += class_rows(f"{prefix}AP", self._classes, counted.precision[..., 0])
        if self._proposals:
            values |= self._proposal_numbers(tables, strings)
        return values

    def table(self) -> Sequence[tuple[str, float | None]]:
        """AP of each class, as of the last :meth:`compute`."""
        return self._per_class or [
            (f"{'' if kind == 'bbox' else f'{kind}_'}AP {name}", None)
            for kind in self._kinds
            for name in self._classes
            if self._classwise
        ]

    def _add_points(self, number: int, prediction: Mapping[str, Any], target: Mapping[str, Any]) -> None:
        for entry, who in ((prediction, "prediction"), (target, "target")):
            points = entry.get("keypoints")
            shape = None if points is None else tuple(points.shape[:2])
            if shape is None or shape[1] != len(self._sigmas):
                where = f"metric coco_ap: keypoints: image {target['id']!r}: {who}"
                came = "none" if shape is None else f"{shape[1]}"
                raise DataError(f"{where}: expected {len(self._sigmas)} keypoints, as 'sigmas' has, got {came}")
        self._kept.add("found_points", number, prediction["keypoints"][..., :2])
        self._kept.add("labelled_points", number, target["keypoints"][..., :2], target["visible"])

    def _proposal_numbers(
        self, tables: Mapping[str, Table], strings: Mapping[str, list[bytes]]
    ) -> dict[str, float | None]:
        rows = tables["proposals"]
        nothing = np.zeros((len(rows), 1), rows.dtype)
        found = np.concatenate([rows[:, :5], nothing, rows[:, 5:], nothing], 1)
        rules = Rules(classes=0, ious=self._ious, max_dets=self._proposal_dets)
        counted = self._count("bbox", {**tables, "found": found}, strings, rules)
        most = self._proposal_dets[-1]
        values = {f"AR@{n}": known(counted.recall[:, :, 0, m]) for m, n in enumerate(self._proposal_dets)}
        return values | {f"AR_{s}@{most}": known(counted.recall[:, :, a, -1]) for a, s in enumerate(SIZES, 1)}

    def _count(
        self, kind: Kind, tables: Mapping[str, Table], strings: Mapping[str, list[bytes]], rules: Rules
    ) -> Counted:
        question = _Question(kind, tables, strings, self._sigmas)
        if self.backend == "vf":
            return question.counted(rules)
        if not (tables["labelled"][:, 6] == 0).any():
            shape = (len(rules.ious), max(rules.classes, 1), len(rules.areas))
            precision = np.full((shape[0], len(RECALLS), *shape[1:]), -1.0)
            return Counted(precision=precision, recall=np.full((*shape, len(rules.max_dets)), -1.0))
        found, labelled = question.columns()
        sizes = np.zeros((len(self._kept.images), 2), np.int64)
        if kind == "segm":
            sizes[:] = tables["sizes"][:, 1:]
        return coco_peers.count(self.backend, kind, found, labelled, sizes, rules, self._sigmas)


class _Question:
    """One kind of overlap, in the terms of our counting and of others'."""

    def __init__(
        self, kind: Kind, tables: Mapping[str, Table], strings: Mapping[str, list[bytes]], sigmas: NDArray[np.float64]
    ) -> None:
        self._kind, self._tables, self._strings, self._sigmas = kind, tables, strings, sigmas
        self._found, self._labelled = tables["found"], tables["labelled"]
        self._boxes = xywh(self._found[:, 1:5]), xywh(self._labelled[:, 1:5])
        areas = self._boxes[0][:, 2] * self._boxes[0][:, 3]
        if kind == "segm":
            areas = self._found[:, 7].astype(np.float64)
        elif kind == "keypoints":  # the box around the points
            points = tables["found_points"][:, 1:].reshape(-1, len(sigmas), 2).astype(np.float64)
            areas = np.prod(points.max(1) - points.min(1), axis=1)
        own = self._labelled[:, 8 if kind == "segm" else 7].astype(np.float64)
        self._areas, self._crowd = (areas, own), self._labelled[:, 6] > 0

    def counted(self, rules: Rules) -> Counted:
        """Count here."""
        found, labelled = self._found, self._labelled
        ignore = self._crowd
        if self._kind == "keypoints":
            ignore = ignore | ~self._points()[2].any(1)
        return counting.count(
            counting.Found(
                image=found[:, 0].astype(np.int64),
                label=found[:, 5].astype(np.int64),
                score=found[:, 6].astype(np.float64),
                area=self._areas[0],
            ),
            counting.Objects(
                image=labelled[:, 0].astype(np.int64),
                label=labelled[:, 5].astype(np.int64),
                area=self._areas[1],
                crowd=self._crowd,
                ignore=ignore,
            ),
            self._overlap(),
            rules,
        )

    def columns(self) -> tuple[dict[str, Any], dict[str, Any]]:
        """Return detections and objects by the keys of COCO's annotations."""
        out: list[dict[str, Any]] = []
        for rows, boxes, area in zip((self._found, self._labelled), self._boxes, self._areas, strict=True):
            ids = {"image_id": rows[:, 0].astype(np.int64), "category_id": rows[:, 5].astype(np.int64)}
            out.append({**ids, "bbox": boxes, "area": area, "iscrowd": np.zeros(len(rows), np.int64)})
        found, labelled = out
        found["score"] = self._found[:, 6].astype(np.float64)
        labelled["iscrowd"] = self._crowd.astype(np.int64)
        if self._kind == "segm":
            found["segmentation"], labelled["segmentation"] = self._rles("found"), self._rles("labelled")
        if self._kind == "keypoints":
            own, points, visible = self._points()
            found["keypoints"] = coco_peers.flat_points(own, np.ones(own.shape[:2]))
            labelled["keypoints"] = coco_peers.flat_points(points, visible)
            found["num_keypoints"] = np.full(len(own), len(self._sigmas))
            labelled["num_keypoints"] = visible.sum(1)
        return found, labelled

    def _overlap(self) -> counting.Overlap:
        if self._kind == "bbox":
            return overlaps.box_iou(*self._boxes, self._crowd)
        if self._kind == "segm":
            return overlaps.mask_iou(self._rles("found"), self._rles("labelled"), self._crowd)
        return overlaps.oks(*self._points(), self._boxes[1], self._areas[1], self._sigmas)

    def _points(self) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.bool_]]:
        count = len(self._sigmas)
        found = self._tables["found_points"][:, 1:].reshape(-1, count, 2).astype(np.float64)
        rows = self._tables["labelled_points"][:, 1:]
        return found, rows[:, : 2 * count].reshape(-1, count, 2).astype(np.float64), rows[:, 2 * count :] > 0

    def _rles(self, key: str) -> list[dict[str, Any]]:
        return rles_of(self._tables, self._strings, key)


def _numbers(counted: Counted, rules: Rules, prefix: str) -> dict[str, float | None]:
    values = precisions(counted, rules.ious)
    values |= {f"AP_{size}": known(counted.precision[..., a]) for a, size in enumerate(SIZES, 1)}
    values |= {f"AR{most}": known(counted.recall[:, :, 0, m]) for m, most in enumerate(rules.max_dets)}
    values |= {f"AR_{size}": known(counted.recall[:, :, a, -1]) for a, size in enumerate(SIZES, 1)}
    return {prefix + name: value for name, value in values.items()}


def _pose_numbers(counted: Counted, ious: NDArray[np.float64]) -> dict[str, float | None]:
    values = precisions(counted, ious)
    values |= {f"AP_{size}": known(counted.precision[..., a]) for a, size in enumerate(POSE_SIZES) if a}
    recall = Counted(precision=counted.recall[:, None, :, :, -1], recall=counted.recall)
    values |= {name.replace("AP", "AR"): value for name, value in precisions(recall, ious).items()}
    values |= {f"AR_{size}": known(counted.recall[:, :, a]) for a, size in enumerate(POSE_SIZES) if a}
    return {f"keypoints_{name}": value for name, value in values.items()}
