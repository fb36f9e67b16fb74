"""What each kind of mistake costs, in the manner of TIDE (Bolya et al., arXiv 2008.08115).

Detections are matched as for AP at one IoU threshold (the foreground). A wrong one is, in this order, a mistake of:
localisation, where it overlaps an object of its class by the background threshold or more; classification, where it
overlaps one of another class by the foreground threshold; duplicate, where a better one has its object; background,
where it overlaps nothing by more than the background threshold; else both. An object is missed where no detection
matches it and no mistake of localisation or classification points to it.

The cost of a kind is what AP gains when an oracle mends its mistakes and leaves all others: it moves or renames the
best detection that points to an object which nobody has found, drops all other detections of the kind, and takes
missed objects out of the count. Costs do not add up.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
import torch

from vf_det.metrics.collected import Collected, Table, flags, masks_of_both
from vf_det.metrics.counting import Bools, Floats, Ints, Pairs, curves
from vf_det.metrics.overlaps import box_iou, mask_iou, xywh

RIGHT, CLASSIFICATION, LOCALISATION, BOTH, DUPLICATE, BACKGROUND = range(6)
KINDS = {
    "classification": CLASSIFICATION,
    "localisation": LOCALISATION,
    "both": BOTH,
    "duplicate": DUPLICATE,
    "background": BACKGROUND,
}
FOUND = ("image", "class", "score", "kind", "class when mended")
"""class when mended: −1 where the detection is dropped."""
LABELLED = ("image", "class", "found", "missed")


class ErrorAnalysis:
    """Keeps the kind of each detection and object; neither boxes nor masks.

    Args:
        classes: names by class index.
        iou: what is compared.
        foreground: IoU from which a detection is right.
        background: IoU up to which it lies on background.
        max_dets: detections of one image that count.
    """

    def __init__(
        self,
        *,
        classes: Sequence[str],
        iou: Literal["bbox", "segm"] = "bbox",
        foreground: float = 0.5,
        background: float = 0.1,
        max_dets: int = 100,
    ) -> None:
        self._classes, self._iou, self._max_dets = tuple(classes), iou, max_dets
        self._bounds = background, foreground
        self._kept = Collected({"found": len(FOUND), "labelled": len(LABELLED)})
        self._counts: dict[str, float | None] = dict.fromkeys((*KINDS, "missed"))

    def update(self, predictions: Sequence[Mapping[str, Any]], targets: Sequence[Mapping[str, Any]]) -> None:
        """Take a batch. What lies on an object marked ``iscrowd`` or ``difficult`` is neither right nor wrong."""
        for prediction, target in zip(predictions, targets, strict=True):
            order = torch.argsort(prediction["scores"], descending=True, stable=True)[: self._max_dets]
            labels = prediction["labels"][order].cpu().numpy(), target["labels"].cpu().numpy()
            ignored = flags(target, "iscrowd", "difficult").numpy()
            scores = prediction["scores"][order].cpu().numpy()
            overlap = self._overlap(prediction, target, order)
            same = labels[0][:, None] == labels[1][None]
            hit = _matched(overlap[:, ~ignored] * same[:, ~ignored], self._bounds[1])
            on_crowd = ((overlap > self._bounds[1]) & same & ignored).any(1) & (hit < 0)
            classes = labels[0][~on_crowd], labels[1][~ignored]
            hit, overlap = hit[~on_crowd], overlap[~on_crowd][:, ~ignored]
            kind, mended, pointed = _kinds(overlap, hit, classes, self._bounds)
            found = np.isin(np.arange(len(classes[1])), hit)
            number = self._kept.see(target["id"])
            self._kept.add("found", number, classes[0], scores[~on_crowd], kind, mended)
            self._kept.add("labelled", number, classes[1], found, ~found & ~pointed)

    def state(self) -> dict[str, Any]:
        """Images seen, and tables whose first column counts them."""
        return self._kept.state()

    def merge(self, states: Sequence[dict[str, Any]]) -> None:
        """Take what several processes saw; an image that two saw counts once."""
        self._kept.merge(states)

    def compute(self) -> dict[str, float | None]:
        """Return ``analysis_AP`` (at the foreground threshold) and ``dAP_*`` for each kind of mistake, for all wrong
        detections and for all objects that were not found; parts of 1. None where there is no object."""
        tables, _ = self._kept.in_order()
        found, labelled = tables["found"], tables["labelled"]
        names = (*KINDS, "missed", "wrong", "not_found")
        if not len(labelled):
            self._counts = dict.fromkeys(self._counts)
            return dict.fromkeys(("analysis_AP", *(f"dAP_{name}" for name in names)))
        wanted = self._per_class(labelled, np.ones(len(labelled), np.bool_))
        kind, label, score = found[:, 3].astype(np.int64), found[:, 1].astype(np.int64), found[:, 2]
        base = _mean_ap(label, score, kind == RIGHT, wanted, wanted)
        values = {}
        for name, number in KINDS.items():
            mends = (kind == number) & (found[:, 4] >= 0)
            keep = (kind != number) | mends
            classes = np.where(mends, found[:, 4].astype(np.int64), label)
            values[name] = _mean_ap(classes[keep], score[keep], ((kind == RIGHT) | mends)[keep], wanted, wanted)
            self._counts[name] = float((kind == number).sum())
        gone = self._per_class(labelled, labelled[:, 3] > 0)
        values["missed"] = _mean_ap(label, score, kind == RIGHT, wanted, wanted - gone)
        self._counts["missed"] = float(gone.sum())
        hits = kind == RIGHT
        values["wrong"] = _mean_ap(label[hits], score[hits], hits[hits], wanted, wanted)
        left = self._per_class(labelled, labelled[:, 2] > 0)
        values["not_found"] = _mean_ap(label, score, hits, wanted, left)
        return {"analysis_AP": base, **{f"dAP_{name}": max(values[name] - base, 0.0) for name in names}}

    def table(self) -> Sequence[tuple[str, float | None]]:
        """How many mistakes of each kind there are, as of the last :meth:`compute`."""
        return [(f"mistakes {name}", count) for name, count in self._counts.items()]

    def _per_class(self, labelled: Table, rows: Bools) -> Ints:
        counts: Ints = np.bincount(labelled[rows, 1].astype(np.int64), minlength=len(self._classes))
        return counts

    def _overlap(self, prediction: Mapping[str, Any], target: Mapping[str, Any], order: torch.Tensor) -> Floats:
        """Return IoU [D,G]; for crowds the part of the detection that lies in them."""
        shape = len(order), len(target["labels"])
        d, g = (part.reshape(-1) for part in np.indices(shape))
        pairs = Pairs(found=d, labelled=g, starts=np.array([0, len(d)]), wide=np.array([shape[1]]))
        if not len(d):
            return np.zeros(shape)
        crowd = flags(target, "iscrowd").numpy()
        if self._iou == "segm":
            found, labelled = masks_of_both(prediction, target, "metric error_analysis: segm")
            rles = found.rles
            return mask_iou([rles[i] for i in order.tolist()], labelled.rles, crowd)(pairs).reshape(shape)
        boxes = prediction["boxes"][order].cpu().numpy(), target["boxes"].cpu().numpy()
        return box_iou(xywh(boxes[0]), xywh(boxes[1]), crowd)(pairs).reshape(shape)


def _matched(overlap: Floats, foreground: float) -> Ints:
    """Return for each detection, the best first, the object that it takes, [D]; −1 for none.

    Args:
        overlap: [D,G] with objects of the same class, 0 with others.
        foreground: threshold.
    """
    out = np.full(len(overlap), -1)
    if not overlap.size:
        return out
    left = overlap.copy()
    for d in np.flatnonzero(overlap.max(1) >= foreground):
        g = int(left[d].argmax())
        if left[d, g] >= foreground:
            out[d] = g
            left[:, g] = 0
    return out


def _kinds(
    overlap: Floats, hit: Ints, classes: tuple[Ints, Ints], bounds: tuple[float, float]
) -> tuple[Ints, Ints, Bools]:
    """Say what is wrong with each detection.

    Args:
        overlap: [D,G], the best detection first.
        hit: [D] the object taken, or −1.
        classes: [D] and [G].
        bounds: background and foreground thresholds.

    Returns:
        kind [D]; class when mended [D], or −1; and which objects a mistake points to [G].
    """
    background, foreground = bounds
    count = overlap.shape[1]
    if not count:
        nothing = np.full(len(hit), -1)
        return np.full(len(hit), BACKGROUND), nothing, np.zeros(0, np.bool_)
    same = classes[0][:, None] == classes[1][None]
    used = np.isin(np.arange(count), hit)
    own, other = overlap * same, overlap * ~same
    kind = np.select(
        [
            hit >= 0,
            (own.max(1) >= background) & (own.max(1) <= foreground),
            other.max(1) >= foreground,
            (own * used).max(1) >= foreground,
            overlap.max(1) <= background,
        ],
        [RIGHT, LOCALISATION, CLASSIFICATION, DUPLICATE, BACKGROUND],
        BOTH,
    )
    points = np.where(kind == LOCALISATION, own.argmax(1), np.where(kind == CLASSIFICATION, other.argmax(1), -1))
    points[(points >= 0) & used[points]] = -1
    mended = np.full(len(hit), -1)
    objects, first = np.unique(points, return_index=True)  # the best detection of each object
    first = first[objects >= 0]
    mended[first] = classes[1][points[first]]
    return kind, mended, np.isin(np.arange(count), points)


def _mean_ap(label: Ints, score: Table, right: Bools, classes: Ints, wanted: Ints) -> float:
    """Return the mean AP of the classes with objects.

    Args:
        label: [D].
        score: [D].
        right: [D].
        classes: [K] objects before anything was mended: 0 leaves the class out.
        wanted: [K] objects to find.
    """
    values = []
    for k in np.flatnonzero(classes):
        rows = np.flatnonzero(label == k)
        rows = rows[np.argsort(-score[rows], kind="stable")]
        if not wanted[k]:  # every object was taken out: nothing is left to do wrong but to find something
            values.append(float(len(rows) == 0))
            continue
        hits = right[rows, None]
        values.append(float(curves(hits, (~hits).cumsum(0), int(wanted[k])).mean()))
    return float(np.mean(values))
