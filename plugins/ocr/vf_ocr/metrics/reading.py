"""How well words are read: words that are right, characters that are right, edit distance.

Texts are brought to NFC first. A text of a page that is ignored does not count.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from rapidfuzz.distance import LCSseq, Levenshtein

from vf.errors import DataError

Words = tuple[str, str]
"""What is read, and what is written there."""


def exact(text: str) -> str:
    """NFC."""
    return unicodedata.normalize("NFC", text)


def ignore_case(text: str) -> str:
    """NFC, in small letters."""
    return unicodedata.normalize("NFC", exact(text).lower())


def ignore_case_symbols(text: str) -> str:
    """NFC, in small letters, without what is neither letter nor digit."""
    return "".join(character for character in ignore_case(text) if character.isalnum())


MODES: dict[str, Callable[[str], str]] = {
    "exact": exact,
    "ignore_case": ignore_case,
    "ignore_case_symbols": ignore_case_symbols,
}


def words_of(predictions: Sequence[Mapping[str, Any]], targets: Sequence[Mapping[str, Any]]) -> Iterator[Words]:
    """Yield what is read and what is written, of word images, or of pages whose labelled words were read.

    Raises:
        DataError: a prediction or a target has no text.
    """
    for prediction, target in zip(predictions, targets, strict=True):
        if "texts" in target:
            yield from _of_page(prediction, target)
            continue
        for side, name in ((prediction, "the prediction"), (target, "the target")):
            if "text" not in side:
                raise DataError(
                    f"{target['id']}: {name} has no text; words are measured of a model that reads, on data to be read"
                )
        yield prediction["text"], target["text"]


def _of_page(prediction: Mapping[str, Any], target: Mapping[str, Any]) -> Iterator[Words]:
    read = prediction.get("labelled_texts")
    if read is None:
        raise DataError(
            f"{target['id']}: the model did not read the labelled words of the page; "
            "set model.reads_labelled of a spotter, or measure hmean with transcription"
        )
    ignored = target.get("ignored")
    flags = [False] * len(read) if ignored is None else ignored.tolist()
    for said, written, ignore in zip(read, target["texts"], flags, strict=True):
        if not ignore:
            yield said, written


class WordAccuracy:
    """Counts words that are read without a mistake."""

    def __init__(self) -> None:
        self._words = 0
        self._right = dict.fromkeys(MODES, 0)

    def update(self, predictions: Sequence[Mapping[str, Any]], targets: Sequence[Mapping[str, Any]]) -> None:
        """Take a batch."""
        for read, written in words_of(predictions, targets):
            self._words += 1
            for mode, normal in MODES.items():
                self._right[mode] += normal(read) == normal(written)

    def state(self) -> list[int]:
        """Number of words, then of those that are right in each mode."""
        return [self._words, *self._right.values()]

    def merge(self, states: Sequence[Sequence[int]]) -> None:
        """Take what several processes saw instead of what this one holds."""
        self._words, *right = (sum(column) for column in zip(*states, strict=True))
        self._right = dict(zip(MODES, right, strict=True))

    def compute(self) -> dict[str, float | None]:
        """Return the part of the words that are right: exactly, whatever the case, whatever case and symbols."""
        parts = {mode: right / self._words if self._words else None for mode, right in self._right.items()}
        return {
            "word_acc": parts["exact"],
            "word_acc_ignore_case": parts["ignore_case"],
            "word_acc_ignore_case_symbols": parts["ignore_case_symbols"],
        }

    def table(self) -> Sequence[tuple[str, float | None]]:
        """Nothing."""
        return ()


class Characters:
    """Counts characters that what is read and what is written have in common, in their order.

    Their number is that of the longest common subsequence. MMOCR adds up the blocks that difflib finds, which are at
    most as many.

    Args:
        mode: of ``MODES``.
    """

    def __init__(self, *, mode: str) -> None:
        self._normal = MODES[mode]
        self._common = self._read = self._written = 0

    def update(self, predictions: Sequence[Mapping[str, Any]], targets: Sequence[Mapping[str, Any]]) -> None:
        """Take a batch."""
        for said, there in words_of(predictions, targets):
            read, written = self._normal(said), self._normal(there)
            self._common += LCSseq.similarity(read, written)
            self._read += len(read)
            self._written += len(written)

    def state(self) -> list[int]:
        """Characters in common, read and written."""
        return [self._common, self._read, self._written]

    def merge(self, states: Sequence[Sequence[int]]) -> None:
        """Take what several processes saw instead of what this one holds."""
        self._common, self._read, self._written = (sum(column) for column in zip(*states, strict=True))

    def compute(self) -> dict[str, float | None]:
        """Return the parts of what is read that is right, and of what is written that is read."""
        return {
            "char_precision": self._common / self._read if self._read else None,
            "char_recall": self._common / self._written if self._written else None,
        }

    def table(self) -> Sequence[tuple[str, float | None]]:
        """Nothing."""
        return ()


class OneMinusNED:
    """Adds up edit distances over the length of the longer text (ICDAR 2019 ArT, task 2).

    Args:
        mode: of ``MODES``.
    """

    def __init__(self, *, mode: str) -> None:
        self._normal = MODES[mode]
        self._words = 0
        self._distances: dict[int, int] = {}
        """Length of the longer text -> sum of distances: whole numbers, whatever the order in which they come."""

    def update(self, predictions: Sequence[Mapping[str, Any]], targets: Sequence[Mapping[str, Any]]) -> None:
        """Take a batch."""
        for said, there in words_of(predictions, targets):
            read, written = self._normal(said), self._normal(there)
            self._words += 1
            longer = max(len(read), len(written))
            if longer:
                distance = Levenshtein.distance(read, written)
                self._distances[longer] = self._distances.get(longer, 0) + distance

    def state(self) -> dict[str, Any]:
        """Number of words, and pairs of a length and the sum of its distances."""
        return {"words": self._words, "distances": [list(pair) for pair in self._distances.items()]}

    def merge(self, states: Sequence[Mapping[str, Any]]) -> None:
        """Take what several processes saw instead of what this one holds."""
        self._words, self._distances = sum(state["words"] for state in states), {}
        for length, distance in (pair for state in states for pair in state["distances"]):
            self._distances[length] = self._distances.get(length, 0) + distance

    def compute(self) -> dict[str, float | None]:
        """Return 1 - the mean over words of the normalised edit distance."""
        total = sum(distance / length for length, distance in sorted(self._distances.items()))
        return {"one_minus_ned": 1 - total / self._words if self._words else None}

    def table(self) -> Sequence[tuple[str, float | None]]:
        """Nothing."""
        return ()
