"""COCO's matching and counting (Lin et al., arXiv 1405.0312), over all images at once instead of one by one.

Only pairs of a detection and an object that overlap enough for the lowest threshold can change anything; there are
few. They are matched in rounds: round r takes the r-th such detection of every image and class, for all area ranges
and thresholds at once. What is left for the loop over classes are cumulative sums over those detections.

In comments: D detections, G objects, P pairs, C detections with a pair, A area ranges, T thresholds, K classes.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence

import attrs
import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

CHUNK = 1 << 18
"""Pairs that are looked at together: what the memory is bounded by."""
WRONG, RIGHT, IGNORED = 0, 1, 2
RECALLS = np.linspace(0.0, 1.0, 101)
IOUS = np.linspace(0.5, 0.95, 10)
AREAS = {"all": (0.0, 1e10), "small": (0.0, 32.0**2), "medium": (32.0**2, 96.0**2), "large": (96.0**2, 1e10)}
"""COCO's area ranges in px², both ends included."""


@attrs.frozen(kw_only=True)
class Found:
    """Detections of all images, in the order in which the model gave them."""

    image: Ints
    label: Ints
    score: Floats
    area: Floats
    """px²; decides whether one that matches nothing counts in an area range."""
    exempt: Bools | None = None
    """Never wrong: left out where it matches nothing."""


@attrs.frozen(kw_only=True)
class Objects:
    """Labelled objects of all images."""

    image: Ints
    label: Ints
    area: Floats
    crowd: Bools
    """May be matched any number of times."""
    ignore: Bools
    """Neither to be found nor wrong to find; crowds are ignored too."""


@attrs.frozen(kw_only=True)
class Rules:
    """What is counted how."""

    classes: int
    """0: classes do not matter, as for proposals."""
    ious: Floats = IOUS
    areas: Sequence[tuple[float, float]] = tuple(AREAS.values())
    max_dets: Sequence[int] = (1, 10, 100)
    """Detections of one class in one image that count, the best first; rising. Precision is that of the last."""


@attrs.frozen(kw_only=True)
class Counted:
    """−1 where there is no object to find."""

    precision: Floats
    """[T,R,K,A] at recalls 0, 0.01 … 1 and the most detections."""
    recall: Floats
    """[T,K,A,M]."""


@attrs.frozen(kw_only=True)
class Pairs:
    """Detections beside objects: block b holds every one of its detections with every one of its objects."""

    found: Ints
    """[P] index of the detection."""
    labelled: Ints
    """[P] index of the object; the fast one within a block."""
    starts: Ints
    """[B+1] where the blocks begin."""
    wide: Ints
    """[B] objects of each block."""


Overlap = Callable[[Pairs], Floats]
"""IoU (or what stands for it) of each pair, [P]."""


def count(found: Found, objects: Objects, overlap: Overlap, rules: Rules) -> Counted:
    """Match and count; equal to what pycocotools counts.

    Args:
        found: sorted by image.
        objects: sorted by image.
        overlap: of detections and objects, by their index.
        rules: thresholds, area ranges, classes.
    """
    keys = _keys(found, rules), _keys(objects, rules)
    order = np.lexsort((-found.score, keys[0]))
    place = place_of(keys[0][order])
    order = order[place < rules.max_dets[-1]]
    place = place[place < rules.max_dets[-1]]
    ignored = np.stack([objects.ignore | objects.crowd | _outside(objects.area, area) for area in rules.areas], 1)
    codes = [
        _matched(pairs, overlap(pairs), objects.crowd, ignored, rules.ious)
        for pairs in same_keys(keys[0][order], order, keys[1])
    ]
    matched = np.concatenate([c[0] for c in codes]) if codes else np.zeros(0, np.int64)
    shape = (0, len(rules.areas), len(rules.ious))
    code = np.concatenate([c[1] for c in codes]) if codes else np.zeros(shape, np.int8)
    return _Curves(found, objects, rules, order, place).draw(matched, code, ignored)


def _keys(rows: Found | Objects, rules: Rules) -> Ints:
    """Number the pairs of image and class."""
    return rows.image * rules.classes + rows.label if rules.classes else rows.image


def place_of(keys: Ints) -> Ints:
    """Return how many equal ones stand right before each of ``keys`` [N], where equal ones stand together."""
    if not len(keys):
        return np.zeros(0, np.int64)
    first = np.flatnonzero(np.r_[True, keys[1:] != keys[:-1]])
    return np.arange(len(keys)) - np.repeat(first, np.diff(np.r_[first, len(keys)]))


def _outside(area: Floats, bounds: tuple[float, float]) -> Bools:
    # Not "inside" negated: an area that is NaN is outside of nothing.
    return (area < bounds[0]) | (area > bounds[1])


def same_keys(found_keys: Ints, found: Ints, labelled_keys: Ints) -> Iterator[Pairs]:
    """Yield all pairs of one image and class, :data:`CHUNK` or a little more at a time.

    Args:
        found_keys: [D] sorted keys of the detections ``found``.
        found: [D] their indices, the best of each key first.
        labelled_keys: [G].
    """
    labelled = np.argsort(labelled_keys, kind="stable")
    keys, g_start, g_count = np.unique(labelled_keys[labelled], return_index=True, return_counts=True)
    d_start = np.searchsorted(found_keys, keys, "left")
    d_count = np.searchsorted(found_keys, keys, "right") - d_start
    size = d_count * g_count
    keep = size > 0
    d_start, g_start, g_count, size = d_start[keep], g_start[keep], g_count[keep], size[keep]
    ends = size.cumsum()
    at = 0
    while at < len(size):
        stop = max(at + 1, int(np.searchsorted(ends, ends[at] - size[at] + CHUNK, "right")))
        starts = np.r_[0, size[at:stop].cumsum()]
        block = np.repeat(np.arange(at, stop), size[at:stop])
        within = np.arange(starts[-1]) - starts[block - at]
        yield Pairs(
            found=found[d_start[block] + within // g_count[block]],
            labelled=labelled[g_start[block] + within % g_count[block]],
            starts=starts,
            wide=g_count[at:stop],
        )
        at = stop


def _matched(
    pairs: Pairs, overlaps: Floats, crowd: Bools, ignored: Bools, ious: Floats
) -> tuple[Ints, NDArray[np.int8]]:
    """Match the detections of whole blocks, each block from its best detection down.

    Args:
        pairs: P of them.
        overlaps: [P].
        crowd: [G].
        ignored: [G,A].
        ious: [T] thresholds.

    Returns:
        indices of the C detections that could match anything, and [C,A,T]: :data:`RIGHT`, :data:`IGNORED`, or
        :data:`WRONG` for those that matched nothing.
    """
    ious = np.minimum(ious, 1 - 1e-10)
    block = np.repeat(np.arange(len(pairs.wide)), np.diff(pairs.starts))
    near = np.flatnonzero(overlaps >= ious.min())
    d, g, iou, block = pairs.found[near], pairs.labelled[near], overlaps[near], block[near]
    if not len(near):
        return d, np.zeros((0, ignored.shape[1], len(ious)), np.int8)
    first = np.flatnonzero(np.r_[True, d[1:] != d[:-1]])  # of each detection; its pairs stand together
    turn = np.repeat(place_of(block[first]), np.diff(np.r_[first, len(d)]))
    row = np.repeat(np.arange(len(first)), np.diff(np.r_[first, len(d)]))
    # By turn, then detection; the pair that wins among equals stands last: higher IoU, then the later object.
    order = np.lexsort((np.arange(len(d)), iou, row, turn))
    d, g, iou, row, turn = d[order], g[order], iou[order], row[order], turn[order]
    code = np.zeros((len(first), ignored.shape[1], len(ious)), np.int8)
    objects, own = np.unique(g, return_inverse=True)  # of this chunk
    taken = np.zeros((len(objects), ignored.shape[1], len(ious)), np.bool_)
    bounds = np.searchsorted(turn, np.arange(turn[-1] + 2))
    for start, stop in itertools.pairwise(bounds.tolist()):
        cut = slice(start, stop)
        _round(own[cut], row[cut], iou[cut, None] >= ious, crowd[g[cut]], ignored[g[cut]], taken, code)
    return pairs.found[near][first], code


def _round(g: Ints, row: Ints, near: Bools, crowd: Bools, ignored: Bools, taken: Bools, code: NDArray[np.int8]) -> None:
    """Match one detection of each block; writes into ``taken`` [G,A,T] and ``code`` [C,A,T].

    Args:
        g: [P] objects, distinct but for those of one detection.
        row: [P] of the detection in ``code``; pairs of one detection stand together, the better later.
        near: [P,T] whether the pair overlaps enough.
        crowd: [P].
        ignored: [P,A].
        taken: of every object, whether it is matched.
        code: of every detection, what it is.
    """
    first = np.flatnonzero(np.r_[True, row[1:] != row[:-1]])
    sizes = np.diff(np.r_[first, len(row)])
    wide = int(sizes.max())
    worth = 1 + np.arange(len(row)) - np.repeat(first, sizes)
    worth = worth[:, None] + wide * ~ignored  # an object that counts goes before one that does not
    free = ~taken[g] | crowd[:, None, None]
    best = np.maximum.reduceat(worth[:, :, None] * (near[:, None, :] & free), first, axis=0)  # [C',A,T]
    at, area, threshold = np.nonzero(best)
    value = best[at, area, threshold] - 1
    taken[g[first[at] + value % wide], area, threshold] = True
    code[row[first[at]], area, threshold] = np.where(value >= wide, RIGHT, IGNORED)


class _Curves:
    """Precision and recall from what matched.

    Args:
        found: as given.
        objects: as given.
        rules: as given.
        order: [D] detections that count, by image and class, the best first.
        place: [D] how many of the same image and class are better.
    """

    def __init__(self, found: Found, objects: Objects, rules: Rules, order: Ints, place: Ints) -> None:
        self._found, self._objects, self._rules = found, objects, rules
        self._classes = max(rules.classes, 1)
        labels = found.label[order] if rules.classes else np.zeros(len(order), np.int64)
        # Best first within each class; among equals by image, and as the model gave them.
        again = np.lexsort((-found.score[order], labels))
        self._order, self._place = order[again], place[again]
        self._bounds = np.searchsorted(labels[again], np.arange(self._classes + 1))

    def draw(self, matched: Ints, code: NDArray[np.int8], ignored: Bools) -> Counted:
        """Return the curves.

        Args:
            matched: [C] detections that could match.
            code: [C,A,T] what they are.
            ignored: [G,A].
        """
        rules, shape = self._rules, (len(self._rules.ious), self._classes, len(self._rules.areas))
        precision = np.full((shape[0], len(RECALLS), *shape[1:]), -1.0)
        recall = np.full((*shape, len(rules.max_dets)), -1.0)
        rows = np.full(len(self._found.score), -1)
        rows[matched] = np.arange(len(matched))
        labels = self._objects.label if rules.classes else np.zeros(len(self._objects.label), np.int64)
        for a, area in enumerate(rules.areas):
            wanted = np.bincount(labels[~ignored[:, a]], minlength=self._classes)
            spared = _outside(self._found.area, area)
            if self._found.exempt is not None:
                spared |= self._found.exempt
            for k in np.flatnonzero(wanted):
                cut = slice(self._bounds[k], self._bounds[k + 1])
                members = self._order[cut]
                near = np.flatnonzero(rows[members] >= 0)
                codes = code[rows[members[near]], a]  # [C_k,T]
                right = codes == RIGHT
                wrong = (codes == WRONG) & ~spared[members[near], None]
                # Those that are near nothing are wrong at every threshold.
                lost = ~spared[members]
                lost[near] = False
                before = lost.cumsum()[near]
                precision[:, :, k, a] = curves(right, wrong.cumsum(0) + before[:, None], int(wanted[k]))
                for m, most in enumerate(rules.max_dets):
                    recall[:, k, a, m] = right[self._place[cut][near] < most].sum(0) / wanted[k]
        return Counted(precision=precision, recall=recall)


def curves(right: Bools, wrong: Ints, wanted: int) -> Floats:
    """Return [T,R]: the highest precision at each recall or beyond.

    Args:
        right: [C,T], best detection first.
        wrong: [C,T] how many wrong ones there are up to here.
        wanted: objects to find.
    """
    hits = right.cumsum(0)
    # The curve rises only at right detections: nothing else can be the highest from some recall on.
    height = np.where(right, hits / (hits + wrong + np.spacing(1)), 0.0)
    height = np.maximum.accumulate(height[::-1], 0)[::-1]
    height = np.concatenate([height, np.zeros((1, height.shape[1]))])
    at = [np.searchsorted(hits[:, t] / wanted, RECALLS, "left") for t in range(right.shape[1])]
    return np.stack([height[at[t], t] for t in range(right.shape[1])])
