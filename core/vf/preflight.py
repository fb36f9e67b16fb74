"""Look at the data before a model exists."""

from __future__ import annotations

from vf.errors import DataError
from vf.protocols import DatasetConfig, Finding


def preflight(config: DatasetConfig) -> list[Finding]:
    """Return what ``config.check()`` finds; every mistake in the annotations is an error finding."""
    try:
        info = config.info()
    except DataError as error:
        return [Finding("error", problem) for problem in error.problems]
    return [*(Finding("note", note) for note in info.notes), *config.check()]
