"""One, two and three processes: the same losses and metrics; and what two cores give over one.

    python benchmarks/ranks.py [--rounds 3]

The first table trains the network of tests/toy (no batch norm) with the same global batch of 12 and measures on 21
images, which no number of processes shares out evenly. The second trains the detector of `det/quickstart` in one
process with one thread and in two with one thread each, in turn, and compares images/s after a warm-up.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from importlib import util
from pathlib import Path
from typing import Any

TESTS = Path(__file__).parents[1] / "tests"
SPEED = (
    *("train.length=40 steps", "train.log_every=10", "train.eval_every=0 steps", "train.batch_size=16"),
    *("loader.workers=0", "data.val=4", "model.size=[256, 256]", "model.width=0.5", "data.size=256"),
)


def records(run: Path, kind: str) -> list[dict[str, Any]]:
    """Return the lines of one kind of log.jsonl."""
    lines = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
    return [line for line in lines if line["kind"] == kind]


def train(folder: Path, *arguments: str) -> None:
    """Run ``vf run train`` with one thread a process."""
    path = os.pathsep.join([str(TESTS / "toy"), str(folder / "site")])
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": path}
    command = [sys.executable, "-m", "vf_cli", "run", "train", *arguments]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(done.stderr)


def equality(folder: Path) -> None:
    """Print how far the losses and metrics of 2 and 3 processes are from those of one."""
    spec = util.spec_from_file_location("e2e", TESTS / "e2e" / "conftest.py")
    assert spec is not None
    assert spec.loader is not None
    e2e = util.module_from_spec(spec)
    spec.loader.exec_module(e2e)
    e2e.make_toy(folder, None)
    for n in (1, 2, 3):
        train(folder, "toy.yaml", "--nproc", str(n), "--out", f"run{n}")
    one = [r["loss"] for r in records(folder / "run1", "train")]
    scores = [(r["accuracy"], r["confidence"]) for r in records(folder / "run1", "val")]
    print("| processes | steps | first loss | last loss | largest difference of a loss | of a metric |")
    print("|---|---|---|---|---|---|")
    for n in (1, 2, 3):
        losses = [r["loss"] for r in records(folder / f"run{n}", "train")]
        found = [(r["accuracy"], r["confidence"]) for r in records(folder / f"run{n}", "val")]
        apart = max(abs(a - b) for a, b in zip(one, losses, strict=True))
        metric = max(abs(a - b) for x, y in zip(scores, found, strict=True) for a, b in zip(x, y, strict=True))
        print(f"| {n} | {len(losses)} | {losses[0]:.6f} | {losses[-1]:.6f} | {apart:.1e} | {metric:.1e} |")


def speed(folder: Path, n: int) -> float:
    """Return images/s of the detector in ``n`` processes, the first 10 steps left out."""
    sets = [part for override in SPEED for part in ("--set", override)]
    train(folder, "--task", "det", "--nproc", str(n), "--out", str(folder), *sets)
    return statistics.mean(r["images_per_s"] for r in records(folder, "train")[1:])


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--rounds", type=int, default=3)
    rounds = parser.parse_args().rounds
    with tempfile.TemporaryDirectory() as name:
        equality(Path(name))
    rates: dict[int, list[float]] = {1: [], 2: []}
    for _ in range(rounds):
        for n, found in rates.items():
            with tempfile.TemporaryDirectory() as name:
                found.append(speed(Path(name), n))
    print()
    for n, found in rates.items():
        print(f"{n} process{'es' * (n > 1)} with 1 thread each: {statistics.median(found):.1f} images/s")
    print(f"speed-up {statistics.median(rates[2]) / statistics.median(rates[1]):.2f} (median of {rounds})")


if __name__ == "__main__":
    main()
