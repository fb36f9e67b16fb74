"""Config classes of the layouts that texts are written in. Free of torch and numpy until ``build()``."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

import vf

if TYPE_CHECKING:
    from vf.protocols import Writer

__all__ = ["Icdar", "WordList"]


@vf.config
class Icdar:
    """Pages as ICDAR 2015 has them: SPLIT/images and SPLIT/gts/NAME.txt, x1,y1,…,x4,y4,text; polygons as they are."""

    task: ClassVar[str] = "ocr"

    def build(self) -> Writer:
        """Build the writer."""
        from vf_ocr.writers.icdar import IcdarWriter

        return IcdarWriter()


@vf.config
class WordList:
    """Word images with SPLIT.tsv, a line IMAGE<tab>TEXT for each; of pages, the words that are cut out of them."""

    task: ClassVar[str] = "ocr"

    def build(self) -> Writer:
        """Build the writer."""
        from vf_ocr.writers.word_list import WordListWriter

        return WordListWriter()
