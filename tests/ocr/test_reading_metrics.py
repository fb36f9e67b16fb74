"""Word accuracy, characters and 1 - NED against tables worked by hand."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from vf.errors import DataError
from vf.testing import check_config, check_metric
from vf_ocr.reading_configs import Characters, OneMinusNED, WordAccuracy
from vf_ocr.texts import Texts

PAIRS = [
    # read, written: exact, case, case and symbols
    ("Hello", "Hello"),  # 1 1 1
    ("hello", "Hello"),  # 0 1 1
    ("don't", "Dont"),  # 0 0 1
    ("", "cat"),  # 0 0 0
    ("cat", ""),  # 0 0 0
    ("", ""),  # 1 1 1
    ("cafe\N{COMBINING ACUTE ACCENT}", "café"),  # 1 1 1: NFC first
    ("?!", "#"),  # 0 0 1: nothing of either is left
]


def rows(pairs: list[tuple[str, str]]) -> tuple[list[Any], list[Any]]:
    predictions = [{"text": read, "score": torch.tensor(0.5)} for read, _ in pairs]
    return predictions, [{"text": written, "id": str(i)} for i, (_, written) in enumerate(pairs)]


@pytest.mark.parametrize("cls", [WordAccuracy, Characters, OneMinusNED])
def test_configs_explain_themselves(cls: type[Any]) -> None:
    check_config(cls, cls.__name__)


def test_word_accuracy() -> None:
    numbers = check_metric(WordAccuracy(), *rows(PAIRS))
    assert numbers == {
        "word_acc": 3 / 8,
        "word_acc_ignore_case": 4 / 8,
        "word_acc_ignore_case_symbols": 6 / 8,
    }


@pytest.mark.parametrize(
    ("pairs", "precision", "recall"),
    [
        ([("abc", "abc")], 1.0, 1.0),
        ([("axc", "abcd")], 2 / 3, 2 / 4),
        ([("ba", "ab")], 1 / 2, 1 / 2),  # in their order
        ([("", "ab")], None, 0.0),
        ([("ab", "")], 0.0, None),
        ([("", "")], None, None),
        ([("ABC", "abc"), ("zz", "abc")], 3 / 5, 3 / 6),
    ],
)
def test_characters(pairs: list[tuple[str, str]], precision: float | None, recall: float | None) -> None:
    metric = Characters().build(None)  # type: ignore[arg-type]
    metric.update(*rows(pairs))
    assert metric.compute() == {"char_precision": precision, "char_recall": recall}


def test_characters_merge() -> None:
    check_metric(Characters(compare="exact"), *rows(PAIRS))


@pytest.mark.parametrize(
    ("pairs", "value"),
    [
        ([("abc", "abc")], 1.0),
        ([("axc", "abcd")], 1 - 2 / 4),
        ([("", "ab")], 0.0),
        ([("ab", "")], 0.0),
        ([("", "")], 1.0),
        ([("abc", "abc"), ("ab", "abcd"), ("x", "y")], 1 - (0 + 2 / 4 + 1) / 3),
        ([("A.B", "ab")], 1.0),
    ],
)
def test_one_minus_ned(pairs: list[tuple[str, str]], value: float) -> None:
    metric = OneMinusNED().build(None)  # type: ignore[arg-type]
    metric.update(*rows(pairs))
    assert metric.compute() == {"one_minus_ned": pytest.approx(value)}


def test_one_minus_ned_merges_to_the_last_digit() -> None:
    words = ["a", "abc", "abcdefg", "xyzxyz", "q", "lmnop"]
    pairs = [(a, b) for a in words for b in words]
    check_metric(OneMinusNED(compare="exact"), *rows(pairs))


def test_labelled_words_of_pages_count_without_those_that_are_ignored() -> None:
    metric = WordAccuracy().build(None)  # type: ignore[arg-type]
    target = {"id": "p", "texts": Texts(("one", "two", "###")), "ignored": torch.tensor([False, False, True])}
    prediction: Any = {"texts": ["x"], "labelled_texts": ["one", "tvo", "six"]}
    metric.update([prediction], [target])
    assert metric.compute()["word_acc"] == 1 / 2


def test_what_was_not_read_cannot_be_measured() -> None:
    metric = WordAccuracy().build(None)  # type: ignore[arg-type]
    found: Any = {"texts": []}
    with pytest.raises(DataError) as error:
        metric.update([{"polygons": torch.zeros(0, 4, 2)}], [{"id": "a.jpg", "text": "one"}])
    assert str(error.value) == (
        "a.jpg: the prediction has no text; words are measured of a model that reads, on data to be read"
    )
    with pytest.raises(DataError) as error:
        metric.update([found], [{"id": "p", "texts": Texts(("one",))}])
    assert str(error.value) == (
        "p: the model did not read the labelled words of the page; set model.reads_labelled of a spotter, or measure "
        "hmean with transcription"
    )
