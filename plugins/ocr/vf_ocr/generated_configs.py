"""Config classes of generated text. Free of torch and numpy until ``build()``."""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import vf
from vf.protocols import Split

if TYPE_CHECKING:
    from vf.protocols import Dataset
    from vf_ocr.generate.fonts import Face
    from vf_ocr.generate.spelling import Speller

__all__ = ["Pages", "Words"]

_ORDERED = "the first must not be larger than the second, got {}"


@vf.config
class Generated:
    """What generated words and pages share."""

    charset: str = vf.field(default="lower", help="characters: digits, lower, symbols, latin, or a file, one a line")
    min_length: int = vf.field(default=1, help="fewest characters of a word", validator=vf.positive())
    max_length: int = vf.field(default=12, help="most characters of a word", validator=vf.positive())
    scrambled: float = vf.field(
        default=0.1, help="part of the words that are characters at random", validator=vf.within(0, 1)
    )
    numbers: float = vf.field(default=0.1, help="part of the words that are numbers", validator=vf.within(0, 1))
    fonts: str = vf.field(
        default="", help="font, folder of fonts, or 'system', besides Pillow's own; empty: that one alone"
    )
    difficulty: float = vf.field(
        default=0.5, help="0: plain; 1: busy grounds, little contrast, blur, noise, slants", validator=vf.within(0, 1)
    )
    seed: int = vf.field(default=0, help="other seeds give other images", validator=vf.at_least(0))

    def __attrs_post_init__(self) -> None:
        if self.min_length > self.max_length:
            raise ValueError(f"min_length {self.min_length} > max_length {self.max_length}")
        if self.scrambled + self.numbers > 1:
            raise ValueError(f"scrambled {self.scrambled:g} + numbers {self.numbers:g} > 1")
        if self.charset == "data":
            raise ValueError("charset: generated text has no labels to take it from; name a set or a file")

    @property
    def lengths(self) -> Mapping[str, int]:
        """Images of each split."""
        raise NotImplementedError(f"{type(self).__name__} has no splits")

    @functools.cached_property
    def characters(self) -> tuple[str, ...]:
        """The characters that are to be read."""
        from vf_ocr.charsets import named

        return named(self.charset or "symbols")

    @functools.cached_property
    def faces(self) -> tuple[Any, ...]:  # attrs evaluates the annotation, and Face would import numpy
        """The fonts (Face), Pillow's own first."""
        from vf_ocr.generate.fonts import faces

        found: tuple[Face, ...] = faces(self.fonts)
        return found

    def speller(self) -> Speller:
        """Build what draws words: of characters that a font has; of either case where the model tells none."""
        from vf_ocr.charsets import Charset
        from vf_ocr.generate.spelling import Speller

        fold = Charset(self.characters).fold
        other = {"lower": str.upper, "upper": str.lower}.get(fold, str)
        both = dict.fromkeys((*self.characters, *(c for k in self.characters if len(c := other(k)) == 1)))
        drawn = tuple(c for c in both if any(face.draws(c) for face in self.faces))
        if not drawn:
            raise vf.DataError(f"data.charset: none of its {len(self.characters)} characters is in a font at hand")
        return Speller(
            characters=drawn,
            min_length=self.min_length,
            max_length=self.max_length,
            scrambled=self.scrambled,
            numbers=self.numbers,
        )

    def notes(self) -> tuple[str, ...]:
        """Name the characters that are never drawn."""
        missing = [c for c in self.characters if not any(face.draws(c) for face in self.faces)]
        if not missing:
            return ()
        fonts = f"the {len(self.faces)} fonts at hand have" if len(self.faces) > 1 else "Pillow's own font has"
        return (
            f"{fonts} no glyph for {len(missing)} of {len(self.characters)} characters, which are never drawn "
            f"({vf.errors.listed(missing)}); data.fonts names others",
        )

    def info(self) -> vf.DatasetInfo:
        """Known without drawing anything."""
        said = f"{self!r} {[face.name for face in self.faces]}"
        return vf.DatasetInfo(
            classes=self.characters if self.charset else ("text",),
            task="ocr",
            num_samples=dict(self.lengths),
            fingerprint=hashlib.sha256(said.encode()).hexdigest()[:16],
            notes=self.notes(),
        )

    def check(self) -> Sequence[vf.Finding]:
        """Generated labels are right by construction; what no font has is in the notes."""
        return []

    @classmethod
    def sniff(cls, path: str) -> Mapping[str, Any] | None:
        """No folder holds generated text."""
        return None


@vf.config
class Words(Generated):
    """Generated word images to read: no files, nothing is downloaded; each is drawn when it is asked for.

    What is drawn: words that can be spoken but mean nothing, numbers, characters at random; in either case where the
    characters have but one.
    """

    train: int = vf.field(default=20_000, help="words to train on", validator=vf.positive())
    val: int = vf.field(default=1000, help="words to validate on", validator=vf.positive())
    test: int = vf.field(default=2000, help="words to test on", validator=vf.positive())
    height: tuple[int, int] = vf.field(
        default=(14, 56),
        help="least and largest height of the letters",
        unit="px",
        validator=vf.each(vf.at_least(6), length=2),
    )
    max_width: int = vf.field(
        default=320, help="of an image; longer words are drawn narrower", unit="px", validator=vf.at_least(32)
    )

    def __attrs_post_init__(self) -> None:
        Generated.__attrs_post_init__(self)
        if self.height[0] > self.height[1]:
            raise ValueError(f"height: {_ORDERED.format(list(self.height))}")
        if not self.charset:
            raise ValueError("charset: is empty; name a set or a file")

    @property
    def lengths(self) -> Mapping[str, int]:
        """Words of each split."""
        return {"train": self.train, "val": self.val, "test": self.test}

    def build(self, split: Split) -> Dataset:
        """Build one split."""
        from vf_ocr.charsets import Charset
        from vf_ocr.data.generated import WordsDataset
        from vf_ocr.generate.crops import WordSettings

        settings = WordSettings(
            speller=self.speller(),
            faces=self.faces,
            heights=self.height,
            max_width=self.max_width,
            difficulty=self.difficulty,
            seed=self.seed,
        )
        return WordsDataset(settings, split, self.lengths[split], Charset(self.characters))


@vf.config
class Pages(Generated):
    """Generated pages with words in lines and blocks, to find and to read: no files, nothing is downloaded.

    Without a charset, text is only to be found; with one, it is to be read too.
    """

    charset: str = vf.field(
        default="", help="characters to read: digits, lower, symbols, latin, or a file; empty: text is only found"
    )
    train: int = vf.field(default=4000, help="pages to train on", validator=vf.positive())
    val: int = vf.field(default=200, help="pages to validate on", validator=vf.positive())
    test: int = vf.field(default=400, help="pages to test on", validator=vf.positive())
    size: tuple[int, int] = vf.field(
        default=(320, 320),
        help="height and width of a page",
        unit="px",
        validator=vf.each(vf.at_least(64), length=2),
    )
    words: tuple[int, int] = vf.field(
        default=(2, 12),
        help="fewest and most words that a place is looked for",
        validator=vf.each(vf.at_least(0), length=2),
    )
    height: tuple[int, int] = vf.field(
        default=(8, 40),
        help="least and largest height of capitals",
        unit="px",
        validator=vf.each(vf.at_least(4), length=2),
    )
    max_angle: float = vf.field(default=25.0, help="of lines", unit="degrees", validator=vf.within(0, 180))
    illegible: float = vf.field(
        default=0.1, help="part of the blocks that is too small to read, marked ###", validator=vf.within(0, 1)
    )
    ignore_under: float = vf.field(
        default=0.0, help="words lower than this are marked ### too", unit="px", validator=vf.at_least(0)
    )

    def __attrs_post_init__(self) -> None:
        Generated.__attrs_post_init__(self)
        for name, pair in (("words", self.words), ("height", self.height)):
            if pair[0] > pair[1]:
                raise ValueError(f"{name}: {_ORDERED.format(list(pair))}")

    @property
    def lengths(self) -> Mapping[str, int]:
        """Pages of each split."""
        return {"train": self.train, "val": self.val, "test": self.test}

    def build(self, split: Split) -> Dataset:
        """Build one split."""
        from vf_ocr.charsets import Charset
        from vf_ocr.data.generated import PagesDataset
        from vf_ocr.generate.pages import PageSettings

        settings = PageSettings(
            speller=self.speller(),
            faces=self.faces,
            size=self.size,
            words=self.words,
            heights=self.height,
            max_angle=self.max_angle,
            illegible=self.illegible,
            ignore_under=self.ignore_under,
            difficulty=self.difficulty,
            seed=self.seed,
        )
        charset = Charset(self.characters) if self.charset else None
        return PagesDataset(settings, split, self.lengths[split], charset)
