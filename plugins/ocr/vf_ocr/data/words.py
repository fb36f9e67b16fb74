"""Word images with what is written on them: flat lists of texts, and the data set of a split."""

from __future__ import annotations

import functools
import hashlib
import unicodedata
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Protocol

import attrs
import numpy as np
from numpy.typing import NDArray

from vf.data.annotations import Ragged
from vf.data.decode import decode
from vf.data.entries import Objects
from vf.data.header import HEAD, image_size
from vf.data.sample import Sample
from vf.data.storage import Storage
from vf_ocr.charsets import Charset
from vf_ocr.data.reading import Reader, Unknown, held_out


class Images(Protocol):
    """Encoded images by name, as a :class:`vf.data.storage.Storage` or an LMDB has them."""

    def read(self, name: str) -> bytes:
        """Return the bytes of an image."""
        ...

    def where(self, name: str = "") -> str:
        """How messages call an image."""
        ...


@attrs.frozen(eq=False)
class Words:
    """N word images, in flat arrays."""

    names: Ragged
    """[N] of the images."""
    texts: Ragged
    """[N] as delivered."""
    lines: NDArray[np.int32]
    """[N] of the list, from 1; 0 where there is none."""
    source: str
    """Where messages look for the labels."""

    @classmethod
    def of(cls, rows: Sequence[tuple[str, str, int]], source: str) -> Words:
        """Lay rows flat: name, text, line."""
        return cls(
            Ragged.of_texts([name for name, _, _ in rows]),
            Ragged.of_texts([text for _, text, _ in rows]),
            np.array([line for _, _, line in rows], np.int32),
            source,
        )

    def __len__(self) -> int:
        return len(self.names)

    def where(self, index: int) -> str:
        """How messages call a label."""
        line = int(self.lines[index])
        return f"{self.source}:{line}" if line else f"{self.source}: {self.names.text(index)}"

    def select(self, rows: Sequence[int]) -> Words:
        """Return some of them, in the order that is given."""
        return Words(self.names.select(rows), self.texts.select(rows), self.lines[list(rows)], self.source)

    def fingerprint(self) -> str:
        """Hash of all that is said."""
        digest = hashlib.sha256()
        for part in (self.names, self.texts):
            digest.update(np.ascontiguousarray(part.values).data)
            digest.update(part.offsets.data)
        return digest.hexdigest()[:16]


@attrs.frozen(eq=False)
class Part:
    """One split as read."""

    images: Images
    words: Words

    def select(self, rows: Sequence[int]) -> Part:
        """Return some of the words."""
        return attrs.evolve(self, words=self.words.select(rows))


@attrs.frozen(eq=False)
class Source:
    """A data set as read."""

    parts: Mapping[str, Part]
    notes: tuple[str, ...] = ()


def with_val(parts: Mapping[str, Part], holdout: float) -> tuple[dict[str, Part], list[str]]:
    """Hold a part of train out where there is no val split; also return what to say about it."""
    train = parts.get("train")
    names = [] if train is None else [train.words.names.text(i) for i in range(len(train.words))]
    cut = held_out(names, holdout, "words") if "val" not in parts else None
    if train is None or cut is None:
        return dict(parts), []
    rest = {split: part for split, part in parts.items() if split != "train"}
    return {"train": train.select(cut.train), "val": train.select(cut.val), **rest}, [cut.note]


@attrs.frozen(eq=False)
class Readings:
    """What is read of the words of a split."""

    trained: Ragged
    """[N] folded, without what the charset has not; empty where a word is not trained on."""
    kept: Ragged
    """[N] in NFC, else as delivered: what metrics compare with, by their own rules."""
    rows: NDArray[np.int64]
    """Words that are trained on."""


def read_texts(
    part: Part, split: str, charset: Charset, unknown: Unknown, *, max_length: int
) -> tuple[Readings, list[str]]:
    """Read the words of a split against a set of characters; also return what is to be said.

    Args:
        part: the split.
        split: its name.
        charset: the set.
        unknown: what becomes of other characters.
        max_length: longer words are not trained on; 0: all are.
    """
    words, reader = part.words, Reader(charset, unknown)
    trained, kept, long = [], [], 0
    for row in range(len(words)):
        text = words.texts.text(row)
        read = reader(text, words.where(row)) or ""
        if max_length and len(read) > max_length:
            read, long = "", long + 1
        trained.append(read)
        kept.append(unicodedata.normalize("NFC", text))
    rows = np.array([row for row, text in enumerate(trained) if text], np.int64)
    said = list(reader.finish(split))
    if long:
        said.append(f"{split}: {long} words are longer than data.max_length {max_length}, and are not trained on")
    return Readings(Ragged.of_texts(trained), Ragged.of_texts(kept), rows), said


class WordDataset:
    """Word images with their text.

    Args:
        part: one split.
        texts: what is read of each word; None: the texts as delivered.
        rows: words of the part that count; None: all.
        characters: of the model, for statistics.
    """

    draws_nothing: ClassVar = True
    """Nothing in it is left to chance (`vf.data.pipeline.TrainView`)."""

    def __init__(
        self,
        part: Part,
        *,
        texts: Ragged | None = None,
        rows: NDArray[np.int64] | None = None,
        characters: tuple[str, ...] = (),
    ) -> None:
        self._images = part.images
        self._names = part.words.names
        self._texts = part.words.texts if texts is None else texts
        self._rows = np.arange(len(part.words)) if rows is None else rows
        self._characters = characters

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, index: int) -> Sample:
        if not 0 <= index < len(self):
            raise IndexError(index)
        row = int(self._rows[index])
        name = self._names.text(row)
        image = decode(self._images.read(name), name=self._images.where(name))
        return Sample(image, {"text": self._texts.text(row)}, name)

    def target(self, index: int, size: tuple[int, int]) -> dict[str, Any]:
        """Return the target of a word."""
        return {"text": self._texts.text(int(self._rows[index]))}

    def id_of(self, index: int) -> str:
        """Name of an image."""
        return self._names.text(int(self._rows[index]))

    def file_of(self, index: int) -> tuple[Images, str]:
        """Where an image lies, and its name there."""
        return self._images, self.id_of(index)

    @functools.cached_property
    def _index(self) -> dict[str, int]:
        return {character: k for k, character in enumerate(self._characters)}

    def labels_of(self, index: int) -> NDArray[np.int64]:
        """Class indices of the characters of a word."""
        text = self._texts.text(int(self._rows[index]))
        return np.array([self._index[c] for c in text if c in self._index], np.int64)

    def objects(self) -> Objects:
        """The characters of all words."""
        labels = [self.labels_of(index) for index in range(len(self))]
        return Objects(
            np.array([len(own) for own in labels], np.int64), np.concatenate([np.zeros(0, np.int64), *labels])
        )

    def sizes(self) -> NDArray[np.int32]:
        """Height and width of each image [N,2], from the files' heads."""
        return np.array([self._size(self.id_of(i)) for i in range(len(self))], np.int32).reshape(-1, 2)

    def _size(self, name: str) -> tuple[int, int]:
        head = getattr(self._images, "head", None)
        size = image_size(head(name, HEAD) if head is not None else self._images.read(name))
        if size is None:
            height, width = decode(self._images.read(name), name=self._images.where(name)).shape[-2:]
            return height, width
        return size


def missing_file(images: Storage, name: str) -> str:
    """Say that an image is not where it is named."""
    return f"image {name!r} is not in {images.where()}; see data.images"
