"""Config classes of the layouts that pages with text come in. Free of torch and numpy until they are read."""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import vf
from vf.protocols import Split
from vf.schema import changed

if TYPE_CHECKING:
    from vf.data.storage import Storage
    from vf.protocols import Dataset
    from vf_ocr.data.page_files import Source

__all__ = ["Ctw1500", "Icdar", "MmocrPages", "PaddlePages", "TextOcr", "TotalText", "opened"]

QUAD = 4


def opened(path: str) -> Storage | None:
    """Return what lies under a path, for ``sniff``; None where it is neither a folder nor a zip."""
    from vf.data.storage import open_storage

    place = Path(path)
    return open_storage(place) if place.is_dir() or (place.suffix.lower() == ".zip" and place.is_file()) else None


@vf.config
class PageFiles:
    """What the layouts share."""

    path: str = vf.field(help="folder or zip of the data set")
    train: str = vf.field(default="", help="what to train on, relative to path; empty: looked for")
    val: str = vf.field(default="", help="what to validate on, relative to path; empty: looked for")
    test: str = vf.field(default="", help="what to test on, relative to path; empty: looked for")
    charset: str = vf.field(
        default="",
        help="characters to read: digits, lower, symbols, latin, data (those of the labels), or a file; empty: none",
        stays=True,
    )
    unknown: Literal["drop", "skip", "error"] = vf.field(
        default="drop", help="characters not in charset: drop them, skip their texts in training, or refuse the data"
    )
    points: int = vf.field(
        default=0, help="vertices of every polygon; 0: the most that one has, at least 4", validator=vf.at_least(0)
    )
    holdout: float = vf.field(
        default=0.1,
        help="part of train to validate on, where there is no split to do so; 0: none",
        validator=vf.within(0, 0.9),
    )
    encoding: str = vf.field(default="utf-8", help="of label files that are text")
    lenient: bool = vf.field(
        default=False, help="leave out broken labels and missing images, and count them, instead of refusing the data"
    )

    @property
    def given(self) -> dict[Split, str]:
        """Split -> what is named for it."""
        return {"train": self.train, "val": self.val, "test": self.test}

    def read(self, root: Storage) -> Source:
        """Read the label files."""
        raise NotImplementedError(f"{type(self).__name__} reads nothing")

    @functools.cached_property
    def source(self) -> Any:  # attrs evaluates the annotation, and Source would import numpy
        """What the label files say (a Source), read once for each config object."""
        from vf.data.storage import open_storage

        if not Path(self.path).exists():
            raise vf.DataError(f"{self.path}: no such folder; data.path names the folder of the data set")
        source = self.read(open_storage(self.path))
        most = max([QUAD, *(part.pages.vertices for part in source.parts.values())])
        if self.points and self.points < most:
            raise vf.DataError(f"{self.path}: has polygons of {most} vertices, and data.points is {self.points}")
        return source

    @functools.cached_property
    def characters(self) -> tuple[str, ...]:
        """The characters to read; empty where text is only to be found."""
        from vf_ocr.charsets import FROM_DATA, named, of_texts
        from vf_ocr.texts import ILLEGIBLE

        if self.charset != FROM_DATA:
            return named(self.charset) if self.charset else ()
        pages = [part.pages for part in self.source.parts.values()]
        texts = (own.texts.text(row) for own in pages for row in range(len(own.texts)))
        found = of_texts(text for text in texts if text != ILLEGIBLE)
        if not found:
            raise vf.DataError(f"{self.path}: its labels hold no text, and data.charset is {FROM_DATA!r}")
        return found

    @functools.cached_property
    def texts(self) -> Any:
        """Split -> (texts to train on, texts to evaluate on), both Ragged, with what is to be said of them."""
        from vf_ocr.charsets import Charset
        from vf_ocr.data.page_files import read_texts
        from vf_ocr.data.reading import Mistakes, Reader

        charset, mistakes = Charset(self.characters), Mistakes(lenient=self.lenient)
        texts, notes = {}, []
        for split, part in self.source.parts.items():
            reader = Reader(charset, self.unknown)
            trained, said = read_texts(part, split, reader, mistakes, keep=False)
            kept, _ = read_texts(part, split, Reader(charset, "drop"), Mistakes(lenient=True), keep=True)
            texts[split] = trained, kept
            notes += said
        mistakes.problems.raise_any()
        return texts, (*notes, *mistakes.lines())

    def info(self) -> vf.DatasetInfo:
        """Read the label files; DataError with one line for each mistake in them."""
        source = self.source
        said = self.texts[1] if self.characters else ()
        joined = "".join(part.pages.fingerprint() for part in source.parts.values())
        return vf.DatasetInfo(
            classes=self.characters or ("text",),
            task="ocr",
            num_samples={split: len(part.pages) for split, part in source.parts.items()},
            fingerprint=hashlib.sha256(f"{joined}{self.characters}".encode()).hexdigest()[:16],
            notes=(*source.notes, *said),
            unlabelled=tuple(split for split, part in source.parts.items() if not part.labelled),
        )

    def build(self, split: Split) -> Dataset:
        """Build one split."""
        return self.build_as(split, evaluation=split != "train")

    def build_as(self, split: Split, *, evaluation: bool) -> Dataset:
        """Build one split to train on, with what of its texts the charset has, or to evaluate on, as delivered."""
        from vf_ocr.data.page_files import PageDataset

        parts = self.source.parts
        if split not in parts:
            raise vf.DataError(f"{self.path}: has no split {split!r}; it has {', '.join(parts)}")
        most = max([QUAD, self.points, *(part.pages.vertices for part in parts.values())])
        texts = self.texts[0][split][int(evaluation)] if self.characters else None
        return PageDataset(parts[split], vertices=most, texts=texts, characters=self.characters)

    def as_delivered(self) -> PageFiles:
        """The same data in the splits that it has."""
        return changed(self, holdout=0.0)

    def check(self) -> Sequence[vf.Finding]:
        """Say what each split holds, and what would spoil a training."""
        from vf_ocr.data.findings import of_pages

        return of_pages(self.source)


@vf.config
class Icdar(PageFiles):
    """ICDAR 2013, 2015, 2017, SROIE: a text file of corners beside each image, x1,y1,…,x4,y4,text.

    A split is a folder with images/ and gts/ in it (or with both side by side), or two folders named after it, as
    ch4_training_images and ch4_training_localization_transcription_gt, or as IMAGES:LABELS says. The labels of 1.jpg
    are in gt_1.txt, 1.txt or 1.jpg.txt.
    """

    form: Literal["auto", "quad", "box", "script"] = vf.field(
        default="auto",
        help="of a line: quad x1,y1,…,x4,y4,text; box x1,y1,x2,y2,text; script, as quad with it before text",
    )
    ignore: tuple[str, ...] = vf.field(default=("###",), help="transcriptions of texts that nobody can read")

    def read(self, root: Storage) -> Source:
        """Read the label files."""
        from vf_ocr.data.icdar import read

        return read(
            root,
            folders=self.given,
            form=self.form,
            ignore=self.ignore,
            encoding=self.encoding,
            lenient=self.lenient,
            holdout=self.holdout,
        )

    @classmethod
    def sniff(cls, path: str) -> Mapping[str, Any] | None:
        """Images with text files of corners."""
        from vf_ocr.data.icdar import looks_icdar

        root = opened(path)
        return {"path": path} if root and looks_icdar(root) else None


@vf.config
class TotalText(PageFiles):
    """Total-Text: Images/Train, Groundtruth/Polygon/Train/poly_gt_*.txt; polygons along curved text."""

    def read(self, root: Storage) -> Source:
        """Read the label files."""
        from vf_ocr.data.curved import read

        return read(
            root, given=self.given, ctw=False, encoding=self.encoding, lenient=self.lenient, holdout=self.holdout
        )

    @classmethod
    def sniff(cls, path: str) -> Mapping[str, Any] | None:
        """Folders with label files of Total-Text."""
        from vf_ocr.data.curved import looks_curved

        root = opened(path)
        return {"path": path} if root and looks_curved(root, ctw=False) else None


@vf.config
class Ctw1500(PageFiles):
    """CTW1500: train_images with ctw1500_train_labels (xml), test_images with gt_ctw1500 (txt); 14 points a text."""

    def read(self, root: Storage) -> Source:
        """Read the label files."""
        from vf_ocr.data.curved import read

        return read(
            root, given=self.given, ctw=True, encoding=self.encoding, lenient=self.lenient, holdout=self.holdout
        )

    @classmethod
    def sniff(cls, path: str) -> Mapping[str, Any] | None:
        """Folders with label files of CTW1500."""
        from vf_ocr.data.curved import looks_curved

        root = opened(path)
        return {"path": path} if root and looks_curved(root, ctw=True) else None


@vf.config
class InJson(PageFiles):
    """What the layouts with few files of json share."""

    images: str = vf.field(default="", help="folder under path that names of images are relative to; empty: looked for")

    def read_json(self, root: Storage, kind: Any) -> Source:
        """Read the label files of one kind."""
        from vf_ocr.data.json_pages import read

        return read(
            root,
            kind,
            files=self.given,
            images=self.images,
            encoding=self.encoding,
            lenient=self.lenient,
            holdout=self.holdout,
        )


@vf.config
class TextOcr(InJson):
    """TextOCR_0.1_train.json and _val.json, or COCO-Text's cocotext.v2.json: texts by id, with their polygons."""

    def read(self, root: Storage) -> Source:
        """Read the json files."""
        return self.read_json(root, "textocr")

    @classmethod
    def sniff(cls, path: str) -> Mapping[str, Any] | None:
        """A json with imgs and anns."""
        return _sniffed(path, "textocr")


@vf.config
class PaddlePages(InJson):
    """PaddleOCR's labels of pages: lines IMAGE<tab>[{"transcription": …, "points": …}] in Label.txt or train.txt."""

    def read(self, root: Storage) -> Source:
        """Read the text files."""
        return self.read_json(root, "paddle")

    @classmethod
    def sniff(cls, path: str) -> Mapping[str, Any] | None:
        """A text file of such lines."""
        return _sniffed(path, "paddle")


@vf.config
class MmocrPages(InJson):
    """mmocr's textdet_train.json or textspotting_train.json: a data list with polygons."""

    def read(self, root: Storage) -> Source:
        """Read the json files."""
        return self.read_json(root, "mmocr")

    @classmethod
    def sniff(cls, path: str) -> Mapping[str, Any] | None:
        """A json of mmocr with polygons."""
        return _sniffed(path, "mmocr")


def _sniffed(path: str, kind: Any) -> Mapping[str, Any] | None:
    from vf_ocr.data.json_pages import looks_like

    root = opened(path)
    return {"path": path} if root and looks_like(root, kind) else None
