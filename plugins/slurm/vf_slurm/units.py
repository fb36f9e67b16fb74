"""Times and sizes as people write them, and as Slurm reads them."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from typing import Any

MINUTES = {"s": 1 / 60, "m": 1.0, "min": 1.0, "h": 60.0, "d": 1440.0}
_UNIT = re.compile(r"\s*(\d+(?:\.\d+)?)\s*(s|min|m|h|d)\s*")
_SLURM = re.compile(
    r"(?:(?P<days>\d+)-)(?P<dh>\d+)(?::(?P<dm>\d+)(?::(?P<ds>\d+))?)?"  # D-HH, D-HH:MM, D-HH:MM:SS
    r"|(?P<h>\d+):(?P<hm>\d+):(?P<hs>\d+)"  # HH:MM:SS
    r"|(?P<m>\d+)(?::(?P<ms>\d+))?"  # MM, MM:SS
)
MEMORY = re.compile(r"\d+[KMGT]?B?")


def minutes(text: str) -> float:
    """Read ``4h``, ``90min``, ``2d`` or Slurm's own ``D-HH:MM:SS``; ValueError says what came instead."""
    if match := _UNIT.fullmatch(text):
        return float(match[1]) * MINUTES[match[2]]
    match = _SLURM.fullmatch(text.strip())
    if match is None:
        raise ValueError(f"must be a time like '4h', '90min', '2d' or Slurm's '1-12:00:00', got {text!r}")
    part = {name: int(value or 0) for name, value in match.groupdict().items()}
    hours = 24 * part["days"] + part["dh"] + part["h"]
    return 60 * hours + part["dm"] + part["hm"] + part["m"] + (part["ds"] + part["hs"] + part["ms"]) / 60


def clock(text: str) -> str:
    """Return a time as Slurm's ``D-HH:MM:SS``, in whole minutes, which is what Slurm counts in."""
    whole = math.ceil(minutes(text))
    days, rest = divmod(whole, 1440)
    return (f"{days}-" if days else "") + f"{rest // 60:02d}:{rest % 60:02d}:00"


def a_time() -> Callable[[Any, Any, Any], None]:
    """Accept what :func:`minutes` reads, if it is more than nothing."""

    def validate(instance: Any, attribute: Any, value: Any) -> None:
        if minutes(value) <= 0:
            raise ValueError(f"must be longer than nothing, got {value!r}")

    return validate


def a_size() -> Callable[[Any, Any, Any], None]:
    """Accept what ``sbatch --mem`` reads."""

    def validate(instance: Any, attribute: Any, value: Any) -> None:
        if not MEMORY.fullmatch(value):
            raise ValueError(f"must be a size like '64G' or '900M', got {value!r}")

    return validate
