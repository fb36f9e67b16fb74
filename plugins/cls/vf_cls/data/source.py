"""What readers of labelled images give: splits, classes, and what there is to say about them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import attrs
import numpy as np

from vf.data.reading import hold_out
from vf.data.storage import Storage
from vf.errors import listed
from vf.protocols import Finding, Split
from vf_cls.data.labels import Labels

MOST_SHOWN = 8


@attrs.frozen(eq=False)
class Part:
    """One split as read."""

    images: Storage
    """Where the names of the labels lie."""
    labels: Labels
    labelled: bool = True
    """Whether anybody labelled it; if not, a model can be applied but not measured."""

    def select(self, images: Sequence[int]) -> Part:
        """Return some of the images, in the order that is given."""
        return attrs.evolve(self, labels=self.labels.select(images))


@attrs.frozen(eq=False)
class Source:
    """A data set as read."""

    classes: tuple[str, ...]
    parts: Mapping[Split, Part]
    notes: tuple[str, ...] = ()
    multi_label: bool = False
    warnings: tuple[str, ...] = ()
    """What is worth a look, but no mistake."""


def with_val(parts: Mapping[Split, Part], holdout: float) -> tuple[dict[Split, Part], list[str]]:
    """Hold a part of train out where there is no val split; a test split is not for choosing the best step.

    Returns:
        the splits, and what to say about them.
    """
    train = parts.get("train")
    if train is None or "val" in parts or not holdout or len(train.labels) < 2:
        return dict(parts), []
    names = [train.labels.name(i) for i in range(len(train.labels))]
    chosen = hold_out(names, holdout)
    cut: dict[Split, Part] = {
        "train": train.select([i for i, name in enumerate(names) if name not in chosen]),
        "val": train.select([i for i, name in enumerate(names) if name in chosen]),
    }
    note = f"there is no val split: {len(chosen)} of {len(names)} images are held out for it, chosen by hash"
    return {**cut, **{split: part for split, part in parts.items() if split not in cut}}, [note]


def part_notes(parts: Mapping[Split, Part], *, multi_label: bool) -> list[str]:
    """Say which splits nobody labelled, and how many images of several labels have none."""
    notes = [f"{s}: has no labels: it can be predicted, not measured" for s, part in parts.items() if not part.labelled]
    for split, part in parts.items():
        empty = int((part.labels.counts == 0).sum())
        if multi_label and part.labelled and empty:
            notes.append(f"{split}: kept {empty} of {len(part.labels)} images without a label")
    return notes


def findings(source: Source) -> list[Finding]:
    """Say what each split holds, and what would spoil a training."""
    found = [Finding("note", _histogram(split, part, source.classes)) for split, part in source.parts.items()]
    found += [Finding("warning", line) for line in source.warnings]
    train = source.parts.get("train")
    if train is None:
        return found
    known = set(train.labels.labels.tolist())
    if unseen := [name for k, name in enumerate(source.classes) if k not in known]:
        found.append(Finding("warning", f"train: has no image of class {listed(unseen)}"))
    for split, part in source.parts.items():
        if split != "train" and (shared := _shared(train, part)):
            sentence = f"{len(shared)} images are in train and in {split}, the first {min(shared)}"
            found.append(Finding("warning", f"{sentence}: {split} measures what was trained on"))
    return found


def _histogram(split: str, part: Part, classes: Sequence[str]) -> str:
    if not part.labelled:
        return f"{split}: {len(part.labels)} images, without labels"
    counts = np.bincount(part.labels.labels, minlength=len(classes))
    order = [k for k in np.argsort(-counts, kind="stable").tolist() if counts[k]]
    shown = ", ".join(f"{classes[k]} {counts[k]}" for k in order[:MOST_SHOWN]) or "none"
    more = f", … ({len(order)} classes)" if len(order) > MOST_SHOWN else ""
    return f"{split}: {len(part.labels)} images: {shown}{more}"


def _shared(one: Part, other: Part) -> set[str]:
    """Names of images that are in both: one file, or two of one name and content in the folders of two splits."""
    if one.images.where() == other.images.where() and not _split_folders(one, other):
        return _names(one) & _names(other)
    first = {_tail(name): name for name in _names(one)}
    pairs = ((name, first[_tail(name)]) for name in _names(other) if _tail(name) in first)
    return {name for name, twin in pairs if _same(one.images, twin, other.images, name)}


def _same(one: Storage, name: str, other: Storage, twin: str) -> bool:
    return one.size(name) == other.size(twin) and one.read(name) == other.read(twin)


def _names(part: Part) -> set[str]:
    return {part.labels.name(i) for i in range(len(part.labels))}


def _tail(name: str) -> str:
    """Return a name without its first folder, which is that of the split."""
    return name.partition("/")[2] or name


def _split_folders(one: Part, other: Part) -> bool:
    """Whether the names of two splits begin with a folder of each."""
    tops = [{name.partition("/")[0] for name in _names(part)} for part in (one, other)]
    return len(tops[0]) == len(tops[1]) == 1 and tops[0] != tops[1]
