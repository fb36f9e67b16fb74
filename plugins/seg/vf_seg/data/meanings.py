"""What the values or colours of any maps mean: as the recipe says, or a list of classes beside them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from vf.data.follow import IGNORE
from vf.data.storage import Storage
from vf.errors import DataError
from vf_seg.data.layouts import Wanted, folders
from vf_seg.data.scan import histogram, in_threads, spread
from vf_seg.data.values import MOST_CLASSES, ByColour, ByValue, Colour, Rule, packed

LIST = "classes.txt"
LOOKED_AT = 50
SHOWN = 12
Meaning = tuple[Rule, tuple[str, ...], tuple[int, ...], tuple[Colour, ...] | None]
"""Rule, classes, what stands for each class in the maps, and its colour where the maps have colours."""


def meanings(
    root: Storage,
    wanted: Wanted,
    *,
    values: Mapping[str, str] | None,
    colours: Mapping[Colour, str] | None,
    ignore: Sequence[int],
    ignore_colours: Sequence[Colour],
    reduce_zero_label: bool,
) -> Meaning:
    """Return what pixels mean.

    Raises:
        DataError: nobody says it; the values that the maps hold are named.
    """
    if colours is not None:
        classes = _classes(list(colours.values()), "data.mask_colours")
        rule: Rule = ByColour({c: classes.index(n) for c, n in colours.items()}, tuple(ignore_colours))
        firsts = [next(c for c, n in colours.items() if n == name) for name in classes]
        return rule, classes, tuple(packed(c) for c in firsts), tuple(firsts)
    if values is None:
        given = _listed(root, wanted)
        values = {str(value): name for value, name in enumerate(given, int(reduce_zero_label))}
        ignore = (*ignore, 0) if reduce_zero_label else ignore
    classes = _classes(list(values.values()), "data.mask_values")
    numbers = {int(value): classes.index(name) for value, name in values.items()}
    ids = tuple(min(v for v, k in numbers.items() if k == index) for index in range(len(classes)))
    return ByValue(numbers, tuple(v for v in ignore if v not in numbers)), classes, ids, None


def _classes(names: Sequence[str], key: str) -> tuple[str, ...]:
    classes = tuple(dict.fromkeys(names))
    if not 1 <= len(classes) <= MOST_CLASSES:
        raise DataError(f"{key}: names {len(classes)} classes; expected 1 to {MOST_CLASSES}")
    return classes


def _listed(root: Storage, wanted: Wanted) -> tuple[str, ...]:
    """Return the names of classes.txt; where there is none, say what the maps hold."""
    if root.has(LIST):
        names = [line.strip() for line in root.read(LIST).decode("utf-8-sig").splitlines()]
        while names and not names[-1]:
            names.pop()
        if names and all(names) and len(set(names)) == len(names):
            return tuple(names)
        raise DataError(f"{root.where(LIST)}: expected one name a line, each once; its values are 0, 1, 2 …")
    found = _held(root, wanted)
    shown = sorted(found[:SHOWN])
    example = ", ".join(f"{value}: NAME" for value in shown if value != IGNORE) or "0: NAME"
    held = ", ".join(map(str, shown)) + (" …" if len(found) > SHOWN else "")
    raise DataError(
        f"{root.where()}: nothing says what the maps mean; they hold {held}; set 'data.mask_values={{{example}}}', "
        f"data.mask_colours for colours, or write {LIST}"
    )


def _held(root: Storage, wanted: Wanted) -> list[int]:
    """Return the values that some maps of the first split hold, the most frequent first."""
    rule = ByValue({}, (), rest_ignored=True)
    source = folders(root, rule, (), wanted=wanted, palette=None, ids=(), holdout=0.0)
    pairs = next((p for p in source.splits.values() if p.maps is not None), None)
    if pairs is None:
        return []
    counts: dict[int, int] = {}
    for held in in_threads(lambda index: histogram(pairs.values(index)), spread(len(pairs), LOOKED_AT)):
        for value, count in held:
            counts[value] = counts.get(value, 0) + count
    return sorted(counts, key=lambda value: -counts[value])
