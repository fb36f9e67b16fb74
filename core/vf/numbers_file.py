"""The numbers of a test as a file: ``vf run test --out FILE --out-item metrics``."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from vf.engine.evaluate import Evaluation
from vf.errors import RunError
from vf.prediction_files import aside


def check_numbers(name: str) -> None:
    """Raise RunError for a name that is no JSON."""
    if Path(name).suffix.lower() != ".json":
        raise RunError(f"--out {name}: numbers are written as JSON; take a name that ends in .json")


def write_numbers(name: str, facts: Mapping[str, Any], evaluation: Evaluation) -> None:
    """Write what was measured on what, the numbers, and each metric's rows; null where there was nothing to measure.

    Raises:
        RunError: the disk refuses.
    """
    tables = {metric: dict(rows) for metric, rows in evaluation.tables.items() if rows}
    content = {**facts, "metrics": evaluation.numbers, "tables": tables}
    with aside(Path(name)) as fresh:
        fresh.write_text(json.dumps(content, indent=1, ensure_ascii=False), encoding="utf-8")
