"""Overlap of boxes, masks and poses, for pairs of detections and objects."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pycocotools import mask

from vf_det.masks import Masks
from vf_det.metrics.counting import Bools, Floats, Overlap, Pairs

COCO_SIGMAS = (
    *(0.026, 0.025, 0.025, 0.035, 0.035, 0.079, 0.079, 0.072, 0.072),
    *(0.062, 0.062, 0.107, 0.107, 0.087, 0.087, 0.089, 0.089),
)
"""Spread of how people place each of COCO's 17 points (cocodataset.org, keypoints evaluation)."""


def xywh(boxes: NDArray[Any]) -> Floats:
    """Convert [N,4] XYXY to left, top, width, height in float64, as COCO's files have them."""
    out: Floats = boxes.astype(np.float64)
    out[:, 2:] -= out[:, :2]
    return out


def box_iou(found: Floats, labelled: Floats, crowd: Bools) -> Overlap:
    """Return the IoU of boxes [*,4] XYWH; with a crowd, the part of the detection that lies in it."""

    def overlap(pairs: Pairs) -> Floats:
        d, g = found[pairs.found], labelled[pairs.labelled]
        wide = np.minimum(d[:, 0] + d[:, 2], g[:, 0] + g[:, 2]) - np.maximum(d[:, 0], g[:, 0])
        high = np.minimum(d[:, 1] + d[:, 3], g[:, 1] + g[:, 3]) - np.maximum(d[:, 1], g[:, 1])
        shared = np.where((wide > 0) & (high > 0), wide * high, 0.0)
        own = d[:, 2] * d[:, 3]
        union = np.where(crowd[pairs.labelled], own, own + g[:, 2] * g[:, 3] - shared)
        return np.divide(shared, union, out=np.zeros_like(shared), where=shared > 0)

    return overlap


def mask_iou(found: Sequence[dict[str, Any]], labelled: Sequence[dict[str, Any]], crowd: Bools) -> Overlap:
    """Return the IoU of run-length masks; with a crowd, the part of the detection that lies in it."""

    def overlap(pairs: Pairs) -> Floats:
        out = np.empty(len(pairs.found))
        for start, stop, wide in zip(pairs.starts[:-1], pairs.starts[1:], pairs.wide, strict=True):
            d, g = pairs.found[start:stop:wide], pairs.labelled[start : start + wide]
            ious = mask.iou([found[i] for i in d], [labelled[i] for i in g], crowd[g].astype(np.uint8))
            out[start:stop] = np.asarray(ious).reshape(-1)
        return out

    return overlap


def intersections(found: Masks, regions: Masks) -> NDArray[np.int64]:
    """Return how many pixels each of N masks shares with each of M regions, [N,M]."""
    if not (len(found) and len(regions)):
        return np.zeros((len(found), len(regions)), np.int64)
    # Against a crowd it is the part of the mask; times its pixels that is a whole number again.
    part = np.asarray(mask.iou(found.rles, regions.rles, np.ones(len(regions), np.uint8)), np.float64)
    shared: NDArray[np.int64] = np.rint(part * mask.area(found.rles)[:, None]).astype(np.int64)
    return shared


def oks(found: Floats, labelled: Floats, visible: Bools, boxes: Floats, area: Floats, sigmas: Floats) -> Overlap:
    """Return object keypoint similarity: the mean over points of exp(−d² / (2 · area · (2σ)²)).

    Args:
        found: [D,J,2] px.
        labelled: [G,J,2] px.
        visible: [G,J] points that are labelled. Where none is, the distance is that to the doubled box.
        boxes: [G,4] XYWH.
        area: [G] px².
        sigmas: [J].
    """
    low, high = boxes[:, :2] - boxes[:, 2:], boxes[:, :2] + 2 * boxes[:, 2:]

    def overlap(pairs: Pairs) -> Floats:
        out = np.empty(len(pairs.found))
        for start in range(0, len(out), 1 << 14):  # a pair takes a row of points
            cut = slice(start, start + (1 << 14))
            d, g = found[pairs.found[cut]], pairs.labelled[cut]
            shown = visible[g]
            beyond = np.maximum(low[g][:, None] - d, 0) + np.maximum(d - high[g][:, None], 0)
            some = np.any(shown, axis=1)
            distance = np.where(some[:, None, None], d - labelled[g], beyond)
            error = (distance**2).sum(2) / (2 * sigmas) ** 2 / (area[g] + np.spacing(1))[:, None] / 2
            used = shown | ~some[:, None]
            out[cut] = np.where(used, np.exp(-error), 0).sum(1) / used.sum(1)
        return out

    return overlap
