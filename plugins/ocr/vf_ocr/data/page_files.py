"""Pages from files: flat annotations, and the data set of a split."""

from __future__ import annotations

import hashlib
import unicodedata
from collections.abc import Mapping, Sequence
from typing import Any

import attrs
import numpy as np
import torch
from numpy.typing import NDArray

from vf.data.annotations import Ragged
from vf.data.decode import decode
from vf.data.entries import Objects
from vf.data.header import HEAD, image_size
from vf.data.sample import Sample
from vf.data.storage import Storage
from vf_ocr.charsets import Charset
from vf_ocr.data.reading import Mistakes, Reader, held_out
from vf_ocr.data.targets import page_target
from vf_ocr.texts import ILLEGIBLE, Texts


@attrs.frozen
class Row:
    """One text of a page as its label says."""

    points: tuple[float, ...]
    """x, y of each vertex, px."""
    text: str
    line: int = 0
    """Of the label file, from 1; of a json its place in the list, from 0."""

    @property
    def ignored(self) -> bool:
        """Whether nobody can read it."""
        return self.text == ILLEGIBLE


@attrs.frozen(eq=False)
class Pages:
    """Texts of N pages, M in all, in flat arrays."""

    names: Ragged
    """[N] of the images."""
    sources: Ragged
    """[N] where messages look for a page's labels."""
    offsets: NDArray[np.int64]
    """[N+1] rows of each page."""
    points: Ragged
    """[M] vertices, px."""
    texts: Ragged
    """[M], in NFC or not, as delivered."""
    lines: NDArray[np.int32]
    """[M]."""
    sizes: NDArray[np.int32]
    """[N,2] height and width as the labels say, or [0,2]."""

    @classmethod
    def of(cls, pages: Sequence[tuple[str, str, Sequence[Row], tuple[int, int] | None]]) -> Pages:
        """Lay pages flat: name, source, rows, size."""
        rows = [row for _, _, rows, _ in pages for row in rows]
        sizes = [size for _, _, _, size in pages if size is not None]
        return cls(
            names=Ragged.of_texts([name for name, _, _, _ in pages]),
            sources=Ragged.of_texts([source for _, source, _, _ in pages]),
            offsets=np.cumsum([0, *(len(own) for _, _, own, _ in pages)], dtype=np.int64),
            points=Ragged.of([row.points for row in rows], np.float32, 2),
            texts=Ragged.of_texts([row.text for row in rows]),
            lines=np.array([row.line for row in rows], np.int32),
            sizes=np.array(sizes if len(sizes) == len(pages) else [], np.int32).reshape(-1, 2),
        )

    def __len__(self) -> int:
        return len(self.names)

    def rows(self, index: int) -> range:
        """Rows of a page."""
        return range(int(self.offsets[index]), int(self.offsets[index + 1]))

    def where(self, index: int, row: int) -> str:
        """How messages call a text."""
        return f"{self.sources.text(index)}:{self.lines[row]}"

    def select(self, pages: Sequence[int]) -> Pages:
        """Return some of the pages, in the order that is given."""
        rows = [row for page in pages for row in self.rows(page)]
        counts = [len(self.rows(page)) for page in pages]
        return Pages(
            names=self.names.select(pages),
            sources=self.sources.select(pages),
            offsets=np.cumsum([0, *counts], dtype=np.int64),
            points=self.points.select(rows),
            texts=self.texts.select(rows),
            lines=self.lines[rows],
            sizes=self.sizes[list(pages)] if len(self.sizes) else self.sizes,
        )

    @property
    def vertices(self) -> int:
        """Most vertices of a polygon; 0 where there is none."""
        return int(np.diff(self.points.offsets).max(initial=0))

    def fingerprint(self) -> str:
        """Hash of all that is said."""
        digest = hashlib.sha256()
        for part in (self.names, self.points, self.texts):
            digest.update(np.ascontiguousarray(part.values).data)
            digest.update(part.offsets.data)
        digest.update(self.offsets.data)
        return digest.hexdigest()[:16]


@attrs.frozen(eq=False)
class Part:
    """One split as read."""

    images: Storage
    pages: Pages
    labelled: bool = True
    """Whether anybody looked for texts."""

    def select(self, pages: Sequence[int]) -> Part:
        """Return some of the pages."""
        return attrs.evolve(self, pages=self.pages.select(pages))


@attrs.frozen(eq=False)
class Source:
    """A data set as read."""

    parts: Mapping[str, Part]
    notes: tuple[str, ...] = ()


def with_val(parts: Mapping[str, Part], holdout: float) -> tuple[dict[str, Part], list[str]]:
    """Hold a part of train out where there is no val split; also return what to say about it."""
    train = parts.get("train")
    names = [] if train is None else [train.pages.names.text(i) for i in range(len(train.pages))]
    cut = held_out(names, holdout, "images") if "val" not in parts else None
    if train is None or cut is None:
        return dict(parts), []
    rest = {split: part for split, part in parts.items() if split != "train"}
    return {"train": train.select(cut.train), "val": train.select(cut.val), **rest}, [cut.note]


def checked_row(row: Row, where: str, mistakes: Mistakes) -> Row | None:
    """Return a row with its vertices clockwise, or None where it is no polygon."""
    count = len(row.points) // 2
    if count < 3 or len(row.points) % 2:
        mistakes.add(
            where, f"expected a polygon of at least 3 points, got {count}", "polygons with fewer than 3 points"
        )
        return None
    if not np.isfinite(row.points).all():
        mistakes.add(where, "expected numbers, got one that is infinite or none", "coordinates that are no numbers")
        return None
    area = signed_area(row.points)
    if area == 0:
        mistakes.notes.count("polygons without area, left out", where)
        return None
    if area < 0:
        mistakes.notes.count("polygons that went against the clock, turned round", where)
        pairs = list(zip(row.points[::2], row.points[1::2], strict=True))
        turned = [pairs[0], *reversed(pairs[1:])]
        return attrs.evolve(row, points=tuple(v for pair in turned for v in pair))
    return row


def signed_area(points: Sequence[float]) -> float:
    """Area of a polygon x1, y1, x2, … in px², positive where it goes clockwise on a screen."""
    xs, ys = points[::2], points[1::2]
    return sum(xs[k - 1] * ys[k] - xs[k] * ys[k - 1] for k in range(len(xs))) / 2


class PageDataset:
    """Images with texts in polygons; targets are those of `vf_ocr.data.targets.page_target`.

    Args:
        part: one split.
        vertices: of every polygon; those with fewer repeat their last.
        texts: what is read of each row; None: the texts as delivered.
        characters: what those are made of, where texts are to be read.
    """

    def __init__(
        self, part: Part, *, vertices: int, texts: Ragged | None = None, characters: tuple[str, ...] = ()
    ) -> None:
        self._part = part
        self._pages = part.pages
        self._vertices = vertices
        self._texts = part.pages.texts if texts is None else texts
        self._characters = characters

    def __len__(self) -> int:
        return len(self._pages)

    def __getitem__(self, index: int) -> Sample:
        if not 0 <= index < len(self):
            raise IndexError(index)
        name, images = self.id_of(index), self._part.images
        image = decode(images.read(name), name=images.where(name))
        return Sample(image, self.target(index, (image.shape[-2], image.shape[-1])), name)

    def target(self, index: int, size: tuple[int, int]) -> dict[str, Any]:
        """Return the target of an image that was decoded to ``size``."""
        rows = self._pages.rows(index)
        polygons = np.zeros((len(rows), self._vertices, 2), np.float32)
        for polygon, row in zip(polygons, rows, strict=True):
            own = self._pages.points[row]
            polygon[: len(own)] = own
            polygon[len(own) :] = own[-1]
        texts = Texts(self._texts.text(row) for row in rows)
        ignored = torch.tensor([text == ILLEGIBLE for text in texts], dtype=torch.bool)
        return page_target(torch.from_numpy(polygons), texts, ignored, size=size)

    def id_of(self, index: int) -> str:
        """Name of an image."""
        return self._pages.names.text(index)

    def file_of(self, index: int) -> tuple[Storage, str]:
        """Where an image lies, and its name there."""
        return self._part.images, self.id_of(index)

    def objects(self) -> Objects:
        """Facts of all texts; of their characters where they are to be read."""
        counts, flat = np.diff(self._pages.offsets), self._texts
        texts = [flat.text(row) for row in range(len(flat))]
        if self._characters:
            per_text = [_indices(text, self._characters) for text in texts]
            lengths = np.cumsum([0, *map(len, per_text)])
            return Objects(np.diff(lengths[self._pages.offsets]), np.concatenate([np.zeros(0, np.int64), *per_text]))
        areas = [signed_area(self._pages.points[row].flatten().tolist()) for row in range(len(texts))]
        marks = {"crowd": np.array([text == ILLEGIBLE for text in texts], np.bool_)}
        return Objects(counts, np.zeros(len(texts), np.int64), np.array(areas, np.float32), marks)

    def sizes(self) -> NDArray[np.int32]:
        """Height and width of each image [N,2], from the labels, else from the files' heads."""
        if len(self._pages.sizes) == len(self):
            return self._pages.sizes
        return np.array([self._size(i) for i in range(len(self))], np.int32).reshape(-1, 2)

    def _size(self, index: int) -> tuple[int, int]:
        name, images = self.id_of(index), self._part.images
        size = image_size(images.head(name, HEAD))
        if size is None:
            height, width = decode(images.read(name), name=images.where(name)).shape[-2:]
            return height, width
        return size


def read_texts(part: Part, split: str, reader: Reader, mistakes: Mistakes, *, keep: bool) -> tuple[Ragged, list[str]]:
    """Read the texts of a split against a set of characters.

    Args:
        part: the split.
        split: its name, for messages.
        reader: of the set.
        mistakes: an empty text is one, where there is no mark that nobody can read it.
        keep: texts stay as delivered, in NFC, as metrics want them; else they are what is trained on, and those that
            are not trained on are empty.

    Returns:
        the texts, and what is to be said.
    """
    pages, read = part.pages, []
    for index in range(len(pages)):
        for row in pages.rows(index):
            text = pages.texts.text(row)
            if text == ILLEGIBLE:
                read.append(text)
                continue
            where = pages.where(index, row)
            if not text.strip():
                mistakes.add(
                    where, f"empty transcription; expected a text, or {ILLEGIBLE} where nobody can read it", EMPTY
                )
            known = reader(text, where) or ""
            read.append(unicodedata.normalize("NFC", text) if keep else known)
    return Ragged.of_texts(read), list(reader.finish(split))


EMPTY = "empty transcriptions"


def _indices(text: str, characters: tuple[str, ...]) -> NDArray[np.int64]:
    if text == ILLEGIBLE:
        return np.zeros(0, np.int64)
    known = {c: k for k, c in enumerate(characters)}
    return np.array([known[c] for c in Charset(characters).read(text)], np.int64)
