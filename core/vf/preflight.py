"""Look at the data, and at the room on the machine, before a training."""

from __future__ import annotations

import math
from pathlib import Path

from vf.errors import DataError
from vf.protocols import DatasetConfig, Finding

NEAR = 0.9
"""Part of what is free from which on it is called little."""


def preflight(config: DatasetConfig) -> list[Finding]:
    """Return what ``config.check()`` finds; every mistake in the annotations is an error finding."""
    try:
        info = config.info()
    except DataError as error:
        return [Finding("error", problem) for problem in error.problems]
    return [*(Finding("note", note) for note in info.notes), *config.check()]


def disk_room(folder: Path, *, size: int, sure: int, most: int, free: int) -> Finding | None:
    """Say whether the checkpoints of a run fit on the disk; None where there is plenty.

    Args:
        folder: of the run.
        size: of one checkpoint, bytes.
        sure: how many will lie there at once.
        most: how many may.
        free: bytes that there are for them.
    """
    fits = sure * size <= free
    if fits and most * size <= NEAR * free:
        return None
    count = most if fits else sure
    return Finding(
        "warning" if fits else "error",
        f"{folder}: {count} checkpoint{'s' * (count > 1)} of {amount(size)} at a time (train.keep, the best, the one "
        f"being written) take {amount(count * size)}, the disk has {amount(free)} for them; make room, lower "
        "train.keep, or put --out on another disk",
    )


def shared_memory_room(*, workers: int, prefetch: int, need: int, free: int) -> Finding | None:
    """Say whether the batches that data workers prepare fit into /dev/shm; None where there is plenty.

    Args:
        workers: on this machine.
        prefetch: batches that each prepares ahead.
        need: bytes of all of them.
        free: bytes that /dev/shm has left.
    """
    if need <= NEAR * free:
        return None
    return Finding(
        "warning",
        f"loader: {workers} worker{'s' * (workers > 1)} × {prefetch} batches ahead take up to {amount(need)} of "
        f"/dev/shm, which has {amount(free)} free; lower loader.workers or loader.prefetch, or enlarge it "
        f"(docker run --shm-size={math.ceil(2 * need / 1e9)}g)",
    )


def amount(count: int) -> str:
    """Return a number of bytes as ``12.3 MB`` or ``1.2 GB`` (10^6 and 10^9 bytes)."""
    return f"{count / 1e9:.1f} GB" if count >= 999.95e6 else f"{count / 1e6:.1f} MB"
