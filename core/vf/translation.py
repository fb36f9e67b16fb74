"""What a model says of weights of another library: how their tensors become its own. Free of torch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import attrs


@attrs.frozen(kw_only=True)
class ClassRows:
    """Tensors of a model whose first dimension counts classes: groups (anchors), in each the classes, in each rows."""

    names: str
    """Pattern of our names."""
    rows: int = 1
    """Of one class: 4 where each class has its own box."""
    background: bool = False
    """Whether a last class stands for background."""


@attrs.frozen(kw_only=True)
class ForeignWeights:
    """How the tensors of another library become those of a model. Patterns are regular expressions of whole names."""

    rules: tuple[tuple[str, str], ...]
    """(pattern of their names, our name with \\1 …); the first that fits and gives a name of the model counts."""
    rows: tuple[ClassRows, ...] = ()
    background_first: bool = False
    """Whether theirs have background as the first class of these rows, also where ours have none."""
    absent: tuple[str, ...] = ()
    """Patterns of our names that theirs lack for good: they keep the values that the model is built with."""
    settings: Mapping[str, Any] = attrs.field(factory=dict)
    """Keys of the model, with dots, with which the numbers are theirs."""
    known: tuple[tuple[tuple[str, ...], tuple[int, ...]], ...] = ()
    """Class lists of published weights with the ids of their classes, for files that do not name theirs."""
    stuff: str = ""
    """Our tensor with a row for each stuff and one more, where the model has stuff."""
    norm_eps: Mapping[str, float] = attrs.field(factory=dict)
    """Beginning of a published file's name -> eps of its batch norms, where it is not 1e-5."""
