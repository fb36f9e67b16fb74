"""Config classes of the layouts that word images come in. Free of torch and numpy until they are read."""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import vf
from vf.protocols import DatasetConfig, Split
from vf.schema import changed
from vf_ocr.page_configs import opened

if TYPE_CHECKING:
    from vf.data.storage import Storage
    from vf.protocols import Dataset
    from vf_ocr.data.crops import CropDataset
    from vf_ocr.data.words import Source

__all__ = ["Crops", "Lmdb", "WordFolder", "WordList"]


def _charset() -> Any:
    return vf.field(
        default="data",
        help="characters to read: digits, lower, symbols, latin, data (those of the labels), or a file",
        stays=True,
    )


def _unknown() -> Any:
    return vf.field(
        default="drop", help="characters not in charset: drop them, skip their words in training, or refuse the data"
    )


@vf.config
class WordFiles:
    """What the layouts share."""

    path: str = vf.field(help="folder or zip of the data set")
    train: str = vf.field(default="", help="what to train on, relative to path; empty: looked for")
    val: str = vf.field(default="", help="what to validate on, relative to path; empty: looked for")
    test: str = vf.field(default="", help="what to test on, relative to path; empty: looked for")
    charset: str = _charset()
    unknown: Literal["drop", "skip", "error"] = _unknown()
    max_length: int = vf.field(
        default=0, help="longer words are left out of training; 0: none", unit="characters", validator=vf.at_least(0)
    )
    holdout: float = vf.field(
        default=0.1,
        help="part of train to validate on, where there is no split to do so; 0: none",
        validator=vf.within(0, 0.9),
    )
    lenient: bool = vf.field(
        default=False, help="leave out broken labels and missing images, and count them, instead of refusing the data"
    )

    @property
    def given(self) -> dict[Split, str]:
        """Split -> what is named for it."""
        return {"train": self.train, "val": self.val, "test": self.test}

    def read(self) -> Source:
        """Read the labels."""
        raise NotImplementedError(f"{type(self).__name__} reads nothing")

    def storage(self) -> Storage:
        """Open the folder or zip."""
        from vf.data.storage import open_storage

        return open_storage(self.path)

    @functools.cached_property
    def source(self) -> Any:  # attrs evaluates the annotation, and Source would import numpy
        """What the labels say (a Source), read once for each config object."""
        if not Path(self.path).exists():
            raise vf.DataError(f"{self.path}: no such folder; data.path names the folder of the data set")
        return self.read()

    @functools.cached_property
    def characters(self) -> tuple[str, ...]:
        """The characters to read."""
        from vf_ocr.charsets import FROM_DATA, named, of_texts

        if self.charset != FROM_DATA:
            return named(self.charset)
        words = [part.words for part in self.source.parts.values()]
        return of_texts(own.texts.text(row) for own in words for row in range(len(own)))

    @functools.cached_property
    def readings(self) -> Any:
        """Split -> what is trained on and what is evaluated on (Readings), and what is to be said."""
        from vf_ocr.charsets import Charset
        from vf_ocr.data.words import read_texts

        charset = Charset(self.characters)
        found, notes = {}, []
        for split, part in self.source.parts.items():
            found[split], said = read_texts(part, split, charset, self.unknown, max_length=self.max_length)
            notes += said
        return found, tuple(notes)

    def info(self) -> vf.DatasetInfo:
        """Read the labels; DataError with one line for each mistake in them."""
        source = self.source
        readings, said = self.readings
        joined = "".join(part.words.fingerprint() for part in source.parts.values())
        rule = (self.characters, self.unknown, self.max_length)
        return vf.DatasetInfo(
            classes=self.characters,
            task="ocr",
            num_samples={
                split: len(readings[split].rows if split == "train" else part.words)
                for split, part in source.parts.items()
            },
            fingerprint=hashlib.sha256(f"{joined}{rule}".encode()).hexdigest()[:16],
            notes=(*source.notes, *said),
        )

    def build(self, split: Split) -> Dataset:
        """Build one split."""
        return self.build_as(split, evaluation=split != "train")

    def build_as(self, split: Split, *, evaluation: bool) -> Dataset:
        """Build one split to train on, with what of its texts the charset has, or to evaluate on, as delivered."""
        from vf_ocr.data.words import WordDataset

        parts = self.source.parts
        if split not in parts:
            raise vf.DataError(f"{self.path}: has no split {split!r}; it has {', '.join(parts)}")
        reading = self.readings[0][split]
        if evaluation:
            return WordDataset(parts[split], texts=reading.kept, characters=self.characters)
        return WordDataset(parts[split], texts=reading.trained, rows=reading.rows, characters=self.characters)

    def as_delivered(self) -> WordFiles:
        """The same data in the splits that it has."""
        return changed(self, holdout=0.0, charset="data", max_length=0)

    def check(self) -> Sequence[vf.Finding]:
        """Say what each split holds, and what would spoil a training."""
        from vf_ocr.data.findings import of_words

        return of_words(self.source)


@vf.config
class WordList(WordFiles):
    """Word images with a list of what is written on them: train.txt, .csv, .tsv, .jsonl, or mmocr's .json.

    A line is IMAGE<tab>TEXT, IMAGE,TEXT (csv, with or without a first row of names), IMAGE TEXT (txt) or
    {"filename": …, "text": …} (jsonl). PaddleOCR's rec_gt_train.txt and IIIT5K's lists are such.
    """

    images: str = vf.field(default="", help="folder under path that names of images are relative to; empty: looked for")
    encoding: str = vf.field(default="utf-8", help="of the lists")

    def read(self) -> Source:
        """Read the lists."""
        from vf_ocr.data.word_lists import read

        return read(
            self.storage(),
            files=self.given,
            images=self.images,
            encoding=self.encoding,
            lenient=self.lenient,
            holdout=self.holdout,
        )

    @classmethod
    def sniff(cls, path: str) -> Mapping[str, Any] | None:
        """A list whose first line names an image that is there."""
        from vf_ocr.data.word_lists import looks_listed

        root = opened(path)
        return {"path": path} if root and looks_listed(root) else None


@vf.config
class WordFolder(WordFiles):
    """Word images whose names say what is written on them, as 12_Coffee_7.jpg in MJSynth."""

    pattern: str = vf.field(
        default=r"(?:\d+_)?(?P<text>[^_]+)(?:_\d+)?",
        help="regular expression of a file's name without its ending; its group 'text' is what is written",
    )

    def read(self) -> Source:
        """Read the names."""
        from vf_ocr.data.word_lists import read_folder

        return read_folder(
            self.storage(), folders=self.given, pattern=self.pattern, lenient=self.lenient, holdout=self.holdout
        )

    @classmethod
    def sniff(cls, path: str) -> Mapping[str, Any] | None:
        """None: a folder of images may be anything; name this one with ``data: {name: word_folder}``."""
        return None


@vf.config
class Lmdb(WordFiles):
    """Word images in an LMDB with num-samples, image-000000001, label-000000001, …: MJSynth, SynthText, benchmarks.

    The path is a folder with data.mdb, or one with train/, val/, test/ that have it; with the keys, any below it.
    """

    def read(self) -> Source:
        """Read the labels."""
        from vf_ocr.data.lmdb_words import read

        return read(Path(self.path), folders=self.given, lenient=self.lenient, holdout=self.holdout)

    @classmethod
    def sniff(cls, path: str) -> Mapping[str, Any] | None:
        """A folder with data.mdb, or with splits that have it."""
        place = Path(path)
        # Without the library, which only build() may import: the file's name is what tells.
        there = any((place / name / "data.mdb").is_file() for name in ("", "train", "val", "test"))
        return {"path": path} if there else None


@vf.config
class Crops:
    """Words cut out of the pages of another data set, straightened by perspective; what is ``###`` is left out.

    Each word decodes its page; to train on them for long, write them: ``vf data convert PAGES OUT --to word_list``.
    """

    of: DatasetConfig = vf.field(help="the data set of pages; it has a charset")
    margin: float = vf.field(
        default=0.0, help="what is cut around a word, as a part of its height", validator=vf.within(0, 1)
    )
    min_height: int = vf.field(default=4, help="lower words are left out", unit="px", validator=vf.at_least(2))

    def __attrs_post_init__(self) -> None:
        if getattr(self.of, "charset", "") == "":
            raise ValueError("of: a data set of pages with a charset is expected; set data.of.charset")

    def info(self) -> vf.DatasetInfo:
        """Facts of the pages, with the numbers of words."""
        import attrs

        info = self.of.info()
        splits: tuple[Split, ...] = ("train", "val", "test")
        numbers: dict[str, int] = {s: len(self._built(s, s != "train")) for s in splits if info.num_samples.get(s)}
        said = f"{info.fingerprint} {self.margin} {self.min_height}"
        return attrs.evolve(info, num_samples=numbers, fingerprint=hashlib.sha256(said.encode()).hexdigest()[:16])

    def build(self, split: Split) -> Dataset:
        """Build one split."""
        return self._built(split, split != "train")

    def build_as(self, split: Split, *, evaluation: bool) -> Dataset:
        """Build one split to train on or to evaluate on, whatever its name."""
        return self._built(split, evaluation)

    def _built(self, split: Split, evaluation: bool) -> CropDataset:
        from vf.wrapper_configs import build_as
        from vf_ocr.data.crops import CropDataset

        pages = build_as(self.of, split, evaluation=evaluation)
        return CropDataset(pages, margin=self.margin, min_height=self.min_height)

    def check(self) -> Sequence[vf.Finding]:
        """What there is to find in the pages."""
        return self.of.check()

    @classmethod
    def sniff(cls, path: str) -> Mapping[str, Any] | None:
        """None: no folder is of this kind."""
        return None
