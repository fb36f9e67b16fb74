"""Config classes of the metrics of words that are read. Free of torch and numpy until ``build()``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import vf

if TYPE_CHECKING:
    from vf.protocols import Metric

__all__ = ["Characters", "OneMinusNED", "WordAccuracy"]

Mode = Literal["exact", "ignore_case", "ignore_case_symbols"]


def _compare() -> Any:
    return vf.field(default="ignore_case_symbols", help="texts as they are; in small letters; letters and digits alone")


@vf.config
class WordAccuracy:
    """Part of the words that are read right: exactly, whatever the case, whatever case and symbols."""

    def build(self, info: vf.DatasetInfo) -> Metric:
        """Build the metric; it needs nothing of ``info``."""
        from vf_ocr.metrics.reading import WordAccuracy as Metric_

        return Metric_()


@vf.config
class Characters:
    """Precision and recall of characters, by the longest common subsequence."""

    compare: Mode = _compare()

    def build(self, info: vf.DatasetInfo) -> Metric:
        """Build the metric; it needs nothing of ``info``."""
        from vf_ocr.metrics.reading import Characters as Metric_

        return Metric_(mode=self.compare)


@vf.config
class OneMinusNED:
    """1 - edit distance over the length of the longer text, in the mean of all words (ICDAR 2019 ArT)."""

    compare: Mode = _compare()

    def build(self, info: vf.DatasetInfo) -> Metric:
        """Build the metric; it needs nothing of ``info``."""
        from vf_ocr.metrics.reading import OneMinusNED as Metric_

        return Metric_(mode=self.compare)
