"""Read many maps to say what they hold: values, classes without a pixel, other sizes than their images."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import attrs
import cv2
import numpy as np
from numpy.typing import NDArray

from vf.data.follow import IGNORE
from vf.errors import DataError, listed
from vf.protocols import Finding
from vf_seg.data.pairs import Pairs, Source, wrong_size
from vf_seg.data.values import UNKNOWN

T = TypeVar("T")
U = TypeVar("U")
MOST = 500
"""Maps of a split that a check reads, spread evenly."""
SHOWN = 12
EXACT = 1 << 24
"""Pixels that OpenCV counts exactly."""


def in_threads(job: Callable[[T], U], items: Iterable[T]) -> Iterator[U]:
    """Yield the results in order; decoding leaves Python to other threads."""
    workers = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    with ThreadPoolExecutor(min(8, workers)) as pool:
        yield from pool.map(job, items)


@attrs.frozen(eq=False)
class _Seen:
    """What one map holds."""

    index: int
    problem: str = ""
    values: tuple[tuple[int, int], ...] = ()
    """(value as in the file, pixels)."""
    unknown: tuple[tuple[int, int], ...] = ()
    counts: NDArray[np.int64] = attrs.field(factory=lambda: np.zeros(256, np.int64))
    """[256] pixels of each class index, the last: ignored."""


def findings(source: Source) -> list[Finding]:
    """Say what each split holds, and what would spoil a training."""
    found: list[Finding] = []
    for split, pairs in source.splits.items():
        found.append(Finding("note", f"{split}: {len(pairs)} image{'s' * (len(pairs) != 1)}"))
        if pairs.maps is not None:
            found += _of_split(split, pairs, source.classes)
    return found


def _of_split(split: str, pairs: Pairs, classes: Sequence[str]) -> list[Finding]:
    chosen = spread(len(pairs), MOST)
    seen = list(in_threads(lambda index: _look(pairs, index), chosen))
    told = f"of {len(chosen)} maps read" + (f" (of {len(pairs)})" if len(chosen) < len(pairs) else "")
    found = _problems(split, seen)
    values: Counter[int] = Counter()
    for one in seen:
        values.update(dict(one.values))
    counts: NDArray[np.int64] = np.zeros(256, np.int64)
    for one in seen:
        counts += one.counts
    total = max(1, int(counts.sum()))
    shown = ", ".join(pairs.rule.shown(v) for v in sorted(values)[:SHOWN]) + (" …" if len(values) > SHOWN else "")
    ignored = 100 * counts[IGNORE] / total
    found.append(Finding("note", f"{split}: values {shown} {told}; {ignored:.1f} % of the pixels are ignored"))
    found += _unknown(split, pairs, seen, told)
    absent = [name for name, count in zip(classes, counts, strict=False) if not count]
    if absent:
        line = f"{split}: no pixel of {listed(map(repr, absent))} {told}"
        found.append(Finding("warning", line) if len(chosen) == len(pairs) else Finding("note", line))
    empty = [one for one in seen if not one.problem and not one.counts[:IGNORE].sum()]
    if empty:
        first = pairs.map_where(empty[0].index)
        found.append(Finding("warning", f"{split}: {len(empty)} {told} are ignored as a whole, the first {first}"))
    return found


def _problems(split: str, seen: Sequence[_Seen]) -> list[Finding]:
    problems = [one.problem for one in seen if one.problem]
    if not problems:
        return []
    more = f" (and {len(problems) - 1} maps more with such a fault)" if len(problems) > 1 else ""
    return [Finding("error", f"{split}: {problems[0]}{more}")]


def _unknown(split: str, pairs: Pairs, seen: Sequence[_Seen], told: str) -> list[Finding]:
    """One line for each value that nobody named."""
    pixels: Counter[int] = Counter()
    images: Counter[int] = Counter()
    first: dict[int, int] = {}
    for one in seen:
        for value, count in one.unknown:
            pixels[value] += count
            images[value] += 1
            first.setdefault(value, one.index)
    lines = [
        f"{split}: value {pairs.rule.shown(value)} ({count} pixels in {images[value]} {told}), first in "
        f"{pairs.map_where(first[value])}: no class and no ignored value; name it in the recipe"
        for value, count in pixels.most_common(SHOWN)
    ]
    if len(pixels) > SHOWN:
        lines.append(f"{split}: {len(pixels) - SHOWN} values more are no class and no ignored value")
    return [Finding("error", line) for line in lines]


def _look(pairs: Pairs, index: int) -> _Seen:
    try:
        raw = pairs.values(index)
        size = pairs.size(index)
    except DataError as error:
        return _Seen(index, error.problems[0])
    values = histogram(raw)
    pixels = pairs.rule.classes(np.array([[value for value, _ in values]], raw.dtype))[0]
    counts = np.zeros(256, np.int64)
    np.add.at(counts, pixels, [count for _, count in values])
    problem = wrong_size(pairs.map_where(index), raw.shape, size) if raw.shape != size else ""
    unknown = tuple(pair for pair, index_ in zip(values, pixels, strict=True) if index_ == UNKNOWN)
    counts[UNKNOWN] = 0
    return _Seen(index, problem, tuple(values), unknown, counts)


def histogram(raw: NDArray[Any]) -> list[tuple[int, int]]:
    """Return (value, how many) of whole numbers, rising; neighbours are mostly equal."""
    if raw.dtype == np.uint8:
        if raw.size < EXACT:  # in a third of the time, but in float32
            counts = cv2.calcHist([raw], [0], None, [256], [0, 256]).reshape(-1)
        else:
            counts = np.bincount(raw.reshape(-1), minlength=256)
        return [(int(v), int(counts[v])) for v in np.flatnonzero(counts)]
    flat = raw.reshape(-1)
    starts = np.flatnonzero(np.r_[True, flat[1:] != flat[:-1]])
    lengths = np.diff(np.r_[starts, len(flat)])
    values, own = np.unique(flat[starts], return_inverse=True)
    counts = np.bincount(own, weights=lengths)
    return [(int(v), int(n)) for v, n in zip(values, counts, strict=True)]


def spread(count: int, most: int) -> list[int]:
    """Return all of 0..count-1, or ``most`` of them at even distances."""
    if count <= most:
        return list(range(count))
    return [i * count // most for i in range(most)]
