"""Count what a split holds, without decoding images: objects by class and size, sizes of images, empty ones."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vf.data.entries import Objects
from vf.protocols import SPLITS, Dataset, DatasetConfig
from vf.wrapper_configs import build_as

SMALL, LARGE = 32**2, 96**2
"""COCO's bounds of small and large areas, px²."""
POINTS = {"min": 0.0, "25 %": 0.25, "median": 0.5, "75 %": 0.75, "95 %": 0.95, "max": 1.0}
"""Quantiles that are told."""
MOST_SIZES = 5
COUNTS = {
    "images": "images",
    "empty": "images without objects",
    "objects": "objects",
    "crowd": "crowd regions",
    "difficult": "difficult objects",
}
AREAS = {"small": "small (< 32² px)", "medium": "medium", "large": "large (> 96² px)"}
SPREADS = {
    "objects_per_image": "objects an image",
    "image_width": "image width, px",
    "image_height": "image height, px",
}


def statistics(dataset: Dataset, classes: Sequence[str], *, labelled: bool = True) -> dict[str, Any]:
    """Count a split.

    Args:
        labelled: whether anybody looked for objects.
        dataset: built for evaluation, so that crowd regions are there. It may have ``objects()``, or at least
            ``labels_of(index)``, and ``sizes()``; what it cannot tell without decoding is left out.
        classes: names by index.

    Returns:
        plain data: ``images``, ``empty``, ``objects``, ``crowd``, ``difficult``, ``classes`` (name -> objects and the
        images that have any), ``areas`` (small, medium, large: COCO's, of objects), ``objects_per_image``,
        ``image_width``, ``image_height`` (quantiles and mean), ``image_sizes`` (the commonest: width, height, images).
        Of a data set whose pixels have classes (it has ``pixels()``): ``ignored`` (share of the pixels), ``classes``
        (name -> pixels and the images that have any).
    """
    told: dict[str, Any] = {"images": len(dataset)}
    if labelled and hasattr(dataset, "pixels"):
        told |= _of_pixels(np.asarray(dataset.pixels(), np.int64), classes)
    elif labelled and (found := _objects(dataset)) is not None:
        told |= _of_objects(found, classes)
    if hasattr(dataset, "sizes"):
        told |= _of_sizes(np.asarray(dataset.sizes()))
    return told


def _objects(dataset: Any) -> Objects | None:
    if hasattr(dataset, "objects"):
        found: Objects = dataset.objects()
        return found
    if not hasattr(dataset, "labels_of"):
        return None
    labels = [np.asarray(dataset.labels_of(index), np.int64).reshape(-1) for index in range(len(dataset))]
    return Objects(np.array([len(own) for own in labels], np.int64), np.concatenate([np.zeros(0, np.int64), *labels]))


def _of_objects(found: Objects, classes: Sequence[str]) -> dict[str, Any]:
    crowd = found.marks.get("crowd", np.zeros(len(found.labels), np.bool_))
    difficult = found.marks.get("difficult", np.zeros(len(found.labels), np.bool_))
    plain = ~(crowd | difficult)
    owner = np.repeat(np.arange(len(found.counts)), found.counts)
    per_image = np.bincount(owner[plain], minlength=len(found.counts))
    objects = np.bincount(found.labels[plain], minlength=len(classes))
    pairs = np.unique(found.labels[plain] * max(1, len(found.counts)) + owner[plain])
    images = np.bincount(pairs // max(1, len(found.counts)), minlength=len(classes))
    told: dict[str, Any] = {
        "empty": int((found.counts == 0).sum()),
        "objects": int(plain.sum()),
        "crowd": int((crowd & ~difficult).sum()),
        "difficult": int(difficult.sum()),
        "classes": {name: {"objects": int(objects[k]), "images": int(images[k])} for k, name in enumerate(classes)},
    }
    if found.areas is not None:
        areas = found.areas[plain]
        told["areas"] = {
            "small": int((areas < SMALL).sum()),
            "medium": int(((areas >= SMALL) & (areas <= LARGE)).sum()),
            "large": int((areas > LARGE).sum()),
        }
    return told | {"objects_per_image": quantiles(per_image)}


def _of_pixels(counts: NDArray[np.int64], classes: Sequence[str]) -> dict[str, Any]:
    """Tell of counts [N,C+1] of the pixels of each class, and of those that are ignored."""
    pixels, images = counts.sum(0), (counts > 0).sum(0)
    return {
        "ignored": float(pixels[-1] / max(1, pixels.sum())),
        "classes": {name: {"pixels": int(pixels[k]), "images": int(images[k])} for k, name in enumerate(classes)},
    }


def _of_sizes(sizes: NDArray[Any]) -> dict[str, Any]:
    if not len(sizes):
        return {}
    pairs, counts = np.unique(sizes, axis=0, return_counts=True)
    commonest = np.argsort(-counts, kind="stable")[:MOST_SIZES]
    return {
        "image_width": quantiles(sizes[:, 1]),
        "image_height": quantiles(sizes[:, 0]),
        "image_sizes": [[int(pairs[k, 1]), int(pairs[k, 0]), int(counts[k])] for k in commonest],
    }


def quantiles(values: NDArray[Any]) -> dict[str, float]:
    """Return quantiles, each a value that occurs, and the mean; nothing for no values."""
    if not len(values):
        return {}
    ordered = np.quantile(values, list(POINTS.values()), method="inverted_cdf")
    return {**dict(zip(POINTS, map(float, ordered), strict=True)), "mean": round(float(np.mean(values)), 2)}


def rows_of_classes(told: Mapping[str, Mapping[str, Any]]) -> list[tuple[str, ...]]:
    """Return a table of objects or pixels by class and split: the class with the most of all splits comes first."""
    splits = [split for split, facts in told.items() if "classes" in facts]
    names = next((list(told[split]["classes"]) for split in splits), [])
    what = "pixels" if names and "pixels" in told[splits[0]]["classes"][names[0]] else "objects"
    counts = {name: [told[split]["classes"][name][what] for split in splits] for name in names}
    shares = [max(1, sum(column)) for column in zip(*counts.values(), strict=True)] if counts else []
    rows: list[tuple[str, ...]] = []
    for name in sorted(names, key=lambda n: (-sum(counts[n]), names.index(n))):
        cells = [f"{n} ({100 * n / whole:.1f} %)" for n, whole in zip(counts[name], shares, strict=True)]
        rows.append((name, *cells))
    return [(f"{what} of class", *splits), *rows] if rows else []


def told_of(config: DatasetConfig) -> dict[str, dict[str, Any]]:
    """Count every split of a data set that holds anything; see :func:`statistics`."""
    info = config.info()
    have = [split for split in SPLITS if info.num_samples.get(split)]
    return {
        split: statistics(build_as(config, split, evaluation=True), info.classes, labelled=split not in info.unlabelled)
        for split in have
    }


def rows_of_counts(told: Mapping[str, Mapping[str, Any]]) -> list[tuple[str, ...]]:
    """Return the table of numbers by split, without rows of which there is nothing."""
    rows: list[tuple[str, ...]] = [("split", *told)]
    for key, label in COUNTS.items():
        if any(facts.get(key) for facts in told.values()):
            rows.append((label, *(str(facts.get(key, "-")) for facts in told.values())))
    if any("ignored" in facts for facts in told.values()):
        shares = (f"{100 * facts['ignored']:.1f} %" if "ignored" in facts else "-" for facts in told.values())
        rows.append(("pixels ignored", *shares))
    if any("areas" in facts for facts in told.values()):
        rows += [(label, *(_part(facts.get("areas"), key) for facts in told.values())) for key, label in AREAS.items()]
    return rows


def rows_of_spreads(told: Mapping[str, Mapping[str, Any]]) -> list[tuple[str, ...]]:
    """Return the table of quantiles."""
    rows: list[tuple[str, ...]] = [("", *POINTS, "mean")]
    for key, label in SPREADS.items():
        for split, facts in told.items():
            if values := facts.get(key):
                rows.append((f"{split}: {label}", *(f"{v:g}" for v in values.values())))
    return rows


def _part(areas: Mapping[str, int] | None, key: str) -> str:
    if areas is None:
        return "-"
    return f"{areas[key]} ({100 * areas[key] / max(1, sum(areas.values())):.1f} %)"
