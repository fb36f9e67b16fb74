"""What ``vf data check`` says of pages and words before anything is trained on them."""

from __future__ import annotations

import numpy as np

from vf.protocols import Finding
from vf_ocr.charsets import described, of_texts
from vf_ocr.data import page_files, words
from vf_ocr.data.page_files import signed_area
from vf_ocr.texts import ILLEGIBLE

_TINY = 8.0
"""px: lower words are hardly read, or found."""


def of_pages(source: page_files.Source) -> list[Finding]:
    """Say what each split holds, and what would spoil a training."""
    found = []
    for split, part in source.parts.items():
        pages = part.pages
        texts = [pages.texts.text(row) for row in range(len(pages.texts))]
        ignored = sum(text == ILLEGIBLE for text in texts)
        empty = int((np.diff(pages.offsets) == 0).sum())
        lines = f"{split}: {len(pages)} images, {len(texts)} texts, {ignored} of them {ILLEGIBLE}"
        found.append(Finding("note", f"{lines}, {empty} images without any" if empty else lines))
        if texts and ignored == len(texts):
            found.append(
                Finding("warning", f"{split}: all texts are {ILLEGIBLE}; there is nothing to find or to measure")
            )
        found += [Finding("note", line) for line in _odd(pages, split)]
    train, shared = source.parts.get("train"), []
    if train is not None:
        own = {train.pages.names.text(i) for i in range(len(train.pages))}
        for split, part in source.parts.items():
            names = own & {part.pages.names.text(i) for i in range(len(part.pages))}
            if split != "train" and names and part.images.where() == train.images.where():
                shared.append(Finding("warning", _SHARED.format(len(names), "images", split, min(names))))
    return found + shared


_SHARED = "{0} {1} are in train and in {2}, the first {3}: {2} measures what was trained on"


def _odd(pages: page_files.Pages, split: str) -> list[str]:
    import shapely

    tiny = crossed = 0
    first: dict[str, str] = {}
    for page in range(len(pages)):
        for row in pages.rows(page):
            points = pages.points[row]
            height = abs(signed_area(points.flatten().tolist())) / max(1e-6, float(np.ptp(points, axis=0).max()))
            if height < _TINY and pages.texts.text(row) != ILLEGIBLE:
                tiny += 1
                first.setdefault("tiny", pages.where(page, row))
            if not shapely.is_valid(shapely.polygons(points)):
                crossed += 1
                first.setdefault("crossed", pages.where(page, row))
    lines = []
    if tiny:
        lines.append(f"{split}: {tiny} legible texts are lower than {_TINY:g} px, the first in {first['tiny']}")
    if crossed:
        lines.append(f"{split}: {crossed} polygons cross themselves, the first in {first['crossed']}")
    return lines


def of_words(source: words.Source) -> list[Finding]:
    """Say what each split holds, and what would spoil a training."""
    found = []
    for split, part in source.parts.items():
        own = part.words
        texts = [own.texts.text(row) for row in range(len(own))]
        characters = of_texts(texts)
        lengths = sorted(map(len, texts)) or [0]
        line = f"{split}: {len(texts)} words of {lengths[0]} to {lengths[-1]} characters, {len(characters)} different"
        found.append(Finding("note", f"{line}: {described(characters[:94])}{' …' * (len(characters) > 94)}"))
    train = source.parts.get("train")
    if train is None:
        return found
    seen = {train.words.texts.text(row) for row in range(len(train.words))}
    known = set(of_texts(seen))
    names = {train.words.names.text(row) for row in range(len(train.words))}
    for split, part in source.parts.items():
        if split == "train":
            continue
        texts = [part.words.texts.text(row) for row in range(len(part.words))]
        if new := [c for c in of_texts(texts) if c not in known]:
            found.append(
                Finding("warning", f"{split}: {len(new)} characters are in no word of train: {' '.join(new[:20])}")
            )
        shared = names & {part.words.names.text(row) for row in range(len(part.words))}
        if shared and part.images.where() == train.images.where():
            found.append(Finding("warning", _SHARED.format(len(shared), "words", split, min(shared))))
    return found
