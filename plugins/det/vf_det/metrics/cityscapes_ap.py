"""Average precision of instance masks as Cityscapes counts it (Cordts et al., arXiv 1604.01685; cityscapesscripts'
evalInstanceLevelSemanticLabeling).

A mask is right where its IoU with an object of its class is above the threshold; of several such masks the surest is
right, the others are wrong. Groups and objects under 100 pixels need not be found. A mask that matches nothing
is wrong, unless a part of it above the threshold lies on void, on groups and on small objects of its class. The curve
has one point for each score, and the area under it is that of cityscapesscripts' central differences.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import attrs
import numpy as np
import torch
from numpy.typing import NDArray

from vf_det.masks import Masks
from vf_det.metrics.collected import Collected, Table, flags, masks_of_both, mean
from vf_det.metrics.counting import Bools, Floats, Ints
from vf_det.metrics.overlaps import intersections

IOUS = np.arange(0.5, 1.0, 0.05)
"""As cityscapesscripts makes them: the third is a hair above 0.6."""
FOUND = ("image", "class", "score", "pixels", "pixels on void")
LABELLED = ("image", "class", "pixels", "group")
SHARED = ("image", "detection in its image", "object in its image", "pixels")


class CityscapesAP:
    """Keeps how many pixels detections and objects share; no masks.

    Args:
        classes: names by class index.
        min_pixels: smaller objects do not count.
        classwise: AP and AP50 of each class in the table.
    """

    def __init__(self, *, classes: Sequence[str], min_pixels: int = 100, classwise: bool = True) -> None:
        self._classes, self._min_pixels, self._classwise = tuple(classes), min_pixels, classwise
        widths = {"found": len(FOUND), "labelled": len(LABELLED), "shared": len(SHARED)}
        self._kept = Collected(widths, dtype=np.float64)  # counts of pixels are exact
        self._ap = np.full((len(self._classes), len(IOUS)), np.nan)

    def update(self, predictions: Sequence[Mapping[str, Any]], targets: Sequence[Mapping[str, Any]]) -> None:
        """Take a batch. In targets ``iscrowd`` marks groups; ``void``, where there is any, is a map bool [H,W]
        of what is not evaluated."""
        for prediction, target in zip(predictions, targets, strict=True):
            found, labelled = masks_of_both(prediction, target, "metric cityscapes_ap")
            number = self._kept.see(target["id"])
            void = target.get("void")
            on_void = np.zeros(len(found)) if void is None else intersections(found, _region(void))[:, 0]
            row = (prediction["labels"], prediction["scores"], found.areas(), on_void)
            self._kept.add("found", number, *row)
            self._kept.add("labelled", number, target["labels"], labelled.areas(), flags(target, "iscrowd"))
            shared = intersections(found, labelled)
            same = prediction["labels"].cpu().numpy()[:, None] == target["labels"].cpu().numpy()[None]
            d, g = np.nonzero(shared * same)
            self._kept.add("shared", number, d, g, shared[d, g])

    def state(self) -> dict[str, Any]:
        """Images seen, and tables whose first column counts them."""
        return self._kept.state()

    def merge(self, states: Sequence[dict[str, Any]]) -> None:
        """Take what several processes saw; an image that two saw counts once."""
        self._kept.merge(states)

    def compute(self) -> dict[str, float | None]:
        """Return ``cityscapes_AP`` (mean of IoU 0.5, 0.55 … 0.95) and ``cityscapes_AP50``, means of the classes."""
        tables, _ = self._kept.in_order()
        matches = _matches(tables, self._min_pixels)
        for k in range(len(self._classes)):
            for t, iou in enumerate(IOUS):
                self._ap[k, t] = _class_ap(matches, k, float(iou))
        return {"cityscapes_AP": mean(self._ap), "cityscapes_AP50": mean(self._ap[:, 0])}

    def table(self) -> Sequence[tuple[str, float | None]]:
        """AP and AP50 of each class, as of the last :meth:`compute`."""
        if not self._classwise:
            return []
        rows = [(f"cityscapes_AP {name}", mean(self._ap[k])) for k, name in enumerate(self._classes)]
        return rows + [(f"cityscapes_AP50 {name}", mean(self._ap[k, :1])) for k, name in enumerate(self._classes)]


@attrs.frozen(kw_only=True)
class _Matches:
    """Detections [D], objects [G], and pairs [P] of one class and image that share pixels."""

    found_label: Ints
    score: Floats
    pixels: Floats
    spared: Floats
    """[D] pixels on void, groups and small objects."""
    label: Ints
    counts: Bools
    """[G] neither a group nor small."""
    d: Ints
    g: Ints
    iou: Floats


def _matches(tables: Mapping[str, Table], min_pixels: int) -> _Matches:
    found, labelled, shared = tables["found"], tables["labelled"], tables["shared"]
    d = np.searchsorted(found[:, 0], shared[:, 0]) + shared[:, 1].astype(np.int64)
    g = np.searchsorted(labelled[:, 0], shared[:, 0]) + shared[:, 2].astype(np.int64)
    group, small = labelled[:, 3] > 0, labelled[:, 2] < min_pixels
    spared = found[:, 4].copy()
    # A small group counts twice, as in cityscapesscripts.
    np.add.at(spared, d, shared[:, 3] * (group[g].astype(np.float64) + small[g]))
    return _Matches(
        found_label=found[:, 1].astype(np.int64),
        score=found[:, 2],
        pixels=found[:, 3],
        spared=spared,
        label=labelled[:, 1].astype(np.int64),
        counts=~group & ~small,
        d=d,
        g=g,
        iou=shared[:, 3] / (found[d, 3] + labelled[g, 2] - shared[:, 3]),
    )


def _class_ap(matches: _Matches, label: int, iou: float) -> float:
    """Return the AP of one class at one threshold; NaN where it has no object to find."""
    wanted = int((matches.counts & (matches.label == label)).sum())
    if not wanted:
        return np.nan
    near = (matches.iou > iou) & (matches.found_label[matches.d] == label)
    d, g = matches.d[near], matches.g[near]
    lost = (matches.found_label == label) & (matches.pixels > 0)
    lost[d] = False  # whatever it matches, a group too
    lost &= matches.spared <= iou * matches.pixels
    d, g = d[matches.counts[g]], g[matches.counts[g]]
    order = np.lexsort((-matches.score[d], g))
    d, g = d[order], g[order]
    right = np.r_[True, g[1:] != g[:-1]] if len(g) else np.zeros(0, np.bool_)
    scores = np.r_[matches.score[d], matches.score[lost]]
    return area_under(scores, np.r_[right, np.zeros(int(lost.sum()), np.bool_)], wanted)


def area_under(scores: NDArray[Any], right: Bools, wanted: int) -> float:
    """Return the area under cityscapesscripts' curve for ``wanted`` > 0 objects.

    Args:
        scores: [N].
        right: bool [N].
        wanted: objects to find.
    """
    if not len(scores):
        return 0.0
    order = np.argsort(scores, kind="stable")
    _, starts = np.unique(scores[order], return_index=True)
    below = np.r_[0, right[order].cumsum()][starts]  # right ones that are less sure than this score
    hits = right.sum() - below
    precision, recall = np.r_[hits / (len(scores) - starts), 1.0], np.r_[hits / wanted, 0.0]
    around = np.r_[recall[0], recall, 0.0]
    return float(precision @ (around[:-2] - around[2:]) / 2)


def _region(pixels: NDArray[np.bool_]) -> Masks:
    return Masks.from_dense(torch.from_numpy(pixels[None]))
