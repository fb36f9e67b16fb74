"""Errors that users can cause, and the near-miss hint that goes with unknown names.

    VFError                the user's input: exit code 2, printed without a traceback
    ├── ConfigError        a recipe or an override
    ├── PluginError        a plugin that cannot be used, or two that claim one name
    ├── DataError          images, labels, folders
    ├── CheckpointError    weights or a checkpoint folder
    ├── RunError           a run folder, or a run that cannot go on
    └── SetupError         the machine: exit code 3

Every message is one line: where, what was expected, what came, what to do. An error that carries several
mistakes (a recipe with three wrong keys) has one line for each.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence

__all__ = [
    "CheckpointError",
    "ConfigError",
    "DataError",
    "PluginError",
    "RunError",
    "SetupError",
    "VFError",
    "did_you_mean",
    "listed",
]


class VFError(Exception):
    """An error that the user can mend. ``problems`` holds one line for each mistake."""

    exit_code = 2

    def __init__(self, *problems: str) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


class ConfigError(VFError):
    """A recipe, an override or a name in one of them is wrong."""


class PluginError(VFError):
    """A plugin cannot be used, or two plugins claim one name."""


class DataError(VFError):
    """An image, a label file or a data folder is missing or wrong."""


class CheckpointError(VFError):
    """A checkpoint or a weight file is missing, broken or does not fit."""


class RunError(VFError):
    """A run folder is in the way, is missing, or a run cannot go on."""


class SetupError(VFError):
    """The machine lacks something that the run needs."""

    exit_code = 3


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return ``"; did you mean 'width'?"``, or ``""`` where nothing is near."""
    near = difflib.get_close_matches(name, list(known), n=3, cutoff=0.6)
    if not near:
        return ""
    return "; did you mean " + " or ".join(repr(n) for n in near) + "?"


def listed(names: Sequence[str] | Iterable[str], *, limit: int = 12) -> str:
    """Join names for a sentence, cut after ``limit`` of them; ``"none"`` where there are none."""
    names = list(names)
    shown = ", ".join(names[:limit]) or "none"
    return shown if len(names) <= limit else f"{shown}, … ({len(names)} in all)"
