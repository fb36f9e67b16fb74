"""Predictions as plain data for people and programs: what lies in predictions.json, and COCO's form of results."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from vf.errors import DataError, listed
from vf.protocols import DatasetInfo

TOP = 5
"""Classes of an image that are written for people, where it has one of them."""
OF_OBJECTS = (
    *("boxes", "scores", "labels", "masks", "keypoints", "visible"),
    *("polygons", "texts", "text_scores"),
)
"""Keys of a prediction that have a row for each object."""


def select(prediction: Mapping[str, Any], keep: Tensor) -> dict[str, Any]:
    """Keep some of the objects of a prediction, by a bool tensor [N] or by indices; what is no object stays."""
    chosen = keep.nonzero()[:, 0] if keep.dtype == torch.bool else keep
    kept = dict(prediction)
    for key in OF_OBJECTS:
        if isinstance(value := kept.get(key), list | tuple):
            kept[key] = [value[i] for i in chosen.tolist()]
        elif value is not None:
            kept[key] = value[chosen]
    return kept


def said(prediction: Mapping[str, Any], info: DatasetInfo, threshold: float) -> dict[str, Any]:
    """Return what a prediction says, rounded for people: objects and texts that score enough, likely classes …"""
    out: dict[str, Any] = {}
    if "polygons" in prediction:
        out["texts"] = _outlined(prediction, threshold)
    elif "text" in prediction:
        out |= {"text": prediction["text"], "score": round(float(prediction["score"]), 5)}
    elif "boxes" in prediction:
        out["objects"] = _objects(prediction, info, threshold)
    if "probabilities" in prediction:
        out["classes"] = _classes(prediction, info, threshold)
    if "semantic" in prediction:
        out["pixels"] = _pixels(prediction["semantic"], info)
    if "segments" in prediction:
        out["segments"] = _segments(prediction, info)
    return out


def _named(label: int, score: float, info: DatasetInfo) -> dict[str, Any]:
    return {"class": info.classes[label], "label": label, "score": round(score, 5)}


def _objects(prediction: Mapping[str, Any], info: DatasetInfo, threshold: float) -> list[dict[str, Any]]:
    kept = select(prediction, prediction["scores"] >= threshold)
    columns = (kept[key].tolist() for key in ("boxes", "scores", "labels"))
    rows = [
        {**_named(label, score, info), "box": [round(x, 2) for x in box]}
        for box, score, label in zip(*columns, strict=True)
    ]
    for row, mask in zip(rows, run_lengths(kept["masks"]) if "masks" in kept else (), strict=False):
        row["mask"] = mask
    for row, points in zip(rows, kept["keypoints"].tolist() if "keypoints" in kept else (), strict=False):
        row["keypoints"] = [[round(x, 2) for x in point[:2]] for point in points]
    return rows


def _outlined(prediction: Mapping[str, Any], threshold: float) -> list[dict[str, Any]]:
    """What is found by its outline, with what is read in it, in the order of the prediction."""
    kept = select(prediction, prediction["scores"] >= threshold)
    rows: list[dict[str, Any]] = [
        {"polygon": [[round(x, 2) for x in corner] for corner in corners], "score": round(score, 5)}
        for corners, score in zip(kept["polygons"].tolist(), kept["scores"].tolist(), strict=True)
    ]
    for key, name in (("texts", "text"), ("text_scores", "text_score")):
        for row, value in zip(rows, kept.get(key, ()), strict=False):
            row[name] = value if isinstance(value, str) else round(float(value), 5)
    return rows


def _classes(prediction: Mapping[str, Any], info: DatasetInfo, threshold: float) -> list[dict[str, Any]]:
    """The likeliest classes of the image as a whole; of those that do not exclude each other, all that count."""
    values, order = prediction["probabilities"].sort(descending=True)
    pairs = list(zip(order.tolist(), values.tolist(), strict=True))
    chosen = pairs[:TOP] if "label" in prediction else [pair for pair in pairs if pair[1] >= threshold]
    return [_named(label, score, info) for label, score in chosen]


def _pixels(pixels: Tensor, info: DatasetInfo) -> dict[str, float]:
    """Each class that has a pixel, with its part of the image."""
    names = (*info.classes, *info.stuff)
    values, counts = torch.unique(pixels, return_counts=True)
    shares = zip(values.tolist(), (counts / pixels.numel()).tolist(), strict=True)
    return {names[value]: round(share, 5) for value, share in shares if value < len(names)}


def _segments(prediction: Mapping[str, Any], info: DatasetInfo) -> list[dict[str, Any]]:
    """Each segment of a panoptic map, with its part of the image."""
    names, ids = (*info.classes, *info.stuff), prediction["panoptic"]
    values, counts = torch.unique(ids, return_counts=True)
    share = dict(zip(values.tolist(), (counts / ids.numel()).tolist(), strict=True))
    return [
        {
            "id": int(segment["id"]),
            "class": names[int(segment["category"])],
            "label": int(segment["category"]),
            **({"score": round(float(segment["score"]), 5)} if segment.get("score") is not None else {}),
            "share": round(share.get(int(segment["id"]), 0.0), 5),
        }
        for segment in prediction["segments"]
    ]


def around(polygons: Tensor) -> Tensor:
    """Return the box [N,4] XYXY around each outline [N,K,2]."""
    if not len(polygons):
        return polygons.new_zeros(0, 4)
    return torch.cat([polygons.amin(1), polygons.amax(1)], 1)


def run_lengths(masks: Any) -> list[dict[str, Any]]:
    """Return COCO's run lengths of masks: compressed where they lie so, else counts of pixels, column after column."""
    if hasattr(masks, "plain"):
        return list(masks.plain())
    return [{"size": [int(side) for side in mask.shape], "counts": _counts(mask)} for mask in masks]


def _counts(mask: Tensor) -> list[int]:
    flat = mask.to(torch.uint8).numpy().reshape(-1, order="F")
    changes = np.flatnonzero(np.diff(flat)) + 1
    counts: list[int] = np.diff([0, *changes.tolist(), flat.size]).tolist()
    return [0, *counts] if flat.size and flat[0] else counts  # the first count is of what is outside


def coco_rows(
    prediction: Mapping[str, Any], info: DatasetInfo, image_id: int | str, threshold: float
) -> list[dict[str, Any]]:
    """Return COCO's results of one image; see `vf.results.Result.to_coco`."""
    polygons = prediction.get("polygons")
    boxes = prediction.get("boxes") if polygons is None else around(polygons)
    if boxes is None or "scores" not in prediction:
        raise DataError(
            f"to_coco: COCO's results are of objects, and this model gives {listed(prediction)}; use to_dict()"
        )
    kept = select({**prediction, "boxes": boxes}, prediction["scores"] >= threshold)
    labels: Iterable[int] = kept["labels"].tolist() if "labels" in kept else [0] * len(kept["boxes"])
    rows: list[dict[str, Any]] = [
        {
            "image_id": image_id,
            "category_id": info.category_ids[label] if info.category_ids else label + 1,
            "bbox": [x1, y1, x2 - x1, y2 - y1],
            "score": score,
        }
        for (x1, y1, x2, y2), score, label in zip(kept["boxes"].tolist(), kept["scores"].tolist(), labels, strict=True)
    ]
    for key, values in _further(kept).items():
        for row, value in zip(rows, values, strict=True):
            row[key] = value
    return rows


def _further(kept: Mapping[str, Any]) -> dict[str, Sequence[Any]]:
    """What an object has in COCO's form beside its box."""
    more: dict[str, Sequence[Any]] = {}
    if "masks" in kept:
        more["segmentation"] = run_lengths(kept["masks"])
    if "polygons" in kept:
        more["segmentation"] = [[polygon.flatten().tolist()] for polygon in kept["polygons"]]
    if "keypoints" in kept:
        more["keypoints"] = [[v for x, y, *_ in points.tolist() for v in (x, y, 1)] for points in kept["keypoints"]]
    return more
