"""What is said about room on the disk and in /dev/shm, from figures alone."""

from __future__ import annotations

from pathlib import Path

import pytest

from vf.preflight import amount, disk_room, shared_memory_room
from vf.protocols import Finding

RUN = Path("runs/one")
MB, GB = 10**6, 10**9


@pytest.mark.parametrize(
    ("count", "text"),
    [(0, "0.0 MB"), (64 * MB, "64.0 MB"), (999_949_999, "999.9 MB"), (999_950_000, "1.0 GB"), (12_340 * MB, "12.3 GB")],
)
def test_amounts(count: int, text: str) -> None:
    assert amount(count) == text


@pytest.mark.parametrize(
    ("sure", "most", "free", "level", "figures"),
    [
        (3, 4, 10 * GB, None, ""),
        (3, 4, 5_334 * MB, None, ""),  # 4.8 GB are nine tenths of it
        (3, 4, 5_333 * MB, "warning", "4 checkpoints of 1.2 GB at a time|4.8 GB, the disk has 5.3 GB"),
        (3, 4, 3_600 * MB, "warning", "4 checkpoints of 1.2 GB at a time|4.8 GB, the disk has 3.6 GB"),
        (3, 4, 3_599 * MB, "error", "3 checkpoints of 1.2 GB at a time|3.6 GB, the disk has 3.6 GB"),
        (1, 1, 0, "error", "1 checkpoint of 1.2 GB at a time|1.2 GB, the disk has 0.0 MB"),
    ],
    ids=["plenty", "just plenty", "near", "may not fit", "cannot fit", "full"],
)
def test_room_on_the_disk(sure: int, most: int, free: int, level: str | None, figures: str) -> None:
    found = disk_room(RUN, size=1_200 * MB, sure=sure, most=most, free=free)
    if level is None:
        assert found is None
        return
    what, against = figures.split("|")
    assert found == Finding(
        "error" if level == "error" else "warning",
        f"runs/one: {what} (train.keep, the best, the one being written) take {against} for them; make room, lower "
        "train.keep, or put --out on another disk",
    )


@pytest.mark.parametrize(
    ("workers", "free", "start", "shm"),
    [
        (4, GB, "", ""),
        (4, 175 * MB, "", ""),
        (4, 174 * MB, "4 workers × 2 batches ahead take up to 157.0 MB of /dev/shm, which has 174.0 MB free", "1g"),
        (1, 64 * MB, "1 worker × 2 batches ahead take up to 157.0 MB of /dev/shm, which has 64.0 MB free", "1g"),
    ],
    ids=["plenty", "just plenty", "near", "docker"],
)
def test_room_in_shared_memory(workers: int, free: int, start: str, shm: str) -> None:
    found = shared_memory_room(workers=workers, prefetch=2, need=157 * MB, free=free)
    text = f"loader: {start}; lower loader.workers or loader.prefetch, or enlarge it (docker run --shm-size={shm})"
    assert found == (Finding("warning", text) if start else None)
