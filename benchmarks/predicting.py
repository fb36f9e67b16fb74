"""Images a second: batches beside single images, several in flight beside one after another.

    python benchmarks/predicting.py WEIGHTS FOLDER [--images 64] [--threads 1] [--rounds 5]

WEIGHTS is any model of ours, FOLDER has images. --threads is of the model; decoding has two of its own. Files in,
results out, nothing drawn. On a GPU the same lines compare CUDA streams.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

import vf
from vf.data.decode import IMAGE_SUFFIXES


async def streamed(model: Any, files: list[Path], in_flight: int, batch: int) -> int:
    """Predict with several batches in flight."""
    count = 0
    async for _ in model.stream(files, in_flight=in_flight, batch_size=batch):
        count += 1
    return count


def main() -> None:
    """Measure in turn, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("weights")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--images", type=int, default=64)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--device", default="auto")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    model = vf.load(args.weights, device=args.device)
    found = sorted(p for p in args.folder.rglob("*") if p.suffix.lower() in IMAGE_SUFFIXES)
    files = list(itertools.islice(itertools.cycle(found), args.images))
    ways: dict[str, Callable[[], int]] = {
        "one call for each image": lambda: len([model(file) for file in files]),
        "batch 1, read ahead": lambda: sum(1 for _ in model.predict(files, batch_size=1)),
        "batch 8, read ahead": lambda: sum(1 for _ in model.predict(files, batch_size=8)),
        "async, 1 in flight": lambda: asyncio.run(streamed(model, files, 1, 1)),
        "async, 3 in flight": lambda: asyncio.run(streamed(model, files, 3, 1)),
        "async, 3 in flight, batch 8": lambda: asyncio.run(streamed(model, files, 3, 8)),
    }
    rates: dict[str, list[float]] = {name: [] for name in ways}
    for turn in range(args.rounds + 1):
        for name, way in ways.items():
            began = time.perf_counter()
            count = way()
            if turn:  # the first one warms up
                rates[name].append(count / (time.perf_counter() - began))
    first = statistics.median(rates["one call for each image"])
    print(f"{len(files)} images, {model.device}, {args.threads} threads of the model, median of {args.rounds}")
    for name, values in rates.items():
        middle = statistics.median(values)
        print(f"  {name:28} {middle:8.1f} images/s  {middle / first:5.2f}×  ({min(values):.1f} to {max(values):.1f})")


if __name__ == "__main__":
    main()
