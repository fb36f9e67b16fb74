"""What was measured for a page: bars of classes, curves, matrices, and the worst and best images."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from PIL.Image import Image as Picture

from vf import pictures
from vf.console import Console
from vf.outputs import Tested
from vf.pages import page
from vf.plugins import plugins
from vf.protocols import MetricConfig
from vf.report.looking import Looking, Seen, spread
from vf.results import THRESHOLD

Figures = dict[str, dict[str, Any]]
BINS = 10
SIDE = 1200
"""Px of the longer side of labels and predictions beside each other."""
SHAPES = ("masks", "keypoints", "semantic")
"""Of labels, drawn where predictions have them too."""
FEW = 6
"""Classes or words that a caption names."""


def tables(
    rows: Mapping[str, Sequence[tuple[str, float | None]]], metrics: Sequence[MetricConfig], classes: Sequence[str]
) -> Figures:
    """Return the rows that metrics give beside their numbers, as bars.

    Rows that are named by a measure and a class, as ``AP cat`` or ``cat recall``, become one row for each class.
    """
    known = {f"{type(c).__name__}{i or ''}": plugins().name_of("metric", type(c)) for i, c in enumerate(metrics)}
    figures: Figures = {}
    for key, own in rows.items():
        finite = [(name, value if value is None or math.isfinite(value) else None) for name, value in own]
        by_measure, rest = _by_measure(finite, classes)
        title = f"{known.get(key, key)} in detail"
        parts = [m for m, values in by_measure.items() if all(v is None or 0 <= v <= 1 for v in values.values())]
        groups = [parts, *([measure] for measure in by_measure if measure not in parts)]
        for measures in filter(None, groups):
            there = [name for name in classes if any(name in by_measure[m] for m in measures)]
            bars = [{"name": name, "values": [by_measure[m].get(name) for m in measures]} for name in there]
            chart: dict[str, Any] = {"kind": "bars", "title": f"{title}: {', '.join(measures)}", "rows": bars}
            if measures is parts:
                chart["most"] = 1
            if len(measures) > 1:
                chart["series"] = measures
            figures[f"table {key} {' '.join(measures)}"] = chart
        if rest:
            bars = [{"name": name, "values": [value]} for name, value in rest]
            figures[f"table {key}"] = {"kind": "bars", "title": title, "rows": bars}
    return figures


Values = dict[str, dict[str, float | None]]


def _by_measure(
    rows: Sequence[tuple[str, float | None]], classes: Sequence[str]
) -> tuple[Values, list[tuple[str, float | None]]]:
    """Return measure -> class -> value of the rows that are named so, and the other rows."""
    found: Values = {}
    rest = []
    # Of classes of which one ends like another, as "truck" and "fire truck", the longer one is meant.
    longest = sorted(classes, key=len, reverse=True)
    for row, value in rows:
        measure, name = next(((m, c) for c in longest for m in _cut(row, c)), ("", ""))
        if measure and name not in found.get(measure, {}):
            found.setdefault(measure, {})[name] = value
        else:
            rest.append((row, value))
    return found, rest


def _cut(row: str, name: str) -> list[str]:
    """Return what is left of a row's name without a class at its end or beginning; nothing where it is not there."""
    if row.endswith(f" {name}"):
        return [row[: -len(name) - 1]]
    return [row[len(name) + 1 :]] if row.startswith(f"{name} ") else []


def scores(looking: Looking) -> dict[str, Any] | None:
    """Return how many images have which score, where scores lie between 0 and 1."""
    values = looking.values
    if not values or min(values) < 0 or max(values) > 1:
        return None
    counts = spread(values, BINS)
    rows = [{"name": f"{i / BINS:.1f} to {(i + 1) / BINS:.1f}", "values": [n]} for i, n in enumerate(counts)]
    return {"kind": "bars", "title": f"Images by their own {looking.metric}", "rows": rows, "ordered": True}


def images(looking: Looking, console: Console) -> str:
    """Return the worst and the best images, labels at the left, what was said at the right."""
    worst, best = looking.worst.images(), looking.best.images()
    # Of images that are all alike well done, none is among the worst; nor the other way round.
    ends = {worst[0].value, best[0].value}
    groups = {
        "worst": [seen for seen in worst if len(ends) > 1 and seen.value != best[0].value],
        "best": [seen for seen in best if len(ends) == 1 or seen.value != worst[0].value],
    }
    rows = [(group, seen) for group, own in groups.items() for seen in own]
    assert looking.tested is not None
    drawn = [
        _pictured(group, seen, looking.tested, looking.metric) for group, seen in console.track(rows, "draw", len(rows))
    ]
    return page.gallery(drawn)


def _pictured(group: str, seen: Seen, tested: Tested, metric: str) -> str:
    sample, info, prediction = tested.dataset[seen.place], tested.info, seen.predicted.prediction
    names = (*info.classes, *info.stuff)
    labels = {key: value for key, value in sample.target.items() if key not in SHAPES or key in prediction}
    left = pictures.draw(sample.image, labels, names, palette=info.palette)
    right = pictures.draw(sample.image, prediction, names, threshold=THRESHOLD, palette=info.palette)
    content, size = page.jpeg(_same_height(left, right), SIDE)
    there, said = (", ".join(_words(labels, names)) or "nothing" for labels in (sample.target, prediction))
    sure = "" if seen.sureness is None else f" · surest {seen.sureness:.2f}"
    name = seen.predicted.id or f"image {seen.place}"
    caption = (
        f'<span class="tag">{group}</span> <b>{page.text(name)}</b><br>'
        f"{page.text(metric)} {seen.value:.3f}{sure}<br>"
        f'<span class="soft">labels: {page.text(there)}<br>prediction: {page.text(said)}</span>'
    )
    return page.pictured(page.inlined(content), size, seen.predicted.id, caption, group=group)


def _same_height(left: Picture, right: Picture) -> Picture:
    """Put pictures beside each other; one that was enlarged to be written on is not taller than the other."""
    if left.height != right.height:
        small, large = sorted((left, right), key=lambda p: p.height)
        grown = small.resize((round(small.width * large.height / small.height), large.height))
        left, right = (grown, right) if small is left else (left, grown)
    return pictures.beside(left, right)


def _words(labels: Mapping[str, Any], names: Sequence[str]) -> Iterator[str]:
    """Say what labels or a prediction hold, the most frequent first."""
    if "text" in labels:
        yield str(labels["text"])
    elif "texts" in labels:
        texts = [str(text) for text in labels["texts"] if text]
        yield from texts[:FEW]
        yield from [f"{len(texts) - FEW} more"] * (len(texts) > FEW)
    elif "probabilities" in labels:
        values = labels["probabilities"]
        chosen = [int(labels["label"])] if "label" in labels else torch.nonzero(values >= THRESHOLD).flatten().tolist()
        yield from (f"{names[k]} {float(values[k]):.2f}" for k in chosen)
    elif "labels" in labels and len(labels["labels"]):
        kept = labels["labels"][labels["scores"] >= THRESHOLD] if "scores" in labels else labels["labels"]
        counts = Counter(kept.reshape(-1).tolist()).most_common()
        several = "boxes" in labels
        yield from (f"{n} {names[k]}" if several else names[k] for k, n in counts[:FEW])
    elif labels.get("semantic") is not None:
        yield from _parts(np.asarray(labels["semantic"]), names)


def _parts(pixels: Any, names: Sequence[str]) -> Iterator[str]:
    values, counts = np.unique(pixels, return_counts=True)
    for place in np.argsort(-counts, kind="stable")[:FEW].tolist():
        if values[place] < len(names):
            yield f"{names[values[place]]} {100 * counts[place] / pixels.size:.0f} %"
